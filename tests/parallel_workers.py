"""Ce que font les processus des tests de `course_lib.parallel` : des fonctions importables.

`together(fonction, …)` les exécute dans deux processus. Ils naissent d’un serveur qui a déjà chargé
PyTorch : quelques centièmes de seconde chacun.
"""

import functools
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from course_lib.parallel import CommunicationMeter, build_team, open_workers, run_processes
from course_lib.parallel.data_parallel import DataParallel
from course_lib.parallel.gradients import sum_gradients
from course_lib.parallel.shards import line_of_workers
from course_lib.parallel.tensor_parallel import split_block
from course_lib.training import (
    IGNORE,
    AlignedBatches,
    SequenceBatches,
    TokenStream,
    TrainingConfig,
    TrainingInterrupted,
    evaluate_loss,
    language_model_loss,
    train,
)
from course_lib.transformer import LlamaConfig, llama

os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # deux processus d’une seule machine

PRELOADED = [
    "course_lib.parallel.fully_sharded",
    "course_lib.parallel.tensor_parallel",
    "torch._dynamo",  # l’optimiseur le charge à son premier pas : deux secondes
]
# Des tailles premières partout où c’est permis ; en équipe « tensor », têtes et d_ff sont pairs.
PRIME = LlamaConfig(17, 11, d_model=13, n_layers=2, n_heads=5, head_dim=2, d_ff=19)
EVEN = LlamaConfig(17, 11, 13, n_layers=2, n_heads=6, n_kv_heads=2, head_dim=2, d_ff=26)


def together(function, *arguments):
    """Les résultats de `function(*arguments)` dans deux processus reliés."""
    return run_quickly(function, 2, *arguments)


