"""Le relevé d’une expérience : des mesures par nom et par graine, écrites l’une après l’autre.

Le fichier JSON garde les réglages dont tout dépend. À réglages égaux, une commande interrompue
reprend où elle en était ; s’ils ont changé, elle recommence à neuf, et garde l’ancien fichier.
"""

import json
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tqdm.auto import tqdm

from course_lib.arguments import FrenchArgumentParser, natural_int
from course_lib.commands.failures import run_command, say
from course_lib.files import write_json


@dataclass(frozen=True)
class Records:
    """Le fichier `path` et les réglages `settings` (un dictionnaire que le JSON sait écrire)."""

    path: Path
    settings: dict

    def load(self) -> dict:
        """settings, libraries et runs[nom][graine] ; vide si les réglages ont changé."""
        settings = json.loads(json.dumps(self.settings))  # sous la forme où le JSON la rendra
        if self.path.exists():
            content = load_records(self.path)
            if content.get("settings") == settings:
                return content
        libraries = {name: version(name) for name in ("torch", "numpy")}
        return {"settings": settings, "libraries": libraries, "runs": {}}

    def missing(self, names: Iterable[str], seeds: Iterable[int]) -> list[tuple[str, int]]:
        """Les couples (nom, graine) qui ne sont pas encore au relevé, graine après graine."""
        runs, names = self.load()["runs"], list(dict.fromkeys(names))
        return [
            (n, seed)
            for seed in dict.fromkeys(seeds)
            for n in names
            if str(seed) not in runs.get(n, {})
        ]

    def complete(
        self, names: Iterable[str], seeds: Iterable[int], measure: Callable[[str, int], dict]
    ) -> None:
        """Ajoute `measure(nom, graine)` pour tout ce qui manque, en montrant où l’on en est."""
        missing = self.missing(names, seeds)
        for name, seed in tqdm(missing, desc="Modèles", unit=" modèle", disable=not missing):
            self.add(name, seed, measure(name, seed))

    def add(self, name: str, seed: int, measures: dict) -> None:
        """Ajoute des mesures ; le fichier est relu, car une autre commande a pu y écrire."""
        content = self.load()
        if not content["runs"]:  # d’autres réglages, s’il y a déjà un fichier
            set_aside(self.path)
        content["runs"].setdefault(name, {})[str(seed)] = measures
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, content)


def load_records(path: Path) -> dict:
    """Relit un relevé livré ; FileNotFoundError, avec le remède, s’il n’existe pas."""
    if not path.exists():
        raise FileNotFoundError(
            f"Relevé introuvable : « {path.name} ». Refaites-le : "
            f"python -m course_experiments.{path.stem}"
        )
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"« {path} » est abîmé : ce n’est pas du JSON. Rangez-le ailleurs, puis relancez la "
            "commande qui l’écrit."
        ) from error


def experiment_parser(results: Path, description: str, n_seeds: int = 3) -> FrenchArgumentParser:
    """Les arguments communs des expériences : `--seeds` et `--output`, le relevé livré par défaut.

    Le nom du relevé est celui du module.
    """
    parser = FrenchArgumentParser(
        prog=f"python -m course_experiments.{results.stem}", description=description
    )
    seeds = list(range(n_seeds))
    listed = " ".join(map(str, seeds))
    parser.add_argument(
        "--seeds", type=natural_int, nargs="+", default=seeds, help=f"graines ({listed})"
    )
    add_output(parser, results)
    return parser


def add_output(parser: FrenchArgumentParser, results: Path | None) -> None:
    """Les options `--output`, où vont les mesures, et `--force`, qui les refait toutes."""
    add, default = parser.add_argument, "" if results is None else f" ({results.name} du cours)"
    add("--output", type=Path, default=results, help=f"fichier des mesures{default}")
    add(
        "--force",
        action="store_true",
        help="refait tout ; l’ancien fichier est gardé sous un autre nom",
    )


def refuse_seeds(parser: FrenchArgumentParser, options: Namespace) -> None:
    """Erreur si `--seeds` est donnée là où une seule graine sert."""
    if options.seeds != parser.get_default("seeds"):
        parser.error("--tuning compare les réglages à la graine 0 seulement : ôtez --seeds")


def set_aside(path: Path) -> None:
    """Range un ancien fichier de mesures sous un nom neuf, et le dit ; rien s’il n’existe pas."""
    if not path.exists():
        return
    number = 1
    while (place := path.with_name(f"{path.stem}.ancien-{number}{path.suffix}")).exists():
        number += 1
    path.rename(place)
    say(f"Les mesures d’avant sont gardées dans « {place} ».")


def measure_command(options: Namespace, action: Callable[[], object]) -> int:
    """Fait les mesures, dit ce qui a été fait, et rend le code de sortie (0, 2 ou 130)."""
    path = options.output

    def work() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if options.force:
            set_aside(path)
        before = _count(path)
        action()
        added = _count(path) - before
        if added > 0:
            plural = "s" if added > 1 else ""
            say(f"{added} mesure{plural} ajoutée{plural} à « {path} ».")
        else:
            say(
                f"Rien à mesurer : « {path} » contient déjà tout ce qui est demandé. Pour le "
                "refaire : --force, ou --output vers un autre fichier."
            )

    return run_command(
        work, f"Ce qui est mesuré est dans « {path} » ; la même commande fait le reste."
    )


def _count(path: Path) -> int:
    """Nombre de mesures d’un relevé, rangées par nom et par graine, en liste, ou d’un seul bloc."""
    if not path.exists():
        return 0
    content = load_records(path)
    kept = [content[name] for name in ("runs", "tuning") if name in content]
    return sum(len(runs) for kind in kept for runs in _as_lists(kind)) if kept else 1


def _as_lists(kind) -> list:
    return list(kind.values()) if isinstance(kind, dict) else [kind]


def refuse_to_run(module: str) -> None:
    """SystemExit : ce module n’est pas une commande ; dit où sont celles qui en sont."""
    raise SystemExit(
        f"« {module} » n’est pas une commande. Leur liste : python -m course_experiments"
    )


def rounded(measures, digits: int = 4):
    """Les mêmes mesures, aux nombres arrondis, dictionnaires et listes compris."""
    if isinstance(measures, dict):
        return {name: rounded(value, digits) for name, value in measures.items()}
    if isinstance(measures, (list, tuple)):
        return [rounded(value, digits) for value in measures]
    return round(measures, digits) if isinstance(measures, float) else measures


if __name__ == "__main__":
    refuse_to_run(__spec__.name)
