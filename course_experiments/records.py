"""Le relevé d’une expérience : des mesures par nom et par graine, écrites l’une après l’autre.

Le fichier JSON garde les réglages dont tout dépend. À réglages égaux, une commande interrompue
reprend où elle en était ; s’ils ont changé, elle recommence à neuf, et garde l’ancien fichier.
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from course_lib.commands.failures import say
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
            f"Relevé introuvable : « {path.name} ». Refaites-le : "
            f"python -m course_experiments.{path.stem}"
        )
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"« {path} » est abîmé : ce n’est pas du JSON. Rangez-le ailleurs, puis relancez la "
            "commande qui l’écrit."
        ) from error


def set_aside(path: Path) -> None:
    """Range un ancien fichier de mesures sous un nom neuf, et le dit ; rien s’il n’existe pas."""
    if not path.exists():
        return
    number = 1
    while (place := path.with_name(f"{path.stem}.ancien-{number}{path.suffix}")).exists():
        number += 1
    path.rename(place)
    say(f"Les mesures d’avant sont gardées dans « {place} ».")


def refuse_to_run(module: str) -> None:
    """SystemExit : ce module n’est pas une commande ; dit où sont celles qui en sont."""
    raise SystemExit(
        f"« {module} » n’est pas une commande. Leur liste : python -m course_experiments"
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
