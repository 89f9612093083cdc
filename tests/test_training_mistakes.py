"""Les fautes de tous les jours : chacune se dit en français, avec un remède qui marche."""

import errno
import json
import math
import os
import re
import signal
import sys
from pathlib import Path

import pytest
import torch
from test_training_cli import command, corpus  # noqa: F401 (corpus est une préparation de pytest)

from course_lib.arguments import FrenchArgumentParser, translate
from course_lib.commands import report
from course_lib.commands import train as cli
from course_lib.commands.failures import explain, run_command, say
from course_lib.commands.folder_lock import FolderBusy, FolderLock
from course_lib.commands.options import build_parser, output_folder
from course_lib.tokenization import CharTokenizer
from course_lib.training import checkpoint

ENGLISH = re.compile(
    r"\b(error|usage:|argument:|invalid|expected|denied|No such|No space|file system|warning|"
    r"Traceback|required|choose from|n_steps|learning_rate|checksum|warmup_steps)\b"
)


def plain(text):
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def fails(arguments, capsys):
    """Le message d’une commande refusée ; jamais d’anglais ni de trace."""
    try:
        code = cli.main(arguments)
    except SystemExit as stop:
        code = stop.code
    error = plain(capsys.readouterr().err)
    assert code == 2, error
    assert not ENGLISH.search(error), error
    return error


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize(
    "options, message",
    [
        (["--vocab-size", "300"], "--vocab-size 300 ne s’applique pas au découpage en caractères"),
        (["--tokenizer", "bpe", "--vocab-size", "20"], "Donnez au moins --vocab-size 259"),
        (["--tokenizer", "word", "--vocab-size", "3"], "--vocab-size 3 est trop petit"),
        (["--n-heads", "3"], "--n-heads = 3"),
        (["--dropout", "2"], "dropout = 2"),
        (["--warmup-steps", "9999"], "--warmup-steps = 9999 est impossible"),
        (["--seed", "99999999999999"], "--seed 99999999999999 est trop grand"),
        (["--threads", "5000"], "--threads 5000 est trop grand"),
        (["--context-length", "3000"], "réduisez --context-length : "),
        (["--encoding", "klingon"], "encodage inconnu : « klingon »"),
        (["--parallel", "ddp"], "torchrun --standalone --nproc-per-node 2"),
        (["--temperature", "-1"], "« -1 » n’est pas un nombre positif"),
        (["--learning-rate", "0"], "« 0 » n’est pas un nombre positif"),
        (["--muon-rate-ratio", "-2"], "« -2 » n’est pas un nombre positif"),
        (
            ["--muon-rate-ratio", "2"],
            "--muon-rate-ratio = 2.0 serait oublié avec --optimizer = adamw",
        ),
        (["--device", "tpu"], "choix impossible : 'tpu' (au choix : 'auto', 'cpu', 'cuda', 'mps')"),
        (["--device", "cuda"], "--device cuda : PyTorch ne trouve pas cet appareil ici."),
        (["--accumulate", "5"], "--accumulate 5 : un lot de 4 fenêtres ne fait pas 5 morceaux"),
        (["--optimizer", "sgd"], "choix impossible : 'sgd' (au choix : 'adamw', 'muon')"),
        (["autre.txt"], "argument de trop : autre.txt"),
    ],
)
def test_an_impossible_setting_names_its_option(corpus, tmp_path, capsys, options, message):  # noqa: F811
    assert message in fails(command(corpus, tmp_path / "s", *options), capsys)
    assert not (tmp_path / "s" / "checkpoints").exists()


def test_the_context_that_is_offered_is_accepted(corpus, tmp_path, capsys):  # noqa: F811
    error = fails(command(corpus, tmp_path / "s", "--context-length", "3000"), capsys)
    room = re.search(r"--context-length : (\d+) au plus", error)[1]
    small = ["--context-length", room, "--tokens", room]
    assert cli.main(command(corpus, tmp_path / "s", *small)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "number, message",
    [
        (errno.ENOSPC, "Le disque est plein"),
        (errno.EROFS, "en lecture seule. Écrivez ailleurs : --output"),
        (errno.EACCES, "Permission refusée"),
        (errno.EIO, "Le disque ne répond pas bien"),
    ],
)
def test_a_failing_disk_is_told_and_the_last_state_kept(
    corpus,  # noqa: F811
    tmp_path,
    capsys,
    monkeypatch,
    number,
    message,
):
    output, real, calls = tmp_path / "s", checkpoint._write_durably, []

    def failing(path, content):
        calls.append(path)
        if len(calls) > 7:  # le troisième point de reprise
            with path.open("wb") as file:
                file.write(content[:10])
            raise OSError(number, os.strerror(number))
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write_durably", _with_path(failing))
        error = fails(command(corpus, output), capsys)
    assert message in error and str(output / "checkpoints") in error
    kept = sorted(path.name for path in (output / "checkpoints").iterdir())
    assert kept == ["step-0000004", "step-0000008"]
    assert cli.main(command(corpus, output)) == 0
    assert "Reprise au pas 8 (sur 64)" in plain(capsys.readouterr().out)


