"""Explorateurs de lisibilité, de calibration, de suites et de vecteurs : leur état, leurs refus."""

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
from course_lib.widgets.embeddings import principal_plane, upper_triangle

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


def test_continuations_are_those_of_the_model(reader):
    model, tokenizer = reader
    widget = ContinuationExplorer.from_model(model, tokenizer, ["le chat"], start_id=0, top=3)
    (text,) = widget.texts
    ids = tokenizer.encode("le chat")
    with torch.no_grad():
        probabilities = model(torch.tensor([[0, *ids[:-1]]]))[0].softmax(-1)
    assert [token["text"] for token in text["tokens"]] == [tokenizer.tokens[i] for i in ids]
    for place, token in enumerate(text["tokens"]):
        row = probabilities[place]
        assert token["probability"] == pytest.approx(float(row[ids[place]]), rel=1e-2)
        assert token["rank"] == int((row > row[ids[place]]).sum()) + 1
        assert token["bits"] == pytest.approx(-float(row[ids[place]].log2()), abs=0.01)
        best = row.topk(3).indices.tolist()
        assert [name for name, _ in token["top"]] == [tokenizer.tokens[i] for i in best]
    assert text["bitsPerByte"] == pytest.approx(
        sum(t["bits"] for t in text["tokens"]) / 7, abs=0.01
    )
    assert "Surprise (bits)" in widget.fallback_html()


def test_embeddings_keep_similarities_and_a_plane():
    vectors = unit_vectors()
    widget = EmbeddingExplorer([f"phrase {i}" for i in range(7)], vectors, ["a", "b"] * 3 + ["a"])
    assert len(widget.similarities) == 21
    assert widget.similarities[1] == round(1000 * float(vectors[0] @ vectors[2]))
    plane = principal_plane(vectors)
    u, s, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(plane), np.abs(u[:, :2] * s[:2]), atol=1e-9)
    assert "Sa plus proche" in widget.fallback_html()


def test_the_nearest_sentence_is_right_without_javascript():
    vectors = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [0, 0, 1.0], [0, 0.6, 0.8]])
    assert upper_triangle(vectors @ vectors.T) == [800, 0, 0, 0, 360, 800]
    html = EmbeddingExplorer(["un", "deux", "trois", "quatre"], vectors, ["a"] * 4).fallback_html()
    for first, second in (("un", "deux"), ("trois", "quatre"), ("quatre", "trois")):
        assert f'<th scope="row">{first}</th><td>a</td><td>{second}</td><td>0,80' in html


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
        (lambda r: ReadabilityExplorer({"a": "Oui."}, {"b": 1}), "Textes pour a, repères pour b"),
        (lambda r: ReadabilityExplorer({"a": "123"}, {"a": 1}), "aucun mot français"),
        (lambda r: CalibrationExplorer({}), "Aucun groupe"),
        (lambda r: CalibrationExplorer({"a": ([[1.0]], [])}), "« a » : 1 distributions et 0"),
        (lambda r: CalibrationExplorer({"a": ([[0.5, 0.2]], [0])}), "de somme 0.700 à 2 valeurs"),
        (lambda r: CalibrationExplorer({"a": ([[0.5, 0.5]], [2])}), "vraie réponse n° 2"),
        (lambda r: ContinuationExplorer([]), "Aucun texte"),
        (lambda r: ContinuationExplorer.from_model(*r, [""], start_id=0), "est vide"),
        (lambda r: ContinuationExplorer.from_model(*r, ["a"], start_id=0, top=0), "top = 0"),
        (lambda r: EmbeddingExplorer(["a"] * 7, unit_vectors(6), ["x"] * 7), r"forme \(6, 5\)"),
        (lambda r: EmbeddingExplorer(["a"] * 7, 2 * unit_vectors(), ["x"] * 7), "de norme 1"),
        (lambda r: EmbeddingExplorer(["a"] * 7, unit_vectors(), list("vwxyzuv")), "6 groupes"),
    ],
)
def test_wrong_arguments_are_refused(reader, make, message):
    with pytest.raises(ValueError, match=message):
        make(reader)
