"""Entraîne un romancier, de ses romans à ses poids.

    python -m course_experiments.romancier.training DOSSIER                 un petit, au processeur
    python -m course_experiments.romancier.training DOSSIER --size entier   celui du cours, au GPU

DOSSIER vient de `python -m course_experiments.romancier.corpus`. On lit les romans qu’il dit de
lire, doubles ôtés ; le découpage s’apprend sur un quart d’entre eux. À la fin, chaque roman mis de
côté est lu en entier, et le modèle est écrit là où l’on dit, au format Hugging Face :
`python -m course_lib write` l’ouvre. L’entraînement s’interrompt sans perte.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from torch import nn
from tqdm.auto import tqdm

from course_experiments.romancier.novels import CLEAN, CLEAN_LIST, LIST, Novel, read_novels
from course_lib.arguments import FrenchArgumentParser, natural_int
from course_lib.commands.failures import run_command, say
from course_lib.files import atomic, write_json
from course_lib.pretrained.saving import save_beside
from course_lib.tokenization import BPETokenizer, Tokenizer, load_tokenizer
from course_lib.training import History, TokenStream, TrainingConfig, evaluate_loss, train
from course_lib.training.devices import DEVICES
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama
from course_lib.typography import format_number

TOKENIZER, TOKENS, IDENTITY, RECORD = "tokenizer.json", "tokens.npy", "recipe.json", "training.json"
SAMPLE = 100_000  # jetons mis de côté que l’on relit pendant l’entraînement


@dataclass(frozen=True)
class Recipe:
    """Ce qui décide d’un romancier.

    one_novel_in    on lit un roman sur tant ; le découpage s’apprend sur un de ceux-là sur quatre
    learning_rate   celui d’AdamW, pour les plongements et les normes ; Muon, sur les matrices des
                    blocs, va `muon_rate_ratio` fois plus vite
    """

    one_novel_in: int
    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    context_length: int
    batch_size: int
    n_tokens: int
    learning_rate: float = 8e-3
    muon_rate_ratio: float = 1.0
    dropout: float = 0.0
    dtype: str = "float32"
    compile: bool = False

    def shape(self) -> LlamaConfig:
        """La forme du modèle."""
        return LlamaConfig(
            self.vocab_size,
            self.context_length,
            self.d_model,
            self.n_layers,
            self.n_heads,
            d_ff=self.d_ff,
            dropout=self.dropout,
        )


RECIPES = {
    # un dixième des romans, une dizaine de minutes d’un fil
    "petit": Recipe(10, 4096, 128, 4, 4, 352, 256, 8, 1_200_000),
    # celui du cours : neuf lectures de tout, une carte graphique
    "entier": Recipe(
        1, 16_384, 512, 8, 8, 1280, 1024, 64, 539_000_000, dtype="bfloat16", compile=True
    ),
}


@dataclass(frozen=True)
class Run:
    """Un entraînement : ce que l’on lit, ce que l’on en fait, et où."""

    corpus: Path
    listing: str
    recipe: Recipe
    seed: int
    device: str
    output: Path

    def novels(self) -> list[Novel]:
        """Les romans à lire."""
        every = self.recipe.one_novel_in
        return list(read_novels(self.corpus, "training", listing=self.listing))[::every]

    def held_out(self) -> list[Novel]:
        """Les romans mis de côté."""
        return list(read_novels(self.corpus, CLEAN, listing=self.listing))

    def identity(self) -> dict:
        """Ce qui distingue cet entraînement d’un autre dans le même dossier.

        La liste porte l’empreinte de chaque texte : la sienne dit donc ce que l’on lit.
        """
        digest = hashlib.sha256((self.corpus / self.listing).read_bytes()).hexdigest()
        read = {"listing": self.listing, "sha256": digest}
        return {**read, "seed": self.seed, "recipe": asdict(self.recipe)}


def with_ends(text: str, tokenizer: Tokenizer) -> list[int]:
    """Les jetons d’un roman, entre celui du début et celui de la fin."""
    return [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]


def prepare(run: Run) -> tuple[Tokenizer, np.ndarray]:
    """Le découpage et les jetons à lire, gardés dans le dossier : une reprise les relit."""
    novels = run.novels()
    if not (run.output / TOKENIZER).is_file():
        texts = (novel.text for novel in novels[::4])
        BPETokenizer.train(texts, run.recipe.vocab_size, progress=True).save(run.output / TOKENIZER)
    tokenizer = load_tokenizer(run.output / TOKENIZER)
    if not (run.output / TOKENS).is_file():
        bar = tqdm(novels, desc="Découpage", unit=" roman")
        ids = [np.array(with_ends(novel.text, tokenizer), dtype=np.int32) for novel in bar]
        with atomic(run.output / TOKENS) as temporary, temporary.open("wb") as stream:
            np.save(stream, np.concatenate(ids))
    return tokenizer, np.load(run.output / TOKENS, mmap_mode="r")


def measure_novels(
    model: nn.Module, novels: Sequence[Novel], tokenizer: Tokenizer, context_length: int
) -> dict[str, dict[str, float]]:
    """Chaque roman lu en entier : jetons, nats par jeton, bits par caractère.

    Les fenêtres se suivent sans se recouvrir : le début de chacune a moins de contexte.
    """
    found = {}
    for novel in tqdm(novels, desc="Romans mis de côté", unit=" roman"):
        ids = np.array(with_ends(novel.text, tokenizer), dtype=np.int32)
        nats = evaluate_loss(model, TokenStream(ids, context_length, 16))
        bits = nats * (len(ids) - 1) / len(novel.text) / math.log(2)
        found[novel.name] = {
            "title": novel.title,
            "tokens": len(ids) - 1,
            "nats_per_token": round(nats, 4),
            "bits_per_character": round(bits, 4),
        }
    return found


def learn(run: Run, ids: np.ndarray, watched: np.ndarray) -> tuple[Decoder, History]:
    """L’entraînement : (modèle, journal)."""
    recipe = run.recipe
    source = TokenStream(ids, recipe.context_length, recipe.batch_size, run.seed)
    sample = TokenStream(watched, recipe.context_length, recipe.batch_size)
    n_steps = math.ceil(recipe.n_tokens / source.tokens_per_step)
    config = TrainingConfig(
        n_steps,
        recipe.learning_rate,
        warmup_steps=min(100, n_steps // 10),
        log_every=max(1, n_steps // 80),
        eval_every=max(1, n_steps // 16),
        checkpoint_every=max(1, n_steps // 16),
        seed=run.seed,
        optimizer="muon",
        muon_rate_ratio=recipe.muon_rate_ratio,
        device=run.device,
        dtype=recipe.dtype,
        compile=recipe.compile,
    )
    model = llama(recipe.shape(), run.seed)
    say(f"{format_number(count_parameters(model), 0)} paramètres, {n_steps} pas.")

    def evaluate(model: nn.Module) -> dict[str, float]:
        return {"held_out_loss": evaluate_loss(model, sample)}

    history = train(
        model,
        source,
        config,
        evaluate=evaluate,
        checkpoint_dir=run.output / "checkpoints",
        architecture=recipe.shape(),
    )
    return model, history


def opening_of(novels: Sequence[Novel], tokenizer: Tokenizer) -> np.ndarray:
    """Le début de chaque roman mis de côté, bout à bout : de quoi suivre l’entraînement."""
    n_characters = 8 * SAMPLE // len(novels)
    ids = [with_ends(novel.text[:n_characters], tokenizer) for novel in novels]
    return np.concatenate([np.array(row, dtype=np.int32) for row in ids])[:SAMPLE]


def claim_folder(run: Run) -> None:
    """Le dossier garde un seul entraînement : ValueError s’il en porte déjà un autre."""
    run.output.mkdir(parents=True, exist_ok=True)
    path = run.output / IDENTITY
    if path.is_file() and json.loads(path.read_text("utf-8")) != run.identity():
        raise ValueError(
            f"« {run.output} » garde un entraînement d’une autre recette, d’une autre liste ou "
            "d’une autre graine : donnez un autre --output."
        )
    write_json(path, run.identity())


def build(run: Run) -> None:
    """Tout le travail de la commande."""
    aside = run.held_out()
    claim_folder(run)
    tokenizer, ids = prepare(run)
    model, history = learn(run, ids, opening_of(aside, tokenizer))
    save_beside(model, tokenizer, run.output, dtype="float16")
    novels = measure_novels(model, aside, tokenizer, run.recipe.context_length)
    record = {
        **run.identity(),
        "parameters": count_parameters(model),
        "corpus_tokens": len(ids),
        "held_out": novels,
        "history": history.to_json(),
        "libraries": {name: version(name) for name in ("torch", "numpy")},
    }
    write_json(run.output / RECORD, record)
    mean = np.mean([measures["bits_per_character"] for measures in novels.values()])
    say(
        f"{format_number(mean, 3)} bit par caractère, en moyenne, sur les romans mis de côté. "
        f"Ensuite : python -m course_lib write {run.output} --start « La marquise »"
    )


def main(arguments: list[str] | None = None) -> int:
    """La commande ; rend 0, 2 (entrée inutilisable) ou 130 (interrompue)."""
    parser = FrenchArgumentParser(
        prog="python -m course_experiments.romancier.training",
        description="Entraîne un romancier, de ses romans à ses poids.",
    )
    add = parser.add_argument
    add("corpus", type=Path, metavar="DOSSIER", help="dossier des romans")
    add("--size", choices=sorted(RECIPES), default="petit", help="la recette (petit)")
    dirty = "lire la liste du modèle livré, doubles compris"
    add("--as-shipped", action="store_true", help=dirty)
    add("--dropout", type=float, default=0.0, help="part des activations éteintes (0)")
    add("--seed", type=natural_int, default=0, help="graine (0)")
    add("--device", choices=DEVICES, default="auto", help="où calculer (auto)")
    add("--output", type=Path, help="où écrire (runs/romancier-TAILLE-GRAINE)")
    options = parser.parse_args(arguments)
    output = options.output or Path("runs") / f"romancier-{options.size}-{options.seed}"
    run = Run(
        options.corpus,
        LIST if options.as_shipped else CLEAN_LIST,
        replace(RECIPES[options.size], dropout=options.dropout),
        options.seed,
        options.device,
        output,
    )
    return run_command(lambda: build(run), "La même commande reprend au dernier point de reprise.")


if __name__ == "__main__":
    raise SystemExit(main())
