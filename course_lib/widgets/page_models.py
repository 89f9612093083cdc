"""Ce qu’il faut à un modèle pour tourner dans la page : des refus clairs, ses poids, leur envoi."""

import json
import zlib
from pathlib import Path
from typing import Any

import traitlets

from course_lib.pretrained.gguf.reader import GGUFFile
from course_lib.tokenization import BPETokenizer
from course_lib.tokenization.patterns import GPT2_PATTERN, SINGLE_DIGIT
from course_lib.transformer import Decoder, LlamaConfig
from course_lib.transformer.recognition import config_of
from course_lib.typography import french_spaces
from course_lib.widgets.tokenizer import javascript_pattern

PAGE_FORMATS = ("F32", "F16", "Q8_0", "Q3_K", "Q4_K", "Q6_K", "IQ4_XS")  # ceux de llm_kernels.c
MOST_COLUMNS = 16384  # la plus longue ligne qu’il déplie
MIN_P = 0.1  # le réglage d’ouverture : les suites invraisemblables sont écartées
LAST_SPACES = " \u00a0\u202f\t"  # en fin de texte, la page les ignore
PATTERNS = {
    "word": javascript_pattern(GPT2_PATTERN.pattern),
    "digit": javascript_pattern(SINGLE_DIGIT.pattern),
}


class WeightsOnRequest(traitlets.HasTraits):
    """Dans un cahier, envoie `_parts` (JSON) et `_content` (octets) quand la page les demande.

    Vides le reste du temps : un cahier enregistré reste léger.
    """

    requested = traitlets.Bool(False).tag(sync=True)
    definition = traitlets.Unicode().tag(sync=True)
    weights = traitlets.Bytes(b"").tag(sync=True)
    _parts: dict[str, Any]
    _content: bytes

    @traitlets.observe("requested")
    def _send_weights(self, change: Any) -> None:
        """Répond à la page : le tokeniseur et les tailles, puis les poids ; les reprend ensuite."""
        wanted = change["new"]
        self.definition = json.dumps(self._parts, ensure_ascii=False) if wanted else ""
        self.weights = self._content if wanted else b""


def static_notice(need: str) -> str:
    """L’avis de la version figée ; `need` : ce qui s’exécute, jusqu’à « il lui faut »."""
    return french_spaces(
        f"Version figée. Ici, {need} JavaScript, et une page servie par un serveur (par exemple "
        "avec « python cours.py livre »), non ouverte comme un simple fichier."
    )


def page_config(model: Decoder, tokenizer: Any) -> LlamaConfig:
    """Les tailles d’un modèle que la page sait faire tourner avec ce tokeniseur.

    ValueError si le modèle n’est pas de type Llama, si le tokeniseur coupe les mots autrement que
    GPT-2 ou SmolLM2, ou si les vocabulaires diffèrent ; TypeError pour un autre tokeniseur.
    """
    config = _llama_config(model)
    if not isinstance(tokenizer, BPETokenizer):
        raise TypeError(
            f"Le tokeniseur est un {type(tokenizer).__name__} ; il faut un BPETokenizer de "
            "course_lib.tokenization, le seul que la page sache refaire ici."
        )
    _ = tokenizer.isolate_digits  # ValueError pour un découpage que la page ne sait pas refaire
    if tokenizer.vocab_size != config.vocab_size:
        raise ValueError(
            f"Le modèle connaît {config.vocab_size} jetons et le tokeniseur "
            f"{tokenizer.vocab_size} : donnez le tokeniseur avec lequel le modèle a appris."
        )
    return config


def check_page_formats(path: str | Path) -> None:
    """Vérifie que la page sait lire un GGUF : ses formats de nombres et la largeur de ses lignes.

    ValueError, qui nomme le tenseur ; FileNotFoundError si le fichier manque.
    """
    with GGUFFile(path) as file:
        for info in file.tensors.values():
            norm = len(info.shape) == 1
            if info.kind not in ("F32",) if norm else info.kind not in PAGE_FORMATS:
                raise ValueError(
                    f"« {info.name} » est en {info.kind} ; la page lit "
                    f"{'F32 pour une norme' if norm else ', '.join(PAGE_FORMATS)}. Écrivez le "
                    "fichier dans un de ces formats."
                )
            if info.shape[-1] % 4 or info.shape[-1] > MOST_COLUMNS:
                raise ValueError(
                    f"« {info.name} » a des lignes de {info.shape[-1]} nombres ; la page les lit "
                    f"quatre par quatre, {MOST_COLUMNS} au plus. Choisissez un autre modèle."
                )


def _llama_config(model: Decoder) -> LlamaConfig:
    """Les tailles d’un décodeur de type Llama. ValueError si la page ne sait pas le refaire."""
    try:
        config = config_of(model)
    except ValueError:
        config = None
    if not isinstance(config, LlamaConfig):
        raise ValueError(
            f"{type(model).__name__} n’est pas un décodeur de type Llama (positions rotatives, "
            "SwiGLU, sans biais). Construisez-le avec llama(LlamaConfig(…))."
        )
    if config.attention_bias or config.qk_norm or config.rope_scaling is not None:
        raise ValueError(
            f"attention_bias = {config.attention_bias}, qk_norm = {config.qk_norm}, rope_scaling = "
            f"{config.rope_scaling} : la page du cours ne sait refaire aucun des trois. Choisissez "
            "un modèle qui s’en passe."
        )
    return config


def prompt_ids(model: Decoder, tokenizer: BPETokenizer, prompt: str) -> list[int]:
    """Les jetons du texte de départ, après `<bos>` et sans l’espace finale.

    ValueError s’ils ne laissent aucune place.
    """
    start = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    ids = start + tokenizer.encode(prompt.rstrip(LAST_SPACES))
    limit = model.embedding.context_length
    if not 1 <= len(ids) < limit:
        raise ValueError(
            f"Le texte de départ compte {len(ids)} jetons ; il en faut de 1 à {limit - 1}, pour "
            "que le modèle puisse en ajouter un."
        )
    return ids


def weights_checksum(content: bytes) -> int:
    """Somme CRC-32 des nombres d’un fichier safetensors, son en-tête mis à part."""
    start = 8 + int.from_bytes(content[:8], "little")
    return zlib.crc32(content[start:])
