"""L’explorateur de suites : ce qu’un modèle attendait à chaque place d’un texte.

Le modèle est trop gros pour la page : il lit les textes une fois, ici, et la page garde les huit
suites les plus probables de chaque place.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import traitlets
from torch import Tensor

from course_lib.generation.readers import reading
from course_lib.tokenization import BPETokenizer, Tokenizer
from course_lib.training.devices import device_of
from course_lib.transformer import Decoder
from course_lib.typography import format_number, french_spaces
from course_lib.widgets.base import FOLDER, CourseWidget, html_table, scrolling
from course_lib.widgets.bundle import bundle
from course_lib.widgets.token_text import token_texts, unfinished

LONGEST_NAME = 48
_STATIC_NOTICE = (
    "Version figée : le premier texte, jeton par jeton. La surprise d’un jeton de probabilité p "
    "est de −log2 p bits."
)


class ContinuationExplorer(CourseWidget):
    """Des textes déjà lus : surprise de chaque jeton, suites attendues, température à régler.

    `texts` : voir `read_text`. Se bâtit d’ordinaire par `from_model`.
    """

    module = "continuation_explorer.js"
    state_fields = ("texts",)
    _esm = bundle(FOLDER / "continuation_explorer.js")
    texts = traitlets.List().tag(sync=True)

    def __init__(
        self,
        texts: Sequence[dict[str, Any]],
        *,
        title: str = "Explorateur de suites",
        **kwargs: Any,
    ):
        if not texts:
            raise ValueError("Aucun texte : donnez-en au moins un.")
        super().__init__(texts=list(texts), title=title, **kwargs)

    @classmethod
    def from_model(
        cls,
        model: Decoder,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        *,
        start_id: int,
        top: int = 8,
        **kwargs: Any,
    ) -> "ContinuationExplorer":
        """Fait lire chaque texte au modèle, une fois, après le jeton `start_id`.

        `top` : combien de suites on garde à chaque place. TypeError si `texts` est une chaîne ;
        ValueError dans les cas de `read_text`.
        """
        if isinstance(texts, str):
            raise TypeError(
                f"Il faut une liste de textes ; reçu une seule chaîne, « {_short(texts)} ». "
                "Mettez-la entre crochets."
            )
        return cls([read_text(model, tokenizer, text, start_id, top) for text in texts], **kwargs)

    def fallback_html(self) -> str:
        """Rend le coût de chaque texte, puis, pour le premier, surprise et suite préférée."""
        costs = [
            [
                text["name"],
                format_number(len(text["tokens"])),
                format_number(text["bitsPerByte"], 2),
            ]
            for text in self.texts
        ]
        rows = [
            [token["text"], format_number(token["bits"], 1), token["top"][0][0]]
            for token in self.texts[0]["tokens"]
        ]
        overview = html_table(["Texte", "Jetons", "Bits par octet"], costs, "Les textes lus")
        headers = ["Jeton écrit", "Surprise (bits)", "Jeton attendu"]
        caption = f"Ce que le modèle attendait : « {self.texts[0]['name']} »"
        notice = f"<p>{french_spaces(_STATIC_NOTICE)}</p>"
        tables = f"{overview}{notice}{html_table(headers, rows, caption)}"
        return scrolling(tables, "Textes lus")


def read_text(
    model: Decoder, tokenizer: Tokenizer, text: str, start_id: int, top: int = 8
) -> dict[str, Any]:
    """Ce que la page sait d’un texte : par jeton, surprise, rang, probabilité et suites attendues.

    La surprise est en bits, à 0,01 près ; les probabilités ont trois chiffres significatifs ; le
    rang part de 1. ValueError si le texte est vide ou dépasse le contexte, si `top` n’est pas entre
    1 et la taille du vocabulaire, ou si le modèle rend autre chose que des nombres ; TypeError si
    `start_id` n’est pas un id.
    """
    if type(start_id) is not int:
        raise TypeError(
            f"start_id = {start_id!r} : il faut l’id du jeton lu avant le texte, par exemple "
            "tokenizer.bos_id, ou tokenizer.eos_id quand le modèle n’a pas appris de début."
        )
    ids = tokenizer.encode(text)
    if not ids:
        raise ValueError("Un des textes est vide : il n’y a rien à lire. Retirez-le.")
    with reading(model):
        context = torch.tensor([[start_id, *ids[:-1]]], device=device_of(model))
        scores = model(context)[0].float().cpu()  # (T, V)
    log_probs = scores.log_softmax(dim=-1)  # (T, V)
    if type(top) is not int or not 1 <= top <= scores.shape[-1]:
        raise ValueError(f"top = {top!r} : il faut de 1 à {scores.shape[-1]} suites.")
    surprises = -log_probs[torch.arange(len(ids)), torch.tensor(ids)] / math.log(2)  # (T,)
    if not (torch.isfinite(log_probs.amax()) and torch.isfinite(surprises).all()):
        raise ValueError(
            f"En lisant « {_short(text)} », le modèle rend des scores qui ne sont pas des nombres. "
            "Ses poids ont-ils divergé ?"
        )
    names = _Names(tokenizer, ids)
    rows = zip(ids, surprises.abs().tolist(), log_probs, strict=True)  # −0 devient 0
    return {
        "name": _short(text),
        "tokens": [_place(names, i, *row, top) for i, row in enumerate(rows)],
        "bitsPerByte": round(float(surprises.double().sum()) / len(text.encode()), 4),
    }


def _place(
    names: "_Names", place: int, token_id: int, bits: float, log_probs: Tensor, top: int
) -> dict[str, Any]:
    """Une place du texte : le jeton écrit, et les suites attendues d’après `log_probs`, (V,).

    `written` : le rang, parmi ces suites, du jeton écrit ; −1 s’il n’y est pas.
    """
    best = log_probs.topk(top)
    ids = best.indices.tolist()
    likely = zip(ids, best.values.exp().tolist(), strict=True)
    return {
        "text": names.texts[place],
        "written": ids.index(token_id) if token_id in ids else -1,
        "bits": round(bits, 2),
        "rank": int((log_probs > log_probs[token_id]).sum()) + 1,
        "probability": _three_figures(2**-bits),
        "top": [[names.after(place, i), _three_figures(p)] for i, p in likely],
    }


class _Names:
    """Le texte des jetons lus, et celui des jetons qui pourraient suivre.

    Un jeton BPE finit parfois un caractère commencé avant lui ; la table d’un modèle a parfois plus
    de lignes que le vocabulaire : « [49 152] ».
    """

    def __init__(self, tokenizer: Tokenizer, ids: Sequence[int]):
        self._known = tokenizer.tokens
        self._bytes = tokenizer.token_bytes if isinstance(tokenizer, BPETokenizer) else None
        if self._bytes is None:
            self.texts = [self._known[i] for i in ids]
            return
        contents = [self._bytes[i] for i in ids]
        self.texts = token_texts(contents)
        self._pending = [unfinished(b"".join(contents[max(0, i - 3) : i])) for i in range(len(ids))]

    def after(self, place: int, token_id: int) -> str:
        """Le texte de ce jeton à cette place."""
        if token_id >= len(self._known):
            return f"[{token_id}]"
        if self._bytes is None:
            return self._known[token_id]
        return token_texts([self._pending[place], self._bytes[token_id]])[1]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1].rstrip() + "…"


def _three_figures(probability: float) -> float:
    return float(f"{probability:.3g}")
