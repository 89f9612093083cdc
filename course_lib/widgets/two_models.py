"""Un enseignant et son élève écrivent côte à côte dans la page, et l’on compare leur vitesse.

Les poids sont en demi-précision, comme ceux de `LanguageModelWidget`. Un cahier les demande au
noyau ; le site les porte dans sa page, en base 64, ou va les chercher dans `_static/`.
"""

import base64
import html
from collections.abc import Mapping
from typing import Any

import traitlets

from course_lib.generation import SamplingConfig, TextGenerator
from course_lib.pretrained.describing import write_config
from course_lib.pretrained.saving import llama_weights
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import Decoder
from course_lib.typography import NO_BREAK, format_number, french_spaces
from course_lib.widgets.base import FOLDER, CourseWidget, html_table
from course_lib.widgets.bundle import bundle
from course_lib.widgets.page_models import (
    MIN_P,
    PATTERNS,
    WeightsOnRequest,
    page_config,
    prompt_ids,
    static_notice,
    weights_checksum,
)

HEADERS = ["Modèle", "Paramètres", "Taille"]
_CAPTION = "Les deux modèles"
_NOTICE = static_notice("les deux modèles s'exécutent dans la page : il leur faut")
_NAMED = Mapping[str, tuple[Decoder, BPETokenizer]]


class TwoModelsWidget(WeightsOnRequest, CourseWidget):
    """Deux modèles continuent le même début, un jeton chacun à son tour ; la page les chronomètre.

    `models` : nom affiché → (modèle, tokeniseur), l’enseignant puis l’élève. `prompt` : le texte de
    départ. `max_new_tokens` : le nombre de jetons que chacun écrit au plus. `temperature` : celle
    du curseur à l’ouverture, de 0 à 3. `weights_urls` : nom → dossier des poids sous `_static/` du
    site, par exemple `{"Élève": "models/eleve"}` ; la page porte elle-même les poids des autres
    modèles, 2,7 octets par paramètre.
    ValueError s’il n’y a pas deux modèles aux noms distincts et au même tokeniseur, ou si l’un
    d’eux ne peut tourner dans la page (voir `page_config`) ; TypeError pour un autre tokeniseur.
    """

    module = "two_models.js"
    state_fields = ("prompt", "max_new_tokens", "temperature", "min_p", "models")
    state_fields += ("patterns", "preview")
    _esm = bundle(FOLDER / "two_models.js")
    prompt = traitlets.Unicode().tag(sync=True)
    max_new_tokens = traitlets.Int().tag(sync=True)
    temperature = traitlets.Float().tag(sync=True)
    min_p = traitlets.Float(MIN_P).tag(sync=True)
    models = traitlets.List().tag(sync=True)
    patterns = traitlets.Dict().tag(sync=True)
    preview = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        models: _NAMED,
        *,
        prompt: str = "Il était une fois",
        max_new_tokens: int = 160,
        temperature: float = 1.0,
        weights_urls: Mapping[str, str] | None = None,
        title: str = "L’enseignant et l’élève, dans la page",
        **kwargs: Any,
    ):
        urls = dict(weights_urls or {})
        _check(models, max_new_tokens, urls)
        if not 0.0 <= temperature <= 3.0:
            raise ValueError(f"temperature = {temperature} : le curseur va de 0 à 3.")
        configs = [_config(name, *pair) for name, pair in models.items()]
        tokenizer = _shared_tokenizer(models)
        self._contents = [llama_weights(model) for model, _ in models.values()]
        self._content = b"".join(self._contents)
        self._parts = {
            "configs": [write_config(config) for config in configs],
            "tokenizer": tokenizer.to_json(),
        }
        described = [
            _describe(name, model, content, urls.get(name))
            for (name, (model, _)), content in zip(models.items(), self._contents, strict=True)
        ]
        super().__init__(
            prompt=prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            models=described,
            patterns=PATTERNS,
            preview=_preview(models, described, prompt, max_new_tokens),
            title=title,
            **kwargs,
        )

    def state(self) -> dict[str, Any]:
        """Rend l’état de la page sans noyau : s’y ajoutent le tokeniseur, les tailles, les poids.

        Ces poids n’y sont que pour un modèle sans adresse, en base 64.
        """
        embedded = [
            None if one["url"] else base64.b64encode(content).decode()
            for one, content in zip(self.models, self._contents, strict=True)
        ]
        return {**super().state(), "parts": self._parts, "embedded": embedded}

    def fallback_html(self) -> str:
        """Rend les tailles des deux modèles, la suite qu’écrit chacun, et un avis."""
        table = html_table(self.preview["headers"], self.preview["rows"], self.preview["caption"])
        texts = (*self.preview["paragraphs"], _NOTICE)
        return table + "".join(f"<p>{html.escape(text)}</p>" for text in texts)


