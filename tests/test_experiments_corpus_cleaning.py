"""L’expérience du nettoyage : ce qu’elle mesure, ce qu’elle reprend, ce qui est livré."""

import json

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
    names = {"brut": (), STEP_NAMES[-1]: STEP_NAMES}
    first = cleaning.run([0], {"brut": ()}, path, TINY)
    calls, original = [], cleaning.measure
    monkeypatch.setattr(
        cleaning, "measure", lambda *args: calls.append(len(args[0])) or original(*args)
    )
    second = cleaning.run([0], names, path, TINY)
    assert len(calls) == 1 and calls[0] < 211
    assert second["runs"][0] == first["runs"][0]
    assert json.loads(path.read_text("utf-8")) == second
    tokens = [entry["tokens"] for entry in second["runs"]]
    assert all(abs(n - TINY.n_tokens) < 0.15 * TINY.n_tokens for n in tokens)
    assert [row["step"] for row in second["cleaning"]["0"]] == list(STEP_NAMES)


def test_shipped_measures_match_the_command():
    results = cleaning.load_results()
    expected = {(name, seed) for name in cleaning.conditions() for seed in (0, 1, 2)}
    assert expected <= {(entry["condition"], entry["seed"]) for entry in results["runs"]}
    assert results["budget"]["n_tokens"] == cleaning.Budget().n_tokens
    for entry in results["runs"]:
        assert abs(entry["tokens"] / results["budget"]["n_tokens"] - 1) < 0.02
