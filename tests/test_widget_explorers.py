"""Explorateurs de lisibilité et de calibration ; l’état stable des quatre explorateurs."""

import json

import numpy as np
import pytest
import torch

from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig, llama
from course_lib.widgets import (
    CalibrationExplorer,
    ContinuationExplorer,
    EmbeddingExplorer,
    ReadabilityExplorer,
)

TEXTS = {"enfant": "Le chat dort. Il rêve.", "expert": "L’herméneutique contemporaine interroge."}


def unit_vectors(n=7, d=5, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((n, d))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    tokenizer = BPETokenizer.train(["le chat dort sur le lit"] * 3, 290)
    model = llama(LlamaConfig(tokenizer.vocab_size, 41, 30, 2, 3)).eval()
    return model, tokenizer


def test_readability_shows_the_texts_without_javascript():
    widget = ReadabilityExplorer(TEXTS, {"enfant": 105.04, "expert": 22})
    assert widget.marks == {"enfant": 105.0, "expert": 22.0}
    assert "herméneutique" in widget.fallback_html() and "Kandel-Moles" in widget.fallback_html()
    assert len(widget.html()) < 25_000
    assert len(widget.rules["rewrites"]) == 7


def test_calibration_by_hand():
    rows = [[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]]
    widget = CalibrationExplorer({"a": (rows, [0, 1, 1])})
    assert widget.groups["a"] == {"rows": rows, "truths": [0, 1, 1]}
    # Confiances 0,8 (juste), 0,6 (fausse), 0,7 (juste) : écart (0,2 + 0,6 + 0,3) / 3.
    cells = widget.fallback_html()
    assert "0,67" in cells and "0,70" in cells and "0,37" in cells


@pytest.mark.parametrize("widget", ["readability", "calibration", "continuations", "embeddings"])
def test_states_are_json_and_stable(widget, reader):
    make = {
        "readability": lambda: ReadabilityExplorer(TEXTS, {"enfant": 1, "expert": 2}),
        "calibration": lambda: CalibrationExplorer({"a": ([[0.5, 0.5]], [0])}),
        "continuations": lambda: ContinuationExplorer.from_model(*reader, ["le lit"], start_id=0),
        "embeddings": lambda: EmbeddingExplorer(list("abcdefg"), unit_vectors(), ["x"] * 7),
    }[widget]
    first, second = make(), make()
    assert first.html() == second.html() and repr(first) == repr(second)
    assert json.loads(json.dumps(first.state())) == first.state()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ReadabilityExplorer({"a": "Oui."}, {"b": 1}), "Textes pour a, repères pour b"),
        (lambda: ReadabilityExplorer({"a": "123"}, {"a": 1}), "aucun mot français"),
        (lambda: CalibrationExplorer({}), "Aucun groupe"),
        (lambda: CalibrationExplorer({"a": ([[1.0]], [])}), "« a » : 1 distributions et 0"),
        (lambda: CalibrationExplorer({"a": ([[0.5, 0.2]], [0])}), "de somme 0.700 à 2 valeurs"),
        (lambda: CalibrationExplorer({"a": ([[0.5, 0.5]], [2])}), "vraie réponse n° 2"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
