"""Le schéma qui bouge de la recherche : des mots partagés, des notes, une fiche, une réponse.

Les notes sont calculées par `course_lib.retrieval.BM25` : on peut les refaire à la main.
"""

from collections.abc import Sequence

from course_lib.retrieval import BM25, words_of
from course_lib.typography import format_number
from course_lib.widgets.drawing import WIDTH, Drawing

ROW = 28
QUESTION = "Où habite Léa Morin ?"
CARDS = (
    "Léa Roux, Brest, bouchère.",
    "Hugo Morin, Lille, serveur.",
    "Léa Morin, Lyon, chanteuse.",
    "Zoé Petit, Nantes, danseuse.",
    "Adam Blanc, Nice, fermier.",
    "Nina Vidal, Tours, coiffeuse.",
)


def retrieval_frames(
    question: str = QUESTION, cards: Sequence[str] = CARDS, answer: str = "Lyon"
) -> list[tuple[Drawing, str]]:
    """Une recherche en quatre dessins ; `answer` : ce que le modèle lit dans la meilleure fiche."""
    search = BM25(cards)
    notes, best = search.scores(question), search.best(question)[0]
    weights = {word: search.weight(word) for word in words_of(question)}
    useful = {w: v for w, v in weights.items() if any(w in words_of(card) for card in cards)}
    told = ", ".join(f"« {word} » {format_number(value, 2)}" for word, value in useful.items())
    captions = (
        "Une question, et des fiches que le modèle n’a jamais lues.",
        f"Un mot vaut d’autant plus que peu de fiches le contiennent : ici {told}. Les autres mots "
        "de la question ne sont dans aucune.",
        f"La note d’une fiche est la somme de ce que valent les mots partagés. La meilleure a "
        f"{format_number(notes[best], 2)}.",
        f"On la donne à lire devant la question : le modèle n’a plus qu’à recopier « {answer} ».",
    )
    return [
        (_drawing(question, cards, notes, best, set(useful), answer, step), caption)
        for step, caption in enumerate(captions)
    ]


def _drawing(
    question: str,
    cards: Sequence[str],
    notes: Sequence[float],
    best: int,
    useful: set[str],
    answer: str,
    step: int,
) -> Drawing:
    told = ("la question et les fiches", "les mots partagés", "les notes", "la réponse")[step]
    height = 74 + ROW * len(cards) + 66
    drawing = Drawing(height, f"La recherche, étape {step + 1} : {told}. Question : {question}")
    drawing.box(10, 10, question, width=WIDTH - 20, height=34, tone="new")
    for rank, (card, note) in enumerate(zip(cards, notes, strict=True)):
        y = 74 + ROW * rank
        shares = bool(useful & set(words_of(card)))
        tone = "plain" if step == 0 else "kept" if shares else "faded"
        if step == 3:
            tone = "chosen" if rank == best else "faded"
        drawing.text(14, y, card, tone=tone)
        if step >= 2:
            drawing.bar(270, y - 9, 130 * note / max(notes), height=18, tone=tone)
            drawing.text(410, y, format_number(note, 2), tone=tone)
    if step == 3:
        y = 74 + ROW * len(cards)
        drawing.arrow((WIDTH / 2, y - 8), (WIDTH / 2, y + 12), tone="chosen")
        drawing.box(10, y + 14, f"Réponse : {answer}", width=WIDTH - 20, height=34, tone="chosen")
    return drawing
