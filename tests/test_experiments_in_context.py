"""L’expérience des correspondances : ce qu’elle apprend, mesure et reprend."""

from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from course_experiments import in_context
from course_lib.corpora.microworld.recall import KEYS, VALUES, generate_prompts, generate_recall
from course_lib.training import IGNORE

TINY = (
    replace(in_context.SETTINGS[0], d_model=8),
    replace(next(s for s in in_context.SETTINGS if s.family == "lstm"), d_model=7, hidden_size=5),
    next(s for s in in_context.SETTINGS if s.family == "ngram"),
)


class Oracle(nn.Module):
    """Cherche la question dans les exemples et rend le mot qui la suit ; sinon, le premier."""

    def forward(self, ids):
        scores = torch.zeros(*ids.shape, len(KEYS) + len(VALUES) + 10)
        for row, line in enumerate(ids.tolist()):
            answer = line[line.index(line[-1]) + 1] if line.index(line[-1]) + 1 < len(line) else 0
            scores[row, -1, answer] = 1.0
        return scores


def test_targets_are_the_answers_and_nothing_else():
    task = in_context.build_task(30)
    texts = generate_recall(30, 0, in_context.MAX_PAIRS)
    for text, inputs, targets in zip(texts, task.inputs, task.targets, strict=True):
        kept = [rank for rank, target in enumerate(targets) if target != IGNORE]
        assert tuple(kept) == text.answers
        assert [task.tokenizer.decode([targets[rank]]) for rank in kept] == [
            text.words[rank] for rank in kept
        ]
        assert inputs[0] == task.tokenizer.bos_id
        assert task.tokenizer.decode(inputs[1:]) == " ".join(text.words[:-1])


def test_accuracy_of_a_perfect_reader():
    tokenizer = in_context.build_task(1).tokenizer
    for queries in ("known", "held_out"):
        assert in_context.accuracy(Oracle(), tokenizer, generate_prompts(40, 7, queries)) == 1.0
    scores = in_context.examine(Oracle(), tokenizer, n_prompts=20)
    assert scores["known"]["0"] == 0.0
    assert scores["held_out"]["32"] == scores["reversed"]["8"] == scores["keys_only"]["4"] == 1.0
    assert scores["two_words"]["8"] < 1.0  # il ne regarde que le dernier mot


def test_embeddings_start_at_the_asked_scale():
    for setting in in_context.SETTINGS:
        if setting.family == "transformer":
            model = in_context.build_network(setting, 101, 3)
            std = float(model.embedding.tokens.weight.std().detach())
            assert std == pytest.approx(in_context.EMBEDDING_STD)
            assert len(model.blocks) == setting.n_layers
    with pytest.raises(ValueError, match="n’est pas un réseau"):
        in_context.build_network(TINY[2], 101, 3)


@pytest.mark.slow
def test_measures_are_written_and_resumed(tmp_path, monkeypatch):
    path = tmp_path / "mesures.json"
    monkeypatch.setattr(in_context, "SETTINGS", TINY)
    names, budget = [s.name for s in TINY], in_context.Budget(steps=2, prompts=10)
    tiny = replace(in_context.EXPERIMENT, settings=budget, names=names)
    assert replace(tiny, names=names[:2]).run([0], path) == 3  # et le niveau du dernier mot
    first = tiny.load(path)["runs"]
    assert tiny.run([0], path) == 1
    second = tiny.load(path)["runs"]
    assert list(second) == ["dernier mot", *names]
    assert {name: second[name] for name in first} == first
    assert second[names[0]]["0"]["curve"]["step"] == [2]


def test_same_seed_same_network():
    task = in_context.build_task(4 * in_context.BATCH_SIZE, 5)
    curves = [
        in_context.train_network(TINY[0], task, 5, 4, progress=False)[1]["curve"] for _ in range(2)
    ]
    assert curves[0] == curves[1]


def test_shipped_settings_are_those_of_the_command():
    results = in_context.load_results()
    for setting in in_context.SETTINGS:
        for run in results["runs"][setting.name].values():
            assert run["setting"] == asdict(setting)


def test_shipped_measures_say_what_the_course_says():
    """Deux couches assez larges répondent, même aux couples mis de côté ; une couche, non."""
    held_out = {}
    for setting in in_context.SETTINGS:
        runs = in_context.load_results()["runs"][setting.name].values()
        held_out[setting.name] = [run["accuracy"]["held_out"]["8"] for run in runs]
    assert min(held_out["2 couches, largeur 64"]) > 0.9
    assert max(held_out["1 couche, largeur 64"] + held_out["1 couche, largeur 96"]) < 0.3
    assert max(held_out["3-gramme"]) < 0.3
