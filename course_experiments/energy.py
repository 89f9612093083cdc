"""L’énergie d’un mot écrit : taille du modèle, mémoire cache, taille du lot.

    python -m course_experiments.energy --repeats 0 1 2

Ce qui est mesuré, c’est le temps de calcul par jeton, sur un seul fil. Les joules sont mesurés eux
aussi si la machine a un compteur, sinon estimés : `measured` et `method` le disent.
Les poids sont tirés au sort : ce que coûte un jeton ne dépend pas de ce que le modèle a appris.
Les mesures vont dans `results/energy.json` ; une commande interrompue reprend où elle en était.
"""

from dataclasses import dataclass
from functools import cache

import torch

from course_experiments.experiment import Experiment
from course_lib.footprint import WATTS_PER_CORE, EnergyMeter, footprint_from_flops
from course_lib.generation import CachedReader, RereadingReader, generate
from course_lib.scaling import MACHINES, count_by_formula, forward_flops
from course_lib.scaling.anatomy import anatomy
from course_lib.transformer import LlamaConfig, llama

LAPTOP = "portable (2 cœurs)"


@dataclass(frozen=True)
class Budget:
    """Modèles (largeur, étages), longueurs, et temps de calcul au moins passé à chaque mesure."""

    sizes: tuple[tuple[int, int], ...] = ((64, 2), (128, 4), (256, 6), (512, 6))
    vocab_size: int = 1000
    prompt_length: int = 16
    new_tokens: int = 48
    batch_sizes: tuple[int, ...] = (1, 16)
    min_cpu_seconds: float = 0.5
    watts_per_core: float = WATTS_PER_CORE

    def config(self, d_model: int, n_layers: int) -> LlamaConfig:
        """La configuration d’une taille ; des têtes de 32."""
        context = self.prompt_length + self.new_tokens
        return LlamaConfig(self.vocab_size, context, d_model, n_layers, max(1, d_model // 32))


def writing_flops(config: object, prompt_length: int, new_tokens: int, use_cache: bool) -> float:
    """Opérations pour écrire `new_tokens` jetons après une amorce, par texte.

    La tête ne sert qu’à la dernière position lue. Avec la mémoire cache, chaque jeton n’est lu
    qu’une fois, et compare sa requête aux clés déjà gardées ; sans elle, tout est relu.
    """
    head = 2 * anatomy(config).head_matrices
    lengths = range(prompt_length, prompt_length + new_tokens)  # textes lus à chaque tour
    if not use_cache:
        return sum(forward_flops(config, length) - head * (length - 1) for length in lengths)
    first = forward_flops(config, prompt_length) - head * (prompt_length - 1)
    read_once = [forward_flops(config, length, skip_masked=True) for length in lengths]
    return first + read_once[-1] - read_once[0]


def measure_writing(
    model: torch.nn.Module, budget: Budget, batch_size: int, use_cache: bool, seed: int
) -> dict:
    """Écrit jusqu’à `min_cpu_seconds` de calcul ; rend le temps et l’énergie par jeton."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch_size, budget.prompt_length)
    prompts = torch.randint(budget.vocab_size, shape, generator=generator).tolist()
    reader = CachedReader if use_cache else RereadingReader
    generate(model, prompts, 2, reader=reader)  # les premiers appels préparent la mémoire
    cpu_seconds = joules = 0.0
    tokens = 0
    while cpu_seconds < budget.min_cpu_seconds:
        with EnergyMeter() as meter:
            written = generate(model, prompts, budget.new_tokens, reader=reader, seed=seed)
        tokens += sum(len(text.ids) for text in written)
        cpu_seconds += meter.footprint.cpu_seconds
        joules += meter.footprint.joules
    return {
        "batch_size": batch_size,
        "use_cache": use_cache,
        "tokens": tokens,
        "cpu_seconds_per_token": cpu_seconds / tokens,
        "joules_per_token": joules / tokens,
        "measured": meter.footprint.measured,
        "method": meter.footprint.method,
    }


def measure(name: str, seed: int, budget: Budget) -> dict:
    """Toutes les mesures d’une taille, « largeur-étages » ; `seed` tire poids et amorces."""
    warm_up(budget)
    config = budget.config(*map(int, name.split("-")))
    model, settings = llama(config, seed).eval(), []
    for use_cache in (True, False):
        lengths = (budget.prompt_length, budget.new_tokens)
        flops = writing_flops(config, *lengths, use_cache) / budget.new_tokens
        estimate = footprint_from_flops(flops, MACHINES[LAPTOP])
        estimated = {
            "flops_per_token": flops,
            "joules_per_token_from_flops": estimate.joules,
            "method_from_flops": estimate.method,
        }
        settings += [
            measure_writing(model, budget, batch_size, use_cache, seed) | estimated
            for batch_size in budget.batch_sizes
        ]
    return {"parameters": count_by_formula(config), "settings": settings}


@cache
def warm_up(budget: Budget) -> None:
    """Une fois par commande, écrit avec la plus petite taille : à froid, on calcule moins vite."""
    model = llama(budget.config(*budget.sizes[0]), 0).eval()
    for use_cache in (True, False):
        for batch_size in budget.batch_sizes:
            measure_writing(model, budget, batch_size, use_cache, 0)


EXPERIMENT = Experiment(
    "energy",
    "Mesure le temps de calcul et l’énergie d’un jeton écrit.",
    Budget(),
    [f"{d_model}-{n_layers}" for d_model, n_layers in Budget().sizes],
    measure,
    seeds_option=("--repeats", "répétitions"),
    digits=9,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
