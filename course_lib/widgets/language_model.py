"""Un modèle de langue dans la page : il tourne dans le navigateur, sans serveur de calcul.

Sur le site, la page va chercher les poids (F16) dans `_static/` quand le lecteur arrive au
composant. Dans un cahier, le noyau les envoie à la demande : ils n'entrent donc ni dans la forme
HTML ni dans le cahier enregistré.
"""

import html
from typing import Any

import torch
import traitlets

from course_lib.generation import SamplingConfig, generate, next_token_distribution
from course_lib.pretrained.families import write_config
from course_lib.pretrained.saving import llama_weights
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import Decoder
from course_lib.typography import NO_BREAK, french_spaces
from course_lib.widgets.base import FOLDER, CourseWidget, html_table
from course_lib.widgets.bundle import bundle
from course_lib.widgets.page_models import (
    PATTERNS,
    WeightsOnRequest,
    page_config,
    prompt_ids,
    static_notice,
    weights_checksum,
)

STATIC_NOTICE = static_notice("le modèle s'exécute dans la page : il lui faut")
_SHOWN = 10  # jetons montrés
_CONTINUATION = 40  # jetons écrits d'avance pour la version figée


class LanguageModelWidget(WeightsOnRequest, CourseWidget):
    """Fait tourner `model` dans la page : jetons suivants, génération, attention.

    `model` : un décodeur de type Llama ; `tokenizer` : son BPETokenizer. `prompt` : le texte de
    départ. `weights_url` : dossier des poids sous `_static/` du site, par exemple
    `"models/petit_llm"` ; avec None, le site montre la version figée et seul le cahier est vivant.
    ValueError si le modèle n'est pas de type Llama, si le tokeniseur coupe les mots autrement que
    GPT-2 ou SmolLM2, si les vocabulaires diffèrent ou si le texte de départ dépasse le contexte ;
    TypeError pour un autre tokeniseur.
    """

    module = "language_model.js"
    state_fields = ("prompt", "weights_url", "weights_size", "checksum", "patterns", "preview")
    _esm = bundle(FOLDER / "language_model.js")
    prompt = traitlets.Unicode().tag(sync=True)
    weights_url = traitlets.Unicode(allow_none=True).tag(sync=True)
    weights_size = traitlets.Int().tag(sync=True)
    checksum = traitlets.Int().tag(sync=True)
    patterns = traitlets.Dict().tag(sync=True)
    preview = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        model: Decoder,
        tokenizer: BPETokenizer,
        *,
        prompt: str = "Il était une fois",
        weights_url: str | None = None,
        title: str = "Un modèle de langue dans la page",
        **kwargs: Any,
    ):
        config = page_config(model, tokenizer)
        self._content = llama_weights(model)
        self._parts = {"config": write_config(config), "tokenizer": tokenizer.to_json()}
        super().__init__(
            prompt=prompt,
            weights_url=weights_url,
            weights_size=len(self._content),
            checksum=weights_checksum(self._content),
            patterns=PATTERNS,
            preview=_preview(model, tokenizer, prompt),
            title=title,
            **kwargs,
        )

    def fallback_html(self) -> str:
        """Rend les jetons suivants les plus probables, une suite écrite d'avance et un avis."""
        table = html_table(["Jeton", "Probabilité"], self.preview["rows"], self.preview["caption"])
        paragraphs = (
            f"<p>{html.escape(text)}</p>" for text in (self.preview["continuation"], STATIC_NOTICE)
        )
        return table + "".join(paragraphs)


def _preview(model: Decoder, tokenizer: BPETokenizer, prompt: str) -> dict[str, Any]:
    """Ce que montre la version figée : les jetons suivants et la suite gloutonne."""
    ids = prompt_ids(model, tokenizer, prompt)
    room = model.embedding.context_length - len(ids)
    probabilities = next_token_distribution(model, ids)
    stops = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    greedy = SamplingConfig(temperature=0)
    (suite,) = generate(model, [ids], min(_CONTINUATION, room), sampling=greedy, stop_ids=stops)
    written = tokenizer.decode(suite.ids, skip_special_tokens=True)
    return {
        "rows": _rows(probabilities, tokenizer),
        "caption": french_spaces(f"Le jeton qui suit « {prompt} »"),
        "continuation": french_spaces("Suite la plus probable, jeton après jeton : « ")
        + f"{prompt}{written}{NO_BREAK}».",
    }


def _rows(probabilities: torch.Tensor, tokenizer: BPETokenizer) -> list[list[str]]:
    """Les jetons d'au moins 1 %, dix au plus ; le seul plus probable si aucun n'y atteint.

    Des pour-cent entiers, rangés par valeur puis par identifiant : pareils sur toute machine.
    """
    percents = (100 * probabilities.double()).round().int().tolist()
    order = sorted(range(len(percents)), key=lambda token_id: (-percents[token_id], token_id))
    kept = [token_id for token_id in order[:_SHOWN] if percents[token_id] >= 1]
    if not kept:
        return [[_visible(tokenizer, int(probabilities.argmax())), f"moins de 1{NO_BREAK}%"]]
    return [[_visible(tokenizer, one), f"{percents[one]}{NO_BREAK}%"] for one in kept]


def _visible(tokenizer: BPETokenizer, token_id: int) -> str:
    return tokenizer.tokens[token_id].replace(" ", "␣").replace("\n", "⏎")
