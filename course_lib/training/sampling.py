"""Un extrait inventé, pour voir ce que le modèle vient d’apprendre : tirage à température.

C’est le strict nécessaire à la fin d’un entraînement.
"""

import torch
from torch import Tensor, nn

_COLD = 1e-6


@torch.no_grad()
def sample_ids(
    model: nn.Module, prompt: Tensor, n_tokens: int, temperature: float, seed: int
) -> list[int]:
    """Prolonge `prompt` (T,) de `n_tokens` jetons tirés de softmax(scores / température).

    À la température 0, le plus probable est toujours choisi.
    Quand le contexte est plein, le modèle relit sa seconde moitié et continue.
    """
    generator = torch.Generator().manual_seed(seed)
    length = model.embedding.context_length
    ids = prompt.tolist()
    unread, cache = ids[-max(1, length // 2) :], model.new_cache(1)
    for _ in range(n_tokens):
        if cache.length + len(unread) > length:
            unread, cache = ids[-max(1, length // 2) :], model.new_cache(1)
        logits = model(torch.tensor([unread]), cache=cache)[0, -1]  # (V,)
        if temperature < _COLD:  # diviser par si peu déborderait
            unread = [int(logits.argmax())]
        else:
            probabilities = torch.softmax(logits / temperature, dim=-1)
            unread = [int(torch.multinomial(probabilities, 1, generator=generator))]
        ids += unread
    return ids[len(prompt) :]
