"""L’explorateur de suites : ce qu’un modèle attendait à chaque place d’un texte.

Le modèle est trop gros pour la page : il lit les textes une fois, ici, et la page garde les huit
suites les plus probables de chaque place.
"""

from collections.abc import Sequence
from typing import Any

import torch
import traitlets

from course_lib.evaluation.compression import token_bits
from course_lib.generation.readers import reading
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder
from course_lib.typography import format_number
from course_lib.widgets.base import FOLDER, CourseWidget, html_table
from course_lib.widgets.bundle import bundle

LONGEST_NAME = 48


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
        """Fait lire chaque texte au modèle, après le jeton `start_id`."""
        return cls([read_text(model, tokenizer, text, start_id, top) for text in texts], **kwargs)

    def fallback_html(self) -> str:
        """Rend, pour le premier texte, chaque jeton, sa surprise et la suite préférée."""
        text = self.texts[0]
        rows = [
            [token["text"], format_number(token["bits"], 1), token["top"][0][0]]
            for token in text["tokens"]
        ]
        headers = ["Jeton écrit", "Surprise (bits)", "Jeton attendu"]
        return html_table(headers, rows, f"Ce que le modèle attendait : « {text['name']} »")


def read_text(
    model: Decoder, tokenizer: Tokenizer, text: str, start_id: int, top: int = 8
) -> dict[str, Any]:
    """Ce que la page sait d’un texte : par jeton, surprise, rang, probabilité et suites attendues.

    ValueError si le texte est vide ou si `top` n’est pas entre 1 et la taille du vocabulaire.
    """
    ids = tokenizer.encode(text)
    if not ids:
        raise ValueError("Un des textes est vide : il n’y a rien à lire.")
    if not 1 <= top <= tokenizer.vocab_size:
        raise ValueError(f"top = {top} : il faut de 1 à {tokenizer.vocab_size} suites.")
    bits = token_bits(model, ids, start_id)
    with reading(model):
        probabilities = model(torch.tensor([[start_id, *ids[:-1]]]))[0].softmax(-1)  # (T, V)
    names, best = tokenizer.tokens, probabilities.topk(top)
    tokens = []
    for place, token_id in enumerate(ids):
        probability = float(probabilities[place, token_id])
        likely = zip(best.indices[place].tolist(), best.values[place].tolist(), strict=True)
        tokens.append(
            {
                "text": names[token_id],
                "bits": round(float(bits[place]), 2),
                "rank": int((probabilities[place] > probability).sum()) + 1,
                "probability": float(f"{probability:.3g}"),
                "top": [[names[i], float(f"{p:.3g}")] for i, p in likely],
            }
        )
    name = text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1].rstrip() + "…"
    per_byte = float(bits.double().sum()) / len(text.encode())
    return {"name": name, "tokens": tokens, "bitsPerByte": round(per_byte, 4)}
