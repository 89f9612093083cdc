"""Deux minutes pour savoir si le cours marche sur votre appareil : GPU, Mac, ou processeur.

    python benchmarks/device_check.py [--device auto|cpu|cuda|mps]

On entraîne, on tue, on reprend au bit près (AdamW, Muon) ; on écrit, et le processeur relit ; un
adaptateur LoRA fait l’aller et retour ; seize bits, accumulation, compilation ; enfin la vitesse,
face à `transformers` de même forme s’il est installé. Chaque ligne dit ce qui a été comparé ; la
commande finit par 1 si l’une d’elles est fausse.
"""

import copy
import functools
import importlib.util
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from course_lib.arguments import FrenchArgumentParser
from course_lib.finetuning import LoRAConfig, attach_lora, load_adapter, merge_adapter, save_adapter
from course_lib.generation import SamplingConfig, continuation_log_probs, generate
from course_lib.training import (
    TokenStream,
    TrainingConfig,
    build_optimizer,
    find_device,
    language_model_loss,
    train,
)
from course_lib.transformer import Decoder, LlamaConfig, count_parameters, llama
from course_lib.typography import format_number

VOCAB_SIZE, N_STEPS, KILLED_AT = 512, 12, 8
SMALL = LlamaConfig(VOCAB_SIZE, 64, 64, 2, 4, d_ff=192, dropout=0.1)
LARGE = LlamaConfig(VOCAB_SIZE, 512, 512, 8, 8, d_ff=1376, dropout=0.1)
BATCH = {SMALL: 8, LARGE: 16}
Line = tuple[str, bool, str]  # ce que l’on a vérifié, si c’est vrai, la mesure


def text(shape: LlamaConfig) -> TokenStream:
    """Un texte inventé, où chaque jeton dépend des deux précédents."""
    ids = [1, 2]
    while len(ids) < 60 * shape.context_length * BATCH[shape]:
        ids.append((5 * ids[-1] + 3 * ids[-2] + (len(ids) % 11 == 0)) % VOCAB_SIZE)
    return TokenStream(ids, shape.context_length, BATCH[shape], seed=1)


def settings(device: str, **changes) -> TrainingConfig:
    """Les réglages d’un petit entraînement."""
    values = {"learning_rate": 2e-3, "log_every": 1, "checkpoint_every": 3, "device": device}
    return TrainingConfig(N_STEPS, **{**values, **changes})


def trained(shape: LlamaConfig, device: str, folder=None, **changes) -> tuple[Decoder, list[float]]:
    """Un modèle entraîné, et sa perte à chaque pas."""
    model, config = llama(shape, seed=3), settings(device, **changes)
    history = train(model, text(shape), config, checkpoint_dir=folder, progress=False)
    return model, [record.loss for record in history.records]


def die(shape: LlamaConfig, device: str, folder: Path, optimizer: str) -> None:
    """Le même entraînement, que l’on tue au milieu d’un pas (appelé dans un autre processus)."""
    calls = []

    @functools.wraps(language_model_loss)  # la même perte, pour qui la reprendra
    def loss(model, batch):
        calls.append(None)
        if len(calls) == KILLED_AT:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return language_model_loss(model, batch)

    config = settings(device, optimizer=optimizer)
    train(
        llama(shape, seed=3), text(shape), config, loss=loss, checkpoint_dir=folder, progress=False
    )