def _with_path(write):
    def written(path, content):
        try:
            write(path, content)
        except OSError as error:
            raise checkpoint.with_path(error, path) from error

    return written


def test_a_system_error_without_a_name_still_speaks_french():
    assert explain(OSError(errno.ENOENT, "No such file", "a.txt")).startswith("Introuvable")
    assert "erreur 71" in explain(OSError(71, "Protocol error", "a.txt"))
    assert "mémoire" in explain(MemoryError())
    assert "mémoire" in explain(RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"))
    assert explain(ValueError("déjà français")) == "déjà français"
    with pytest.raises(RuntimeError, match="faute du programme"):
        run_command(lambda: (_ for _ in ()).throw(RuntimeError("faute du programme")))


def test_an_output_that_is_not_a_folder_of_ours_is_left_alone(corpus, tmp_path, capsys):  # noqa: F811
    (tmp_path / "fichier").write_text("à moi")
    assert "existe déjà" in fails(command(corpus, tmp_path / "fichier"), capsys)
    other = tmp_path / "autre modèle"
    other.mkdir()
    (other / "config.json").write_text("à moi")
    error = fails(command(corpus, other), capsys)
    assert f'--output "{tmp_path / "autre modèle-2"}"' in error
    assert (other / "config.json").read_text() == "à moi"
    assert (tmp_path / "fichier").read_text() == "à moi"


@pytest.mark.slow
def test_other_settings_or_another_text_name_the_option(corpus, tmp_path, capsys):  # noqa: F811
    output = tmp_path / "s"
    assert cli.main(command(corpus, output)) == 0
    before = (output / "model.safetensors").read_bytes()
    error = fails(command(corpus, output, "--tokens", "8192", "--seed", "4"), capsys)
    assert "fait avec --tokens 4096, --seed 0 ; vous demandez --tokens 8192, --seed 4" in error
    assert f"Pour en commencer un autre : --output {tmp_path / 's-2'}" in error
    assert "sans --warmup-steps" in fails(command(corpus, output, "--warmup-steps", "3"), capsys)
    kind = fails(command(corpus, output, "--tokenizer", "word"), capsys)
    assert "--tokenizer char ; vous demandez --tokenizer word" in kind
    corpus.write_text(corpus.read_text(encoding="utf-8") + "fin", encoding="utf-8")
    assert "Le texte a changé" in fails(command(corpus, output), capsys)
    assert (output / "model.safetensors").read_bytes() == before


def test_the_rate_that_is_named_resumes(corpus, tmp_path, capsys):  # noqa: F811
    exact = ["--learning-rate", "0,0123456789"]
    assert cli.main(command(corpus, tmp_path / "s", *exact)) == 0
    error = fails(command(corpus, tmp_path / "s", "--learning-rate", "0,01"), capsys)
    named = re.search(r"Pour le reprendre : --learning-rate (\S+)\.", error)[1]
    assert cli.main(command(corpus, tmp_path / "s", "--learning-rate", named)) == 0


def test_a_folder_without_its_settings_is_not_given_the_wrong_ones(corpus, tmp_path, capsys):  # noqa: F811
    output = tmp_path / "s"
    assert cli.main(command(corpus, output)) == 0
    (output / "run.json").unlink()  # un dossier d’avant que ce fichier existe
    assert "--learning-rate" in fails(command(corpus, output, "--learning-rate", "0,01"), capsys)
    assert cli.main(command(corpus, output)) == 0
    assert "fait avec" in fails(command(corpus, output, "--learning-rate", "0,01"), capsys)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        '{"settings": [], "text": "", "divergences": [], "diverged": false}',
        '{"settings": {}, "text": "", "divergences": 5, "diverged": false}',
        '{"settings": {}, "text": "", "divergences": [{"step": 3}], "diverged": false}',
    ],
)
def test_damaged_settings_are_told(corpus, tmp_path, capsys, content):  # noqa: F811
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "run.json").write_text(content)
    assert "est abîmé" in fails(command(corpus, tmp_path / "s"), capsys)


