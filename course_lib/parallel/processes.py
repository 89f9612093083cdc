"""Ouvrir et fermer une équipe de processus : sous `torchrun`, ou depuis un programme."""

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from course_lib.parallel.meeting import fresh_board
from course_lib.training import OneProcess, find_device

STRATEGIES = {
    "ddp": "données partagées : chaque processus a tout le modèle",
    "fsdp": "données et modèle partagés : chaque processus garde une part des poids",
    "tensor": "matrices partagées : chaque processus calcule une part de chaque couche",
}
DEFAULT_STRATEGY = "ddp"
MEETING_PATIENCE = timedelta(minutes=5)  # au-delà, ceux que l’on attend ne viendront plus
PATIENCE = timedelta(minutes=30)  # une longue évaluation ou l’écriture d’un gros point de reprise

_LOST = (
    "Un processus de l’équipe s’est arrêté ou ne répond plus. Relancez la même commande : "
    "l’entraînement reprendra au dernier point de reprise."
)


class WorkerLost(ConnectionError):
    """Un processus de l’équipe ne répond plus."""


def build_team(strategy: str) -> OneProcess:
    """L’équipe « ddp », « fsdp » ou « tensor » ; ValueError pour un autre nom.

    `torch.distributed` doit être démarré.
    """
    if strategy not in STRATEGIES:
        raise ValueError(
            f"strategy = {strategy!r} est inconnue : choisissez parmi {', '.join(STRATEGIES)}."
        )
    # Importés ici : un entraînement à un seul processus n’a que faire de ces outils.
    from course_lib.parallel.data_parallel import DataParallel
    from course_lib.parallel.fully_sharded import FullySharded
    from course_lib.parallel.tensor_parallel import TensorParallel

    return {"ddp": DataParallel, "fsdp": FullySharded, "tensor": TensorParallel}[strategy]()


@contextmanager
def open_workers(strategy: str | None = None, device: str = "cpu") -> Iterator[OneProcess]:
    """L’équipe que `torchrun` a lancée (« ddp » par défaut), ou un seul processus sans lui.

    `device` : où l’équipe calculera ; sur cuda, chaque processus prend le GPU de son rang local.
    ValueError si une stratégie est demandée hors de `torchrun`, si les processus ne peuvent pas se
    parler sur cet appareil ou manquent de GPU ; WorkerLost si un processus disparaît en chemin.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ and "WORLD_SIZE" not in os.environ:
        if strategy is not None:
            raise ValueError(
                f"La façon de partager « {strategy} » demande plusieurs processus : lancez la "
                "commande par « torchrun --standalone --nproc-per-node 2 -m … »."
            )
        yield OneProcess()
        return
    backend = choose_backend(find_device(device).type)
    with _losses_in_french():
        store, rank, n_workers = next(dist.rendezvous("env://", timeout=MEETING_PATIENCE))
        board = fresh_board(store, rank, n_workers)
        with _process_group(backend, store=board, rank=rank, world_size=n_workers):
            yield build_team(strategy or DEFAULT_STRATEGY)


def choose_backend(kind: str) -> str:
    """Par quoi les processus se parlent : gloo entre processeurs, nccl entre GPU."""
    if kind == "cpu":
        return "gloo"
    if kind != "cuda":
        raise ValueError(
            f"device = {kind} ne va qu’avec un seul processus : plusieurs ne s’y parlent pas. "
            "Prenez cpu, ou lancez la commande sans torchrun."
        )
    rank, n_gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if rank >= n_gpus:
        raise ValueError(
            f"device = cuda : cette machine a {n_gpus} GPU, et au moins {rank + 1} processus. "
            f"Lancez-en {n_gpus} au plus (--nproc-per-node), ou prenez cpu."
        )
    torch.cuda.set_device(rank)
    return "cpu:gloo,cuda:nccl"


@contextmanager
def _losses_in_french() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in ("gloo", "nccl", "connection", "socket")):
            raise
        raise WorkerLost(_LOST) from error


@contextmanager
def _process_group(backend: str = "gloo", **options) -> Iterator[None]:
    try:
        dist.init_process_group(backend, timeout=PATIENCE, **options)
        dist.all_reduce(torch.zeros(1))  # nul ne repart avant que tous soient arrivés
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def run_processes(
    function: Callable, n_workers: int, *arguments, start_method: str = "spawn"
) -> list[Any]:
    """Exécute `function(*arguments)` dans `n_workers` processus reliés ; rend leurs résultats.

    Les processus sont sur cette machine, chacun avec un seul fil de calcul. La fonction, ses
    arguments et son résultat passent d’un processus à l’autre : la fonction doit être définie dans
    un module. Lève l’exception du premier processus qui échoue, WorkerLost si l’un d’eux est mort.
    """
    context = multiprocessing.get_context(start_method)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(n_workers, mp_context=context) as pool,
    ):
        meeting_point = Path(folder, "rendez-vous").as_uri()
        with _deaf_to_control_c():
            futures = [
                pool.submit(_take_part, function, arguments, rank, n_workers, meeting_point)
                for rank in range(n_workers)
            ]
        try:
            wait(futures)
        except KeyboardInterrupt:
            for process in list(pool._processes.values()):
                process.kill()  # sans elle, la sortie du contexte attendrait la fin du travail
            raise
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        if not isinstance(error, WorkerLost | BrokenExecutor):
            raise error  # la cause ; les autres n’ont fait que perdre le contact
    if errors:
        raise WorkerLost(_LOST) from errors[0]
    return [future.result() for future in futures]


@contextmanager
def _deaf_to_control_c() -> Iterator[None]:
    """Les processus nés ici ignorent Ctrl-C, que le terminal envoie à tous : un seul y répond."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _take_part(function, arguments, rank: int, n_workers: int, meeting_point: str):
    torch.set_num_threads(1)
    place = {"init_method": meeting_point, "rank": rank, "world_size": n_workers}
    with _losses_in_french(), _process_group(**place):
        return function(*arguments)
