"""L’affinage du petit LLM : chaque façon n’entraîne que ce qu’elle dit, et se mesure."""

import pytest

from course_experiments import question_answering
from course_experiments.question_answering import METHODS, RATES, Budget
from course_lib.corpora.microworld.questions import generate_questions
from course_lib.evaluation.story_task import build_task
from course_lib.finetuning import count_trainable
from course_lib.models.shipped import load_petit_llm

TINY = Budget(n_steps=2, batch_size=2, n_test=6, n_stories=3, n_replay=4)
TRAINED = {
    "tout": 524_928,
    "tout, avec reprise": 524_928,
    "LoRA, rang 1": 4_352,
    "LoRA, rang 4": 17_408,
    "LoRA, rang 16": 69_632,
    "goulots": 16_960,
    "amorce apprise": 2_048,
    "normes": 640,
    "tête seule": 196_608,
    "de zéro": 524_928,
    "de zéro, dix fois plus long": 524_928,
}


@pytest.mark.parametrize("method", METHODS)
def test_each_way_trains_what_it_says(method):
    base, _ = load_petit_llm()
    model, prefix = question_answering.prepare(method, base, seed=0)
    assert count_trainable(model) == TRAINED[method]
    assert len(prefix) == (16 if method == "amorce apprise" else 0)


@pytest.mark.parametrize("method", ["LoRA, rang 4", "tout, avec reprise"])
def test_a_tiny_run_from_end_to_end(method):
    stories = build_task(1, TINY.n_stories, 0, "validation", load_petit_llm()[1])
    found = question_answering.run(method, 6, 0, TINY, stories)
    assert set(found) >= {"exact", "place", "thief", "hero", "trained", "cpu_seconds", "kl"}
    assert 0 <= found["exact"] <= 1
    if method == "LoRA, rang 4":  # l’adaptateur retiré, la base est intacte
        from course_lib.evaluation.story_task import score_network

        base = score_network(load_petit_llm()[0], stories).kl
        assert found["kl_detached"] == pytest.approx(base, abs=1e-4)


def test_an_answer_counts_only_if_every_token_is_right():
    base, tokenizer = load_petit_llm()
    questions = generate_questions(4, "test")
    examples = question_answering.as_examples(questions, tokenizer)
    data = question_answering.AnswerExamples(examples, 3)
    model, _ = question_answering.prepare("tout", base, 0)
    found = question_answering.exact_answers(model, data)
    assert found == [False] * 4  # la base ne sait pas répondre
    shares = question_answering.accuracy([True, False, True, True], questions)
    assert shares == {"exact": 0.75, "place": 1.0, "thief": 0.0, "hero": 1.0}


def test_unknown_ways_are_refused():
    with pytest.raises(ValueError, match="Façon inconnue : 'magie'"):
        question_answering.prepare("magie", load_petit_llm()[0], 0)


def test_trials_widen_until_the_best_rate_is_inside():
    middle = RATES["tout"]
    assert question_answering.next_rate("tout", {}) == middle / 2
    seen = {middle / 2: 0.1, middle: 0.3, middle * 2: 0.2}
    assert question_answering.next_rate("tout", seen) is None
    assert question_answering.next_rate("tout", seen | {middle * 2: 0.9}) == middle * 4
    assert question_answering.next_rate("tout", seen | {middle / 2: 0.9}) == middle / 4
    many = {middle * 2.0**k: k for k in range(-1, 5)}
    assert question_answering.next_rate("tout", many) is None


@pytest.mark.parametrize("method", RATES)
def test_shipped_rates_are_the_best_of_the_shipped_trials(method):
    shipped = question_answering.tuning_trials(question_answering.load_results()["runs"], method)
    assert len(shipped) >= 3
    assert RATES[method] == max(shipped, key=shipped.get)
    assert question_answering.next_rate(method, shipped) is None
