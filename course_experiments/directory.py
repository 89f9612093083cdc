"""Un annuaire à apprendre par cœur : ce que des paramètres de plus permettent de retenir.

    python -m course_experiments.directory --seeds 0 1 2

Chaque fait donne à un couple (prénom, nom) une ville tirée au hasard : aucune règle ne la devine,
il faut la retenir. Un modèle qui accorde à la bonne ville la probabilité q en a retenu
log₂ V + log₂ q bits, sur les log₂ V qu’elle vaut. Seule la largeur change d’un modèle à l’autre.
"""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from course_experiments.experiment import Experiment
from course_lib.training import TrainingConfig, train
from course_lib.training.data import IGNORE
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama

WIDTHS = (8, 12, 16, 20, 24, 32, 48)
MIN_HEAD_DIM, MAX_HEADS = 8, 4


@dataclass(frozen=True)
class Directory:
    """Les tailles de l’annuaire et le budget de lectures, les mêmes pour tous les modèles."""

    n_first_names: int = 128
    n_last_names: int = 64
    n_cities: int = 128
    passes: int = 100
    batch_size: int = 256
    learning_rate: float = 1e-2

    @property
    def n_facts(self) -> int:
        """Un fait par couple (prénom, nom)."""
        return self.n_first_names * self.n_last_names

    @property
    def vocab_size(self) -> int:
        return self.n_first_names + self.n_last_names + self.n_cities

    @property
    def total_bits(self) -> float:
        """Ce que l’annuaire contient d’imprévisible."""
        return self.n_facts * math.log2(self.n_cities)


def draw_facts(directory: Directory, seed: int) -> Tensor:
    """Tire l’annuaire : ids (faits, 3) du prénom, du nom et de la ville."""
    first = torch.arange(directory.n_first_names).repeat_interleave(directory.n_last_names)
    last = torch.arange(directory.n_last_names).repeat(directory.n_first_names)
    generator = torch.Generator().manual_seed(seed)
    city = torch.randint(directory.n_cities, (directory.n_facts,), generator=generator)
    offsets = (0, directory.n_first_names, directory.n_first_names + directory.n_last_names)
    return torch.stack((first, last, city), dim=1) + torch.tensor(offsets)


class FactBatches:
    """Les faits mélangés à chaque lecture : on lit le prénom et le nom, on doit la ville."""

    def __init__(self, facts: Tensor, batch_size: int, seed: int):
        self.facts, self.batch_size, self.seed = facts, batch_size, seed
        self.steps_per_pass = len(facts) // batch_size

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Entrées et cibles (B, 2) ; seule la ville compte."""
        one_pass, position = divmod(step, self.steps_per_pass)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + one_pass)
        order = torch.randperm(len(self.facts), generator=generator)
        rows = self.facts[order[position * self.batch_size : (position + 1) * self.batch_size]]
        targets = rows[:, 1:].clone()
        targets[:, 0] = IGNORE
        return rows[:, :2], targets

    def fingerprint(self) -> str:
        """Ce qui distingue ces données."""
        return f"annuaire {len(self.facts)} {self.batch_size} {self.seed}"


def build_model(d_model: int, directory: Directory, seed: int) -> Decoder:
    """Un décodeur à deux étages de la largeur donnée."""
    n_heads = max(1, min(MAX_HEADS, d_model // MIN_HEAD_DIM))
    return llama(LlamaConfig(directory.vocab_size, 4, d_model, 2, n_heads), seed)


@torch.no_grad()
def recall(model: Decoder, facts: Tensor, directory: Directory) -> dict[str, float]:
    """Part des villes retrouvées, bits retenus en tout et par paramètre."""
    log_probs = model(facts[:, :2])[:, -1].log_softmax(-1)  # (faits, V)
    chosen = log_probs.gather(1, facts[:, 2:])[:, 0]
    bits = float((math.log2(directory.n_cities) + chosen.double() / math.log(2)).sum())
    return {
        "recalled": float((log_probs.argmax(-1) == facts[:, 2]).float().mean()),
        "bits": bits,
        "bits_per_parameter": bits / count_parameters(model),
    }


def run(
    d_model: int, directory: Directory, seed: int, *, progress: bool = True
) -> tuple[Decoder, dict]:
    """Entraîne et interroge un modèle : (modèle, mesures)."""
    facts = draw_facts(directory, seed)
    data = FactBatches(facts, directory.batch_size, seed)
    n_steps = directory.passes * data.steps_per_pass
    model = build_model(d_model, directory, seed)
    config = TrainingConfig(
        n_steps, directory.learning_rate, weight_decay=0.0, seed=seed, n_threads=1
    )
    start = time.process_time()
    train(model, data, config, progress=progress)
    seconds = time.process_time() - start
    measures = {"size": count_parameters(model), "cpu_seconds": seconds}
    return model, measures | recall(model, facts, directory)


def measure(name: str, seed: int, directory: Directory) -> dict:
    """Les mesures d’une largeur."""
    return run(int(name), directory, seed)[1]


EXPERIMENT = Experiment(
    "directory",
    "Fait apprendre un annuaire par cœur à des modèles de plus en plus larges.",
    Directory(),
    [str(width) for width in WIDTHS],
    measure,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
