"""Les schémas qui bougent du chapitre 00 : un vocabulaire qui s’apprend, un jeton qui se prédit.

Tout y est calculé, et se refait à la main.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from course_lib.tokenization import BPETokenizer
from course_lib.typography import format_number, format_percent
from course_lib.widgets.drawing import WIDTH, Drawing

Pair = tuple[str, str]
_N_PAIRS = 4  # paires montrées, les plus fréquentes


def merge_frames(words: Mapping[str, int], n_merges: int, unseen: str) -> list[tuple[Drawing, str]]:
    """Le codage par paires d’octets apprend `n_merges` fusions, puis découpe le mot `unseen`.

    `words` : mot sans accent → nombre de fois où on le lit.
    """
    corpus = [word for word, count in words.items() for _ in range(count)]
    tokenizer = BPETokenizer.train(corpus, vocab_size=3 + 256 + n_merges)
    pieces = {word: list(word) for word in (*words, unseen)}
    frames = []
    for rank, best in enumerate(tokenizer.merges, 1):
        counts = _pair_counts(pieces, words)
        caption = (
            f"Fusion {rank} : « {best[0]} » et « {best[1]} » se suivent {counts[best]} fois, "
            f"plus que toute autre paire. On les soude partout : « {best[0] + best[1]} »."
            if list(counts.values()).count(counts[best]) == 1
            else f"Fusion {rank} : {counts[best]} fois, à égalité ; l’alphabet départage, et l’on "
            f"soude « {best[0]} » et « {best[1]} » partout : « {best[0] + best[1]} »."
        )
        frames.append((_merge_drawing(pieces, words, counts, best, rank), caption))
        pieces = {word: weld(parts, best) for word, parts in pieces.items()}
    last = _merge_drawing(pieces, {**words, unseen: 0}, _pair_counts(pieces, words), None, 0)
    cut = ", ".join(f"« {piece} »" for piece in pieces[unseen])
    caption = f"« {unseen} » n’a jamais été lu. On y rejoue les fusions, dans l’ordre : {cut}."
    return [*frames, (last, caption)]


def weld(pieces: Sequence[str], pair: Pair) -> list[str]:
    """Les mêmes morceaux, où chaque occurrence de la paire n’en fait plus qu’un."""
    welded: list[str] = []
    for piece in pieces:
        if welded and (welded[-1], piece) == tuple(pair):
            welded[-1] += piece
        else:
            welded.append(piece)
    return welded


def _pair_counts(pieces: Mapping[str, Sequence[str]], words: Mapping[str, int]) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for word, times in words.items():
        for pair in pairwise(pieces[word]):
            counts[pair] += times
    return counts


def _merge_drawing(
    pieces: Mapping[str, Sequence[str]],
    words: Mapping[str, int],
    counts: Counter[Pair],
    best: Pair | None,
    rank: int,
) -> Drawing:
    told = f"fusion {rank}, {best[0]} et {best[1]}" if best else "un mot nouveau est découpé"
    drawing = Drawing(228, f"Des mots en morceaux et les paires comptées : {told}")
    drawing.text(8, 14, "les mots lus", tone="faded")
    for row, (word, times) in enumerate(words.items()):
        y, x = 32 + 38 * row, 60
        drawing.text(8, y + 15, f"{times} ×" if times else "neuf", tone="faded" if times else "new")
        for index, piece in enumerate(pieces[word]):
            around = [*pairwise(pieces[word])][max(0, index - 1) : index + 1]
            chosen = best is not None and best in around and piece in best
            tone = "new" if not times else "chosen" if chosen else "kept"
            width = 14 + 11 * len(piece)
            drawing.box(x, y, piece, width=width, tone=tone)
            x += width + 4
    drawing.text(286, 14, "paires comptées", tone="faded")
    for row, (pair, count) in enumerate(
        sorted(counts.items(), key=lambda item: (item[0] != best, -item[1], item[0]))[:_N_PAIRS]
    ):
        y, tone = 47 + 38 * row, "chosen" if pair == best else "faded"
        drawing.text(346, y, f"{pair[0]} {pair[1]}", anchor="end", tone=tone)
        drawing.bar(354, y - 9, 90 * count / max(counts.values()), height=18, tone=tone)
        drawing.text(WIDTH - 6, y, str(count), anchor="end", tone=tone)
    return drawing


def prediction_frames(
    words: Sequence[str],
    table: Sequence[Sequence[float]],
    head: Sequence[Sequence[float]],
    read: str,
    target: str,
) -> list[tuple[Drawing, str]]:
    """Du jeton `read` à la perte sur le jeton `target` : vecteur, scores, softmax, surprise.

    `table`, `head` : une ligne de deux nombres par mot du vocabulaire `words`.
    """
    for word in (read, target):
        if word not in words:
            raise ValueError(f"« {word} » n’est pas au vocabulaire : {', '.join(words)}.")
    token_id = list(words).index(read)
    vector = [float(x) for x in table[token_id]]
    scores = [sum(a * b for a, b in zip(row, vector, strict=True)) for row in head]
    powers = [math.exp(score) for score in scores]
    shares = [power / sum(powers) for power in powers]
    wanted = list(words).index(target)
    captions = (
        f"« {read} » porte le numéro {token_id}. On lit la ligne {token_id} de la table : c’est "
        f"son vecteur, {_vector(vector)}.",
        "Chaque mot a sa ligne dans la tête de sortie. Son score : les deux produits, ajoutés. "
        f"Pour « {target} » : {_sum_of_products(head[wanted], vector)} = {_short(scores[wanted])}.",
        f"L’exponentielle rend tout positif. Les cinq font ensemble {_short(sum(powers), 2)}.",
        "On divise par cette somme : ce sont des probabilités. C’est le softmax.",
        f"Le vrai mot était « {target} » : il avait {_short(shares[wanted], 3)}. La perte est "
        f"−ln {_short(shares[wanted], 3)} = {_short(-math.log(shares[wanted]), 2)} nat.",
    )
    rows = [*zip(words, head, scores, powers, shares, strict=True)]
    return [
        (_prediction_drawing(rows, read, token_id, vector, target, step), caption)
        for step, caption in enumerate(captions)
    ]


def _prediction_drawing(rows, read, token_id, vector, target: str, step: int) -> Drawing:
    told = ("le vecteur", "les scores", "les exponentielles", "les probabilités", "la perte")[step]
    drawing = Drawing(250, f"Du jeton à la perte, étape {step + 1} : {told}")
    drawing.box(8, 8, read, width=64, tone="kept")
    drawing.arrow((74, 23), (100, 23))
    drawing.box(102, 8, f"n° {token_id}", width=64, tone="kept")
    drawing.arrow((168, 23), (194, 23))
    drawing.box(196, 8, _vector(vector), width=84, tone="new" if step == 0 else "kept")
    columns = ((76, "mot"), (150, "tête"), (214, "score"), (290, "exp."), (330, "probabilité"))
    for rank, (x, name) in enumerate(columns):
        if rank <= step + 1 or rank < 2:
            anchor = "end" if rank < 4 else "start"
            drawing.text(x, 66, name, anchor=anchor, tone="faded")
    for row, (word, weights, score, power, share) in enumerate(rows):
        y = 94 + 31 * row
        last = step == 4 and word == target
        tone = "chosen" if last else "kept"
        drawing.text(76, y, word, anchor="end", tone=tone)
        drawing.text(150, y, _vector(weights), anchor="end", tone="faded")
        if step >= 1:
            drawing.text(214, y, _short(score), anchor="end", tone="new" if step == 1 else tone)
        if step >= 2:
            drawing.text(290, y, _short(power, 2), anchor="end", tone="new" if step == 2 else tone)
        if step >= 3:
            drawing.bar(330, y - 9, 150 * share, height=18, tone="new" if step == 3 else tone)
            drawing.text(336 + 150 * share, y, format_percent(share), tone=tone)
    return drawing


def _short(value: float, digits: int | None = None) -> str:
    return format_number(value, digits)


def _vector(values: Sequence[float]) -> str:
    return "(" + " ; ".join(_short(float(value)) for value in values) + ")"


def _sum_of_products(weights: Sequence[float], vector: Sequence[float]) -> str:
    """« 1 × 1 + 0 × 2 »."""
    pairs = zip(weights, vector, strict=True)
    return " + ".join(f"{_short(float(a))} × {_short(float(b))}" for a, b in pairs)
