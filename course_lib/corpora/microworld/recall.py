"""Des correspondances inventées à chaque texte : la réponse n’est que dans ce qui précède.

Un texte donne des exemples, « bif lune dof sel … », puis interroge : « dof » → « sel ». Les
couples (clé, valeur) sont tirés à neuf dans chaque texte : rien n’est à apprendre par cœur, sinon
la façon de lire. Un couple sur cinq environ (`is_held_out`) ne paraît jamais à l’entraînement : y
répondre ne peut venir de la mémoire. Tout passe par `Draw`, la probabilité d’un texte est connue.

D’autres familles d’exercices, jamais montrées à l’entraînement, servent à chercher les limites :
l’ordre renversé (valeur, puis clé), les clés de deux mots, les couples de deux clés.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from course_lib.corpora.microworld.kernel import Draw
from course_lib.corpora.microworld.splits import check_count

_KEY_TEXT = (
    "bif bul cag cov dal dep dof duf fab fim fog gac gef gip gud jaf jom kal kep kib lar lig lum "
    "mab mep mof nac nif nop paz pel pib rac ril rop ruf sab sil sov taf tep tib vag vel zan zer "
    "zil zop"
)
_VALUE_TEXT = (
    "lune sel pont roue nuit loup pain four mer feu clé riz tour banc vent miel sac lac rose toit "
    "gant fil pré cire veau noix port drap bois sable mur train pluie corde plume vase lampe livre "
    "neige herbe pomme craie table porte fleur arbre pierre chaise"
)
KEYS, VALUES = tuple(_KEY_TEXT.split()), tuple(_VALUE_TEXT.split())
HELD_OUT_WIDTH = 9  # valeurs mises de côté par clé, sur 48
MAX_PAIRS = len(VALUES) - HELD_OUT_WIDTH  # au-delà, une clé pourrait ne plus avoir de valeur
QUERIES = ("known", "held_out")
FORMS = ("direct", "reversed", "two_words", "keys_only")

Pair = tuple[str, str]
_KEY_RANK = {key: rank for rank, key in enumerate(KEYS)}
_VALUE_RANK = {value: rank for rank, value in enumerate(VALUES)}


@dataclass(frozen=True, slots=True)
class RecallText:
    """Des exemples, des questions et leurs réponses ; `log_prob` en nats.

    `answers` : rangs, dans `words`, des mots que les exemples déterminent.
    """

    words: tuple[str, ...]
    answers: tuple[int, ...]
    log_prob: float

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class RecallPrompt:
    """Des exemples puis une seule question ; `shared` : exemples qui finissent comme la question.

    Qui ne regarde que le dernier mot de la question répond juste une fois sur `shared`.
    """

    words: tuple[str, ...]
    answer: str
    shared: int = 1


def is_held_out(key: str, value: str) -> bool:
    """Vrai si ce couple est gardé pour l’épreuve : 9 valeurs par clé et 9 clés par valeur."""
    return (_VALUE_RANK[value] - _KEY_RANK[key]) % len(VALUES) < HELD_OUT_WIDTH


_HELD_OUT = tuple((k, v) for k in KEYS for v in VALUES if is_held_out(k, v))


def draw_pairs(draw: Draw, n: int) -> list[Pair]:
    """Tire `n` couples permis à l’entraînement, aux clés et aux valeurs toutes différentes.

    Erreur : ValueError si `n` n’est pas entre 0 et `MAX_PAIRS`.
    """
    _check_pairs(n)
    pairs: list[Pair] = []
    for key in _distinct(draw, KEYS, n):
        used = {value for _, value in pairs}
        allowed = [v for v in VALUES if v not in used and not is_held_out(key, v)]
        pairs.append((key, draw.choice(allowed)))
    return pairs


def write_recall(draw: Draw, max_pairs: int = 8, n_queries: int = 8) -> RecallText:
    """Écrit un texte : 1 à `max_pairs` exemples, puis `n_queries` questions et leurs réponses.

    Les questions sont tirées avec remise : les réponses déjà données n’excluent rien.
    """
    _check_pairs(max_pairs)
    draw.log_prob = 0.0
    pairs = draw_pairs(draw, draw.choice(range(1, max_pairs + 1)))
    asked = [draw.choice(pairs) for _ in range(n_queries)]
    words = tuple(word for pair in pairs + asked for word in pair)
    first = 2 * len(pairs) + 1
    return RecallText(words, tuple(range(first, len(words), 2)), draw.log_prob)


def generate_recall(n: int, seed: int = 0, max_pairs: int = 8) -> list[RecallText]:
    """Tire `n` textes d’entraînement, toujours les mêmes pour une graine."""
    check_count(n)
    draw = Draw(f"correspondances/{seed}")
    return [write_recall(draw, max_pairs) for _ in range(n)]


def generate_prompts(
    n: int, n_pairs: int, queries: str = "known", form: str = "direct", seed: int = 0
) -> list[RecallPrompt]:
    """Tire `n` épreuves de `n_pairs` exemples.

    `queries` : le couple demandé est de ceux de l’entraînement (« known ») ou mis de côté
    (« held_out »). `form` : « direct », la famille apprise ; « reversed », « two_words » ou
    « keys_only », qui ne le sont pas. Sans exemple, la réponse « known » est un couple permis.
    Erreurs : ValueError si un nom est inconnu ou un nombre impossible.
    """
    check_count(n)
    _check_pairs(n_pairs)
    _check_name("queries", queries, QUERIES)
    _check_name("form", form, FORMS)
    if form != "direct" and n_pairs == 0:
        raise ValueError(
            f"Forme « {form} » sans exemple : la réponse n’existe pas. Donnez-en au moins un."
        )
    draw = Draw(f"épreuves/{form}/{queries}/{n_pairs}/{seed}")
    return [_write_prompt(draw, n_pairs, queries, form) for _ in range(n)]


def chance_level(n_pairs: int) -> float:
    """Réussite de qui répond au hasard parmi les valeurs montrées : exactement 1 / n.

    Sans exemple, le hasard porte sur les valeurs permises avec la clé : 1 / 39.
    """
    _check_pairs(n_pairs)
    return 1 / n_pairs if n_pairs else 1 / (len(VALUES) - HELD_OUT_WIDTH)


def _write_prompt(draw: Draw, n_pairs: int, queries: str, form: str) -> RecallPrompt:
    if form == "two_words":
        return _two_word_prompt(draw, n_pairs)
    if form == "keys_only":
        words = _distinct(draw, KEYS, 2 * n_pairs)
        pairs = list(zip(words[::2], words[1::2], strict=True))
    elif queries == "held_out":
        pairs = _pairs_with_held_out(draw, max(1, n_pairs))
    else:
        pairs = draw_pairs(draw, max(1, n_pairs))
    key, value = draw.choice(pairs) if queries == "known" else pairs.pop()
    if queries == "held_out":  # le couple mis de côté peut être montré à n’importe quel rang
        pairs.insert(draw.choice(range(len(pairs) + 1)), (key, value))
    if form == "reversed":
        pairs, key, value = [(v, k) for k, v in pairs], value, key
    shown = pairs[:n_pairs]
    return RecallPrompt((*(word for pair in shown for word in pair), key), value)


def _pairs_with_held_out(draw: Draw, n: int) -> list[Pair]:
    """n − 1 couples permis, puis un couple mis de côté, dont clé et valeur sont nouvelles."""
    pairs = draw_pairs(draw, n - 1)
    keys, values = ({pair[i] for pair in pairs} for i in (0, 1))
    free = [(k, v) for k, v in _HELD_OUT if k not in keys and v not in values]
    return [*pairs, draw.choice(free)]


def _two_word_prompt(draw: Draw, n_pairs: int) -> RecallPrompt:
    """Des clés de deux mots pris dans peu de mots : le dernier ne suffit pas à répondre."""
    pool = _distinct(draw, KEYS, math.isqrt(n_pairs) + 1)
    couples = _distinct(draw, [(a, b) for a in pool for b in pool], n_pairs)
    values = _distinct(draw, VALUES, n_pairs)
    rank = draw.choice(range(n_pairs))
    shown = [word for key, value in zip(couples, values, strict=True) for word in (*key, value)]
    shared = sum(couple[1] == couples[rank][1] for couple in couples)
    return RecallPrompt((*shown, *couples[rank]), values[rank], shared)


def _distinct(draw: Draw, options, n: int) -> list:
    """Tire `n` options différentes, l’une après l’autre."""
    rest, chosen = list(options), []
    for _ in range(n):
        chosen.append(draw.choice(rest))
        rest.remove(chosen[-1])
    return chosen


def _check_pairs(n: int) -> None:
    if not 0 <= n <= MAX_PAIRS:
        raise ValueError(
            f"Nombre d’exemples reçu : {n}. Donnez un entier de 0 à {MAX_PAIRS} : au-delà, une clé "
            "pourrait ne plus avoir de valeur permise."
        )


def _check_name(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        names = ", ".join(f"« {each} »" for each in allowed)
        raise ValueError(f"{name} reçu : {value!r}. Choisissez parmi {names}.")
