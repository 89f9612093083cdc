"""L’expérience du biais : ce qu’elle mesure, face à un modèle dont on choisit la réponse."""

from dataclasses import replace

import pytest
import torch

from course_experiments import bias as lab
from course_experiments.records import load_records
from course_lib.corpora.microworld import occupations as jobs
from course_lib.corpora.microworld.lexicon import LEXICON
from course_lib.evaluation.bias import mean_absolute_bias

TINY = lab.Budget(n_texts=600, steps=(7, 13), batch_size=8, d_model=16)


@pytest.fixture(scope="module")
def trained():
    return lab.train_on(lab.build_portraits(TINY, 0, False), 13, TINY, 0, progress=False)


def _force(model, tokenizer, monkeypatch, word, gap):
    """Ajoute `gap` au score d’un mot, quoi que le modèle ait lu."""
    head = model.head.forward

    def forward(hidden):
        logits = head(hidden)
        logits[..., tokenizer.token_to_id[word]] += gap
        return logits

    monkeypatch.setattr(model.head, "forward", forward)


def test_shares_are_read_in_the_distribution(trained):
    model, tokenizer = trained
    ids = [tokenizer.bos_id, *tokenizer.encode("Camille est pilote.")]
    with torch.no_grad():
        probabilities = model(torch.tensor([ids]))[0, -1].softmax(-1)
    she, he = (float(probabilities[tokenizer.token_to_id[w]]) for w in ("Elle", "Il"))
    share = lab.share_of_she(model, tokenizer, ["Camille"], "pilote")
    assert float(share) == pytest.approx(she / (she + he), abs=1e-6)


def test_a_model_that_always_says_she_agrees_half_the_time(trained, monkeypatch):
    model, tokenizer = trained
    _force(model, tokenizer, monkeypatch, "Elle", 100.0)
    assert mean_absolute_bias(lab.model_bias(model, tokenizer)) == pytest.approx(0.5)
    agreement = lab.pronoun_agreement(model, tokenizer)
    assert agreement["all"] == 0.5
    # Deux métiers très féminins, où l’on attend « il », et trois très masculins.
    assert agreement["against"] == pytest.approx(3 / 5)


def test_adjectives_that_are_always_feminine_agree_half_the_time(trained, monkeypatch):
    model, tokenizer = trained
    _force(model, tokenizer, monkeypatch, "patiente", 100.0)
    assert lab.adjective_agreement(model, tokenizer) == 0.5


def test_corpus_bias_by_hand():
    adjective = jobs.ADJECTIVES[0]
    portraits = [
        jobs.Portrait("Alix", trade, rank < n, True, adjective, "finit tard", 0.0)
        for trade, n in zip(jobs.TRADES, (4, 0, 1, 2, 3, 2, 2, 2, 2, 2), strict=True)
        for rank in range(4)
    ]
    found = lab.corpus_bias(portraits)
    assert found["bias"] == pytest.approx((0.5 + 0.5 + 0.25 + 0.25) / 10)
    low, high = found["intervals"][jobs.TRADES[0]]
    assert low < found["p_she"][jobs.TRADES[0]] == high == 1.0


def test_augmented_corpus_has_no_bias_and_the_same_size():
    plain, augmented = (lab.build_portraits(TINY, 3, flag) for flag in (False, True))
    assert len(plain) == len(augmented) == 600
    assert lab.corpus_bias(augmented)["bias"] == 0.0 < lab.corpus_bias(plain)["bias"]


def test_decoding_never_softens_the_bias(trained):
    model, tokenizer = trained
    names = jobs.MIXED_NAMES
    plain = lab.share_of_she(model, tokenizer, names, "pilote") - 0.5
    for sampling in list(lab.DECODERS.values())[1:2] + list(lab.DECODERS.values())[3:]:
        decoded = lab.share_of_she(model, tokenizer, names, "pilote", sampling) - 0.5
        assert (decoded.abs() >= plain.abs() - 1e-6).all()


@pytest.mark.slow
def test_measures_are_written_and_resumed(tmp_path):
    path, calls = tmp_path / "mesures.json", []
    tiny = replace(
        lab.EXPERIMENT,
        settings=TINY,
        names=lab.run_names(TINY),
        measure=lambda n, s, b: calls.append(n) or lab.measure(n, s, b),
    )
    tiny.main(["--seeds", "1", "--output", str(path)])
    assert calls == ["plain-7", "plain-13", "augmented-7", "augmented-13"]
    first = load_records(path)
    measures = first["runs"]["augmented-13"]["1"]
    assert set(measures["bias"]) == set(lab.DECODERS) and measures["corpus"]["bias"] == 0.0
    tiny.main(["--seeds", "1", "--output", str(path)])
    assert len(calls) == 4 and load_records(path) == first


def test_trained_names_are_all_known(trained):
    tokenizer = trained[1]
    for name in (*jobs.MIXED_NAMES, *LEXICON.girls, *LEXICON.boys):
        assert name in tokenizer.token_to_id
