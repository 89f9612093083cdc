"""`python -m course_lib train` : du texte d’un lecteur à un modèle, ou un refus en français."""

import json
import math
import random
import re
import signal

import pytest

from course_lib.arguments import FrenchArgumentParser, translate
from course_lib.commands import options, report
from course_lib.commands import train as cli
from course_lib.generation import TextGenerator
from course_lib.pretrained import load_pretrained
from course_lib.tokenization import load_tokenizer
from course_lib.training import TokenStream, evaluate_loss
from course_lib.transformer import LlamaConfig, count_parameters, llama

# fmt: off
SHORT = [
    "--d-model", "8", "--n-heads", "2", "--d-ff", "12", "--n-layers", "1", "--context-length", "16",
    "--batch-size", "4", "--tokens", "4096", "--learning-rate", "0,02", "--sample-length", "25",
]
# fmt: on


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Un petit texte ; sans la courbe, que test_commands regarde et qui coûte un tiers du reste."""
    monkeypatch.setattr(report, "_save_plot", lambda history, path: None)
    draw = random.Random(4)
    words = ["le", "chat", "dort", "été", "où", "la", "pluie", "chante", "doucement"]
    path = tmp_path / "mon texte.txt"
    lines = (" ".join(draw.choices(words, k=6)) + "." for _ in range(120))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def command(corpus, output, *more):
    return ["--corpus", str(corpus), "--output", str(output), *SHORT, *more]


@pytest.mark.slow
def test_the_command_trains_measures_and_saves(corpus, tmp_path, capsys):
    output = tmp_path / "sortie"
    assert cli.main(command(corpus, output)) == 0
    printed = capsys.readouterr().out.replace("\u202f", "").replace("\u00a0", " ")
    loaded = load_pretrained(output)
    model, tokenizer = loaded.model, loaded.tokenizer
    measures = json.loads((output / "training.json").read_text(encoding="utf-8"))
    text = corpus.read_text(encoding="utf-8")
    ids, cut = tokenizer.encode(text), round(0.9 * len(text))
    loss = evaluate_loss(model, TokenStream(ids[cut - 1 :], 16, 1))  # chaque caractère, une fois
    assert measures["validation_loss"] == pytest.approx(loss, rel=1e-5)
    assert measures["bits_per_character"] == pytest.approx(loss / math.log(2), rel=1e-5)
    assert f"{loss:.4f}".replace(".", ",") + " nats par jeton" in printed
    assert f"{loss / math.log(2):.4f}".replace(".", ",") + " bits par caractère" in printed
    assert f"{len(text) - cut} derniers caractères" in printed
    history = json.loads((output / "history.json").read_text(encoding="utf-8"))
    assert history["records"][-1]["tokens"] == 4096
    assert loss < math.log(len(tokenizer.tokens)) - 0.5  # il a appris
    assert TextGenerator(model, tokenizer).encode("le chat") == tokenizer.encode("le chat")
    sample = printed.split("partie réservée :\n\n")[1].split("\n\nTout est")[0]
    assert len(sample) == 25 and "<" not in sample


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bpe", "word"])
def test_other_tokenizers_train_too(corpus, tmp_path, kind, capsys):
    arguments = command(corpus, tmp_path / kind, "--tokenizer", kind, "--vocab-size", "270")
    assert cli.main(arguments) == 0
    measures = json.loads((tmp_path / kind / "training.json").read_text(encoding="utf-8"))
    text = corpus.read_text(encoding="utf-8")
    held_out = text[round(0.9 * len(text)) :]
    n_tokens = len(load_tokenizer(tmp_path / kind / "tokenizer.json").encode(held_out))
    nats = measures["validation_loss"] * n_tokens
    expected = nats / len(held_out) / math.log(2)
    assert measures["bits_per_character"] == pytest.approx(expected)


@pytest.mark.slow
def test_the_same_command_resumes_an_interrupted_run(corpus, tmp_path, capsys, monkeypatch):
    assert cli.main(command(corpus, tmp_path / "entier")) == 0
    printer = report.print_record

    def interrupt_halfway(record):
        printer(record)
        if record.step == 16:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(report, "print_record", interrupt_halfway)
    assert cli.main(command(corpus, tmp_path / "coupé")) == 130
    assert "interrompu après le pas 16. Relancez-le à l’identique" in capsys.readouterr().err
    assert not (tmp_path / "coupé" / "model.safetensors").exists()
    monkeypatch.undo()
    assert cli.main(command(corpus, tmp_path / "coupé")) == 0
    assert "pas 16," not in capsys.readouterr().out
    weights = [tmp_path / name / "model.safetensors" for name in ("entier", "coupé")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_unusable_input_is_refused_politely(corpus, tmp_path, capsys):
    short = tmp_path / "court.txt"
    short.write_text("Trop court.", encoding="utf-8")
    for path in (tmp_path / "absent.txt", short):
        assert cli.main(command(path, tmp_path / "sortie")) == 2
        error = capsys.readouterr().err
        assert error.startswith("Erreur : ")
        assert path.name in error
        assert "Traceback" not in error
    assert not (tmp_path / "sortie").exists()
    assert cli.main(command(corpus, tmp_path / "sortie")) == 0
    assert cli.main(command(corpus, tmp_path / "sortie", "--learning-rate", "0,5")) == 2
    refusal = capsys.readouterr().err
    assert "fait avec --learning-rate 0,02 ; vous demandez --learning-rate 0,5" in refusal
    assert f"--output {tmp_path / 'sortie-2'}" in refusal
    assert cli.main(command(corpus, tmp_path / "autre", "--n-heads", "3")) == 2
    assert "--n-heads = 3" in capsys.readouterr().err


@pytest.mark.slow
def test_nothing_is_left_in_english(capsys):
    with pytest.raises(SystemExit):
        options.build_parser().parse_args(["--help"])
    shown = capsys.readouterr().out
    english = r"usage:|options:|show this|exit|default|required|optional|arguments:"
    assert not re.search(english, shown)
    assert shown.startswith("usage\u00a0: python -m course_lib train")
    for arguments, message in (
        ([], "il manque : --corpus"),
        (["--corpus"], "option --corpus : une valeur est attendue"),
        (["--corpus", "a", "--tokens", "-3"], "n’est pas un entier d’au moins 1"),
        (["--corpus", "a", "--temperature", "x"], "« x » n’est pas un nombre positif"),
        (["--corpus", "a", "--tokenizer", "mot"], "choix impossible : 'mot' (au choix : "),
        (["--corpus", "a", "--inconnue"], "option inconnue : --inconnue"),
    ):
        with pytest.raises(SystemExit) as stop:
            options.build_parser().parse_args(arguments)
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert "error:" not in error and "usage:" not in error
    assert translate("déjà en français") == "déjà en français"
    assert isinstance(options.build_parser(), FrenchArgumentParser)


def test_numbers_are_read_as_the_french_write_them():
    chosen = options.build_parser().parse_args(
        ["--corpus", "a", "--tokens", "4 000_000", "--learning-rate", "0,01", "--seed", "0"]
    )
    assert (chosen.tokens, chosen.learning_rate, chosen.seed) == (4_000_000, 0.01, 0)


def test_the_default_model_is_no_larger_than_announced():
    chosen = options.build_parser().parse_args(["--corpus", "a"])
    names = ("context_length", "d_model", "n_layers", "n_heads", "d_ff")
    sizes = {name: getattr(chosen, name) for name in names}
    vocab_size = 85 + 4  # les caractères de Molière et les jetons spéciaux
    assert count_parameters(llama(LlamaConfig(vocab_size, **sizes))) == 614_400
