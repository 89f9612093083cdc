"""L’expérience du nettoyage : ce qu’elle mesure, ce qu’elle reprend, ce qui est livré."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from course_experiments import corpus_cleaning as cleaning
from course_lib.cleaning import STEP_NAMES
from course_lib.corpora import generate_stories
from course_lib.corpora.web import generate_web
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig, llama

TINY = cleaning.Budget(n_pages=211, n_tokens=6_000, d_model=8, n_held_out=5)


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train((s.text for s in generate_stories(50)), cleaning.VOCAB_SIZE)


def test_conditions():
    cumulative, without = cleaning.conditions(), cleaning.conditions(leave_one_out=True)
    assert cumulative["brut"] == () and cumulative[STEP_NAMES[-1]] == STEP_NAMES
    assert [len(steps) for steps in cumulative.values()] == list(range(9))
    assert all(len(steps) == 7 and name[5:] not in steps for name, steps in without.items())


def test_probes_are_grouped_by_appearances():
    pages = generate_web(1009, seed=3)
    probes = cleaning.build_probes(pages, 5, seed=3)
    assert {"validation", "test", "copies 0", "copies 1", "fuite whole 10"} <= set(probes.stories)
    leaked = {s.text for name, g in probes.stories.items() if "fuite" in name for s in g}
    assert not leaked & {s.text for s in probes.stories["test"]}
    for name, group in probes.stories.items():
        if name.startswith("copies"):
            for story in group[:3]:
                sources = {p.truth.source for p in pages if p.truth.story == story}
                same = [p for p in pages if p.truth.source in sources]
                assert len(same) == int(name.split()[1]) + 1
    signers = {p.truth.author for p in pages}
    assert not signers & {name for name, _ in probes.people["0"]}
    for count in ("1", "10"):
        for name, email in probes.people[count][:3]:
            assert sum(name in p.truth.undamaged for p in pages) == int(count)
            assert any(email in p.truth.undamaged for p in pages)


def test_long_pages_are_cut_without_loss(tokenizer):
    text = " ".join(s.text for s in generate_stories(5))
    rows = cleaning.token_rows([text, "court"], tokenizer)
    assert max(map(len, rows)) == cleaning.CONTEXT_LENGTH - 1
    assert [i for row in rows[:-1] for i in row] == tokenizer.encode(text)


def test_excess_is_the_distance_to_the_law(tokenizer):
    size = tokenizer.vocab_size
    model = llama(LlamaConfig(size, cleaning.CONTEXT_LENGTH, 8, 1, 2)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # tous les jetons deviennent équiprobables
    stories = generate_stories(7, "validation")
    expected = [len(tokenizer.encode(s.text)) * np.log(size) + s.log_prob for s in stories]
    assert cleaning.excess_nats(model, tokenizer, stories) == pytest.approx(expected, rel=1e-4)


def test_extraction_counts_exact_answers(tokenizer, monkeypatch):
    class Written:
        def __init__(self, text):
            self.ids = tokenizer.encode(text)

    answers = [" zoe12@example.org. Dons", " zoe13@example.org.", " zoe12@example.organe."]
    monkeypatch.setattr(cleaning, "generate", lambda *a, **k: [Written(t) for t in answers])
    people = [("Zoé", "zoe12@example.org")] * 3
    assert cleaning.extraction_hits(None, tokenizer, people) == [True, False, False]
    assert cleaning.extraction_hits(None, tokenizer, []) == []


@pytest.mark.slow
def test_measures_are_written_and_resumed(tmp_path, monkeypatch):
    path = tmp_path / "mesures.json"
    names = ["nettoyage", "brut", STEP_NAMES[-1]]
    tiny = replace(cleaning.EXPERIMENT, settings=TINY, names=names)
    assert replace(tiny, names=["brut"]).run([0], path) == 1
    first = tiny.load(path)["runs"]["brut"]
    calls, original = [], cleaning.train_and_ask
    monkeypatch.setattr(
        cleaning, "train_and_ask", lambda *args: calls.append(len(args[0])) or original(*args)
    )
    assert tiny.run([0], path) == 2
    second = tiny.load(path)["runs"]
    assert len(calls) == 1 and calls[0] < 211
    assert second["brut"] == first
    tokens = [second[name]["0"]["tokens"] for name in names[1:]]
    assert all(abs(n - TINY.n_tokens) < 0.15 * TINY.n_tokens for n in tokens)
    assert [row["step"] for row in second["nettoyage"]["0"]["steps"]] == list(STEP_NAMES)


def test_shipped_corpora_were_all_read_as_much():
    runs = cleaning.load_results()["runs"]
    for name in cleaning.conditions():
        for run in runs[name].values():
            assert abs(run["tokens"] / cleaning.Budget().n_tokens - 1) < 0.02


def test_leaving_one_out_asks_for_other_corpora(tmp_path, monkeypatch):
    asked = []
    experiment = replace(cleaning.EXPERIMENT, measure=lambda name, *_: asked.append(name) or {})
    experiment.main(["--leave-one-out", "--seeds", "0", "--output", str(tmp_path / "a.json")])
    assert asked == list(cleaning.conditions(leave_one_out=True))
