"""Ce que les deux façons d’enregistrer ont en commun : vérifier le modèle, en tirer les poids."""

import torch
from torch import Tensor, nn

from course_lib.pretrained.chat import ChatTemplate
from course_lib.pretrained.families import Config
from course_lib.pretrained.folders.origin import Origin
from course_lib.tokenization import Tokenizer
from course_lib.tokenization.shared import SharedTokenizer
from course_lib.transformer import Decoder
from course_lib.transformer.recognition import config_of


def check_pair(model: Decoder, tokenizer: Tokenizer | SharedTokenizer) -> Config:
    """La configuration du modèle ; ValueError s’il ne va pas avec ce tokeniseur."""
    _check_tied(model)
    config = config_of(model)
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"Le tokeniseur a {tokenizer.vocab_size} jetons et le modèle n’en connaît que "
            f"{config.vocab_size} : donnez celui avec lequel le modèle a appris."
        )
    return config


def _check_tied(model: nn.Module) -> None:
    """Un modèle de type GPT-2 a une tête liée ; LoRA la délie, s’il la corrige."""
    if (
        isinstance(model, Decoder)
        and model.embedding.positions is not None
        and isinstance(model.norm, nn.LayerNorm)
        and isinstance(model.head, nn.Linear)
        and model.head.weight is not model.embedding.tokens.weight
    ):
        raise ValueError(
            "La tête de ce modèle n’est pas liée aux embeddings, et celle d’un GPT-2 l’est. Si un "
            "adaptateur la corrige, retirez-le (detach_adapters) et visez d’autres couches que "
            "« head », ou gardez-le à part (save_adapter)."
        )


def named_weights(model: Decoder) -> dict[str, Tensor]:
    """Nos poids en F32 ; des poids liés n’y figurent qu’une fois."""
    weights = {}
    for name, parameter in model.named_parameters():
        weight = parameter.detach().to("cpu", torch.float32)
        if not bool(weight.isfinite().all()):
            raise ValueError(
                f"« {name} » contient une valeur qui n’est pas un nombre fini : l’entraînement "
                "a-t-il divergé ?"
            )
        weights[name] = weight
    return weights


def chosen_template(template: ChatTemplate | str | None, origin: Origin | None) -> object:
    """Le gabarit donné, ou celui du fichier dont vient le modèle ; « "" » n’en met aucun."""
    if template is None and origin is not None:
        return origin.chat_template
    return template or None


def template_source(template: ChatTemplate | str) -> str:
    """Le texte d’un gabarit."""
    return template if isinstance(template, str) else template.source
