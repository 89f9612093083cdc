"""`claim` soutient une phrase ou la dément ; les nombres qu’il montre sont écrits en français."""

import numpy as np
import pytest
import torch

from course_lib.checks import FalseClaim, claim
from course_lib.typography import format_number, format_percent, french_spaces


def test_claim_is_silent_on_values_until_it_fails(capsys):
    claim(True, "Δ est positif : 5 graines", delta=0.12345)
    assert capsys.readouterr().out == "✓ Δ est positif\u00a0: 5 graines\n"
    with pytest.raises(FalseClaim, match=r"démentie.*delta = −0,25"):
        claim(np.bool_(False), "Δ est positif", delta=torch.tensor(-0.25))


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234.5, 1, "1\u202f234,5"),
        (1234567, None, "1\u202f234\u202f567"),
        (-0.5, 2, "−0,50"),
        (0.1250, None, "0,125"),
        (-0.001, 1, "0,0"),
        (100, None, "100"),
        (0, None, "0"),
        (float("inf"), 2, "∞"),
    ],
)
def test_numbers_are_written_in_french(value, digits, text):
    assert format_number(value, digits) == text


def test_percent_and_spaces():
    assert format_percent(0.1234, 1) == "12,3\u00a0%"
    assert (
        french_spaces("l'eau : « oui » ! `a : b`")
        == "l’eau\u00a0: «\u00a0oui\u00a0»\u202f! `a : b`"
    )
