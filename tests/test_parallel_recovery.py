"""Un processus meurt en route : l’équipe reprend, et finit comme si de rien n’était."""

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
from parallel_workers import (
    EVEN,
    PRIME,
    stream,
    together,
    train_and_die,
    train_model,
)
from safetensors.torch import load_file
from test_training_cli import command
from torch.distributed import HashStore

from course_lib.commands import train as cli
from course_lib.parallel import WorkerLost
from course_lib.parallel.meeting import fresh_board
from course_lib.training import CheckpointStore

SHAPES = {"ddp": PRIME, "fsdp": PRIME, "tensor": EVEN}
FILES = ("model.safetensors", "optimizer.safetensors")
WORKERS = Path(__file__).with_name("parallel_workers.py")


def torchrun(*arguments):
    """Lance `torchrun` avec deux processus sur cette machine ; rend le processus terminé.

    Trop lent, il est prié de s’arrêter : tué, il laisserait ses deux processus orphelins.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen(command, env=environment, **pipes) as agent:
        try:
            output, errors = agent.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            agent.terminate()
            output, errors = agent.communicate()
    return subprocess.CompletedProcess(command, agent.returncode, output, errors)


def last_files(folder):
    return [(Path(folder) / "step-0000012" / name).read_bytes() for name in FILES]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", SHAPES)
def test_a_killed_team_resumes_bit_for_bit(strategy, tmp_path):
    shape = SHAPES[strategy]
    expected = together(train_model, strategy, shape, stream(), tmp_path / "d’une traite")
    with pytest.raises(WorkerLost, match="Relancez la même commande"):
        together(train_and_die, strategy, shape, tmp_path / "tué", 8, signal.SIGKILL)
    assert CheckpointStore(tmp_path / "tué").steps() == [5]
    resumed = together(train_model, strategy, shape, stream(), tmp_path / "tué")
    for (ours, records), (theirs, expected_records) in zip(resumed, expected, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert records == expected_records
    assert last_files(tmp_path / "tué") == last_files(tmp_path / "d’une traite")


MUON = {"optimizer": "muon", "muon_rate_ratio": 2.0}


def train_with_muon(folder):
    return train_model("ddp", PRIME, stream(), folder, **MUON)


def train_with_muon_and_die(folder):
    return train_and_die("ddp", PRIME, folder, 8, signal.SIGKILL, **MUON)


@pytest.mark.slow
def test_muon_resumes_bit_for_bit_in_a_team(tmp_path):
    expected = together(train_with_muon, tmp_path / "d’une traite")
    with pytest.raises(WorkerLost):
        together(train_with_muon_and_die, tmp_path / "tué")
    assert CheckpointStore(tmp_path / "tué").steps() == [5]
    resumed = together(train_with_muon, tmp_path / "tué")
    for (ours, records), (theirs, expected_records) in zip(resumed, expected, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert records == expected_records
    assert last_files(tmp_path / "tué") == last_files(tmp_path / "d’une traite")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", SHAPES)
def test_the_checkpoint_is_that_of_one_process(strategy, tmp_path):
    shape = SHAPES[strategy]
    expected, _ = train_model(None, shape, stream(), tmp_path / "seul")
    together(train_model, strategy, shape, stream(), tmp_path / "équipe")
    for name in FILES:
        ours, theirs = (load_file(tmp_path / d / "step-0000010" / name) for d in ("équipe", "seul"))
        assert list(ours) == list(theirs)
        for key, tensor in theirs.items():
            torch.testing.assert_close(ours[key], tensor, rtol=1e-4, atol=1e-5, msg=key)
    shutil.rmtree(tmp_path / "équipe" / "step-0000012")
    resumed, _ = train_model(None, shape, stream(), tmp_path / "équipe")  # seul, du pas 10
    for name, tensor in expected.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_control_c_on_one_process_stops_both_at_the_same_step(tmp_path):
    messages = together(train_and_die, "fsdp", PRIME, tmp_path, 7, signal.SIGINT)
    assert len(set(messages)) == 1
    assert "interrompu après le pas 7. Relancez-le à l’identique" in messages[0]
    assert CheckpointStore(tmp_path).steps() == [5, 7]


def test_another_run_is_refused_by_everyone(tmp_path):
    train_model(None, PRIME, stream(), tmp_path, n_steps=5)
    with pytest.raises(
        ValueError, match=r"n_steps\W+diffère\W+5 dans le point de reprise, 12 maintenant"
    ):
        together(train_model, "ddp", PRIME, stream(), tmp_path)


def test_a_new_team_does_not_write_to_the_dead():
    store = HashStore()
    boards = []
    for n_workers in (3, 2, 3):  # trois vies, les deux premières mortes
        store.set("hello/1", "un mort")
        with ThreadPoolExecutor(n_workers) as pool:
            meet = partial(fresh_board, store, n_workers=n_workers)
            life = list(pool.map(meet, range(n_workers)))
        life[0].set("adresse", str(len(boards)))
        boards.append(life)
    for number, life in enumerate(boards):
        assert [board.get("adresse") for board in life] == [str(number).encode()] * len(life)


@pytest.mark.slow(seconds=20)
def test_torchrun_restarts_a_killed_process(tmp_path):
    result = torchrun("--max-restarts", 1, WORKERS, tmp_path, "ddp")
    assert result.returncode == 0, result.stderr
    together(train_model, "ddp", PRIME, stream(), tmp_path / "d’une traite")
    assert last_files(tmp_path / "reprise") == last_files(tmp_path / "d’une traite")
    lives = [len((tmp_path / f"vie-{n}-rang-0").read_text().splitlines()) for n in (0, 1)]
    assert lives == [8, 12 - 5]  # des 7 pas finis, 5 étaient enregistrés : 2 sont refaits


@pytest.mark.slow(seconds=20)
def test_the_command_runs_under_torchrun(tmp_path, capsys):
    corpus = tmp_path / "texte.txt"
    corpus.write_text("le chat dort sous la pluie douce.\n" * 90, encoding="utf-8")
    assert cli.main(command(corpus, tmp_path / "seul")) == 0
    arguments = command(corpus, tmp_path / "équipe", "--parallel", "fsdp")
    result = torchrun("-m", "course_lib", "train", *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Texte") == 1  # un seul processus parle
    assert "2, données et modèle partagés" in result.stdout
    ours, theirs = (load_file(tmp_path / d / "model.safetensors") for d in ("équipe", "seul"))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-4)
    losses = [
        json.loads((tmp_path / d / "training.json").read_text(encoding="utf-8"))["validation_loss"]
        for d in ("équipe", "seul")
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
