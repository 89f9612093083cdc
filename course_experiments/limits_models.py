"""Les deux modèles livrés des chapitres 05 et 06 : graine 0, réglages de leurs relevés.

    python -m course_experiments.limits_models

Le lecteur a lu le micro-web dont les copies sont ôtées et les adresses laissées
(`corpus_cleaning`, étape « near ») ; le biographe, les biographies sans leçon de refus
(`hallucination`, « none »). Leurs poids, en demi-précision, vont dans `results/limites/` ;
un modèle déjà écrit n’est pas refait.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from course_experiments import corpus_cleaning, hallucination
from course_experiments.halved_weights import load_halved, save_halved
from course_lib.arguments import FrenchArgumentParser
from course_lib.cleaning import STEP_NAMES, clean, standard_steps
from course_lib.commands.failures import run_command
from course_lib.corpora.web import generate_web
from course_lib.tokenization import BPETokenizer

FOLDER = Path(__file__).parent / "results" / "limites"
SEED = 0


def train_reader() -> nn.Module:
    """Le lecteur : presque-copies ôtées, adresses laissées."""
    budget = corpus_cleaning.Budget()
    pages = generate_web(budget.n_pages, SEED)
    bpe = BPETokenizer.train((page.text for page in pages), budget.vocab_size)
    steps = STEP_NAMES[: STEP_NAMES.index("near") + 1]
    kept = clean(pages, standard_steps((), steps)).kept  # la contamination n’est pas de ces étapes
    rows = corpus_cleaning.token_rows([page.text for page in kept], bpe)
    return corpus_cleaning.train_on(rows, bpe, budget, SEED)[0]


def train_biographer() -> nn.Module:
    """Le biographe : aucun refus ne lui est enseigné."""
    return hallucination.train_with_lessons("none", SEED)[0]


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lecteur": train_reader,
    "biographe": train_biographer,
}


def load_shipped(name: str, beginner: nn.Module, folder: Path = FOLDER) -> nn.Module:
    """Le modèle livré `name`, de la même architecture que `beginner`, qui ne change pas.

    ValueError pour un autre nom que ceux de `MODELS`, ou une autre architecture ;
    FileNotFoundError, avec le remède, si les poids manquent.
    """
    if name not in MODELS:
        raise ValueError(f"Modèle reçu : {name!r}. Choisissez parmi {', '.join(MODELS)}.")
    command = "python -m course_experiments.limits_models"
    return load_halved(copy.deepcopy(beginner), folder / f"{name}.safetensors", command)


def main(arguments: list[str] | None = None) -> int:
    """Point d’entrée de la commande."""
    parser = FrenchArgumentParser(
        prog="python -m course_experiments.limits_models",
        description="Entraîne les deux modèles livrés du chapitre « Les limites ».",
    )
    parser.add_argument("--output", type=Path, default=FOLDER, help="dossier des poids")
    folder = parser.parse_args(arguments).output

    def work() -> None:
        for name, train_model in MODELS.items():
            path = folder / f"{name}.safetensors"
            if path.is_file():
                print(f"{name} : déjà fait.")
                continue
            save_halved(train_model(), path)
            print(f"{name} : écrit dans {path}.", flush=True)

    return run_command(work, "Un modèle fini est écrit ; la même commande fait le reste.")


if __name__ == "__main__":
    torch.set_num_threads(1)
    raise SystemExit(main())
