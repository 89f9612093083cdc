"""Des questions sur les micro-histoires : la tâche de l’affinage.

    … L’histoire. Question : où était la harpe ? Réponse : la corbeille

Toutes les réponses sont écrites dans l’histoire : il faut savoir où les lire. Les trois sortes de
questions se suivent à tour de rôle ; une histoire qui ne convient pas à sa sorte est passée.
"""

import itertools
from dataclasses import dataclass

from course_lib.corpora.microworld.stories import Story, generate_stories

KINDS = ("place", "thief", "hero")


@dataclass(frozen=True)
class Question:
    """Une histoire, une question, sa réponse ; `kind` : « place », « thief » ou « hero »."""

    story: str
    question: str
    answer: str
    kind: str

    @property
    def prompt(self) -> str:
        """Ce que le modèle lit ; la réponse suit, après une espace."""
        return f"{self.story} Question : {self.question} Réponse :"


def _object_name(story: Story) -> str:
    """L’objet et son article, tels qu’une sonde de l’histoire les porte."""
    probe = next(probe for probe in story.probes if probe.skill == "object")
    return story.text[probe.start : probe.end]


def ask(story: Story, kind: str) -> Question | None:
    """La question de cette sorte sur cette histoire ; None si elle n’a pas de réponse."""
    meaning = story.meaning
    if kind == "hero":
        return Question(story.text, "qui est le héros ?", meaning.hero, kind)
    thing = _object_name(story)
    if kind == "thief":
        if meaning.thief is None:
            return None
        return Question(story.text, f"qui a pris {thing} ?", meaning.thief, kind)
    if meaning.place is None:
        return None
    place = next(probe for probe in story.probes if probe.skill == "place")
    return Question(story.text, f"où était {thing} ?", story.text[place.start : place.end], kind)


def generate_questions(n: int, split: str = "train", seed: int = 0) -> list[Question]:
    """Tire `n` questions, une par histoire ; mêmes `split` et `seed` que `generate_stories`.

    ValueError si `n` n’est pas positif.
    """
    if n < 1:
        raise ValueError(f"n = {n} : il faut au moins une question.")
    kinds = itertools.cycle(KINDS)
    wanted, found = next(kinds), []
    for story in generate_stories(3 * n + 20, split, seed):
        question = ask(story, wanted)
        if question is not None:
            found.append(question)
            wanted = next(kinds)
            if len(found) == n:
                return found
    raise RuntimeError("Trop peu d’histoires conviennent : la grammaire a changé.")
