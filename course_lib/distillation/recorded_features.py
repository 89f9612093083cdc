"""Ce qu’un modèle calcule en chemin : ses vecteurs cachés, ses cartes d’attention."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from course_lib.transformer import Decoder
from course_lib.transformer.recording import recorded_weights


@dataclass
class Features:
    """Ce qu’un modèle a calculé en chemin, étage par étage.

    `hidden` : la sortie de chaque bloc, (B, T, D) ; `attention` : ses poids, (B, H, T, T).
    """

    hidden: list[Tensor] = field(default_factory=list)
    attention: list[Tensor] = field(default_factory=list)

    def to(self, device: torch.device) -> "Features":
        """Les mêmes, sur cet appareil."""
        return Features(*([t.to(device) for t in ts] for ts in (self.hidden, self.attention)))


@contextmanager
def recorded_features(model: Decoder, attention: bool = False) -> Iterator[Features]:
    """Recueille les vecteurs cachés de la prochaine passe, et les attentions si on les demande.

    Ils gardent leur gradient : on peut en faire une perte. Plusieurs relevés d’un même modèle
    peuvent être ouverts à la fois.
    """
    features = Features()

    def keep_hidden(module, args, output):
        features.hidden.append(output)

    with ExitStack() as hooks:
        for block in model.blocks:
            hooks.enter_context(block.register_forward_hook(keep_hidden))
            if attention:
                recorder = recorded_weights(block.self_attention, features.attention.append)
                hooks.enter_context(recorder)
        yield features
