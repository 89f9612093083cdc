"""L’affinage du petit LLM : chaque façon n’entraîne que ce qu’elle dit, et se mesure."""

import pytest

from course_lib.corpora.questions import generate_questions
from course_lib.experiments import question_answering
from course_lib.experiments.base_model import load_base_model
from course_lib.experiments.question_answering import RATES, Budget
from course_lib.experiments.story_task import build_task
from course_lib.finetuning import count_trainable

TINY = Budget(sizes=(6,), n_steps=2, batch_size=2, n_test=6, n_stories=3, n_replay=4)
TRAINED = {
    "tout": 524_928,
    "tout, avec reprise": 524_928,
    "LoRA": 17_408,
    "goulots": 16_960,
    "amorce apprise": 2_048,
    "normes": 640,
    "tête seule": 196_608,
    "de zéro": 524_928,
}


@pytest.mark.parametrize("method", RATES)
def test_each_way_trains_what_it_says(method):
    base, _ = load_base_model()
    model, prefix = question_answering.prepare(method, base, seed=0)
    assert count_trainable(model) == TRAINED[method]
    assert len(prefix) == (16 if method == "amorce apprise" else 0)


@pytest.mark.parametrize("method", ["LoRA", "tout, avec reprise"])
def test_a_tiny_run_from_end_to_end(method):
    stories = build_task(1, TINY.n_stories, 0, "validation", load_base_model()[1])
    found = question_answering.run(method, 6, 0, TINY, stories)
    assert set(found) >= {"exact", "place", "thief", "hero", "trained", "cpu_seconds", "kl"}
    assert 0 <= found["exact"] <= 1
    if method == "LoRA":  # l’adaptateur retiré, la base est intacte
        from course_lib.experiments.story_task import score_network

        base = score_network(load_base_model()[0], stories).kl
        assert found["kl_detached"] == pytest.approx(base, abs=1e-4)


def test_an_answer_counts_only_if_every_token_is_right():
    base, tokenizer = load_base_model()
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
        question_answering.prepare("magie", load_base_model()[0], 0)