def _check(models: _NAMED, max_new_tokens: int, urls: dict[str, str]) -> None:
    """Vérifie les noms, leur nombre, et les réglages."""
    names = list(models)
    if len(names) != 2:
        raise ValueError(
            f"Il faut exactement deux modèles, l’enseignant puis l’élève ; reçu {len(names)}. "
            'Donnez {"Enseignant": (modèle, tokeniseur), "Élève": (modèle, tokeniseur)}.'
        )
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"Noms reçus : {names}. Chaque modèle porte un nom, qui n’est pas vide.")
    if names[0].strip() == names[1].strip():
        raise ValueError(f"Noms reçus : {names}. Rien ne les distingue à l’écran : changez-en un.")
    if type(max_new_tokens) is not int or max_new_tokens < 1:
        raise ValueError(
            f"max_new_tokens = {max_new_tokens!r} : il faut un entier d’au moins 1, le nombre de "
            "jetons à écrire."
        )
    unknown = sorted(set(urls) - set(names))
    if unknown:
        raise ValueError(
            f"weights_urls donne l’adresse de {', '.join(unknown)} ; les modèles sont "
            f"{' et '.join(names)}. Reprenez leurs noms."
        )


def _config(name: str, model: Decoder, tokenizer: Any) -> Any:
    """Les tailles d’un modèle ; un refus dit duquel il s’agit."""
    try:
        return page_config(model, tokenizer)
    except (TypeError, ValueError) as error:
        raise type(error)(f"« {name} » : {error}") from None


def _shared_tokenizer(models: _NAMED) -> BPETokenizer:
    """Le tokeniseur commun, que la page ne reçoit qu’une fois."""
    (first, one), (second, other) = ((name, pair[1]) for name, pair in models.items())
    if one.to_json() != other.to_json():
        raise ValueError(
            f"« {first} » ({one.vocab_size} jetons) et « {second} » ({other.vocab_size} jetons) "
            "n’ont pas le même tokeniseur. Distillez l’élève avec celui de l’enseignant."
        )
    return one


def _describe(name: str, model: Decoder, content: bytes, url: str | None) -> dict[str, Any]:
    """Ce que la page montre d’un modèle, et où elle prend ses poids."""
    return {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "size": len(content),
        "checksum": weights_checksum(content),
        "url": url,
    }


def _preview(
    models: _NAMED, described: list[dict[str, Any]], prompt: str, max_new_tokens: int
) -> dict[str, Any]:
    """La version figée : les tailles, et la suite la plus probable selon chacun."""
    rows = [
        [
            one["name"],
            format_number(one["parameters"]),
            format_number(one["size"] / 1000, 0) + f"{NO_BREAK}ko",
        ]
        for one in described
    ]
    paragraphs = [
        french_spaces(f"« {name} », le jeton le plus probable à chaque fois : « ")
        + f"{_greedy(*pair, prompt, max_new_tokens)}{NO_BREAK}»."
        for name, pair in models.items()
    ]
    return {"headers": HEADERS, "rows": rows, "caption": _CAPTION, "paragraphs": paragraphs}


def _greedy(model: Decoder, tokenizer: BPETokenizer, prompt: str, max_new_tokens: int) -> str:
    """Le début et sa suite gloutonne, aussi longue que la page l’écrira."""
    room = model.embedding.context_length - len(prompt_ids(model, tokenizer, prompt))
    greedy = SamplingConfig(temperature=0)
    writer = TextGenerator(model, tokenizer)
    return writer.complete(prompt, min(max_new_tokens, room), sampling=greedy)
