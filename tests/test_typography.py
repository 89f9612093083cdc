"""Les grands nombres s’écrivent en mots, comme on les dit."""

import pytest

from course_lib.typography import large_number, power_of_ten

NB, NNB = "\u00a0", "\u202f"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.05, "0,05"),
        (1, "1"),
        (2.5, "2,5"),
        (20, "20"),
        (43168, f"43{NNB}168"),
        (1e6, f"1{NB}million"),
        (1.99e6, f"1,99{NB}million"),
        (2e6, f"2{NB}millions"),
        (-5e6, f"−5{NB}millions"),
        (124_439_808, f"124{NB}millions"),
        (8_030_261_248, f"8,03{NB}milliards"),
        (1_571_261_047_200, f"1{NNB}571{NB}milliards"),
        (999_999_900, f"1{NB}milliard"),
        (9.96e25, "10²⁶"),
        (1e15, "10¹⁵"),
        (3.14e23, f"3,1{NB}×{NB}10²³"),
        (float("inf"), "∞"),
    ],
)
def test_large_numbers_are_said_in_words(value, text):
    assert large_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(500, "500"), (1e6, "10⁶"), (2e9, f"2{NB}×{NB}10⁹"), (999_999_999_999.9999, "10¹²")],
)
def test_powers_of_ten_stay_short(value, text):
    assert power_of_ten(value) == text
