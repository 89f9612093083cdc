"""Les juges reconnaissent le juste, chaque faute, et ne disent jamais la réponse."""

import importlib
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.exercises import finetuning, generation, transformer
from course_lib.exercises.exercise import Exercise, Mistake, WrongAnswer, require
from course_lib.exercises.judges import Function, Integer, Number, Numbers, Texts
from course_lib.typography import format_number, french_spaces

CHAPTERS = (
    "tokens",
    "transformer",
    "size",
    "generation",
    "benefits",
    "training_limits",
    "use_limits",
    "pretrained",
    "finetuning",
    "distillation",
)
ANNEXES = ("decoding",)
EXERCISES = {
    f"{chapter}.{name}": exercise
    for chapter in (*CHAPTERS, *ANNEXES)
    for name, exercise in vars(importlib.import_module(f"course_lib.exercises.{chapter}")).items()
    if isinstance(exercise, Exercise)
}
CLOSED = {name: e for name, e in EXERCISES.items() if hasattr(e.judge, "mistakes")}
MISTAKES = [
    pytest.param(exercise, answer, message, id=f"{name}-{rank}")
    for name, exercise in CLOSED.items()
    for rank, (answer, message) in enumerate(exercise.judge.mistakes)
]


@pytest.fixture(autouse=True)
def fresh():
    """Chaque essai commence sans échec."""
    for exercise in EXERCISES.values():
        exercise.failures = 0


def right_answer(exercise: Exercise):
    judge = exercise.judge
    return judge.reference if isinstance(judge, Function) else judge.expected


def refusal(exercise: Exercise, answer) -> str:
    """Ce que dit l’exercice d’une réponse fausse."""
    with pytest.raises(WrongAnswer) as caught:
        exercise(answer)
    return str(caught.value)


def messages(exercise: Exercise) -> list[str]:
    """Tout ce que l’exercice peut dire à qui se trompe."""
    return [*exercise.hints, *(message for _, message in exercise.judge.mistakes)]


def test_each_chapter_has_two_to_four_exercises_and_an_open_one():
    for chapter in CHAPTERS:
        names = [name for name in EXERCISES if name.startswith(f"{chapter}.")]
        assert 2 <= len(names) <= 4, chapter
        assert any(name.startswith(f"{chapter}.own_") for name in names), chapter


@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_cell_invites(name, capsys):
    for blank in (..., (...,), (..., 3)):
        EXERCISES[name](blank)
    assert capsys.readouterr().out.count("À vous") == 3
    assert EXERCISES[name].failures == 0


@pytest.mark.parametrize("name", CLOSED)
def test_the_right_answer_is_praised(name, capsys):
    CLOSED[name](right_answer(CLOSED[name]))
    assert capsys.readouterr().out.startswith("✓ Bravo")


@pytest.mark.parametrize(("exercise", "answer", "message"), MISTAKES)
def test_each_common_mistake_has_its_own_message(exercise, answer, message):
    wanted = french_spaces(message)
    assert wanted[1:] in refusal(exercise, answer)


@pytest.mark.parametrize("name", EXERCISES)
def test_hints_come_one_after_the_other(name, capsys):
    exercise = EXERCISES[name]
    first, second = (french_spaces(hint) for hint in exercise.hints)
    assert first != second
    wrong = object()
    once, twice, thrice = (refusal(exercise, wrong) for _ in range(3))
    assert first in once and second not in once
    assert second in twice and first not in twice and second in thrice
    if name in CLOSED:
        exercise(right_answer(exercise))
        assert first in refusal(exercise, wrong), "un succès remet les indices au début"


def written_forms(value) -> set[str]:
    """Les façons d’écrire un nombre : 0,762 ; 0.762 ; 6 950 ; 6950 ; 76 %…"""
    value = float(value)
    forms = {f"{value:.{digits}f}" for digits in (2, 3, 4)}
    forms |= {form.replace(".", ",") for form in forms}
    if value.is_integer() and value > 20:
        forms |= {str(int(value)), format_number(value), f"{int(value):,}".replace(",", " ")}
    return forms


