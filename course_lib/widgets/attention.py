"""L’explorateur d’attention : qui regarde qui, bloc par bloc, tête par tête."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from course_lib.typography import format_number
from course_lib.widgets.base import FOLDER, CourseWidget, html_table
from course_lib.widgets.bundle import bundle


class AttentionExplorer(CourseWidget):
    """Montre les poids d’attention d’une ou deux phrases, côte à côte, et leur différence.

    `attention` : un tableau par phrase, de forme `(blocs, têtes, Tq, Tk)`, ou la liste des cartes
    `(1, têtes, Tq, Tk)` que rend `attention_maps`. `words` : les mots de chaque phrase. Pour une
    attention croisée, `key_words` donne les mots regardés. `query` est le mot choisi d’abord (son
    texte ou sa position) ; `layer` et `head` un numéro à partir de 1, "mean" ou "sum".
    """

    module = "attention_explorer.js"
    state_fields = ("sentences", "query", "layer", "head", "view")
    _esm = bundle(FOLDER / "attention_explorer.js")
    sentences = traitlets.List().tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)
    layer = traitlets.Unicode("mean").tag(sync=True)
    head = traitlets.Unicode("mean").tag(sync=True)
    view = traitlets.Unicode("each").tag(sync=True)

    def __init__(
        self,
        attention: Sequence[Any],
        words: Sequence[Sequence[str]],
        *,
        labels: Sequence[str] | None = None,
        key_words: Sequence[Sequence[str]] | None = None,
        query: str | int = 0,
        layer: int | str = "mean",
        head: int | str = "mean",
        view: str = "each",
        decimals: int = 3,
        title: str = "Explorateur d’attention",
        **kwargs: Any,
    ):
        labels = list(labels or [" ".join(sentence) for sentence in words])
        keys = key_words or words
        if not len(attention) == len(words) == len(labels) == len(keys) or not len(words):
            raise ValueError(
                "Il faut autant de tableaux d’attention que de phrases et de libellés ; reçu "
                f"{len(attention)}, {len(words)} et {len(labels)}."
            )
        sentences = [
            _sentence(weights, list(queries), list(viewed), label, decimals)
            for weights, queries, viewed, label in zip(attention, words, keys, labels, strict=True)
        ]
        grid = _common_grid(sentences)
        if view not in ("each", "difference"):
            raise ValueError(f"view vaut « {view} » ; il faut « each » ou « difference ».")
        super().__init__(
            sentences=sentences,
            query=_find_query(query, list(words[0])),
            layer=_selection(layer, grid[0], "layer"),
            head=_selection(head, grid[1], "head"),
            view=view,
            title=title,
            **kwargs,
        )

    def fallback_html(self) -> str:
        """Rend un tableau par phrase : les poids du mot choisi, bloc et tête choisis."""
        return "".join(self._fallback_table(sentence) for sentence in self.sentences)

    def _fallback_table(self, sentence: dict[str, Any]) -> str:
        query = min(self.query, len(sentence["queries"]) - 1)
        weights = np.asarray(sentence["weights"])
        row = _reduce(_reduce(weights, self.layer), self.head)[query]
        rows = [
            [word, format_number(weight, 2)]
            for word, weight in zip(sentence["keys"], row, strict=True)
        ]
        caption = f"Ce que regarde « {sentence['queries'][query]} » — {sentence['label']}"
        return html_table(["Mot regardé", "Poids d’attention"], rows, caption)


def _reduce(weights: np.ndarray, selection: str) -> np.ndarray:
    """Réduit le premier axe : moyenne, somme, ou le bloc (la tête) choisi."""
    if selection == "mean":
        return weights.mean(0)
    return weights.sum(0) if selection == "sum" else weights[int(selection)]


def _sentence(
    attention: Any, queries: list[str], keys: list[str], label: str, decimals: int
) -> dict[str, Any]:
    """Prépare une phrase pour JSON ; `attention` devient `(blocs, têtes, Tq, Tk)` arrondi."""
    weights = _to_array(attention)
    if weights.shape[2:] != (len(queries), len(keys)):
        raise ValueError(
            f"« {label} » : l’attention a la forme {weights.shape} ; ses deux derniers axes "
            f"doivent être {(len(queries), len(keys))}, le nombre de mots."
        )
    return {"label": label, "queries": queries, "keys": keys, "weights": _round(weights, decimals)}


def _to_array(attention: Any) -> np.ndarray:
    """Accepte tableau, tenseur ou liste de cartes `(1, H, Tq, Tk)` par bloc."""
    if isinstance(attention, list | tuple):
        layers = [np.asarray(a.detach().cpu() if hasattr(a, "detach") else a) for a in attention]
        attention = np.stack([a[0] if a.ndim == 4 else a for a in layers])
    elif hasattr(attention, "detach"):
        attention = attention.detach().cpu().numpy()
    weights = np.asarray(attention, dtype=float)
    if weights.ndim != 4 or not np.isfinite(weights).all():
        raise ValueError(
            f"L’attention a la forme {weights.shape} ; il faut (blocs, têtes, Tq, Tk), sans "
            "valeur infinie ni indéfinie. Passez une phrase à la fois, sans axe de lot."
        )
    return weights


def _round(weights: np.ndarray, decimals: int) -> list:
    """Arrondit et remplace 0.0 par 0 : l’état s’allège d’autant."""
    if weights.ndim == 1:
        return [int(w) if w == int(w) else w for w in np.round(weights, decimals).tolist()]
    return [_round(row, decimals) for row in weights]


def _common_grid(sentences: list[dict[str, Any]]) -> tuple[int, int]:
    """Rend (blocs, têtes), qui doivent être les mêmes pour toutes les phrases."""
    grids = {(len(s["weights"]), len(s["weights"][0])) for s in sentences}
    if len(grids) != 1:
        raise ValueError(
            f"Les phrases n’ont pas le même nombre de blocs et de têtes : {sorted(grids)}. "
            "Elles doivent venir du même modèle."
        )
    return grids.pop()


def _find_query(query: str | int, words: list[str]) -> int:
    """Rend la position du mot choisi d’abord."""
    if isinstance(query, str):
        if query not in words:
            raise ValueError(f"« {query} » n’est pas dans la phrase : {' '.join(words)}.")
        return words.index(query)
    if not 0 <= query < len(words):
        raise ValueError(f"query vaut {query} ; il faut une position de 0 à {len(words) - 1}.")
    return query


def _selection(value: int | str, count: int, name: str) -> str:
    """Traduit le numéro lisible (à partir de 1) en position, ou garde "mean" et "sum"."""
    if value in ("mean", "sum"):
        return str(value)
    if not isinstance(value, int) or not 1 <= value <= count:
        raise ValueError(f"{name} vaut {value!r} ; il faut 1 à {count}, « mean » ou « sum ».")
    return str(value - 1)
