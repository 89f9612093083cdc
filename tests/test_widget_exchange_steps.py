"""Un échange dessiné : une réplique de plus à chaque pas, et rien d’avance."""

import pytest

from course_lib.widgets.exchange_steps import LONGEST, exchange_frames

LINES = [
    ("vous", "Combien font 7 × 6 ?", "Une question."),
    ("le modèle", "[calcul : 7 * 6]", "Un appel."),
    ("le programme", "42", "Un résultat."),
]


def test_each_frame_adds_one_line_and_keeps_the_height():
    frames = exchange_frames(LINES, "Un tour")
    assert [caption for _, caption in frames] == [caption for _, _, caption in LINES]
    assert len({drawing.height for drawing, _ in frames}) == 1
    for rank, (drawing, _) in enumerate(frames):
        texts = drawing.svg().split('aria-label="')[1].split(">", 1)[1]  # sans la description
        shown = [word for word in ("Combien", "calcul", "42") if word in texts]
        assert len(shown) == rank + 1
        assert f"Un tour, {rank + 1}" in drawing.alt


def test_a_line_too_long_for_its_box_is_refused():
    with pytest.raises(ValueError, match=rf"« vous » a {LONGEST + 1} signes.*{LONGEST} au plus"):
        exchange_frames([("vous", "a" * (LONGEST + 1), "")], "Un tour")
