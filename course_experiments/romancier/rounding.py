"""Ce que coûte d’arrondir le romancier : octets et nats, sur cinq romans jamais lus.

    python -m course_experiments.romancier.rounding --model F16.gguf --novels DOSSIER

Le modèle sur 16 bits et le modèle livré lisent le même passage de chaque roman ; la divergence
entre leurs deux distributions dit, avec bien moins de hasard que la surprise, de combien l’arrondi
les sépare. `--mixes` mesure d’autres formats, chacun arrondi par calibrage (quelques minutes), et
`--write` garde le fichier de chacun. Le mélange livré se refait ainsi :

    … --mixes mélange --write DOSSIER

Sur un autre processeur, les derniers bits diffèrent, et quelques poids tombent d’un autre côté : le
fichier refait vaut celui-ci, sans lui être égal octet pour octet. Les mesures vont dans
`results/romancier.rounding.json`.
"""

import tempfile
from argparse import Namespace
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from course_experiments.experiment import Experiment
from course_experiments.romancier.novels import CLEAN, add_novels_option, read_novels
from course_experiments.romancier.passages import checked_text, fingerprints, passages
from course_lib.arguments import FrenchArgumentParser
from course_lib.models.shipped import ROMANCIER_WEIGHTS
from course_lib.pretrained import Pretrained, load_pretrained, save_gguf
from course_lib.rounding import RoundedModel, round_model, rounding_costs, share_kinds
from course_lib.transformer import Decoder

F16, SHIPPED, MIX = "F16", "livré", "mélange"
UNIFORM = ("Q8_0", "Q4_K", "IQ4_XS", "Q3_K")


@dataclass(frozen=True)
class Settings:
    """Les passages qui calibrent, ceux qui jugent, et le poids du mélange.

    calibration, costs   (nombre, longueur en jetons) des passages d’entraînement
    kinds, file_bytes    les formats du mélange, et les octets du fichier, au plus
    characters, tokens   d’un roman jamais lu : la tranche, puis le nombre de jetons que l’on prédit
    """

    calibration: tuple[int, int] = (48, 512)
    costs: tuple[int, int] = (16, 256)
    seed: int = 0
    kinds: tuple[str, ...] = ("IQ4_XS", "Q3_K")
    file_bytes: int = 17_000_000
    characters: tuple[int, int] = (60_000, 78_000)
    tokens: int = 4096
    window: int = 1024


@dataclass(frozen=True)
class Sources:
    """Où sont le modèle sur 16 bits et les textes ; `write` : où garder les fichiers arrondis."""

    model: Path | None = None
    novels: Path | None = None
    write: Path | None = None

    def open(self) -> Pretrained:
        """Le modèle d’origine ; ValueError si les options manquent."""
        if self.model is None:
            raise ValueError(
                "Donnez --model, le romancier sur 16 bits : il n’est pas dans le dépôt."
            )
        return load_pretrained(self.model)


@torch.no_grad()
def compare(model: Decoder, reference: Decoder, ids: Tensor, window: int) -> dict[str, float]:
    """Sur un texte, en nats par jeton : surprise, surcroît depuis `reference`, divergence.

    `error` : l’erreur type du surcroît, les jetons tenus pour indépendants.
    """
    surprises, excess, divergences = [], [], []
    for start in range(0, len(ids) - window, window):
        read, target = ids[start : start + window], ids[start + 1 : start + window + 1, None]
        ours = model(read[None])[0].log_softmax(-1)
        theirs = ours if model is reference else reference(read[None])[0].log_softmax(-1)
        surprises.append(-ours.gather(1, target)[:, 0])
        excess.append((theirs - ours).gather(1, target)[:, 0])
        divergences.append((theirs.exp() * (theirs - ours)).sum(1))
    surprise, more, divergence = (torch.cat(p).double() for p in (surprises, excess, divergences))
    return {
        "nats": float(surprise.mean()),
        "excess": float(more.mean()),
        "error": float(more.std() / len(more) ** 0.5),
        "kl": float(divergence.mean()),
    }