def check_resume(shape: LlamaConfig, device: str, optimizer: str) -> Line:
    """Tué puis repris, dropout compris, égale d’une traite."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        child = context.Process(target=die, args=(shape, device, Path(folder), optimizer))
        child.start()
        child.join()
        steps = sorted(path.name for path in Path(folder).glob("step-*"))
        resumed, losses = trained(shape, device, folder, optimizer=optimizer)
    whole, expected = trained(shape, device, optimizer=optimizer)
    pairs = list(zip(resumed.parameters(), whole.parameters(), strict=True))
    same = all(map(torch.equal, *zip(*pairs, strict=True))) and losses == expected
    gap = max((a - b).detach().abs().max().item() for a, b in pairs)
    killed = child.exitcode != 0 and bool(steps)
    measure = f"écart {gap:.1e} ; repris de {steps[-1] if steps else 'rien'}"
    return f"{optimizer} : tué, repris, au bit près", same and killed, measure


def check_writing(model: Decoder) -> Line:
    """Le texte écrit sur l’appareil, jugé par le processeur : mêmes probabilités."""
    prompt = [1, 2, 11]
    (written,) = generate(model, [prompt], 24, sampling=SamplingConfig(0.0))
    other = copy.deepcopy(model).cpu()
    expected = continuation_log_probs(other, prompt, written.ids)
    gap = (torch.tensor(written.log_probs) - expected).abs().max().item()
    return "écrire, et le processeur relit", gap < 1e-2, f"écart {gap:.1e} nats au plus"


def check_lora(model: Decoder, shape: LlamaConfig, device: str) -> Iterator[Line]:
    """Un adaptateur appris, enregistré, reposé, fondu."""
    base, ids = (
        copy.deepcopy(model),
        text(shape).batch(0)[0][:2].to(next(model.parameters()).device),
    )
    attach_lora(model, LoRAConfig(rank=4))
    before = copy.deepcopy(list(base.parameters()))
    train(model, text(shape), settings(device), progress=False)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        save_adapter(model, Path(folder) / "adaptateur")
        load_adapter(base.eval(), Path(folder) / "adaptateur")
        apart = (model(ids) - base(ids)).abs().max().item()
        scores = model(ids)
        merge_adapter(model)
        merged = (model(ids) - scores).abs().max().item()
    kept = dict(model.named_parameters())["embedding.tokens.weight"]
    frozen = torch.equal(kept, before[0])
    yield "LoRA : reposé sur la base, mêmes scores", apart == 0.0, f"écart {apart:.1e}"
    yield "LoRA : fondu, mêmes scores", merged < 1e-2, f"écart {merged:.1e}"
    yield "LoRA : la base n’a pas bougé", frozen, "embeddings comparés"


def check_settings(shape: LlamaConfig, device: str, compiles: bool) -> Iterator[Line]:
    """Seize bits, accumulation et compilation face au même entraînement ordinaire."""
    plain = replace(shape, dropout=0.0)  # deux découpages ne tirent pas le même dropout
    BATCH[plain] = BATCH[shape]
    _, expected = trained(plain, device)
    cases = [("bfloat16", {"dtype": "bfloat16"}, 0.1), ("4 morceaux", {"accumulate": 4}, 1e-2)]
    if compiles:
        cases.append(("compilé", {"compile": True}, 1e-2))
    for name, changes, tolerance in cases:
        _, losses = trained(plain, device, **changes)
        gap = max(abs(a - b) for a, b in zip(losses, expected, strict=True))
        yield f"{name} : mêmes pertes, à peu près", gap < tolerance, f"écart {gap:.1e} nats"


def wait_for(device: str) -> None:
    """Attend la fin de ce que l’appareil calcule encore."""
    if device != "cpu":
        torch.get_device_module(device).synchronize()


def speed(run: Callable[[int], None], shape: LlamaConfig, n_steps: int, device: str) -> float:
    """Jetons par seconde, une fois les premiers pas passés."""
    run(3)
    wait_for(device)
    start = time.perf_counter()
    run(n_steps)
    wait_for(device)
    return n_steps * BATCH[shape] * shape.context_length / (time.perf_counter() - start)


def our_speed(shape: LlamaConfig, device: str, n_steps: int, **changes) -> float:
    """La vitesse de notre boucle."""
    model, data = llama(shape), text(shape)

    def run(n: int) -> None:
        config = settings(device, log_every=1000, checkpoint_every=0, **changes)
        train(model, data, replace(config, n_steps=n, warmup_steps=None), progress=False)

    return speed(run, shape, n_steps, device)


def their_speed(shape: LlamaConfig, device: str, n_steps: int, dtype: str) -> float:
    """La vitesse de la boucle la plus nue autour de `LlamaForCausalLM`, de même forme."""
    from transformers import LlamaConfig as ReferenceConfig
    from transformers import LlamaForCausalLM

    sizes = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads,
        "max_position_embeddings": shape.context_length,
    }
    reference = ReferenceConfig(tie_word_embeddings=True, use_cache=False, **sizes)
    model = LlamaForCausalLM(reference).to(device).train()
    optimizer, data = build_optimizer(model, settings(device)), text(shape)
    mixed = torch.autocast(device, torch.bfloat16) if dtype == "bfloat16" else nullcontext()

    def run(n: int) -> None:
        for step in range(n):
            inputs, targets = (column.to(device) for column in data.batch(step))
            with mixed:
                logits = model(input_ids=inputs).logits
                loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return speed(run, shape, n_steps, device)


def show_speeds(shape: LlamaConfig, device: str, n_steps: int, compiles: bool) -> None:
    """Nos vitesses, et leur rapport à celle de `transformers` dans la même précision."""
    plain = replace(shape, dropout=0.0)
    BATCH[plain] = BATCH[shape]
    known = importlib.util.find_spec("transformers") is not None
    print(
        f"\nVitesse d’apprentissage, {format_number(count_parameters(llama(plain)), 0)} paramètres"
    )
    for dtype in ("float32", "bfloat16"):
        theirs = their_speed(plain, device, n_steps, dtype) if known else None
        for compiled in (False, True) if compiles else (False,):
            ours = our_speed(plain, device, n_steps, dtype=dtype, compile=compiled)
            ratio = f", {format_number(ours / theirs, 2)} fois transformers" if theirs else ""
            name = f"{dtype}{', compilé' if compiled else ''}"
            print(f"  {name:<20} {format_number(ours, 0):>10} jetons/s{ratio}")


def main() -> int:
    """Exécute toutes les vérifications ; 1 si l’une d’elles est fausse."""
    parser = FrenchArgumentParser(prog="python benchmarks/device_check.py", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ou mps (défaut : auto)")
    parser.add_argument("--no-compile", action="store_true", help="sans torch.compile")
    parser.add_argument("--no-speed", action="store_true", help="sans mesurer la vitesse")
    options = parser.parse_args()
    start, device = time.perf_counter(), find_device(options.device).type
    shape = SMALL if device == "cpu" else LARGE
    name = torch.cuda.get_device_name() if device == "cuda" else device
    print(f"PyTorch {torch.__version__}, appareil : {name}")
    correct = True
    for line in all_checks(shape, device, not options.no_compile):
        what, right, measure = line
        correct = correct and right
        print(f"  {'✓' if right else '✗'} {what} ({measure})", flush=True)
    if not options.no_speed:
        show_speeds(shape, device, 30 if device == "cpu" else 100, not options.no_compile)
    print(f"\n{format_number(time.perf_counter() - start, 0)} secondes.")
    return 0 if correct else 1


def all_checks(shape: LlamaConfig, device: str, compiles: bool) -> Iterator[Line]:
    """Une ligne par vérification, au fur et à mesure."""
    for optimizer in ("adamw", "muon"):
        yield check_resume(shape, device, optimizer)
    model, losses = trained(shape, device)
    yield "la perte descend", losses[-1] < losses[0], f"{losses[0]:.2f} → {losses[-1]:.2f} nats"
    yield check_writing(model)
    yield from check_lora(model, shape, device)
    yield from check_settings(shape, device, compiles)


if __name__ == "__main__":
    sys.exit(main())
