"""Les fiches : ce qu’un modèle peut lire sur quelqu’un avant de répondre à une question."""

from course_lib.corpora.microworld.biographies import ATTRIBUTES, Person, prompt


def card(person: Person) -> str:
    """La fiche d’une personne : son nom et ses quatre faits."""
    facts = ", ".join(person.fact(attribute) for attribute in ATTRIBUTES)
    return f"{person.name}, {facts}."


def card_prompt(passage: str, person: Person, attribute: str) -> str:
    """L’amorce d’une réponse d’après un passage : la fiche, la question, « Réponse : »."""
    return f"Fiche : {passage} {prompt(person, attribute, 'question')}"