def test_a_tilde_is_the_home_folder(corpus, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cli.main(command(f"~/{corpus.name}", "~/s")) == 0
    assert (tmp_path / "s" / "model.safetensors").exists()


def test_a_folder_given_as_a_dot_still_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "été").mkdir()
    monkeypatch.chdir(tmp_path / "été")
    for dot in (".", "../été", str(tmp_path / "été"), "./"):
        options = build_parser().parse_args(["--corpus", dot])
        assert output_folder(options) == Path("runs/été")


@pytest.mark.slow
def test_what_is_free_may_change_and_a_finished_run_says_so(corpus, tmp_path, capsys):  # noqa: F811
    assert cli.main(command(corpus, tmp_path / "s")) == 0
    capsys.readouterr()
    changes = ["--temperature", "0", "--sample-length", "9", "--threads", "2"]
    assert cli.main(command(corpus, tmp_path / "s", *changes)) == 0
    assert "déjà fini, au pas 64" in plain(capsys.readouterr().out)


@pytest.mark.slow
def test_how_one_computes_may_change_but_not_the_optimizer(corpus, tmp_path, capsys):  # noqa: F811
    chosen = ["--optimizer", "muon", "--device", "cpu"]
    assert cli.main(command(corpus, tmp_path / "s", *chosen, "--tokens", "2048")) == 0
    freely = [*chosen, "--accumulate", "2", "--tokens", "2048"]
    assert cli.main(command(corpus, tmp_path / "s", *freely)) == 0
    error = fails(command(corpus, tmp_path / "s", "--tokens", "2048"), capsys)
    assert "fait avec --optimizer muon ; vous demandez --optimizer adamw" in error
    changed = ["--optimizer", "muon", "--dtype", "bfloat16", "--tokens", "2048"]
    error = fails(command(corpus, tmp_path / "s", *changed), capsys)
    assert "fait avec --dtype float32 ; vous demandez --dtype bfloat16" in error
    faster = [*chosen, "--muon-rate-ratio", "3", "--tokens", "2048"]
    error = fails(command(corpus, tmp_path / "s", *faster), capsys)
    assert "fait avec --muon-rate-ratio 1 ; vous demandez --muon-rate-ratio 3" in error


@pytest.mark.slow
def test_a_folder_older_than_an_option_did_as_its_default(corpus, tmp_path, capsys):  # noqa: F811
    assert cli.main(command(corpus, tmp_path / "s", "--tokens", "2048")) == 0
    stored = tmp_path / "s" / "run.json"
    content = json.loads(stored.read_text(encoding="utf-8"))
    for name in ("--optimizer", "--muon-rate-ratio", "--dtype"):
        del content["settings"][name]
    stored.write_text(json.dumps(content), encoding="utf-8")
    assert cli.main(command(corpus, tmp_path / "s", "--tokens", "2048")) == 0
    error = fails(
        command(corpus, tmp_path / "s", "--tokens", "2048", "--optimizer", "muon"), capsys
    )
    assert "fait avec --optimizer adamw ; vous demandez --optimizer muon" in error


@pytest.mark.slow
def test_a_divergence_can_be_mended_in_the_same_folder(corpus, tmp_path, capsys):  # noqa: F811
    output = tmp_path / "s"
    wild = command(corpus, output, "--learning-rate", "1e30")
    error = fails(wild, capsys)
    assert "a divergé" in error
    remedy = re.search(r"--learning-rate (\S+) au lieu de", error)[1]
    again = fails(wild, capsys)
    assert "déjà divergé" in again and f"--learning-rate {remedy}" in again
    assert cli.main(command(corpus, output, "--learning-rate", remedy)) == 0
    assert "repart du début" in capsys.readouterr().out
    assert json.loads((output / "training.json").read_text())["validation_loss"] < math.log(30)
    assert "déjà divergé" in fails(wild, capsys)  # et le bon modèle reste
    assert (output / "model.safetensors").exists()


@pytest.mark.slow
def test_the_checkpoints_of_a_divergence_are_kept(corpus, tmp_path, capsys, monkeypatch):  # noqa: F811
    output, loss = tmp_path / "s", cli.evaluate_loss
    with monkeypatch.context() as patch:
        patch.setattr(cli, "evaluate_loss", lambda *a: math.nan)
        assert "au pas 8" in fails(command(corpus, output), capsys)
    assert loss is cli.evaluate_loss
    assert cli.main(command(corpus, output, "--learning-rate", "0,01")) == 0
    assert (output / "divergence-1" / "checkpoints" / "step-0000004").is_dir()
    assert "divergence-1" in capsys.readouterr().out


