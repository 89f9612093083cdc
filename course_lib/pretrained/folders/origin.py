"""Ce qu’un modèle chargé garde de ses fichiers, pour que les enregistrer n’en perde rien.

`load_pretrained` ne charge d’un long contexte que 8 192 positions, et ne se sert ni des réglages de
génération ni de ceux du tokeniseur. `save_folder` et `save_gguf` les retrouvent ici, par
`model.origin`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from course_lib.pretrained.chat import ChatTemplate


@dataclass(frozen=True)
class Origin:
    """D’où vient un modèle chargé.

    `context_length` : les positions où le fichier et nous faisons le même calcul. `settings`,
    `generation`, `tokenizer_settings` : le contenu de config.json, de generation_config.json et de
    tokenizer_config.json, vides pour un GGUF. `tokenizer` : celui du modèle ; avec un autre, fins
    de réponse et gabarit ne voudraient plus rien dire.
    """

    family: str
    context_length: int
    tokenizer: object
    eos_ids: tuple[int, ...] = ()
    chat_template: ChatTemplate | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    generation: Mapping[str, object] = field(default_factory=dict)
    tokenizer_settings: Mapping[str, object] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict) -> "Origin":
        return self  # la copie d’un modèle vient du même fichier, et rien ici ne change


def origin_of(model: nn.Module, tokenizer: object | None = None) -> Origin | None:
    """L’origine d’un modèle chargé, None s’il ne vient pas d’un fichier.

    `tokenizer` : None aussi si le modèle n’est pas venu avec celui-ci.
    """
    origin = getattr(model, "origin", None)
    if not isinstance(origin, Origin):
        return None
    return origin if tokenizer is None or origin.tokenizer is tokenizer else None
