"""AdamW et Muon sur un même texte : la préparation, la commande, les mesures livrées."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from course_experiments import optimizers as lab
from course_lib.commands.prepared_text import TextSettings, prepare_text
from course_lib.commands.text_pieces import TextFile

LINES = ["Ah ! çà, vous voilà donc.\n", "Que diable allait-il faire ?\n", "— Rien, Géronte.\n"]
TINY = lab.Plan(
    context_length=7,
    batch_size=2,
    n_layers=1,
    d_model=8,
    n_heads=2,
    d_ff=8,
    max_warmup=3,
    eval_every=70,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("texte") / "pièce.txt"
    path.write_text("".join(LINES[(i * i) % 3] for i in range(60)), encoding="utf-8")
    return path


@pytest.fixture
def small(monkeypatch):
    """L’expérience en petit : un « million » y vaut cent caractères."""
    monkeypatch.setattr(lab, "MILLION", 100)
    return replace(lab.EXPERIMENT, settings=TINY)


def test_the_text_is_prepared_as_the_training_command_does(path, tmp_path):
    file = TextFile(path)
    ours = lab.read_corpus(file, TINY, seed=3)
    theirs = prepare_text(file, TextSettings("char"), tmp_path, 7, 2, seed=3)
    assert ours.vocab_size == theirs.tokenizer.vocab_size
    for mine, other in ((ours.training, theirs.training), (ours.held_out, theirs.validation)):
        assert np.array_equal(mine.ids, other.ids) and mine.batch_size == other.batch_size
        assert (mine.context_length, mine.seed) == (other.context_length, other.seed)


def test_the_command_measures_what_is_asked(path, tmp_path, small, capsys):
    output = tmp_path / "mesures.json"
    command = ["--corpus", str(path), "--output", str(output)]
    assert small.main([*command, "--seeds", "5"]) == 0
    assert small.main([*command, "--seeds", "0", "--millions", "4"]) == 0
    content = small.load(output)
    assert content["settings"] == asdict(replace(TINY, text=TextFile(path).sha256))
    runs = content["runs"]
    measured = {name: list(of_name) for name, of_name in runs.items()}
    one, four = ["5"], ["0"]
    assert measured == {"muon 1 M": one, "adamw 1 M": one, "muon 4 M": four, "adamw 4 M": four}
    muon, adamw = runs["muon 4 M"]["0"], runs["adamw 4 M"]["0"]
    assert muon["tokens"] == adamw["tokens"] == 14 * 29  # 400 caractères, par pas de 14
    assert [point["tokens"] for point in muon["curve"]] == [70, 140, 210, 280, 350, 406]
    assert muon["curve"][-1]["validation_loss"] == muon["validation_loss"]
    assert muon["validation_loss"] != adamw["validation_loss"]
    assert muon["learner"] == asdict(lab.LEARNERS["muon"])


def test_a_text_must_be_given(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        lab.EXPERIMENT.main(["--output", str(tmp_path / "mesures.json")])
    assert "--corpus" in capsys.readouterr().err


def test_shipped_measures_are_those_of_the_two_learners():
    content = lab.load_results()
    assert content["settings"]["text"] == lab.MOLIERE
    for name, runs in content["runs"].items():
        learner, n_tokens = lab.learner_of(name)
        for run in runs.values():
            assert run["learner"] == asdict(learner) and run["parameters"] <= 632_000
            assert n_tokens <= run["tokens"] < n_tokens + 1024
            assert run["training_loss"] < run["validation_loss"]
