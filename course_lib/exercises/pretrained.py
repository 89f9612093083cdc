"""Les exercices des pré-entraînés : des bits, un gabarit, une sonde à soi."""

import math
from functools import cache
from typing import Any

from course_lib.exercises import judges
from course_lib.exercises.answers import as_words
from course_lib.exercises.exercise import Exercise, require
from course_lib.generation import TextGenerator
from course_lib.models import load_petit_llm


def _bits(probabilities: list[float]) -> float:
    return -sum(map(math.log2, probabilities))


# Écrire `bits_per_byte(probabilities, text)`.
bits_per_byte = Exercise(
    judges.Function(
        lambda probabilities, text: _bits(probabilities) / len(text.encode()),
        [
            ([0.5, 0.125, 0.25], "onze octets"),
            ([0.25, 0.25], "été"),
            ([0.5, 0.1], "œuf 🥚"),
            ([1.0], "a"),
        ],
        [
            (
                lambda probabilities, text: _bits(probabilities) / len(text),
                "« é » est un caractère, mais deux octets : comptez ceux de `text.encode()`",
            ),
            (
                lambda probabilities, text: -sum(map(math.log, probabilities)) / len(text.encode()),
                "ce sont des nats : un bit est un logarithme en base 2",
            ),
            (
                lambda probabilities, text: (
                    -sum(map(math.log10, probabilities)) / len(text.encode())
                ),
                "un bit est un logarithme en base 2, et non en base 10",
            ),
            (
                lambda probabilities, text: _bits(probabilities) / len(probabilities),
                "c'est par jeton : on demande par octet",
            ),
            (
                lambda probabilities, text: _bits(probabilities),
                "ce sont les bits du texte entier : il reste à diviser par ses octets",
            ),
            (
                lambda probabilities, text: -_bits(probabilities) / len(text.encode()),
                "un signe s'est perdu : une surprise est positive",
            ),
            (
                lambda probabilities, text: _bits([sum(probabilities)]) / len(text.encode()),
                "les probabilités des jetons se multiplient ; ce sont leurs surprises qu'on ajoute",
            ),
            (
                lambda probabilities, text: len(text.encode()) / _bits(probabilities),
                "le rapport est retourné : des bits par octet",
            ),
        ],
    ),
    (
        "la surprise d'un jeton, en bits, est −log₂ p ; et combien d'octets le texte a-t-il ?",
        "additionnez les `-math.log2(p)`, puis divisez par `len(text.encode())`.",
    ),
)


def _message(message: dict[str, str]) -> str:
    return f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"


OPENING = "<|im_start|>assistant\n"
SHORT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}]
LONG = [*SHORT, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Bye!"}]
TWO_LINES = [SHORT[0], {"role": "user", "content": "One.\nTwo."}]

# Écrire `render(messages)`, au format de SmolLM2.
template = Exercise(
    judges.Function(
        lambda messages: "".join(map(_message, messages)) + OPENING,
        [(SHORT,), (LONG,), (TWO_LINES,)],
        [
            (
                lambda messages: "".join(map(_message, messages)),
                "la réponse de l'assistant n'est pas ouverte",
            ),
            (
                lambda messages: "".join(map(_message, messages)) + OPENING.strip(),
                "il manque le saut de ligne après le rôle de l'assistant",
            ),
            (
                lambda messages: "".join(map(_message, messages)) + OPENING + "<|im_end|>\n",
                "la réponse est déjà fermée : le modèle n'aurait plus rien à dire",
            ),
            (
                lambda messages: "".join(_message(m).rstrip("\n") for m in messages) + OPENING,
                "il manque le saut de ligne après chaque `<|im_end|>`",
            ),
            (
                lambda messages: (
                    "".join(_message(m).replace("\n", " ", 1) for m in messages) + OPENING
                ),
                "le rôle est suivi d'un saut de ligne, et non d'une espace",
            ),
            (
                lambda messages: (
                    "".join(_message(m).replace("<|im_end|>", "") for m in messages) + OPENING
                ),
                "chaque message doit être fermé",
            ),
            (
                lambda messages: "".join(map(_message, messages[1:])) + OPENING,
                "le message du système manque",
            ),
        ],
    ),
    (
        "chaque message : une balise qui l'ouvre avec son rôle, un saut de ligne, son contenu, une "
        "balise qui le ferme, un saut de ligne.",
        "les balises sont `<|im_start|>` et `<|im_end|>` ; à la fin, ouvrez un message de "
        "l'assistant sans le fermer.",
    ),
)

LEAST_PROBES = 5


@cache
def _reader() -> TextGenerator:
    """Le petit LLM, ouvert une fois."""
    return TextGenerator(*load_petit_llm())


def _own_probes(answer: Any) -> str:
    """Juge des `(contexte, bonne suite, mauvaise suite)`, et y mesure la base."""
    require(isinstance(answer, list | tuple), "on attend une liste de sondes")
    require(len(answer) >= LEAST_PROBES, f"il faut cinq sondes ; vous en donnez {len(answer)}")
    for rank, probe in enumerate(answer, 1):
        _check_probe(probe, f"la sonde n° {rank}")
    require(len({probe[0] for probe in answer}) == len(answer), "deux sondes ont le même contexte")
    right = sum(_prefers(context, *pair) for context, *pair in answer)
    blind = sum(_prefers(" ".join(context.split()[-2:]), *pair) for context, *pair in answer)
    return (
        f"La base préfère votre bonne suite {right} fois sur {len(answer)} ; {blind} fois si elle "
        "ne lit que les deux derniers mots. L'écart est ce qu'elle doit au contexte."
    )


def _check_probe(probe: Any, name: str) -> None:
    require(
        isinstance(probe, list | tuple) and len(probe) == 3,
        f"{name} doit avoir trois parties : le contexte, la bonne suite, la mauvaise",
    )
    context, right, wrong = probe
    as_words(context, f"le contexte de {name}", 8)
    as_words(right, f"la bonne suite de {name}")
    as_words(wrong, f"la mauvaise suite de {name}")
    require(right.strip() != wrong.strip(), f"les deux suites de {name} sont les mêmes")
    reader = _reader()
    length = max(len(reader.encode(f"{context} {end}")) for end in (right, wrong))
    limit = reader.model.embedding.context_length
    require(length <= limit, f"{name} compte {length} jetons ; la base n'en lit que {limit}")


def _prefers(context: str, right: str, wrong: str) -> bool:
    """Dit si la base trouve la bonne suite plus probable que la mauvaise."""
    good, bad = (_reader().log_prob(f"{context.strip()} {end.strip()}") for end in (right, wrong))
    return good > bad


# Ouvert : une sonde à soi.
own_probes = Exercise(
    _own_probes,
    (
        "une sonde est un début d'histoire de huit mots au moins, la suite juste, et une suite que "
        "seul le contexte rend fausse.",
        "la base n'a lu que des histoires du cours : tirez-en une, arrêtez-la avant un mot qui "
        "dépend de ce qui précède, et donnez aussi un mot du même genre qui serait faux.",
    ),
)
