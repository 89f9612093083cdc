"""Les schémas qui bougent de l’entraînement : MinHash sur deux phrases, et la somme en anneau."""

import random
from collections.abc import Sequence
from itertools import pairwise

from course_lib.cleaning.exact import words_of
from course_lib.parallel.ring import ring_turns
from course_lib.typography import format_number
from course_lib.widgets.drawing import WIDTH, Drawing

Frames = list[tuple[Drawing, str]]
N_DRAWS = 6


def word_pairs(sentence: str) -> list[str]:
    """Les suites de deux mots d’une phrase, sans répétition, dans l’ordre."""
    words = words_of(sentence)
    return list(dict.fromkeys(f"{a} {b}" for a, b in pairwise(words)))


def draw_numbers(first: str, second: str, n_draws: int, seed: int = 0) -> list[dict[str, int]]:
    """`n_draws` numérotations au hasard des suites de deux mots de deux phrases."""
    shingles = list(dict.fromkeys(word_pairs(first) + word_pairs(second)))
    draw = random.Random(seed)
    numbers = range(1, len(shingles) + 1)
    return [
        dict(zip(shingles, draw.sample(numbers, len(shingles)), strict=True))
        for _ in range(n_draws)
    ]


def minhash_frames(first: str, second: str, n_draws: int = N_DRAWS, seed: int = 0) -> Frames:
    """MinHash à la main : les suites de deux mots, leurs numéros au hasard, et les deux minima."""
    a, b = word_pairs(first), word_pairs(second)
    draws = draw_numbers(first, second, n_draws, seed)
    common, union = set(a) & set(b), list(draws[0])
    captions = [
        f"Les suites de deux mots : {len(union)} en tout, dont {len(common)} sont dans les deux "
        f"phrases. La ressemblance est {len(common)}/{len(union)}, soit "
        f"{format_number(len(common) / len(union), 2)}."
    ]
    agreed = 0
    for rank, draw in enumerate(draws, start=1):
        low_a, low_b = (min(draw[shingle] for shingle in shingles) for shingles in (a, b))
        agreed += low_a == low_b
        same = "le même" if low_a == low_b else f"contre {low_b}"
        captions.append(
            f"Tirage {rank} : on numérote les suites au hasard. Le plus petit numéro de la "
            f"première phrase est {low_a}, {same} dans la seconde. Jusqu’ici, {agreed} sur {rank}."
        )
    captions.append(
        f"Les deux signatures ont {agreed} places égales sur {n_draws} : ressemblance estimée, "
        f"{format_number(agreed / n_draws, 2)}, pour {format_number(len(common) / len(union), 2)}. "
        "Plus de tirages, moins d’écart."
    )
    return [
        (_minhash_drawing(a, b, draws, min(step, n_draws), step > n_draws), caption)
        for step, caption in enumerate(captions)
    ]


def _minhash_drawing(
    a: Sequence[str], b: Sequence[str], draws: list[dict[str, int]], shown: int, final: bool
) -> Drawing:
    union = list(draws[0])
    told = "les signatures comparées" if final else f"{shown} tirages"
    drawing = Drawing(116 + 30 * len(union), f"MinHash sur deux phrases : {told}")
    drawing.text(128, 16, "1re", anchor="middle", tone="faded")
    drawing.text(168, 16, "2de", anchor="middle", tone="faded")
    for row, shingle in enumerate(union):
        y, both = 46 + 30 * row, shingle in a and shingle in b
        drawing.text(8, y, shingle, tone="chosen" if both else "plain")
        for x, owner in ((128, a), (168, b)):
            drawing.text(x, y, "●" if shingle in owner else "", anchor="middle")
    base = 56 + 30 * len(union)
    drawing.text(8, base + 12, "minimum, 1re")
    drawing.text(8, base + 42, "minimum, 2de")
    for column, draw in enumerate(draws[:shown]):
        x, current = 196 + 47 * column, final or column == shown - 1
        drawing.text(x + 20, 16, f"n° {column + 1}", anchor="middle", tone="faded")
        lows = [min(draw[shingle] for shingle in owner) for owner in (a, b)]
        for row, shingle in enumerate(union):
            lowest = draw[shingle] in [
                low for low, owner in zip(lows, (a, b), strict=True) if shingle in owner
            ]
            tone = "chosen" if lowest and current else "plain" if current else "faded"
            drawing.text(x + 20, 46 + 30 * row, str(draw[shingle]), anchor="middle", tone=tone)
        tone = "kept" if lows[0] == lows[1] else "faded"
        for row, low in enumerate(lows):
            drawing.box(x + 4, base + 30 * row, str(low), width=34, height=25, tone=tone)
    return drawing


def ring_frames(parts: Sequence[Sequence[int]]) -> Frames:
    """La somme en anneau de n processus et n morceaux : l’état, et ce que chacun envoie, par tour.

    Les nombres sont ceux de `course_lib.parallel.ring`. ValueError s’il n’y a pas n morceaux.
    """
    state = [list(part) for part in parts]
    n = len(state)
    total = [sum(column) for column in zip(*parts, strict=True)]
    frames = [
        (
            _ring_drawing(state, total, None),
            f"{n} processus, chacun avec son gradient, coupé en {n} morceaux. Il leur faut à tous "
            f"la somme de chaque ligne : {', '.join(map(str, total))}.",
        )
    ]
    for turn, sent in enumerate(ring_turns(state), start=1):
        done = f"Chacun a envoyé {turn} morceau{'x' * (turn > 1)}."
        text = (
            f"Tour {turn} : chacun envoie un morceau à son voisin, qui l’ajoute au sien. {done}"
            if turn < n
            else f"Tour {turn} : les sommes finies voyagent à leur tour, et l’on recopie. {done}"
        )
        if turn == n - 1:
            text += " Chaque processus tient une somme finie."
        frames.append((_ring_drawing(state, total, sent), text))
    turns = 2 * (n - 1)
    frames.append(
        (
            _ring_drawing(state, total, None),
            f"Tous ont tout, après {n - 1} + {n - 1} = {turns} envois d’un morceau chacun : "
            f"{turns} fois un {'quart' if n == 4 else f'{n}e'} du gradient, soit {turns}/{n} de "
            "sa taille.",
        )
    )
    return frames


def _ring_drawing(
    state: Sequence[Sequence[int]], total: Sequence[int], sent: Sequence[int] | None
) -> Drawing:
    n = len(state)
    step = (WIDTH - 60) / n
    width, bottom = step - 34, 34 + 42 * n
    values = " ; ".join(" ".join(map(str, part)) for part in state)
    drawing = Drawing(bottom + 22, f"Somme en anneau. Morceaux de chaque processus : {values}")
    for process, part in enumerate(state):
        x = 34 + step * process
        drawing.text(x + width / 2, 14, f"proc. {process + 1}", anchor="middle")
        for piece, value in enumerate(part):
            received = sent is not None and sent[process - 1] == piece
            tone = "new" if received else "plain"
            if value == total[piece]:
                tone = "chosen"
            drawing.box(x, 32 + 42 * piece, str(value), width=width, height=28, tone=tone)
    for process in range(n) if sent is not None else ():
        y, x = 46 + 42 * sent[process], 34 + step * process + width
        if process < n - 1:
            drawing.arrow((x + 3, y), (x + 31, y))
        else:  # le dernier parle au premier
            right = WIDTH - 10
            drawing.arrow(
                (x + 3, y), (right, y), (right, bottom + 8), (10, bottom + 8), (10, y), (31, y)
            )
    return drawing
