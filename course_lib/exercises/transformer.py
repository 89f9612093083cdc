"""Les exercices du Transformer : une attention, un masque, un compte, deux phrases à soi."""

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.checks import detach
from course_lib.exercises import judges
from course_lib.exercises.answers import as_words
from course_lib.exercises.exercise import Exercise, Mistake, require
from course_lib.transformer import count_parameters
from course_lib.transformer.architectures import (
    OriginalTransformerConfig,
    original_encoder,
    original_transformer,
)
from course_lib.transformer.attention import scaled_dot_product


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """L’attention du cours, sur un seul texte et une seule tête."""
    return scaled_dot_product(q[None, None], k[None, None], v[None, None])[0][0, 0]


def _cases() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Des matrices au hasard : d pair ou impair, un mot seul, de grands scores."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((3, 2, 1.0), (5, 16, 1.0), (4, 3, 30.0), (1, 4, 1.0))
    return [
        tuple(size * torch.randn(n, d, generator=generator) for _ in range(3))
        for n, d, size in shapes
    ]


# Écrire `my_attention(q, k, v)`.
attention = Exercise(
    judges.Function(
        _attention,
        _cases(),
        [
            (
                lambda q, k, v: (q @ k.T).softmax(dim=-1) @ v,
                "les scores ne sont pas divisés par la racine de d",
            ),
            (
                lambda q, k, v: (q @ k.T / q.shape[-1]).softmax(dim=-1) @ v,
                "les scores sont divisés par d, et non par sa racine",
            ),
            (
                lambda q, k, v: (q @ k.T * q.shape[-1] ** 0.5).softmax(dim=-1) @ v,
                "les scores sont multipliés par la racine de d, au lieu d'être divisés",
            ),
            (
                lambda q, k, v: (q @ k.T / q.shape[0] ** 0.5).softmax(dim=-1) @ v,
                "vous divisez par la racine du nombre de mots : d est le nombre de colonnes",
            ),
            (
                lambda q, k, v: (q @ k.T / q.shape[-1] ** 0.5).softmax(dim=0) @ v,
                "le softmax normalise les colonnes : c'est chaque ligne qui doit sommer à 1",
            ),
            (
                lambda q, k, v: (q @ k.T / q.shape[-1] ** 0.5) @ v,
                "les scores ne sont pas passés par un softmax",
            ),
            (
                lambda q, k, v: (q @ k.T / q.shape[-1] ** 0.5).softmax(dim=-1),
                "ce sont les poids ; il reste à moyenner les valeurs",
            ),
            (
                lambda q, k, v: (q @ v.T / q.shape[-1] ** 0.5).softmax(dim=-1) @ k,
                "les clés et les valeurs sont échangées",
            ),
            (
                lambda q, k, v: (k @ q.T / q.shape[-1] ** 0.5).softmax(dim=-1) @ v,
                "les requêtes et les clés sont échangées : une ligne par mot qui regarde",
            ),
        ],
    ),
    (
        "trois lignes : les scores q kᵀ/√d, leur softmax, puis la moyenne des valeurs.",
        "`q @ k.T` a une ligne par mot qui regarde ; `.softmax(dim=-1)` normalise chaque ligne.",
    ),
)

N_WORDS = 5
MASK = np.tri(N_WORDS)


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
    (np.tri(N_WORDS, k=-1), "un mot doit aussi se lire lui-même : la diagonale manque"),
    (1 - MASK, "c'est vrai là où la lecture est interdite : on demande l'inverse"),
    (1 - np.tri(N_WORDS, k=-1), "c'est le masque retourné : chaque mot y lit la suite"),
    (np.tri(N_WORDS, k=1), "le premier mot voit le deuxième : la diagonale est trop haute"),
    (np.ones((N_WORDS, N_WORDS)), "tout y est permis : c'est un encodeur"),
    (np.eye(N_WORDS), "chaque mot n'y lit que lui-même"),
]

# Le masque causal de cinq mots.
mask = Exercise(
    _Mask(MASK, _MISTAKES, tolerance=0.0),
    (
        "la ligne i est le mot qui regarde ; que peut-il lire ? les colonnes j ≤ i.",
        "c'est un triangle, diagonale comprise ; torch a une fonction pour celui du bas.",
    ),
)

D_MODEL, D_FF, N_HEADS = 64, 256, 4
_SIZES = OriginalTransformerConfig(
    10, 10, d_model=D_MODEL, n_encoder_layers=1, n_decoder_layers=1, n_heads=N_HEADS, d_ff=D_FF
)
_ATTENTION, _NETWORK, _NORM = 4 * D_MODEL**2, 2 * D_MODEL * D_FF, 2 * D_MODEL
_ATTENTION_BIASES, _NETWORK_BIASES = 4 * D_MODEL, D_FF + D_MODEL
_BLOCK = count_parameters(original_encoder(_SIZES).blocks[0])

# Les paramètres d’un bloc de l’encodeur.
count_block = Exercise(
    judges.Integer(
        _BLOCK,
        [
            (_BLOCK - _ATTENTION_BIASES - _NETWORK_BIASES, "il manque les biais des matrices"),
            (
                _BLOCK - _ATTENTION_BIASES,
                "il manque 256 nombres : les biais de l'attention, ou les normalisations",
            ),
            (_BLOCK - _NETWORK_BIASES, "il manque les biais du réseau"),
            (_BLOCK - _NORM, "il y a deux normalisations, de deux vecteurs chacune"),
            (_ATTENTION + _NETWORK, "il manque les biais et les normalisations"),
            (
                _BLOCK - D_MODEL**2 - D_MODEL,
                "l'attention a quatre matrices : n'oubliez pas celle de sortie",
            ),
            (
                _BLOCK + (N_HEADS - 1) * (_ATTENTION + _ATTENTION_BIASES),
                "les quatre têtes se partagent les 64 dimensions : elles ne multiplient rien",
            ),
            (
                _BLOCK - D_MODEL * D_FF - D_MODEL,
                "le réseau a deux matrices : l'une monte à 256, l'autre en redescend",
            ),
            (
                count_parameters(original_transformer(_SIZES).decoder.blocks[0]),
                "c'est un bloc du décodeur : l'encodeur n'a pas d'attention croisée",
            ),
        ],
    ),
    (
        "quatre matrices 64 × 64 pour l'attention, deux pour le réseau, deux normalisations.",
        "chaque matrice a autant de biais que de sorties : 64, sauf celle qui monte à 256. Une "
        "normalisation a deux vecteurs de 64.",
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