def run_quickly(function, n_workers, *arguments):
    """`run_processes`, dont les processus naissent du serveur."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    return run_processes(function, n_workers, *arguments, start_method="forkserver")


def stream(batch_size=3):
    """Un texte de 17 jetons différents ; un lot de 3 lignes ne se coupe pas en deux moitiés."""
    return TokenStream([(i * i + i // 7) % 17 for i in range(700)], 11, batch_size, seed=5)


def uneven_rows():
    """Des lignes de longueurs différentes : les parts n’ont pas autant de jetons."""
    rows = [[3 + (i * j) % 14 for j in range(1 + (5 * i) % 9)] for i in range(23)]
    return SequenceBatches(rows, 5, seed=2)


def silent_rows():
    """Deux lignes sur trois n’ont aucune cible : des parts et des lots entiers en sont privés."""
    inputs = [[1 + (i * j) % 16 for j in range(5)] for i in range(12)]
    targets = [[(i + j) % 17 if i % 3 == 0 else IGNORE for j in range(5)] for i in range(12)]
    return AlignedBatches(inputs, targets, 2, seed=1)


def config(**changes):
    values = {"n_steps": 12, "checkpoint_every": 5, "learning_rate": 1e-2, "n_threads": 1}
    return TrainingConfig(**{**values, **changes})


def train_model(strategy, shape, data, folder=None, evaluate=False, **changes):
    """Entraîne, seul (None) ou en équipe ; rend les poids complets et les relevés.

    En double précision : l’ordre des sommes, qui dépend du processeur et du nombre de
    processus, n’y change rien de visible, même là où AdamW grossit un gradient presque nul.
    """
    workers = build_team(strategy) if strategy else None
    model = llama(shape, seed=3 if workers is None or workers.is_main else 99).double()
    measure = (lambda m: {"validation_loss": evaluate_loss(m, stream())}) if evaluate else None
    settings = config(**changes)
    options = {"checkpoint_dir": folder, "evaluate": measure, "progress": False}
    history = train(model, data, settings, workers=workers, **options)
    if workers is not None:
        model = workers.whole_model(model, lambda: llama(shape, seed=7).double())
    records = [(r.step, r.tokens, r.loss, r.metrics) for r in history.records]
    return weights_of(model), records


def weights_of(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def one_gradient(strategy, shape, data, max_norm=1e9):
    """Le gradient du premier lot, complet, et ce que ce processus garde en mémoire de poids."""
    team = build_team(strategy)
    model = llama(shape, seed=3)
    team.prepare(model)
    parameters = list(model.parameters())
    team.backward([lambda: language_model_loss(model, team.batch(data, 0))], parameters)
    team.clip(parameters, max_norm)
    kept = sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in parameters)
    return {name: team.whole(p.grad) for name, p in model.named_parameters()}, kept


def compare_with_torch(max_bytes):
    """Notre somme de gradients et celle de `DistributedDataParallel`, sur le même lot."""
    data, team = stream(batch_size=4), DataParallel(max_bytes)
    ours, theirs = llama(PRIME, seed=3), llama(PRIME, seed=3)
    part = lambda: language_model_loss(ours, team.batch(data, 0))  # noqa: E731
    team.backward([part], list(ours.parameters()))
    wrapped = nn.parallel.DistributedDataParallel(theirs)
    inputs, targets = team.batch(data, 0)
    nn.functional.cross_entropy(wrapped(inputs).flatten(0, 1), targets.flatten()).backward()
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    return [(a.grad, b.grad) for a, b in pairs]


def sum_missing_gradients():
    """Un paramètre n’a de gradient que chez le premier processus, un autre chez personne."""
    first, second, third = (nn.Parameter(torch.zeros(n)) for n in (3, 2, 1))
    rank = dist.get_rank()
    loss = (first * (1.0 + rank)).sum() + (second.sum() * 5.0 if rank == 0 else 0.0)
    DataParallel().backward([lambda: (loss, 2 + rank)], [first, second, third])
    return first.grad, second.grad, third.grad


def sum_by_buckets(sizes, max_bytes):
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    for i, parameter in enumerate(parameters):
        parameter.grad = torch.arange(sizes[i]) + 10.0 * i + 1000.0 * dist.get_rank()
    with CommunicationMeter() as meter:
        sum_gradients(parameters, 0.5, max_bytes)
    return [parameter.grad for parameter in parameters], meter.calls["all_reduce"]


def run_split_block(block, x):
    """Sortie et gradients d’un bloc réparti, forme de ses morceaux, nombre d’échanges."""
    split_block(block, line_of_workers(block))
    x = x.clone().requires_grad_()
    with CommunicationMeter() as meter:
        y = block(x, is_causal=True)
        (y * y).sum().backward()
    gradients = {
        name: p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad
        for name, p in block.named_parameters()
    }
    matrices = {name: p for name, p in block.named_parameters() if p.ndim == 2}
    shapes = {name: tuple(p.to_local().shape) for name, p in matrices.items()}
    return y.detach(), x.grad, gradients, shapes, dict(meter.calls)


def measure_steps(strategy, shape, n_steps):
    """Le volume échangé pendant `n_steps` pas ; le départ (diffusion des poids) est à part."""
    team, model = build_team(strategy), llama(shape)
    with CommunicationMeter() as meter:
        settings = config(n_steps=n_steps, checkpoint_every=0)
        train(model, stream(batch_size=4), settings, workers=team, progress=False)
    return meter.volume(team.n_workers), meter.payload["broadcast"]


def try_to(action, *arguments):
    """Le message de l’erreur que lève `action`."""
    try:
        action(*arguments)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def prepare(strategy, model):
    build_team(strategy).prepare(model)


def fail_on_main():
    def read():
        raise ValueError("illisible")

    build_team("ddp").on_main(read)


def die_at(step, signal_number=signal.SIGKILL):
    """Une perte qui envoie un signal à son propre processus, le second, au pas demandé."""
    calls = []

    @functools.wraps(language_model_loss)  # la même perte, pour qui la reprendra
    def loss(model, batch):
        calls.append(None)
        if len(calls) == step and dist.get_rank() == 1:
            os.kill(os.getpid(), signal_number)
        return language_model_loss(model, batch)

    return loss


def train_and_die(strategy, shape, folder, step, signal_number, **changes):
    """Un entraînement interrompu : rend le message et les pas enregistrés, s’il survit."""
    workers = build_team(strategy)
    options = {"checkpoint_dir": folder, "progress": False, "loss": die_at(step, signal_number)}
    try:
        train(
            llama(shape, seed=3).double(), stream(), config(**changes), workers=workers, **options
        )
    except TrainingInterrupted as interruption:
        return str(interruption)


def agree_and_gather():
    team = build_team("ddp")
    rank = team.rank
    return team.agree(rank == 1), team.agree(False), team.gather(f"r{rank}"), team.seed(4)


def main(folder, strategy):
    """Sous torchrun : le second processus se tue au huitième pas de la première vie."""
    life = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    with open_workers(strategy) as workers:
        kill = die_at(8 if life == 0 else 0)

        @functools.wraps(language_model_loss)
        def loss(model, batch):
            with Path(folder, f"vie-{life}-rang-{workers.rank}").open("a") as file:
                file.write("pas\n")
            return kill(model, batch)

        options = {"checkpoint_dir": Path(folder, "reprise"), "progress": False, "loss": loss}
        train(llama(PRIME, seed=3).double(), stream(), config(), workers=workers, **options)


if __name__ == "__main__":
    main(*sys.argv[1:])