@pytest.mark.parametrize("name", CLOSED)
def test_no_message_contains_the_answer(name):
    exercise = CLOSED[name]
    judge, said = exercise.judge, " ".join(messages(exercise))
    if isinstance(judge, Number | Integer):
        assert [f for f in written_forms(judge.expected) if f in said] == []
    elif isinstance(judge, Texts):
        order = ".*".join(rf"« ?{text} ?»" for text in judge.expected)
        assert not re.search(order, said)
    elif isinstance(judge, Numbers) and len(values := np.ravel(judge.expected)) <= 3:
        assert [f for value in values for f in written_forms(value) if f in said] == []
    elif isinstance(judge, Function):
        assert "return " not in said and "lambda" not in said


@pytest.mark.parametrize("name", CLOSED)
def test_a_refusal_shows_what_was_received_not_what_was_wanted(name):
    exercise = CLOSED[name]
    judge = exercise.judge
    if isinstance(judge, Number):
        wrong = 1.37 * float(judge.expected) + 0.011
        assert [f for f in written_forms(judge.expected) if f in refusal(exercise, wrong)] == []
    elif isinstance(judge, Integer):
        said = refusal(exercise, judge.expected + 1)
        assert [f for f in written_forms(judge.expected) if f in said] == []


# Ce qu’un étudiant écrit après son calcul ; et, à côté, ce qui n’en est plus un arrondi.
ROUNDED = {
    "tokens.perplexity": ([4, 4.0, 2**2], [3.9, 4.1]),
    "tokens.shifted_scores": ([1.52, 1.524, 1.53], [1.5, 1.55]),
    "size.double_width": ([4], [3.9, 4.2]),
    "size.learning_memory": ([48, 48.0], [45, 50]),
    "size.spend_budget": ([707, 707.1, 700, 710], [650, 750]),
    "generation.cool_down": ([0.76, 0.762, 16 / 21], [0.75, 0.77, 0.8]),
    "benefits.kandel_moles": ([108.8, 108.82, 109], [108, 110, 98.3]),
    "benefits.baseline": ([0.5, 1 / 2], [0.49, 0.33, 2]),
    "training_limits.resemblance": ([0.43, 0.429, 3 / 7], [0.4, 0.45, 0.5]),
    "training_limits.ring": ([24, 24.0], [23.5, 25, 32]),
    "use_limits.word_weight": ([1.73, 1.735, 1.7346], [1.7, 1.77]),
    "decoding.bound": ([22, 22.2, 22.22], [21, 23, 25]),
    "finetuning.count_correction": ([6144], [6145, 6100]),
    "distillation.temperature": ([[0.79, 0.58], (0.787, 0.576)], [[0.8, 0.6], [0.79, 0.5]]),
    "distillation.cache_weight": ([[983, 1.92], [983.04, 1.9]], [[1000, 2], [983, 1.28]]),
}


def test_every_computed_answer_is_tried_as_one_writes_it():
    numeric = {n for n, e in CLOSED.items() if isinstance(e.judge, Number | Integer | Numbers)}
    assert set(ROUNDED) == numeric - {"transformer.mask", "finetuning.merge"}


@pytest.mark.parametrize("name", ROUNDED)
def test_a_rounded_answer_passes_and_a_near_one_does_not(name, capsys):
    rounded, near = ROUNDED[name]
    for answer in rounded:
        CLOSED[name](answer)
    assert capsys.readouterr().out.count("Bravo") == len(rounded)
    for answer in near:
        refusal(CLOSED[name], answer)


