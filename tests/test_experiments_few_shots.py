"""Les tâches données par l’exemple, et les explications : ce qu’on demande, ce qu’on compte."""

from random import Random
from types import SimpleNamespace

import pytest
from torch import nn

from course_experiments import explanations, few_shots
from course_experiments.few_shot_tasks import KEYS, TASKS, Task
from course_lib.tokenization import WordTokenizer
from course_lib.training import IGNORE


def test_known_pairs_are_shown_but_never_the_one_asked():
    task = TASKS["capitale"]
    assert len({right for _, right in task.pairs}) == len(task.pairs) == 24
    for text, answer in task.prompts(8, Random(0), 24):
        *lines, question = text.removeprefix(task.instruction).split("\n")
        shown = dict(line.split(" → ") for line in lines)
        assert len(shown) == 8 and shown.items() <= dict(task.pairs).items()
        assert dict(task.pairs)[question.removesuffix(" → ")] == answer
        assert answer not in shown.values()


def test_shifted_answers_are_all_wrong_and_in_the_same_form():
    task = TASKS["contraire"]
    true, mixed = (task.prompts(4, Random(1), 24, mixed) for mixed in (False, True))
    for (straight, answer), (shifted, same) in zip(true, mixed, strict=True):
        assert answer == same and straight != shifted
        a, b = (
            [line.split(" → ") for line in text.splitlines()[1:-1]] for text in (straight, shifted)
        )
        assert [left for left, _ in a] == [left for left, _ in b]
        assert {right for _, right in a} == {right for _, right in b}
        assert all(x[1] != y[1] for x, y in zip(a, b, strict=True))


def test_invented_pairs_hold_their_answer_in_the_text():
    task = TASKS["couples inventés"]
    for text, answer in task.prompts(4, Random(2), 24):
        shown = dict(line.split(" → ") for line in text.splitlines()[:-1])
        assert len(set(shown.values())) == 4 and set(shown) <= set(KEYS)
        assert shown[text.splitlines()[-1].removesuffix(" → ")] == answer
    with pytest.raises(ValueError, match=r"n = 0 .* donnez un exemple"):
        task.prompts(0, Random(0), 1)


class Echo(nn.Module):
    """Un modèle qui attend toujours que le mot lu revienne."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def hidden(self, ids):
        return nn.functional.one_hot(ids, self.size).float()

    def head(self, vectors):
        return vectors


def test_only_the_answer_counts_and_it_must_be_whole():
    tokenizer = WordTokenizer.train(["a b c d"])
    prompts = [("a b c ", "c"), ("a b c ", "d"), ("a ", "a a"), ("a ", "a b")]
    batches = few_shots.as_batches(prompts, tokenizer)
    _, targets = next(batches.in_order())
    assert (targets != IGNORE).sum(1).tolist() == [1, 1, 2, 2]
    loaded = SimpleNamespace(model=Echo(tokenizer.vocab_size), tokenizer=tokenizer)
    assert few_shots.n_right(loaded, prompts) == 2


def test_a_measure_counts_each_number_of_examples(monkeypatch):
    asked = []
    monkeypatch.setattr(few_shots, "opened", lambda name: name)
    monkeypatch.setattr(few_shots, "n_right", lambda loaded, prompts: asked.append(prompts) or 3)
    protocol = few_shots.Protocol(counts=(0, 2), mixed_counts=(2,), prompts=5)
    found = few_shots.measure("traduction", 0, protocol)
    assert found == {"true": {"0": 3, "2": 3}, "mixed": {"2": 3}}
    assert {len(prompts) for prompts in asked} == {5}
    found = few_shots.measure("couples inventés", 0, protocol)
    assert found == {"true": {"2": 3}, "mixed": {}}


def test_the_shipped_record_is_whole():
    runs = few_shots.load_results()["runs"]
    assert set(runs) == set(TASKS)
    assert all(set(each) == {"0", "1", "2"} for each in runs.values())


def test_an_unfinished_sentence_is_left_out():
    assert explanations.finished("It rains. Then the sun") == "It rains."
    assert explanations.finished("no end at all") == "no end at all"


def test_each_audience_hears_of_the_same_subjects(monkeypatch):
    monkeypatch.setattr(explanations, "explain", lambda *given: ["It rains. It pours.", "Why?"])
    found = explanations.measure("enfant", 0, explanations.Protocol())
    assert found["sentence_length"] == [2, 1] and found["example"] == "It rains. It pours."
    runs = explanations.load_results()["runs"]
    n_subjects = len(explanations.SUBJECTS)
    assert set(runs) == set(explanations.REQUESTS)
    assert all(len(run["lix"]) == n_subjects for each in runs.values() for run in each.values())


def test_a_task_is_written_line_by_line():
    task = Task("m", "{} avait une ", ". ", invented=("rose", "clef"))
    assert task.write([("bif", "rose")], "bif") == "bif avait une rose. bif avait une "
