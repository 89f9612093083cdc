"""Un petit quiz : des questions à choix unique, une explication pour chaque choix."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from course_lib.typography import french_spaces
from course_lib.widgets.base import FOLDER, CourseWidget


@dataclass(frozen=True)
class Choice:
    """Un choix : son texte, s’il est juste, et ce qu’on répond à qui le prend."""

    text: str
    feedback: str
    correct: bool = False


@dataclass(frozen=True)
class Question:
    """Une question et ses choix, dont exactement un est juste, et chacun expliqué."""

    prompt: str
    choices: Sequence[Choice]

    def __post_init__(self) -> None:
        """Refuse une question sans choix, sans réponse juste unique, ou un choix non expliqué."""
        n_correct = sum(choice.correct for choice in self.choices)
        if len(self.choices) < 2 or n_correct != 1:
            raise ValueError(
                f"La question « {self.prompt} » a {len(self.choices)} choix dont {n_correct} "
                "juste(s) : il faut au moins deux choix, dont exactement un avec correct=True."
            )
        for choice in self.choices:
            if not choice.feedback.strip():
                raise ValueError(
                    f"Le choix « {choice.text} » n’est pas expliqué : dites, dans `feedback`, "
                    "pourquoi il est juste ou faux."
                )


class Quiz(CourseWidget):
    """Affiche des questions ; « Vérifier » dit juste ou faux et explique le choix.

    Les choix sont mélangés à chaque chargement de la page. Les textes acceptent `du code` entre
    accents graves ; espaces et apostrophes y sont mis à la française. Sans JavaScript : les mêmes
    questions, dans l’ordre donné, réponses repliées.
    """

    module = "quiz.js"
    state_fields = ("questions",)
    _esm = FOLDER / "quiz.js"
    questions = traitlets.List().tag(sync=True)

    def __init__(self, questions: Sequence[Question], *, title: str = "Quiz", **kwargs: Any):
        if not questions:
            raise ValueError("Un quiz demande au moins une question ; la liste est vide.")
        super().__init__(questions=[_to_state(q) for q in questions], title=title, **kwargs)

    def fallback_html(self) -> str:
        """Rend les questions, et chaque réponse dans un `<details>` replié."""
        items = "".join(f"<li>{_question_html(question)}</li>" for question in self.questions)
        return f"<p><strong>{html.escape(self.title)}</strong></p><ol>{items}</ol>"


def _to_state(question: Question) -> dict[str, Any]:
    return {
        "prompt": french_spaces(question.prompt),
        "choices": [
            {
                "text": french_spaces(choice.text),
                "feedback": french_spaces(choice.feedback),
                "correct": choice.correct,
            }
            for choice in question.choices
        ],
    }


def _question_html(question: dict[str, Any]) -> str:
    choices = "".join(f"<li>{_inline(choice['text'])}</li>" for choice in question["choices"])
    right = next(choice for choice in question["choices"] if choice["correct"])
    return (
        f"<p>{_inline(question['prompt'])}</p><ul>{choices}</ul>"
        f"<details><summary>Voir la réponse</summary>"
        f"<p><strong>{_inline(right['text'])}</strong></p><p>{_inline(right['feedback'])}</p>"
        "</details>"
    )


def _inline(text: str) -> str:
    """Échappe le texte et met en `<code>` ce qui est entre accents graves."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text, quote=False))
