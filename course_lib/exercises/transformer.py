"""Les exercices du Transformer : l’attention croisée, un masque, deux phrases à soi."""

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.checks import detach
from course_lib.exercises import judges
from course_lib.exercises.answers import as_words
from course_lib.exercises.exercise import Exercise, Mistake, require
from course_lib.transformer.attention import scaled_dot_product


def _reads(asking: str = "x", read: str = "memory", valued: str = "memory"):
    """Une attention où la requête, les clés et les valeurs viennent de « x » ou de « memory »."""

    def attention(
        x: Tensor, memory: Tensor, to_q: Tensor, to_k: Tensor, to_v: Tensor, power: float = 0.5
    ) -> Tensor:
        texts = {"x": x, "memory": memory}
        q, k, v = texts[asking] @ to_q, texts[read] @ to_k, texts[valued] @ to_v
        return (q @ k.T / q.shape[-1] ** power).softmax(dim=-1) @ v

    return attention


def _cross_attention(x: Tensor, memory: Tensor, to_q: Tensor, to_k: Tensor, to_v: Tensor) -> Tensor:
    """L’attention du cours, sur un seul texte et une seule tête."""
    q, k, v = (t[None, None] for t in (x @ to_q, memory @ to_k, memory @ to_v))
    return scaled_dot_product(q, k, v)[0][0, 0]


def _scaled(power: float):
    return lambda *given: _reads()(*given, power=power)


def _along_columns(x, memory, to_q, to_k, to_v):
    scores = (x @ to_q) @ (memory @ to_k).T / to_q.shape[-1] ** 0.5
    return scores.softmax(dim=0) @ (memory @ to_v)


def _weights_only(x, memory, to_q, to_k, to_v):
    return ((x @ to_q) @ (memory @ to_k).T / to_q.shape[-1] ** 0.5).softmax(dim=-1)


def _no_softmax(x, memory, to_q, to_k, to_v):
    return (x @ to_q) @ (memory @ to_k).T / to_q.shape[-1] ** 0.5 @ (memory @ to_v)


def _by_width(x, memory, to_q, to_k, to_v):
    scores = (x @ to_q) @ (memory @ to_k).T / x.shape[-1] ** 0.5
    return scores.softmax(dim=-1) @ (memory @ to_v)


def _values_unchanged(x, memory, to_q, to_k, to_v):
    return _weights_only(x, memory, to_q, to_k, to_v) @ memory


def _causal(x, memory, to_q, to_k, to_v):
    scores = (x @ to_q) @ (memory @ to_k).T / to_q.shape[-1] ** 0.5
    past = torch.ones(scores.shape, dtype=torch.bool).tril()
    return scores.masked_fill(~past, -torch.inf).softmax(dim=-1) @ (memory @ to_v)


