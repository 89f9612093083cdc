"""Un extrait inventé, pour voir ce que le modèle vient d’apprendre : tirage à température."""

from torch import Tensor, nn

from course_lib.generation import SamplingConfig, generate


def sample_ids(
    model: nn.Module, prompt: Tensor, n_tokens: int, temperature: float, seed: int
) -> list[int]:
    """Prolonge `prompt` (T,) de `n_tokens` jetons tirés de softmax(scores / température).

    À la température 0, le plus probable est toujours choisi. Quand le contexte est plein, le modèle
    relit sa seconde moitié et continue. Erreurs de `generate`.
    """
    sampling = SamplingConfig(temperature)
    (written,) = generate(model, [prompt.tolist()], n_tokens, sampling=sampling, seed=seed)
    return written.ids
