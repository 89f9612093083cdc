"""Un modèle qui grandit : du bigramme au petit GPT, et ce que chaque pièce fait gagner.

    python -m course_experiments.growing_model                  budget court, trois graines
    python -m course_experiments.growing_model --budget long    quatre fois plus de pas

Huit modèles lisent les mêmes micro-histoires, dans le même ordre, au même taux ; chacun a une pièce
de plus que le précédent. Les pièces viennent de la bibliothèque. Le chapitre « Le Transformer » les
récrit en quelques lignes, vérifie qu’elles calculent la même chose, et entraîne les siennes. Les
mesures vont dans `results/growing_model.json`.
"""

from argparse import Namespace
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from course_experiments.experiment import Experiment
from course_lib.arguments import FrenchArgumentParser
from course_lib.evaluation.story_task import StoryTask, build_task, score_network
from course_lib.training import TrainingConfig, token_loss, train
from course_lib.transformer import Attention, FeedForward, count_parameters
from course_lib.transformer.positions import SinusoidalPositions

STAGES = (
    "bigramme",
    "attention",
    "résidu",
    "positions",
    "têtes",
    "réseau",
    "norme",
    "deux blocs",
)
BUDGETS = {"court": 150, "long": 600}  # pas
# Au budget long, les trois dernières : que valent norme et profondeur, avec du temps ?
MEASURED = {"court": STAGES, "long": STAGES[-3:]}


@dataclass(frozen=True)
class Settings:
    """Tailles du modèle, histoires de la mesure, taille des lots, pas, taux d’apprentissage."""

    d_model: int = 32
    n_heads: int = 4
    context_length: int = 192
    held_out_stories: int = 100
    batch_size: int = 8
    steps: dict[str, int] = field(default_factory=lambda: BUDGETS)
    learning_rate: float = 2e-2


class CausalAttention(nn.Module):
    """L’attention de la bibliothèque, où chaque jeton ne lit que son passé et lui-même."""

    def __init__(self, d_model: int, n_heads: int, mixed: bool):
        super().__init__()
        self.attention = Attention(d_model, n_heads, bias=False, output_bias=True)
        if not mixed:  # une seule tête : rien à mélanger
            self.attention.output = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, is_causal=True)


class Residual(nn.Module):
    """x + sous-couche(norme(x))."""

    def __init__(self, sublayer: nn.Module, norm: nn.Module):
        super().__init__()
        self.sublayer, self.norm = sublayer, norm

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sublayer(self.norm(x))


class PlacedEmbedding(nn.Module):
    """Le plongement de chaque jeton, plus le vecteur de sa position."""

    def __init__(self, vocab_size: int, d_model: int, context_length: int):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.positions = SinusoidalPositions(context_length, d_model)

    def forward(self, ids: Tensor) -> Tensor:
        return self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))


def build(stage: str, vocab_size: int, settings: Settings) -> nn.Sequential:
    """Le modèle de cette étape, qui a toutes les pièces des étapes d’avant.

    ValueError si l’étape n’existe pas.
    """
    if stage not in STAGES:
        raise ValueError(f"Étape inconnue : {stage!r}. Choisissez parmi {', '.join(STAGES)}.")

    def has(piece: str) -> bool:
        return STAGES.index(stage) >= STAGES.index(piece)

    width = settings.d_model
    layers: list[nn.Module] = [nn.Embedding(vocab_size, width)]
    if has("positions"):
        layers = [PlacedEmbedding(vocab_size, width, settings.context_length)]

    def norm() -> nn.Module:
        return nn.LayerNorm(width) if has("norme") else nn.Identity()

    for _ in range(2 if has("deux blocs") else 1):
        sublayers: list[nn.Module] = []
        if has("attention"):
            n_heads = settings.n_heads if has("têtes") else 1
            sublayers.append(CausalAttention(width, n_heads, mixed=has("têtes")))
        if has("réseau"):
            sublayers.append(FeedForward(width, 4 * width))
        layers += [Residual(layer, norm()) for layer in sublayers] if has("résidu") else sublayers
    return nn.Sequential(*layers, norm(), nn.Linear(width, vocab_size))


def stories(seed: int, n_steps: int, settings: Settings) -> StoryTask:
    """Les histoires d’une graine, chacune lue une fois, et celles de la mesure."""
    return build_task(n_steps * settings.batch_size, settings.held_out_stories, seed)


def grow(model: nn.Module, task: StoryTask, seed: int, n_steps: int, settings: Settings) -> float:
    """Entraîne un modèle et le mesure : nats par histoire au-dessus de l’entropie exacte.

    `model` change des ids (B, T) en scores (B, T, V).
    """
    config = TrainingConfig(n_steps, settings.learning_rate, seed=seed, n_threads=1)
    data = task.batches(settings.batch_size, seed)
    train(model, data, config, loss=token_loss, progress=False)
    return score_network(model, task).kl


def measure(name: str, seed: int, settings: Settings) -> dict:
    """Bâtit, entraîne et mesure le modèle d’une étape, à un budget : « têtes court »."""
    stage, budget = name.rsplit(" ", 1)
    n_steps = settings.steps[budget]
    task = stories(seed, n_steps, settings)
    torch.manual_seed(seed)
    model = build(stage, task.tokenizer.vocab_size, settings)
    kl = grow(model, task, seed, n_steps, settings)
    return {"parameters": count_parameters(model), "kl": kl}


def names(budget: str) -> list[str]:
    """Les noms d’un budget au relevé : « bigramme court »…"""
    return [f"{stage} {budget}" for stage in MEASURED[budget]]


def add_options(parser: FrenchArgumentParser) -> None:
    """Le budget."""
    parser.add_argument(
        "--budget", choices=list(BUDGETS), default="court", help="pas d’entraînement (court)"
    )


def adapt(experiment: Experiment, options: Namespace) -> Experiment:
    """Les étapes, au budget demandé."""
    return replace(experiment, names=names(options.budget))


EXPERIMENT = Experiment(
    "growing_model",
    "Mesure ce que chaque pièce du Transformer fait gagner, du bigramme au petit GPT.",
    Settings(),
    names("court"),
    measure,
    seeds=range(3),
    add_options=add_options,
    adapt=adapt,
)


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
