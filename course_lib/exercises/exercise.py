"""Un exercice : un juge, qui reconnaît la faute, et deux indices, donnés l’un après l’autre.

Les points de suspension invitent à essayer, sans erreur : le cahier s’exécute ainsi d’un bout à
l’autre. Aucun message ne contient la réponse.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from course_lib.typography import french_spaces

INVITATION = (
    "À vous : remplacez les points de suspension par votre réponse, puis relancez la cellule."
)


class WrongAnswer(AssertionError):
    """La réponse n’est pas encore la bonne ; le message dit la faute, puis donne un indice."""

    def _render_traceback_(self) -> list[str]:
        """Dans un cahier, montre le message seul : la pile d’appels n’aiderait personne."""
        return [str(self)]


class Blank(Exception):
    """Le lecteur n’a pas encore répondu."""


class Mistake(Exception):
    """Ce qu’un juge reproche à une réponse, en une phrase sans majuscule ni point final."""


def require(condition: Any, problem: str) -> None:
    """Reproche `problem` à la réponse si la condition n’est pas remplie."""
    if not condition:
        raise Mistake(problem)


@dataclass
class Exercise:
    """Un exercice que l’on appelle avec une réponse.

    `judge(réponse)` lève `Mistake` si elle est fausse, et peut rendre une remarque, affichée avec
    le bravo. `hints` : le premier indice suit le premier échec, le second tous les autres.
    WrongAnswer si la réponse est fausse.
    """

    judge: Callable[[Any], str | None]
    hints: tuple[str, str]
    failures: int = field(default=0, init=False)

    def __call__(self, answer: Any) -> None:
        """Juge la réponse : une invitation, un bravo, ou `WrongAnswer` avec un indice."""
        try:
            remark = None if answer is ... else self.judge(answer)
        except Blank:
            answer = ...
        except Mistake as mistake:
            raise WrongAnswer(self._after_failure(str(mistake))) from None
        if answer is ...:
            return print(french_spaces(INVITATION))
        self.failures = 0
        print(french_spaces("✓ Bravo, c'est juste." if remark is None else f"✓ Bravo ! {remark}"))

    def _after_failure(self, problem: str) -> str:
        """Compte l’échec, et joint à la faute l’indice qui lui revient."""
        hint = self.hints[min(self.failures, 1)]
        self.failures += 1
        label = "Indice" if self.failures == 1 else "Second indice"
        return french_spaces(f"Pas encore. {_sentence(problem)}\n{label} : {hint}")


def _sentence(text: str) -> str:
    """Met la majuscule, sauf devant du code, et le point final."""
    return text[0].upper() + text[1:] + "."
