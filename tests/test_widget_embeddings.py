"""L’explorateur de vecteurs côté Python : cosinus et carte vrais, état léger, refus clairs."""

import json
import re

import numpy as np
import pytest

from course_lib.typography import format_number
from course_lib.widgets import EmbeddingExplorer
from course_lib.widgets.base import FOLDER
from course_lib.widgets.embeddings import MOST_SENTENCES, principal_plane

N, D = 11, 7


def unit_vectors(n: int = N, d: int = D, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, d))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def build(n: int = N, **changes):
    given = {
        "sentences": [f"phrase {i}" for i in range(n)],
        "vectors": unit_vectors(n),
        "groups": [("sens", "piège", "bruit")[i % 3] for i in range(n)],
    }
    return EmbeddingExplorer(**{**given, **changes})


def test_similarities_are_the_cosines_row_after_row():
    vectors, found = unit_vectors(), iter(build().similarities)
    for i in range(N):
        for j in range(i + 1, N):
            cosine = sum(a * b for a, b in zip(vectors[i], vectors[j], strict=True))
            assert next(found) == pytest.approx(1000 * cosine, abs=0.5 + 1e-9)
    assert next(found, None) is None


def test_the_map_keeps_the_two_directions_of_greatest_variance():
    vectors = unit_vectors()
    plane = principal_plane(vectors)
    assert plane.shape == (N, 2)
    # Variances sur la carte : les deux plus grandes valeurs propres de la covariance.
    highest = np.linalg.eigvalsh(np.cov(vectors.T, bias=True))[::-1][:2]
    np.testing.assert_allclose(plane.var(axis=0), highest, atol=1e-12)
    np.testing.assert_allclose(plane.mean(axis=0), 0, atol=1e-12)
    assert abs(plane[:, 0] @ plane[:, 1]) < 1e-12
    # Chaque phrase à sa place, au sens des axes près.
    u, s, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(plane), np.abs(u[:, :2] * s[:2]), atol=1e-9)
    np.testing.assert_allclose(build().points, plane, atol=5.1e-4)


def test_float32_vectors_of_a_model_are_accepted():
    exact, single = build(), build(vectors=unit_vectors().astype(np.float32))
    differences = np.subtract(exact.similarities, single.similarities)
    assert np.abs(differences).max() <= 1


def test_forty_sentences_stay_light():
    sentences = [f"La phrase n° {i} dit quelque chose d’assez ordinaire." for i in range(40)]
    state = build(40, sentences=sentences).state()
    assert len(state["similarities"]) == 40 * 39 // 2
    assert len(json.dumps(state, ensure_ascii=False).encode()) < 40_000
    modules = ("embedding_explorer.js", "nodes.js")
    assert sum((FOLDER / name).stat().st_size for name in modules) < 12_000


def test_the_static_table_names_the_nearest_and_escapes():
    vectors = unit_vectors()
    names = ["<i>zéro</i>", *(f"phrase {i}" for i in range(1, N))]
    html = build(sentences=names).fallback_html()
    assert "<i>" not in html and "&lt;i&gt;zéro" in html and " id=" not in html
    assert "Sa plus proche" in html
    cells = r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>'
    rows = re.findall(cells, html)
    shown = [name.replace("<", "&lt;").replace(">", "&gt;") for name in names]
    cosines = vectors @ vectors.T - 3 * np.eye(N)
    assert len(rows) == N
    for i, row in enumerate(rows):
        nearest = int(cosines[i].argmax())
        value = format_number(round(cosines[i, nearest], 3), 2)
        assert row == (shown[i], ("sens", "piège", "bruit")[i % 3], shown[nearest], value)


def test_identical_vectors_still_make_a_map():
    same = np.tile(unit_vectors(1), (5, 1))
    widget = build(5, vectors=same)
    assert set(widget.similarities) == {1000}
    np.testing.assert_allclose(widget.points, 0, atol=1e-9)


def with_row(value: float) -> np.ndarray:
    vectors = unit_vectors()
    vectors[4] = value
    return vectors


REFUSALS = [
    ({"sentences": "abcdefghijk"}, TypeError, "sentences = « abcdefghijk »"),
    ({"groups": "xyxyxyxyxyx"}, TypeError, "groups = « xyxyxyxyxyx »"),
    ({"sentences": ["a", "b"]}, ValueError, "2 phrases, 11 groupes"),
    ({"groups": ["a"] * 10}, ValueError, "11 phrases, 10 groupes"),
    ({"vectors": unit_vectors(13)}, ValueError, r"de forme \(13, 7\)"),
    ({"vectors": np.ones(N)}, ValueError, "une ligne par phrase"),
    ({"vectors": np.ones((N, 1))}, ValueError, "d’au moins deux nombres"),
    ({"vectors": with_row(0.0)}, ValueError, "n° 4 a pour norme 0 "),
    ({"vectors": with_row(float("nan"))}, ValueError, "n° 4 a pour norme nan"),
    ({"vectors": 2 * unit_vectors()}, ValueError, "n° 0 a pour norme 2 ; .* tous de norme 1"),
    ({"groups": [str(i % 5) for i in range(N)]}, ValueError, "5 groupes"),
    ({"sentences": ["a"] * 10 + [" "]}, ValueError, "n° 10 est vide"),
]


@pytest.mark.parametrize("changes, error, message", REFUSALS)
def test_wrong_arguments_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        build(**changes)


def test_the_number_of_sentences_is_bounded():
    assert len(build(MOST_SENTENCES).sentences) == 60
    for n in (2, MOST_SENTENCES + 1):
        with pytest.raises(ValueError, match=f"^{n} phrases.*de 3 à 60"):
            build(n)
