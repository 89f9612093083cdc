"""Le romancier dans la page : un grand modèle français, ses débuts, et un mot de prudence."""

from pathlib import Path
from typing import Any

from course_lib.models import MODELS
from course_lib.widgets.language_model import LanguageModelWidget

ROMANCIER = MODELS / "romancier" / "romancier.gguf"
WARNING = (
    "Ce modèle n’a lu que des romans publiés de 1840 à 1919. Il en a la langue, et aussi les "
    "préjugés : ce qu’il écrit n’engage personne, et rien n’en est vrai."
)
BEGINNINGS = (
    "C’était en 1847, par un froid matin de décembre",
    "La diligence de Lyon",
    "— Vous m’attendiez ? demanda-t-elle",
)


def romancier_widget(path: Path = ROMANCIER, **options: Any) -> LanguageModelWidget:
    """Le composant du romancier : il écrit, compare des suites, montre ce qu’il lit.

    `path` : le GGUF livré avec le cours ; sur le site, le même fichier attend sous `_static/` et ne
    vient que si le lecteur presse le bouton. `options` : celles de LanguageModelWidget, pour
    changer le début, le titre ou le nombre de suites comparées. FileNotFoundError si le fichier
    manque.
    """
    settings: dict[str, Any] = {
        "title": "Le romancier, dans la page",
        "prompt": "Le comte entra dans le salon",
        "beginnings": BEGINNINGS,
        "warning": WARNING,
        "continuations": 3,
        "weights_url": f"models/{path.parent.name}",
    }
    return LanguageModelWidget.from_gguf(path, **(settings | options))
