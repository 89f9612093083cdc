"""Une base qui se forme : une barre par graine, un texte par étape."""

import re

import pytest

from course_lib.widgets.skill_steps import skill_frames

SHARES = {0: {"prénom": [0.0, 0.1, 0.2]}, 600: {"prénom": [0.5, 0.95, 1.0]}}


def test_bars_are_as_long_as_the_shares_and_the_median_is_written():
    (first, start), (last, end) = skill_frames(SHARES, {0: "bla", 600: "Il était " * 80})
    assert first.height == last.height
    widths = [float(w) for w in re.findall(r'<rect [^>]*width="([\d.]+)"', last.svg())]
    assert widths == [160.0, 304.0, 320.0]
    assert last.svg().count("cw-tone-new") == 2  # les deux graines au-dessus de 90 %
    assert "95\u202f%" in last.svg() or "95\xa0%" in last.svg()
    assert start == "Après 0 pas : « bla »"
    assert end.startswith("Après 600 pas : « Il était") and end.endswith("… »") and len(end) < 330


def test_a_step_without_its_text_is_refused():
    with pytest.raises(ValueError, match="L’étape 600 n’a pas de texte : donnez-en un à chacune"):
        skill_frames(SHARES, {0: "bla"})
