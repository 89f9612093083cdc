"""Retrouver un mot en deux lectures, dessiné pas à pas : le schéma qui bouge du chapitre 04.

Chaque clé est suivie de sa valeur ; le dernier mot redit une clé. Rien n’est mesuré ici : c’est le
mécanisme que le chapitre met ensuite à l’épreuve.
"""

from collections.abc import Sequence

from course_lib.widgets.drawing import WIDTH, Drawing

HEIGHT, _WORDS, _NOTES, _BOX = 232, 96, 164, 30


def induction_frames(words: Sequence[str]) -> list[tuple[Drawing, str]]:
    """Les deux lectures d’une tête d’induction sur « clé valeur clé valeur … clé ».

    ValueError si le nombre de mots est pair, ou si le dernier mot n’est pas une des clés montrées.
    """
    if len(words) % 2 == 0 or words[-1] not in words[:-1:2]:
        raise ValueError(
            f"Mots reçus : {' '.join(words)}. Il faut des couples « clé valeur », puis l’une des "
            "clés."
        )
    asked, place = words[-1], words.index(words[-1]) + 1
    answer = words[place]
    captions = (
        f"Le texte. À la fin, la question « {asked} » : quel mot vient ensuite ?",
        "Premier bloc. Chaque mot regarde celui qui le précède, et note ce qu’il a lu : « je viens "
        "après… ». Une seule lecture suffit, car le mot cherché est juste à côté.",
        f"Second bloc. La question cherche la note « après {asked} ». Elle la trouve sous "
        f"« {answer} ».",
        f"Elle lit la valeur qui porte cette note, et la recopie : « {answer} ». Sans les notes du "
        "premier bloc, elle n’aurait rien eu à chercher.",
    )
    return [(_drawing(words, place, step), caption) for step, caption in enumerate(captions)]


def _drawing(words: Sequence[str], place: int, step: int) -> Drawing:
    told = ("le texte", "premier bloc, les notes", "second bloc, la recherche", "la réponse")[step]
    drawing = Drawing(HEIGHT, f"Retrouver un mot en deux lectures, étape {step + 1} : {told}")
    room = (WIDTH - 8) / (len(words) + 1)
    last = len(words) - 1

    def x(rank: int) -> float:
        return 8 + rank * room

    for rank, word in enumerate([*words, words[place] if step == 3 else "?"]):
        tone = "plain"
        if rank > last:
            tone = "chosen" if step == 3 else "faded"
        elif rank == last or (rank == place and step >= 2):
            tone = "chosen"
        drawing.box(x(rank), _WORDS, word, width=room - 8, tone=tone)
    if step >= 1:
        _notes(drawing, words, place, step)
    middle = (room - 8) / 2
    if step == 2:
        turn = [(x(last) + middle, _WORDS - 4), (x(last) + middle, 40), (x(place) + middle, 40)]
        drawing.arrow(*turn, (x(place) + middle, _WORDS - 4), tone="chosen")
        drawing.text(x(place) + middle + 8, 26, f"qui vient après « {words[-1]} » ?", tone="chosen")
    if step == 3:
        turn = [(x(place) + middle, _WORDS - 4), (x(place) + middle, 40)]
        turn += [(x(last + 1) + middle, 40), (x(last + 1) + middle, _WORDS - 4)]
        drawing.arrow(*turn, tone="chosen")
        drawing.text(x(place) + middle + 8, 26, "recopier", tone="chosen")
    return drawing


def _notes(drawing: Drawing, words: Sequence[str], place: int, step: int) -> None:
    """Sous chaque valeur, la note laissée par le premier bloc."""
    room = (WIDTH - 8) / (len(words) + 1)
    for rank in range(1, len(words), 2):
        left = 8 + rank * room
        tone = "new" if step == 1 else "chosen" if rank == place else "faded"
        drawing.text(left + room / 2 - 4, _NOTES + _BOX, "après", anchor="middle", tone=tone)
        drawing.text(left + room / 2 - 4, _NOTES + 50, words[rank - 1], anchor="middle", tone=tone)
        if step == 1:
            foot = _WORDS + _BOX
            drawing.arrow(
                (left - room / 2 - 4, foot + 2),
                (left - room / 2 - 4, foot + 22),
                (left + room / 2 - 4, foot + 22),
                (left + room / 2 - 4, foot + 48),
                tone="new",
            )
