"""Les vérifications distinguent le juste du faux, aident, et ne dévoilent pas la réponse."""

import numpy as np
import pytest
import torch

from course_lib.checks import (
    FalseClaim,
    WrongAnswer,
    check_close,
    check_equal,
    check_function,
    check_true,
    claim,
)
from course_lib.typography import format_number, format_percent, french_spaces


@pytest.mark.parametrize(
    "value", [0.731, 0.73103, np.float32(0.731), torch.tensor(0.731, requires_grad=True)]
)
def test_close_accepts_numbers_within_tolerance(value, capsys):
    check_close(value, 0.731)
    assert capsys.readouterr().out.startswith("✓ Bravo")


def test_close_refuses_without_leaking_the_answer():
    with pytest.raises(WrongAnswer, match="Pas encore") as caught:
        check_close(0.5, 0.731, hint="pensez à diviser par la somme")
    message = str(caught.value)
    assert "0,5" in message and "diviser par la somme" in message
    assert "731" not in message


def test_close_locates_the_first_wrong_entry():
    with pytest.raises(WrongAnswer, match=r"1 valeur sur 6 est fausse .* \(1, 2\)"):
        check_close([[1, 2, 3], [4, 5, 7]], [[1, 2, 3], [4, 5, 6]])


def test_close_checks_shape_type_and_finiteness():
    with pytest.raises(WrongAnswer, match=r"forme .* \(2,\)"):
        check_close([1, 2], [1, 2, 3])
    with pytest.raises(WrongAnswer, match="numérique, pas un texte"):
        check_close("2", 2)
    with pytest.raises(WrongAnswer, match="indéfinie"):
        check_close(float("nan"), 2)


@pytest.mark.parametrize("blank", [..., None])
def test_a_blank_answer_invites_and_does_not_fail(blank, capsys):
    check_close(blank, 3)
    check_equal(blank, "chat")
    check_true(blank)
    check_function(lambda x: blank, [((2,), 4)])
    out = capsys.readouterr().out
    assert out.count("À vous") == 4 and "✓" not in out


def test_equal_compares_texts_lists_and_arrays():
    check_equal(["le", "chat"], ["le", "chat"])
    check_equal(np.arange(3), np.arange(3))
    with pytest.raises(WrongAnswer, match="chien") as caught:
        check_equal("chien", "chat", hint="il miaule")
    assert "chat" not in str(caught.value)
    with pytest.raises(WrongAnswer, match="un texte, pas un entier"):
        check_equal(3, "chat")
    with pytest.raises(WrongAnswer):
        check_equal(np.arange(3), np.arange(4))


def test_true_reports_a_missing_property():
    check_true(np.bool_(True))
    with pytest.raises(WrongAnswer, match="propriété"):
        check_true(False)


def test_function_shows_the_failing_arguments_only(capsys):
    cases = [((2,), 4), ((5,), 25)]
    check_function(lambda x: x * x, cases)
    assert "2 cas sur 2" in capsys.readouterr().out
    with pytest.raises(WrongAnswer, match=r"\(5\) rend 7") as caught:
        check_function(lambda x: x + 2, cases)
    assert "25" not in str(caught.value)


def test_function_compares_arrays_and_texts():
    check_function(lambda x: torch.softmax(x, -1), [((torch.zeros(2),), [0.5, 0.5])])
    check_function(str.upper, [(("été",), "ÉTÉ")])
    with pytest.raises(WrongAnswer):
        check_function(lambda x: [1, 2, 3], [((0,), [1, 2])])
    with pytest.raises(WrongAnswer):
        check_function(lambda x: x, [(("4",), 4)])


def test_function_translates_an_exception():
    with pytest.raises(WrongAnswer, match="ZeroDivisionError"):
        check_function(lambda x: 1 / x, [((0,), 1.0)])
    with pytest.raises(ValueError, match="au moins un cas"):
        check_function(abs, [])


def test_claim_is_silent_on_values_until_it_fails(capsys):
    claim(True, "Δ est positif : 5 graines", delta=0.12345)
    assert capsys.readouterr().out == "✓ Δ est positif\u00a0: 5 graines\n"
    with pytest.raises(FalseClaim, match=r"démentie.*delta = −0,25"):
        claim(np.bool_(False), "Δ est positif", delta=torch.tensor(-0.25))


def test_the_notebook_shows_the_message_alone():
    with pytest.raises(WrongAnswer) as caught:
        check_equal(1, 2)
    assert caught.value._render_traceback_() == [str(caught.value)]


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
