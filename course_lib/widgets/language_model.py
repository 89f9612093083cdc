"""Un modèle de langue dans la page : il tourne dans le navigateur, sans serveur de calcul.

Sur le site, la page va chercher les poids dans `_static/` : ceux d’un petit modèle (F16) au premier
geste du lecteur, ceux d’un GGUF quand il presse le bouton qui en dit le poids. Dans un cahier, le
noyau les envoie à la demande : ils n’entrent donc ni dans la forme HTML ni dans le cahier
enregistré.
"""

import html
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
import traitlets

from course_lib.generation import SamplingConfig, generate, next_token_distribution
from course_lib.pretrained import load_pretrained
from course_lib.pretrained.describing import write_config
from course_lib.pretrained.saving import llama_weights
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import Decoder
from course_lib.typography import NO_BREAK, french_spaces
from course_lib.widgets.base import FOLDER, CourseWidget, html_table
from course_lib.widgets.bundle import bundle
from course_lib.widgets.page_models import (
    LAST_SPACES,
    MIN_P,
    PATTERNS,
    WeightsOnRequest,
    check_page_formats,
    page_config,
    prompt_ids,
    static_notice,
    weights_checksum,
)
from course_lib.widgets.token_text import token_texts, visible

STATIC_NOTICE = static_notice("le modèle s'exécute dans la page : il lui faut")
_SHOWN = 5  # jetons montrés
_MOST_CONTINUATIONS = 5
_CONTINUATION = 24  # jetons écrits d’avance pour la version figée


@dataclass(frozen=True)
class Reading:
    """Ce qu’un modèle a lu, pour que la page dise quand on sort de là.

    `texts` complète « Ce modèle n’a lu que… ». `most_bits` : la surprise moyenne des huit derniers
    jetons tapés, en bits par jeton, au-delà de laquelle le texte ne ressemble pas à ce qu’il a lu.
    `beginnings` : des débuts qui y ressemblent.
    """

    texts: str
    most_bits: float
    beginnings: tuple[str, ...]


# Mesuré sur le petit LLM : 2 400 débuts de ses histoires, coupés n’importe où, restent sous
# 2,4 bits ; 39 textes sur 40 pris ailleurs (français courant, romans, anglais, code) passent 13 ;
# le dernier, « Il était une fois une princesse », en fait 2,4.
MICRO_STORIES = Reading(
    texts="des micro-histoires",
    most_bits=5.0,
    beginnings=(
        "Il était une fois une renarde curieuse qui s'appelait",
        "Il y avait autrefois un ours timide",
        "Il était une fois un chat",
    ),
)