def numeric_forms(value) -> list:
    """Les formes équivalentes d’un nombre ou d’un tableau de nombres."""
    array = np.asarray(value, dtype=float)
    forms = [array, array.tolist(), torch.tensor(array, requires_grad=True), torch.tensor(array)]
    if array.ndim:
        forms.append(tuple(map(tuple, array)) if array.ndim > 1 else tuple(array))
        forms.append([torch.tensor(row) for row in array])
    else:
        forms += [float(array), Fraction(float(array)), array.reshape(1), np.float32(array)]
    if set(np.unique(array)) <= {0, 1}:
        forms += [array.astype(bool), array.astype(int), torch.tensor(array).bool()]
    return forms


@pytest.mark.parametrize(
    "name", [n for n, e in CLOSED.items() if isinstance(e.judge, Number | Integer | Numbers)]
)
def test_equivalent_answers_pass(name, capsys):
    forms = numeric_forms(CLOSED[name].judge.expected)
    for form in forms:
        CLOSED[name](form)
    assert capsys.readouterr().out.count("Bravo") == len(forms)


SEQUENCES = ("generation.write_min_p", "finetuning.mask_prompt", "distillation.gradient")


@pytest.mark.parametrize("name", [*SEQUENCES, "transformer.cross_attention"])
@pytest.mark.parametrize(
    "convert", [list, tuple, np.asarray, torch.as_tensor], ids=lambda kind: kind.__name__
)
def test_a_function_may_return_any_sequence(name, convert, capsys):
    reference = CLOSED[name].judge.reference
    CLOSED[name](lambda *arguments: convert(reference(*arguments)))
    assert "Bravo" in capsys.readouterr().out


STRANGERS = [
    (None, "None"),
    (float("nan"), "indéfinie"),
    (float("inf"), "infinie"),
    ("12", "ôtez les guillemets"),
    (["1", "2"], "du texte"),
    (True, "booléen"),
    (3j, "complex"),
    ({1, 2}, "un ensemble"),
    ({"a": 1}, "un dictionnaire"),
    (lambda: 3, "une fonction"),
    (print, "builtin"),
    ((0, 76), "virgule"),
    ([1.0, 2.0, 3.0], "vous en donnez 3"),
    ([[1], [2, 3]], "longueur"),
    ([], "vide"),
    (torch.nn.Linear(2, 2), "Linear"),
    (torch.empty(0), "vous en donnez 0"),
]


@pytest.mark.parametrize(
    "exercise",
    [EXERCISES["size.double_width"], finetuning.count_correction],
    ids=["réel", "entier"],
)
@pytest.mark.parametrize(("answer", "said"), STRANGERS, ids=[said for _, said in STRANGERS])
def test_a_number_is_asked_for_nothing_else(exercise, answer, said):
    assert said in refusal(exercise, answer)


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.fractions())
def test_a_number_is_judged_without_breaking(answer):
    """N’importe quel nombre reçoit un bravo, s’il est à 0,5 % près, ou un message."""
    exercise, wanted = generation.cool_down, 16 / 21
    try:
        exercise(answer)
    except WrongAnswer as wrong:
        assert "Pas encore" in str(wrong)
        assert not abs(answer - wanted) <= 0.0049 * wanted
    else:
        assert abs(answer - wanted) <= 0.0051 * wanted


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("name", EXERCISES)
@settings(max_examples=20)
@given(answer=ANYTHING)
def test_no_answer_breaks_a_judge(name, answer):
    """Tout ce qu’un lecteur peut donner est jugé : bravo, invitation, ou message."""
    try:
        EXERCISES[name](answer)
    except WrongAnswer as wrong:
        assert "ndice" in str(wrong)


@pytest.mark.parametrize("answer", [6144.4, 6145, 6143, 61.44, 6144 + 1e-6])
def test_an_integer_is_not_accepted_nearby(answer):
    refusal(finetuning.count_correction, answer)


def test_a_percentage_is_recognized():
    assert "pourcentage" in refusal(generation.cool_down, 76)