def _cases() -> list[tuple[Tensor, ...]]:
    """Des nombres au hasard : plus de mots anglais ou moins, un mot seul, de grands scores."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((3, 5, 6, 2, 1.0), (5, 3, 4, 4, 1.0), (2, 4, 6, 3, 4.0), (1, 3, 8, 4, 1.0))
    return [
        tuple(
            size * torch.randn(rows, columns, generator=generator)
            for rows, columns in ((n, d), (m, d), (d, h), (d, h), (d, h))
        )
        for n, m, d, h, size in shapes
    ]


# Écrire `my_cross_attention(x, memory, to_q, to_k, to_v)`.
cross_attention = Exercise(
    judges.Function(
        _cross_attention,
        _cases(),
        [
            (
                _reads(read="x", valued="x"),
                "le français ne lit que lui-même : les clés et les valeurs viennent de l'anglais",
            ),
            (
                _reads(asking="memory", read="x", valued="x"),
                "c'est l'anglais qui interroge le français : les deux textes sont échangés",
            ),
            (
                _reads(asking="memory"),
                "l'anglais se lit lui-même : la requête vient du français",
            ),
            (_scaled(0.0), "les scores ne sont pas divisés par la racine de d"),
            (_scaled(1.0), "les scores sont divisés par d, et non par sa racine"),
            (
                _scaled(-0.5),
                "les scores sont multipliés par la racine de d, au lieu d'être divisés",
            ),
            (
                _by_width,
                "vous divisez par la racine de la taille de x : d est celle des requêtes",
            ),
            (
                _along_columns,
                "le softmax normalise les colonnes : c'est chaque ligne dont la somme vaut 1",
            ),
            (_no_softmax, "les scores ne sont pas passés par un softmax"),
            (_weights_only, "ce sont les poids ; il reste à moyenner les valeurs"),
            (
                _values_unchanged,
                "vous moyennez les vecteurs anglais eux-mêmes : il faut leurs valeurs",
            ),
            (
                _causal,
                "aucun masque ici : toute la phrase anglaise est connue",
            ),
        ],
    ),
    (
        "qui pose la question ? qui répond ? Chacun des trois rôles a sa matrice.",
        "`q` vient de `x`, `k` et `v` de `memory` ; la suite est celle de l'équation.",
    ),
)

N_WORDS, WINDOW = 5, 3
CAUSAL = np.tri(N_WORDS)


def _window(size: int) -> np.ndarray:
    """Le masque causal d’une fenêtre de `size` mots, celui qui regarde compris."""
    return CAUSAL - np.tri(N_WORDS, k=-size)


MASK = _window(WINDOW)


class _Mask(judges.Numbers):
    """Un masque booléen, ou de 0 et de 1 ; celui qu’on ajouterait aux scores est reconnu."""

    def __call__(self, answer: Any) -> None:
        """Juge la réponse."""
        found = np.asarray(detach(answer)) if hasattr(answer, "__array__") else np.empty(0)
        if found.dtype.kind == "f" and np.isneginf(found).any():
            raise Mistake("c'est un masque à ajouter aux scores ; on demande vrai ou faux")
        super().__call__(answer)


_MISTAKES = [
    (MASK.T, "c'est le masque retourné : chaque mot y lit la suite, et non le passé"),
    (CAUSAL, "c'est le masque causal entier : le dernier mot y lit encore le premier"),
    (CAUSAL.T, "chaque mot y lit toute la suite, et aucun passé"),
    (_window(WINDOW + 1), "quatre mots y sont lus : celui qui regarde compte parmi les trois"),
    (_window(WINDOW - 1), "deux mots seulement y sont lus : il en faut trois"),
    (
        np.tri(N_WORDS, k=-1) - np.tri(N_WORDS, k=-1 - WINDOW),
        "un mot doit aussi se lire lui-même : la diagonale manque",
    ),
    (1 - MASK, "c'est vrai là où la lecture est interdite : on demande l'inverse"),
    (
        np.tri(N_WORDS, k=WINDOW - 1) * np.tri(N_WORDS, k=WINDOW - 1).T,
        "chaque mot y lit aussi les deux suivants : ils ne sont pas encore écrits",
    ),
    (
        np.tri(N_WORDS, k=1) * np.tri(N_WORDS, k=1).T,
        "chaque mot y lit aussi le suivant : il n'est pas encore écrit",
    ),
    (np.ones((N_WORDS, N_WORDS)), "tout y est permis : c'est un encodeur"),
    (np.eye(N_WORDS), "chaque mot n'y lit que lui-même"),
]

# Le masque d’une fenêtre de trois mots, sur un texte de cinq.
mask = Exercise(
    _Mask(MASK, _MISTAKES, tolerance=0.0),
    (
        "la ligne i est le mot qui regarde ; que peut-il lire ? les colonnes i − 2, i − 1 et i.",
        "partez du triangle causal, et ôtez-lui un triangle plus bas : `tril` prend un décalage.",
    ),
)

PRONOUNS = {"il", "elle", "ils", "elles", "le", "la", "les", "lui", "eux", "it", "they", "them"}
KNOWN_PAIRS = ({"tired", "wide"}, {"fatigué", "large"}, {"grand", "petit"})


def _own_pair(answer: Any) -> str:
    """Juge `(phrase, référent, phrase, référent)` : deux phrases à un mot près."""
    require(
        isinstance(answer, tuple | list) and len(answer) == 4,
        "on attend deux phrases, chacune suivie du nom que le pronom y désigne",
    )
    first, second = (_split(answer[i], "une phrase") for i in (0, 2))
    one, other = (_split(answer[i], "un référent")[-1] for i in (1, 3))
    require(len(first) == len(second), "vos deux phrases n'ont pas le même nombre de mots")
    places = [i for i, pair in enumerate(zip(first, second, strict=True)) if len({*pair}) == 2]
    require(places, "vos deux phrases sont la même")
    require(len(places) == 1, f"vos deux phrases diffèrent en {len(places)} mots ; un seul suffit")
    require(one != other, "le pronom désigne le même nom dans les deux : rien ne bascule")
    shared = set(first) & set(second)
    require(
        {one, other} <= shared, "chaque référent doit être un mot présent dans les deux phrases"
    )
    start = max(first.index(one), first.index(other))
    pronouns = [word for word in first[start:] if word in PRONOUNS and word in shared]
    require(pronouns, "on ne voit pas de pronom après les deux noms")
    turning = {first[places[0]], second[places[0]]}
    require(turning not in KNOWN_PAIRS, "ce couple est trop célèbre : trouvez le vôtre")
    return (
        f"« {first[places[0]]} » ou « {second[places[0]]} » : un mot change, et « {pronouns[-1]} » "
        f"passe de « {one} » à « {other} ». Vos lecteurs, et un traducteur, sont-ils d'accord ?"
    )


def _split(text: Any, what: str) -> list[str]:
    """Les mots d’une phrase, sans majuscules ni ponctuation ; l’élision est un mot."""
    as_words(text, what)
    found = re.findall(r"\w+", text.lower())
    require(found, f"{what} n'a pas un seul mot")
    return found


# Ouvert : un schéma de Winograd à soi.
own_pair = Exercise(
    _own_pair,
    (
        "partez de deux noms de même genre, puis d'un pronom qui peut reprendre l'un ou l'autre.",
        "« Le … a abîmé le …, car il était trop … » : quel mot, à la fin, désigne l'un, et lequel "
        "l'autre ?",
    ),
)