@pytest.mark.slow
def test_all_the_tokens_asked_for_are_read(corpus, tmp_path, capsys):  # noqa: F811
    asked = ["--batch-size", "4096", "--tokens", "20000"]
    assert cli.main(command(corpus, tmp_path / "s", *asked)) == 0
    printed = plain(capsys.readouterr().out)
    read = json.loads((tmp_path / "s" / "history.json").read_text())["records"][-1]["tokens"]
    assert read >= 20_000
    assert "au lieu de 4 096" in printed
    assert (
        cli.main(command(corpus, tmp_path / "b", "--tokenizer", "bpe", "--vocab-size", "9999")) == 0
    )
    assert "le texte n’en donne pas 9 999" in plain(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_polite_stop_or_a_closed_terminal_saves(corpus, tmp_path, capsys, monkeypatch, name):  # noqa: F811
    printer = report.print_record

    def stop_halfway(record):
        printer(record)
        if record.step == 16:
            signal.raise_signal(getattr(signal, name))

    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)  # sous nohup, SIGHUP est ignoré, et doit l’être
    try:
        with monkeypatch.context() as patch:
            patch.setattr(report, "print_record", stop_halfway)
            assert cli.main(command(corpus, tmp_path / "s")) == 130
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert cli.main(command(corpus, tmp_path / "s")) == 0
    assert "Reprise au pas 16 (sur 64)" in plain(capsys.readouterr().out)


@pytest.mark.slow
def test_two_commands_do_not_share_a_folder(corpus, tmp_path, capsys):  # noqa: F811
    output = tmp_path / "s"
    output.mkdir()
    with FolderLock(output):
        error = fails(command(corpus, output), capsys)
    assert f"le processus {os.getpid()} de" in error and "depuis le" in error
    assert f"--output {tmp_path / 's-2'}" in error
    assert cli.main(command(corpus, output)) == 0  # rendu, le verrou ne laisse rien à effacer


def test_a_dead_process_leaves_no_lock(tmp_path):
    child = os.fork() if hasattr(os, "fork") else pytest.skip("sans fork")
    if child == 0:
        FolderLock(tmp_path).__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    with FolderLock(tmp_path), pytest.raises(FolderBusy, match="déjà au travail"):
        FolderLock(tmp_path).__enter__()


def test_a_lost_terminal_does_not_stop_the_work(monkeypatch, capsys):
    class Closed:
        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

        flush = write

    monkeypatch.setattr("sys.stdout", Closed())
    say("perdu")
    say("perdu aussi")
    sys.stdout.close()


def test_every_message_of_argparse_is_translated(capsys):
    parser = FrenchArgumentParser(prog="essai")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--a", action="store_true")
    group.add_argument("--b", type=int, nargs=2)
    parser.add_argument("--c", nargs="?", type=float, choices=(1.0, 2.0))
    actions = parser.add_subparsers(required=True, dest="action", title="commandes")
    inner = actions.add_parser("faire", description="Fait.")
    inner.add_argument("quoi", type=int)
    for arguments in (
        [],
        ["--a"],
        ["--a", "--b", "1", "2", "faire", "1"],
        ["--b", "1"],
        ["--b", "x", "y", "faire", "1"],
        ["--a=1", "faire", "1"],
        ["--a", "--c", "3", "faire", "1"],
        ["--a", "defaire"],
        ["--a", "faire"],
        ["--a", "faire", "x"],
        ["--a", "faire", "1", "--plus"],
        ["--a", "faire", "1", "2"],
        ["--help"],
        ["--a", "faire", "--help"],
    ):
        with pytest.raises(SystemExit):
            parser.parse_args(arguments)
        told = "".join(capsys.readouterr())
        assert not re.search(
            r"usage:|error|argument --|invalid|expected|required|choose|not allowed|ignored|unrec|"
            r"positional|show this|optional|exit",
            told,
        ), told
    assert translate("can't open 'x': [Errno 2] y") == "impossible d’ouvrir «\u00a0x\u00a0»"


def test_the_char_fast_path_equals_the_tokenizer():
    from course_lib.commands.characters import array_encoder, train_characters

    texts = ["été <bos> à l’œuvre 😀\n", "<eos><pad>bé\u0301 ", "zz<un", "k>zz"]
    fast, slow = train_characters(texts), CharTokenizer.train(texts)
    assert fast.to_json() == slow.to_json()
    for text in [*texts, "inconnu : Ω", "<bos>é"]:
        assert array_encoder(slow)(text).tolist() == slow.encode(text)
