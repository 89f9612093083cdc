"""Le relevé d’une expérience : des mesures par nom et par graine, écrites l’une après l’autre.

Le fichier JSON garde les réglages dont tout dépend. À réglages égaux, une commande interrompue
reprend où elle en était ; s’ils ont changé, elle recommence à neuf.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from course_lib.training.arguments import FrenchArgumentParser, natural_int
from course_lib.training.history import write_json


@dataclass(frozen=True)
class Records:
    """Le fichier `path` et les réglages `settings` (un dictionnaire que le JSON sait écrire)."""

    path: Path
    settings: dict

    def load(self) -> dict:
        """settings, libraries et runs[nom][graine] ; vide si les réglages ont changé."""
        settings = json.loads(json.dumps(self.settings))  # sous la forme où le JSON la rendra
        if self.path.exists():
            content = json.loads(self.path.read_text("utf-8"))
            if content["settings"] == settings:
                return content
        libraries = {name: version(name) for name in ("torch", "numpy")}
        return {"settings": settings, "libraries": libraries, "runs": {}}

    def missing(self, names: Iterable[str], seeds: Iterable[int]) -> list[tuple[str, int]]:
        """Les couples (nom, graine) qui ne sont pas encore au relevé, graine après graine."""
        runs, names = self.load()["runs"], list(names)
        return [(n, seed) for seed in seeds for n in names if str(seed) not in runs.get(n, {})]

    def add(self, name: str, seed: int, measures: dict) -> None:
        """Ajoute des mesures ; le fichier est relu, car une autre commande a pu y écrire."""
        content = self.load()
        content["runs"].setdefault(name, {})[str(seed)] = measures
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, content)


def load_records(path: Path) -> dict:
    """Relit un relevé livré ; FileNotFoundError, avec le remède, s’il n’existe pas."""
    if not path.exists():
        raise FileNotFoundError(
            f"Relevé introuvable : « {path.name} ». Refaites-le : "
            f"python -m course_lib.experiments.{path.stem}"
        )
    return json.loads(path.read_text("utf-8"))


def experiment_parser(results: Path, description: str, n_seeds: int = 3) -> FrenchArgumentParser:
    """Les arguments communs des expériences : `--seeds` et `--output`, le relevé livré par défaut.

    Le nom du relevé est celui du module.
    """
    parser = FrenchArgumentParser(
        prog=f"python -m course_lib.experiments.{results.stem}", description=description
    )
    seeds = list(range(n_seeds))
    listed = " ".join(map(str, seeds))
    parser.add_argument(
        "--seeds", type=natural_int, nargs="+", default=seeds, help=f"graines ({listed})"
    )
    parser.add_argument("--output", type=Path, default=results, help="fichier des mesures")
    return parser


def rounded(measures, digits: int = 4):
    """Les mêmes mesures, aux nombres arrondis, dictionnaires et listes compris."""
    if isinstance(measures, dict):
        return {name: rounded(value, digits) for name, value in measures.items()}
    if isinstance(measures, (list, tuple)):
        return [rounded(value, digits) for value in measures]
    return round(measures, digits) if isinstance(measures, float) else measures