class LanguageModelWidget(WeightsOnRequest, CourseWidget):
    """Fait tourner `model` dans la page : jetons suivants, génération, attention.

    `model` : un décodeur de type Llama ; `tokenizer` : son BPETokenizer. `prompt` : le texte de
    départ. `weights_url` : dossier des poids sous `_static/` du site, par exemple
    `"models/petit_llm"` ; avec None, le site montre la version figée et seul le cahier est vivant.
    `reading` : ce que le modèle a lu, par exemple `MICRO_STORIES` ; sans lui, la page n’en dit
    rien. `beginnings` : les débuts à cliquer, ceux de `reading` à défaut. `min_p` : le réglage du
    tirage à l’ouverture. `continuations` : combien de suites du même début la page sait comparer ;
    0 : elle ne le propose pas. `warning` : un avertissement, en tête du composant. `gguf` : le
    fichier à faire lire à la page, plutôt que des poids F16 ; `from_gguf` l’ouvre aussi.
    ValueError si le modèle n’est pas de type Llama, si le tokeniseur coupe les mots autrement que
    GPT-2 ou SmolLM2, si les vocabulaires diffèrent ou si le texte de départ dépasse le contexte ;
    TypeError pour un autre tokeniseur.
    """

    module = "language_model.js"
    state_fields = ("prompt", "weights_url", "weights_size", "checksum", "patterns", "preview")
    state_fields += ("min_p", "beginnings", "reading", "gguf", "continuations", "warning")
    _esm = bundle(FOLDER / "language_model.js")
    prompt = traitlets.Unicode().tag(sync=True)
    weights_url = traitlets.Unicode(allow_none=True).tag(sync=True)
    weights_size = traitlets.Int().tag(sync=True)
    checksum = traitlets.Int().tag(sync=True)
    patterns = traitlets.Dict().tag(sync=True)
    preview = traitlets.Dict().tag(sync=True)
    min_p = traitlets.Float().tag(sync=True)
    beginnings = traitlets.List().tag(sync=True)
    reading = traitlets.Dict(allow_none=True).tag(sync=True)
    gguf = traitlets.Unicode(allow_none=True).tag(sync=True)
    continuations = traitlets.Int().tag(sync=True)
    warning = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        model: Decoder,
        tokenizer: BPETokenizer,
        *,
        prompt: str = "Il était une fois",
        weights_url: str | None = None,
        reading: Reading | None = None,
        beginnings: Sequence[str] | None = None,
        min_p: float = MIN_P,
        continuations: int = 0,
        warning: str = "",
        title: str = "Un modèle de langue dans la page",
        gguf: str | Path | None = None,
        **kwargs: Any,
    ):
        config = page_config(model, tokenizer)
        if not 0 <= continuations <= _MOST_CONTINUATIONS:
            raise ValueError(
                f"continuations = {continuations} : la page compare de 0 à "
                f"{_MOST_CONTINUATIONS} suites."
            )
        if isinstance(beginnings, str):
            raise TypeError(
                f"beginnings = « {beginnings} » : il faut une liste de débuts. Mettez-le entre "
                "crochets."
            )
        if beginnings is None:
            beginnings = reading.beginnings if reading else ()
        if gguf is None:
            self._content = llama_weights(model)
            self._parts = {"config": write_config(config), "tokenizer": tokenizer.to_json()}
            checksum = weights_checksum(self._content)
        else:  # le fichier porte ses réglages et son tokeniseur
            self._content, self._parts = Path(gguf).read_bytes(), {}
            checksum = zlib.crc32(self._content)
        super().__init__(
            prompt=prompt,
            weights_url=weights_url,
            weights_size=len(self._content),
            checksum=checksum,
            patterns=PATTERNS,
            preview=_preview(model, tokenizer, prompt, SamplingConfig(min_p=min_p)),
            min_p=min_p,
            beginnings=list(beginnings),
            reading=asdict(reading) if reading else None,
            gguf=None if gguf is None else Path(gguf).name,
            continuations=continuations,
            warning=french_spaces(warning),
            title=title,
            **kwargs,
        )

    @classmethod
    def from_gguf(cls, path: str | Path, **options: Any) -> Self:
        """Le composant d’un GGUF : la page lit ce fichier même, tel qu’il est.

        Ses poids restent arrondis en blocs de quelques bits, et des noyaux WebAssembly calculent
        dessus. `options` : celles du composant ; `weights_url` est le dossier du fichier sous
        `_static/`. FileNotFoundError si le fichier manque ; ValueError s’il n’est pas de type Llama
        ou si un format de ses tenseurs n’est pas de ceux que la page lit.
        """
        check_page_formats(path)
        loaded = load_pretrained(path)
        return cls(loaded.model, loaded.tokenizer, gguf=path, **options)

    def fallback_html(self) -> str:
        """Rend les jetons suivants les plus probables, une suite écrite d’avance et un avis."""
        table = html_table(["Jeton", "Probabilité"], self.preview["rows"], self.preview["caption"])
        paragraphs = (
            f"<p>{html.escape(text)}</p>"
            for text in (self.warning, self.preview["continuation"], STATIC_NOTICE)
            if text
        )
        return table + "".join(paragraphs)


def _preview(
    model: Decoder, tokenizer: BPETokenizer, prompt: str, sampling: SamplingConfig
) -> dict[str, Any]:
    """Ce que montre la version figée : les jetons suivants et la suite gloutonne."""
    ids = prompt_ids(model, tokenizer, prompt)
    room = model.embedding.context_length - len(ids)
    probabilities = next_token_distribution(model, ids, sampling)
    stops = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    greedy = SamplingConfig(temperature=0)
    (suite,) = generate(model, [ids], min(_CONTINUATION, room), sampling=greedy, stop_ids=stops)
    written = tokenizer.decode(suite.ids, skip_special_tokens=True)
    return {
        "rows": _rows(probabilities, tokenizer),
        "caption": french_spaces(f"Le jeton qui suit « {prompt} »"),
        "continuation": french_spaces("Suite la plus probable, jeton après jeton : « ")
        + f"{prompt.rstrip(LAST_SPACES)}{written}{NO_BREAK}».",
    }


def _rows(probabilities: torch.Tensor, tokenizer: BPETokenizer) -> list[list[str]]:
    """Les jetons d’au moins 1 %, cinq au plus ; le seul plus probable si aucun n’y atteint.

    Des pour-cent entiers, rangés par valeur puis par identifiant : pareils sur toute machine.
    """
    percents = (100 * probabilities.double()).round().int().tolist()
    order = sorted(range(len(percents)), key=lambda token_id: (-percents[token_id], token_id))
    kept = [token_id for token_id in order[:_SHOWN] if percents[token_id] >= 1]
    if not kept:
        return [[_visible(tokenizer, int(probabilities.argmax())), f"moins de 1{NO_BREAK}%"]]
    return [[_visible(tokenizer, one), f"{percents[one]}{NO_BREAK}%"] for one in kept]


def _visible(tokenizer: BPETokenizer, token_id: int) -> str:
    return visible(token_texts([tokenizer.token_bytes[token_id]])[0])
