"""Le pré-entraînement vu de près : un essai minuscule de bout en bout, et le relevé livré."""

import pytest

from course_experiments import pretraining
from course_experiments.pretraining import Plan
from course_lib.corpora import SKILLS
from course_lib.evaluation.story_task import build_task
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig

TINY = Plan(n_stories=40, every=2, milestones=(2, 4), n_validation=7, n_texts=3, max_new_tokens=9)


def test_a_tiny_run_from_end_to_end():
    tokenizer = BPETokenizer.train(["Il était une fois une fermière. Elle vivait."] * 3, 300)
    task = build_task(TINY.n_stories, TINY.n_validation, 0, "validation", tokenizer)
    shape = LlamaConfig(tokenizer.vocab_size, 900, 12, 1, 2, d_ff=14)
    found = pretraining.run(TINY, 0, tokenizer, task, shape)
    assert [point["step"] for point in found["curve"]] == [0, 2, 4, 5]
    assert set(found["curve"][0]) == {"step", "tokens", "kl", "perplexity", *SKILLS}
    assert found["curve"][-1]["kl"] < found["curve"][0]["kl"]
    assert list(found["writings"]) == ["0", "2", "4", "5"]
    texts = found["writings"]["5"]["texts"]
    assert len(texts) == TINY.n_kept and all(text.startswith("Il était une fois") for text in texts)


def test_shipped_measures_cover_three_seeds_of_the_whole_training():
    records = pretraining.load_results()
    plan = Plan()
    assert records["settings"]["n_stories"] == plan.n_stories == 48_000
    runs = records["runs"]["petit LLM"]
    assert sorted(runs) == ["0", "1", "2"]
    for run in runs.values():
        assert [point["step"] for point in run["curve"]] == list(range(0, 6001, plan.every))
        assert list(run["writings"]) == ["0", *map(str, plan.milestones)]


def test_missing_measures_name_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m course_experiments\.pretraining"):
        pretraining.load_results(tmp_path / "pretraining.json")