def measure_model(
    model: Decoder, original: Pretrained, sources: Sources, settings: Settings
) -> dict:
    """Les mesures de `compare`, roman par roman et en moyenne."""
    start, end = settings.characters
    novels = {}
    known = fingerprints()
    for novel in read_novels(sources.novels, CLEAN):
        ids = original.tokenizer.encode(checked_text(novel, known)[start:end])
        ids = torch.tensor(ids[: settings.tokens + 1])
        novels[novel.author.split(",")[0]] = compare(model, original.model, ids, settings.window)
    each = list(novels.values())
    mean = {key: sum(one[key] for one in each) / len(each) for key in each[0]}
    error = sum(one["error"] ** 2 for one in each) ** 0.5 / len(each)
    return {**mean, "error": error, "novels": novels}


def _read(original: Pretrained, sources: Sources, counts: tuple[int, int], seed: int) -> Tensor:
    """Des passages de romans d’entraînement, (nombre, longueur)."""
    novels = read_novels(sources.novels, "training")
    return passages(novels, original.tokenizer, *counts, seed)


def choose_kinds(original: Pretrained, sources: Sources, settings: Settings) -> dict[str, str]:
    """Le format de chaque matrice du mélange, pour que le fichier tienne en `file_bytes`."""
    model = original.model
    texts = _read(original, sources, settings.costs, settings.seed)
    costs = rounding_costs(model, texts, settings.kinds)
    sizes = {name: p.numel() for name, p in model.named_parameters() if p.ndim == 2}
    with tempfile.TemporaryDirectory() as folder:  # ce que pèse tout le reste
        path = Path(folder) / "entier.gguf"
        save_gguf(model, original.tokenizer, path, "F16", name=ROMANCIER_WEIGHTS.stem)
        rest = path.stat().st_size - 2 * sum(sizes.values())
    return share_kinds(costs, sizes, settings.file_bytes - rest)


def round_mix(
    name: str, original: Pretrained, sources: Sources, settings: Settings
) -> RoundedModel:
    """Le modèle arrondi en un seul format, ou au mélange."""
    kinds = choose_kinds(original, sources, settings) if name == MIX else name
    texts = _read(original, sources, settings.calibration, settings.seed)
    return round_model(original.model, texts, kinds)


def measure(name: str, seed: int, settings: Settings, sources: Sources) -> dict:
    """Octets du fichier, surprise, divergence d’avec le modèle sur 16 bits."""
    original = sources.open()
    if name in (F16, SHIPPED):
        path = sources.model if name == F16 else ROMANCIER_WEIGHTS
        model = original.model if name == F16 else load_pretrained(path).model
        n_bytes = path.stat().st_size
    else:
        rounded = round_mix(name, original, sources, settings)
        with tempfile.TemporaryDirectory() as folder:
            path = (sources.write or Path(folder)) / f"romancier-{name}.gguf"
            packed = rounded.packed()
            save_gguf(
                rounded.model,
                original.tokenizer,
                path,
                "F16",
                name=ROMANCIER_WEIGHTS.stem,
                rounded=packed,
            )
            n_bytes, model = path.stat().st_size, load_pretrained(path).model
    return {"bytes": n_bytes, **measure_model(model, original, sources, settings)}


def add_options(parser: FrenchArgumentParser) -> None:
    """Les deux sources, les formats à essayer, où les garder."""
    parser.add_argument("--model", type=Path, help="le romancier sur 16 bits (GGUF)")
    add_novels_option(parser)
    parser.add_argument(
        "--mixes", nargs="+", choices=[*UNIFORM, MIX], default=[], help="formats à essayer aussi"
    )
    parser.add_argument("--write", type=Path, help="dossier où garder les fichiers arrondis")


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """Les mesures demandées, sur ces sources."""
    sources = Sources(options.model, options.novels, options.write)
    names = [*experiment.names, *options.mixes]
    return replace(experiment, names=names, measure=partial(measure, sources=sources))


EXPERIMENT = Experiment(
    "romancier.rounding",
    "Mesure ce que coûte d’arrondir le romancier.",
    Settings(),
    [F16, SHIPPED],
    partial(measure, sources=Sources()),
    seeds=[0],
    add_options=add_options,
    adapt=adapt,
)


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
