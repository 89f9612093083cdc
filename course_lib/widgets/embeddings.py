"""L’explorateur de vecteurs : des phrases sur une carte, et leurs voisines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from course_lib.typography import format_number, french_spaces
from course_lib.widgets.base import FOLDER, CourseWidget, html_table, scrolling
from course_lib.widgets.bundle import bundle

MOST_SENTENCES = 60
MOST_GROUPS = 4  # autant que de marques différentes
_STATIC_NOTICE = (
    "Version figée. La ressemblance est le cosinus de l’angle de deux vecteurs : 1 pour deux "
    "directions confondues, 0 pour deux directions sans rapport."
)


class EmbeddingExplorer(CourseWidget):
    """Une carte de phrases (deux axes principaux) et, pour celle choisie, ses plus proches.

    `vectors` : (N, D), de norme 1, D ≥ 2 ; `groups` : un nom par phrase, quatre noms au plus.
    ValueError si les longueurs diffèrent, si une norme n’est pas 1, s’il y a trop de phrases ou de
    groupes, ou si une phrase est vide ; TypeError si `sentences` ou `groups` est une chaîne.
    """

    module = "embedding_explorer.js"
    state_fields = ("sentences", "groups", "points", "similarities")
    _esm = bundle(FOLDER / "embedding_explorer.js")
    sentences = traitlets.List().tag(sync=True)
    groups = traitlets.List().tag(sync=True)
    points = traitlets.List().tag(sync=True)
    similarities = traitlets.List().tag(sync=True)

    def __init__(
        self,
        sentences: Sequence[str],
        vectors: Any,
        groups: Sequence[str],
        *,
        title: str = "Explorateur de vecteurs",
        **kwargs: Any,
    ):
        vectors = np.asarray(vectors, dtype=float)
        _check(sentences, vectors, groups)
        state = {
            "sentences": list(sentences),
            "groups": list(groups),
            "points": principal_plane(vectors).round(3).tolist(),
            "similarities": upper_triangle(vectors @ vectors.T),
        }
        super().__init__(title=title, **state, **kwargs)

    def fallback_html(self) -> str:
        """Rend, pour chaque phrase, sa plus proche voisine."""
        n = len(self.sentences)
        table = np.full((n, n), -np.inf)
        table[np.triu_indices(n, 1)] = np.array(self.similarities) / 1000
        table = np.maximum(table, table.T)
        rows = []
        for i, sentence in enumerate(self.sentences):
            nearest = int(table[i].argmax())
            value = format_number(float(table[i, nearest]), 2)
            rows.append([sentence, self.groups[i], self.sentences[nearest], value])
        headers = ["Phrase", "Sorte", "Sa plus proche", "Ressemblance"]
        body = html_table(headers, rows, "Chaque phrase et sa plus proche voisine")
        return f"{scrolling(body, 'Phrases')}<p>{french_spaces(_STATIC_NOTICE)}</p>"


def principal_plane(vectors: np.ndarray) -> np.ndarray:
    """Projection (N, 2) sur les deux axes où les vecteurs varient le plus, au signe fixé.

    Analyse en composantes principales : Pearson 1901.
    """
    centered = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)  # (min(N, D), D)
    axes = axes[:2] * np.sign(axes[:2].sum(axis=1, keepdims=True) + 1e-12)
    return centered @ axes.T


def upper_triangle(similarities: np.ndarray) -> list[int]:
    """Les ressemblances de i < j, ligne après ligne, en millièmes."""
    rows, columns = np.triu_indices(len(similarities), 1)
    return (1000 * similarities[rows, columns]).round().astype(int).tolist()


def _check(sentences: Sequence[str], vectors: np.ndarray, groups: Sequence[str]) -> None:
    for name, values in (("sentences", sentences), ("groups", groups)):
        if isinstance(values, str):
            raise TypeError(f"{name} = « {values} » : il faut une liste de chaînes.")
    n = len(sentences)
    if not 3 <= n <= MOST_SENTENCES or vectors.shape[:1] != (n,) or len(groups) != n:
        raise ValueError(
            f"{n} phrases, {len(groups)} groupes, vecteurs de forme {vectors.shape} : il en faut "
            f"autant, de 3 à {MOST_SENTENCES}."
        )
    if vectors.ndim != 2 or vectors.shape[1] < 2:
        raise ValueError(
            f"Vecteurs de forme {vectors.shape} : il faut une ligne par phrase, d’au moins deux "
            "nombres, pour en faire une carte."
        )
    # « pas tous proches de 1 » plutôt que « un trop loin de 1 » : NaN est ainsi refusé.
    norms = np.linalg.norm(vectors, axis=1)
    if not (np.abs(norms - 1) <= 1e-3).all():
        row = int(np.argmin(np.abs(norms - 1) <= 1e-3))
        raise ValueError(
            f"Le vecteur n° {row} a pour norme {norms[row]:.3g} ; il les faut tous de norme 1 : "
            "divisez chacun par la sienne."
        )
    if len(set(groups)) > MOST_GROUPS:
        raise ValueError(
            f"{len(set(groups))} groupes : on ne dessine que {MOST_GROUPS} marques différentes."
        )
    empty = [i for i, sentence in enumerate(sentences) if not sentence.strip()]
    if empty:
        raise ValueError(f"La phrase n° {empty[0]} est vide : le menu ne pourrait pas la nommer.")
