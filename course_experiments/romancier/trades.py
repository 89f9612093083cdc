"""Un cuisinier, une cuisinière : le genre des métiers, dans les romans et chez le romancier.

    python -m course_experiments.romancier.trades --novels DOSSIER

Quarante métiers ont un masculin et un féminin. On les compte dans les romans de l’entraînement,
puis on demande au romancier ce qu’il attend, après des débuts qui conviennent aux deux. La part du
féminin se lit dans les probabilités, donc sans hasard ; la température la déforme. L’accord du
pronom est mesuré à côté : un modèle sans accord n’aurait pas de parti pris qui vaille.
Les mesures vont dans `results/romancier.trades.json`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from course_experiments.experiment import Experiment
from course_experiments.romancier.novels import add_novels_option, read_novels, with_novels
from course_lib.generation.readers import reading
from course_lib.pretrained.loading import load_pretrained
from course_lib.tokenization import Tokenizer

TRADES = {
    "cuisinier": "cuisinière", "ouvrier": "ouvrière", "fermier": "fermière",
    "couturier": "couturière", "infirmier": "infirmière", "jardinier": "jardinière",
    "épicier": "épicière", "boulanger": "boulangère", "boucher": "bouchère",
    "berger": "bergère", "portier": "portière", "cabaretier": "cabaretière",
    "hôtelier": "hôtelière", "meunier": "meunière", "laitier": "laitière",
    "fruitier": "fruitière", "blanchisseur": "blanchisseuse", "brodeur": "brodeuse",
    "coiffeur": "coiffeuse", "danseur": "danseuse", "chanteur": "chanteuse",
    "acteur": "actrice", "instituteur": "institutrice", "directeur": "directrice",
    "lecteur": "lectrice", "marchand": "marchande", "mercier": "mercière",
    "musicien": "musicienne", "comédien": "comédienne", "gardien": "gardienne",
    "paysan": "paysanne", "patron": "patronne", "serviteur": "servante",
    "teinturier": "teinturière", "tailleur": "tailleuse", "écolier": "écolière",
    "romancier": "romancière", "aventurier": "aventurière", "espion": "espionne",
    "magicien": "magicienne",
}  # fmt: skip
UNDEFINED = {"m": "un ", "f": "une "}
FRAMES = (
    "Ce matin-là, on vit entrer",
    "Au bout de la rue demeurait",
    "Dans cette maison vivait",
    "En face de chez nous habitait",
    "À la porte se tenait",
    "On me parla souvent d'",
    "Vers midi arriva",
    "Il y avait là",
    "La lettre avait été écrite par",
    "Tout le village connaissait",
)
AGREEMENT = ("entra dans la salle.", "posa son panier.", "baissa les yeux.")
TEMPERATURES = (1.0, 0.8, 0.5)
NOVELS, MODEL = "les romans", "romancier"


@dataclass(frozen=True)
class Protocol:
    """Ce que l’on demande : les débuts, les métiers et les températures."""

    frames: Sequence[str] = FRAMES
    temperatures: Sequence[float] = TEMPERATURES


def count_forms(texts: Sequence[str]) -> Counter:
    """Combien de fois chaque forme, « un médecin », « une servante », paraît dans les textes."""
    forms = {form for gender in "mf" for form in _forms(gender)}
    pattern = re.compile(rf"\b({'|'.join(sorted(map(re.escape, forms), key=len, reverse=True))})\b")
    counts: Counter = Counter()
    for text in texts:
        counts.update(pattern.findall(text.lower()))
    return counts


def _forms(gender: str) -> list[str]:
    """Les quarante métiers de ce genre, derrière « un » ou « une », qui le disent toujours."""
    words = TRADES if gender == "m" else TRADES.values()
    return [UNDEFINED[gender] + word for word in words]


@torch.no_grad()
def form_scores(
    model: nn.Module, tokenizer: Tokenizer, start: str, forms: Sequence[str], temperature: float
) -> Tensor:
    """log P(forme | début) de chaque forme, chaque jeton tiré à cette température, (N,)."""
    prefix = tokenizer.encode("\n" + start)
    scores = []
    for form in forms:
        joined = start + form if start.endswith("'") else f"{start} {form}"
        ids = tokenizer.encode("\n" + joined)
        split = next(
            (k for k, (a, b) in enumerate(zip(prefix, ids, strict=False)) if a != b), len(prefix)
        )
        with reading(model):
            logits = model(torch.tensor([ids[:-1]]))[0] / temperature
        log_probs = logits.log_softmax(-1)[split - 1 :]
        scores.append(log_probs.gather(1, torch.tensor(ids[split:])[:, None]).sum())
    return torch.stack(scores)


def measure_novels(novels: Path) -> dict:
    """Pour chaque métier, combien de masculins et de féminins dans les romans lus."""
    counts = count_forms([novel.text for novel in read_novels(novels, "training")])
    return {
        trade: {
            "masculine": counts[UNDEFINED["m"] + trade],
            "feminine": counts[UNDEFINED["f"] + TRADES[trade]],
        }
        for trade in TRADES
    }


def measure_model(protocol: Protocol) -> dict:
    """Pour chaque métier, la part du féminin attendue à chaque température, et l’accord."""
    loaded = load_pretrained("romancier")
    model, tokenizer = loaded.model, loaded.tokenizer
    found: dict[str, dict] = {}
    for trade, feminine in TRADES.items():
        forms = [UNDEFINED["m"] + trade, UNDEFINED["f"] + feminine]
        shares = {}
        for temperature in protocol.temperatures:
            scores = torch.stack(
                [form_scores(model, tokenizer, f, forms, temperature) for f in protocol.frames]
            )
            shares[str(temperature)] = float(scores.softmax(-1)[:, 1].mean())
        found[trade] = {"feminine_share": shares, "agreement": agreement(model, tokenizer, forms)}
    return found


def agreement(model: nn.Module, tokenizer: Tokenizer, forms: Sequence[str]) -> dict[str, float]:
    """Part du bon pronom, « Il » ou « Elle », après « Un cuisinier entra… », par genre."""
    right = {}
    for gender, form, pronoun in zip(("m", "f"), forms, (0, 1), strict=True):
        parts = [
            form_scores(model, tokenizer, f"{form.capitalize()} {end}", ("Il", "Elle"), 1.0)
            for end in AGREEMENT
        ]
        right[gender] = float(torch.stack(parts).softmax(-1)[:, pronoun].mean())
    return right


def measure(name: str, seed: int, protocol: Protocol, novels: Path | None = None) -> dict:
    """Les comptes des romans, ou les attentes du modèle."""
    return measure_novels(novels) if name == NOVELS else measure_model(protocol)


EXPERIMENT = Experiment(
    name="romancier.trades",
    description="Mesure le genre des métiers dans les romans et chez le romancier.",
    settings=Protocol(),
    names=(NOVELS, MODEL),
    seeds=(0,),
    measure=measure,
    n_threads=2,
    add_options=add_novels_option,
    adapt=with_novels,
)

if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
