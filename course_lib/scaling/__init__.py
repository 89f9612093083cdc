"""Ce que coûte un modèle : paramètres, calcul, mémoire, machines, et lois d’échelle."""

from course_lib.scaling import chinchilla
from course_lib.scaling.flops import (
    approximate_flops_per_token,
    forward_flops,
    forward_flops_per_token,
    training_flops,
    training_flops_per_token,
)
from course_lib.scaling.laws import PowerLaw, fit_power_law
from course_lib.scaling.machines import (
    MACHINES,
    Machine,
    TrainingCost,
    decoding_speed,
    find_machine,
    training_cost,
)
from course_lib.scaling.memory import (
    BYTES,
    Memory,
    activation_numbers,
    inference_memory,
    kv_cache_bytes,
    training_memory,
)
from course_lib.scaling.models import MODELS, Adjustment, Model, find_model
from course_lib.scaling.parameters import (
    PART_LABELS,
    active_parameters,
    count_by_formula,
    parameter_breakdown,
)
from course_lib.transformer.meta import build_on_meta

__all__ = [
    "BYTES",
    "MACHINES",
    "MODELS",
    "PART_LABELS",
    "Adjustment",
    "Machine",
    "Memory",
    "Model",
    "PowerLaw",
    "TrainingCost",
    "activation_numbers",
    "active_parameters",
    "approximate_flops_per_token",
    "build_on_meta",
    "chinchilla",
    "count_by_formula",
    "decoding_speed",
    "find_machine",
    "find_model",
    "fit_power_law",
    "forward_flops",
    "forward_flops_per_token",
    "inference_memory",
    "kv_cache_bytes",
    "parameter_breakdown",
    "training_cost",
    "training_flops",
    "training_flops_per_token",
    "training_memory",
]