def test_values_out_of_place_are_recognized():
    exercise = Exercise(Numbers([1.0, 2.0, 3.0]), ("a", "b"))
    assert "pas à leur place" in refusal(exercise, [3, 1, 2])
    assert "1 valeur sur 3 est fausse, la première à l’indice 1" in refusal(exercise, [1, 5, 3])
    assert "2 valeurs sur 3 sont fausses" in refusal(exercise, [1, 5, 7])
    assert "forme de votre réponse est (2,)" in refusal(exercise, [1, 2])


def test_texts_are_judged_one_by_one():
    exercise = Exercise(Texts(["le", "chat"]), ("a", "b"))
    exercise((" le", "chat "))
    assert "pas dans cet ordre" in refusal(exercise, ["chat", "le"])
    assert "« chien », au rang 2" in refusal(exercise, ["le", "chien"]).replace("\u00a0", " ")
    assert "une liste, pas un texte" in refusal(exercise, "le chat")
    assert "des textes, pas un entier" in refusal(exercise, ["le", 3])


def double() -> Exercise:
    cases = [(1,), (0,), (-2,)]
    return Exercise(Function(lambda x: 2 * x, cases, [(lambda x: x + 1, "plus un")]), ("a", "b"))


def test_a_function_is_told_what_it_did():
    assert "`lambda(1)` rend `3`" in refusal(double(), lambda x: 3 * x)
    said = refusal(double(), lambda x: 1 / x if x == 0 else 2 * x)
    assert "`lambda(0)` s’arrête sur ZeroDivisionError (`division by zero`)" in said
    assert "`return`" in refusal(double(), lambda x: None)
    assert "une fonction, pas un entier" in refusal(double(), 4)
    assert "argument" in refusal(double(), lambda: 4)


def test_a_function_is_tried_on_several_cases():
    for name, exercise in CLOSED.items():
        if isinstance(exercise.judge, Function):
            assert len(exercise.judge.cases) >= 3, name


def test_a_function_left_blank_invites(capsys):
    double()(lambda x: ...)
    assert "À vous" in capsys.readouterr().out


def test_a_function_cannot_spoil_the_cases(capsys):
    def spoil(probabilities, min_p):
        result = generation.write_min_p.judge.reference(probabilities, min_p)
        probabilities.clear()
        return result

    generation.write_min_p(spoil)
    generation.write_min_p(spoil)
    assert capsys.readouterr().out.count("Bravo") == 2


def test_an_imitation_that_fails_is_no_mistake():
    cases = [(0.0,)]
    exercise = Exercise(Function(lambda x: 1.0, cases, [(lambda x: 1 / x, "inverse")]), ("a", "b"))
    assert "inverse" not in refusal(exercise, lambda x: 2.0)


def test_an_additive_mask_is_recognized():
    additive = torch.zeros(5, 5).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    assert "ajouter aux scores" in refusal(transformer.mask, additive)
    assert "(1, 5, 5)" in refusal(transformer.mask, torch.ones(1, 5, 5).tril())


def test_messages_are_french_sentences():
    """Ni majuscule ni point final dans une faute : l’exercice les pose ; et pas de Markdown."""
    for name, exercise in CLOSED.items():
        for _, message in exercise.judge.mistakes:
            assert not message.endswith("."), (name, message)
            capital = re.match(r"[A-Z](?! )", message)
            assert not capital, (name, message)
        for text in messages(exercise):
            assert not re.search(r"\*\w", re.sub(r"`[^`]*`", "", text)), (name, text)


def test_a_refusal_is_a_sentence():
    def judge(answer):
        require(False, "c'est faux")

    said = refusal(Exercise(judge, ("premier", "second")), 3)
    assert said == "Pas encore. C’est faux.\nIndice\u00a0: premier"
    assert WrongAnswer("seul")._render_traceback_() == ["seul"]
    assert issubclass(Mistake, Exception)
