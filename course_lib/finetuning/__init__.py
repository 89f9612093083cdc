"""L’affinage : poursuivre l’entraînement d’un modèle, en entier ou par une petite partie."""

from course_lib.finetuning.adapter_files import load_adapter, save_adapter
from course_lib.finetuning.bottleneck import (
    BottleneckLinear,
    attach_bottleneck,
    detach_bottlenecks,
)
from course_lib.finetuning.examples import AnswerExamples, ReplayMix
from course_lib.finetuning.lora import (
    LoRALinear,
    activate_adapter,
    adapter_names,
    attach_lora,
    detach_adapters,
    merge_adapter,
    unmerge_adapters,
)
from course_lib.finetuning.lora_weights import LoRAConfig
from course_lib.finetuning.packing import PackedExamples, pack_examples, packed_loss
from course_lib.finetuning.selection import (
    count_trainable,
    freeze,
    train_biases,
    train_only,
    weight_fingerprint,
)
from course_lib.finetuning.soft_prompt import attach_soft_prompt, detach_soft_prompt

__all__ = [
    "AnswerExamples",
    "BottleneckLinear",
    "LoRAConfig",
    "LoRALinear",
    "PackedExamples",
    "ReplayMix",
    "activate_adapter",
    "adapter_names",
    "attach_bottleneck",
    "attach_lora",
    "attach_soft_prompt",
    "count_trainable",
    "detach_adapters",
    "detach_bottlenecks",
    "detach_soft_prompt",
    "freeze",
    "load_adapter",
    "merge_adapter",
    "pack_examples",
    "packed_loss",
    "save_adapter",
    "train_biases",
    "train_only",
    "unmerge_adapters",
    "weight_fingerprint",
]
