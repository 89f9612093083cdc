"""Vitesse d’entraînement : notre Llama et notre boucle face à `LlamaForCausalLM`, même forme.

    python benchmarks/training.py

Les deux modèles lisent les mêmes lots, avec le même optimiseur et le même écrêtage, à tour de rôle
dans un seul processus. On compte le temps de processeur, que les autres programmes ne faussent
pas ; seul le rapport a un sens d’une machine à l’autre.
"""

import statistics
import time

import torch
from torch import nn
from transformers import LlamaConfig as ReferenceConfig
from transformers import LlamaForCausalLM

from course_lib.training import TokenStream, TrainingConfig, build_optimizer, train
from course_lib.training.arguments import FrenchArgumentParser
from course_lib.transformer import LlamaConfig, count_parameters, llama
from course_lib.typography import format_number

SHAPE = {"vocab_size": 89, "d_model": 128, "n_layers": 3, "n_heads": 4, "d_ff": 352}
CONTEXT, BATCH = 128, 16


def reference_model() -> LlamaForCausalLM:
    """Le modèle de `transformers`, de la même forme que le nôtre."""
    return LlamaForCausalLM(
        ReferenceConfig(
            vocab_size=SHAPE["vocab_size"],
            hidden_size=SHAPE["d_model"],
            intermediate_size=SHAPE["d_ff"],
            num_hidden_layers=SHAPE["n_layers"],
            num_attention_heads=SHAPE["n_heads"],
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            use_cache=False,
            attn_implementation="sdpa",
        )
    ).train()


def time_ours(model: nn.Module, data: TokenStream, config: TrainingConfig) -> float:
    """Secondes de processeur de notre boucle, relevés compris."""
    start = time.process_time()
    train(model, data, config, progress=False)
    return time.process_time() - start


def time_reference(model: nn.Module, data: TokenStream, config: TrainingConfig) -> float:
    """Secondes de processeur de la boucle la plus nue autour du modèle de référence."""
    start = time.process_time()
    optimizer = build_optimizer(model, config)
    for step in range(config.n_steps):
        inputs, targets = data.batch(step)
        logits = model(input_ids=inputs).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
    return time.process_time() - start


def main() -> None:
    """Alterne les deux boucles et affiche les débits médians et leur rapport."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=9, help="nombre de tours")
    parser.add_argument("--steps", type=int, default=12, help="pas par tour")
    parser.add_argument("--threads", type=int, default=1, help="fils de calcul")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(SHAPE["vocab_size"], (200_000,), generator=generator)
    data = TokenStream(ids, CONTEXT, BATCH)
    config = TrainingConfig(n_steps=options.steps, n_threads=options.threads)
    ours, reference = llama(LlamaConfig(context_length=CONTEXT, **SHAPE)), reference_model()
    assert count_parameters(ours) == count_parameters(reference)
    pairs = []
    for repetition in range(options.repetitions + 1):
        pair = time_ours(ours, data, config), time_reference(reference, data, config)
        if repetition:  # la première fois ne sert qu’à échauffer la machine
            pairs.append(pair)
    tokens = options.steps * CONTEXT * BATCH
    for name, times in zip(("cours", "transformers"), zip(*pairs, strict=True), strict=True):
        rate = tokens / statistics.median(times)
        print(f"{name:12} : {format_number(rate, 0)} jetons par seconde de processeur")
    ratio = statistics.median(reference / ours for ours, reference in pairs)
    print(
        f"Notre boucle va {format_number(ratio, 2)} fois aussi vite que celle de transformers "
        f"({format_number(count_parameters(ours), 0)} paramètres, {options.threads} fil)."
    )


if __name__ == "__main__":
    main()
