"""Les familles sur un texte français : les trois morceaux, la mesure, la recherche du taux."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from course_experiments import french_families as lab
from course_lib.commands.text_pieces import TextFile
from course_lib.transformer import count_parameters

LINES = ["Ah ! çà, vous voilà donc.\n", "Que diable allait-il faire ?\n", "— Rien, Géronte.\n"]
TINY = lab.Plan(
    n_read=900,
    n_held_out=120,
    context_length=8,
    batch_size=2,
    d_embedding=4,
    lstm_size=5,
    gru_size=6,
    d_model=8,
    n_layers=1,
    n_heads=2,
    d_ff=8,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("texte") / "pièce.txt"
    path.write_text("".join(LINES[(i * i) % 3] for i in range(80)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(path):
    return lab.read_corpus(TextFile(path), TINY)


def test_what_is_read_and_what_is_held_out_never_meet(path, corpus):
    text = path.read_text("utf-8")
    assert len(corpus.read) == 900 and len(corpus.validation) == len(corpus.test) == 120
    whole = lab.read_corpus(TextFile(path), replace(TINY, n_read=len(text) - 240))
    assert np.array_equal(whole.read[:900], corpus.read)
    assert len(whole.read) + len(whole.validation) + len(whole.test) == len(text)
    with pytest.raises(ValueError, match="il en faut 10240, 10000 à lire"):
        lab.read_corpus(TextFile(path), replace(TINY, n_read=10_000))


def test_the_three_networks_of_the_record_have_the_same_size():
    sizes = [
        count_parameters(lab.build_model(family, 89, 0, lab.Plan())) for family in lab.FAMILIES
    ]
    assert max(sizes) < 1.01 * min(sizes)


def test_every_character_but_the_first_is_counted_once(corpus):
    model = lab.build_model("GRU", corpus.vocab_size, 3, TINY)
    short = corpus.test[:9]  # une seule fenêtre : la mesure se refait d’un coup
    with torch.no_grad():
        log_probs = model(torch.as_tensor(short)[None, :-1])[0].log_softmax(-1)
    expected = -log_probs.gather(1, torch.as_tensor(short)[1:, None]).mean() / math.log(2)
    found = lab.bits_per_character(model, short, TINY)
    assert found == pytest.approx(float(expected), rel=1e-5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # tous les caractères sont alors également probables
    flat = lab.bits_per_character(model, corpus.test, TINY)
    assert flat == pytest.approx(math.log2(corpus.vocab_size), rel=1e-5)


def test_the_best_rate_lies_between_two_others():
    def tried(*costs):
        return {
            lab.run_name(family, rate): {"0": {"validation": cost}}
            for family in lab.FAMILIES
            for rate, cost in costs
        }

    def wanted(runs):
        return [float(name.split()[1]) for name in lab.trials(runs) if name.startswith("GRU")]

    assert wanted({}) == [lab.FIRST_TRIED["GRU"]]
    assert wanted(tried((8e-3, 2.0))) == [16e-3, 8e-3, 4e-3]
    assert wanted(tried((8e-3, 2.0), (16e-3, 1.9))) == [32e-3, 16e-3, 8e-3]
    done = tried((8e-3, 2.0), (16e-3, 1.9), (32e-3, 2.1))
    assert wanted(done) == [32e-3, 16e-3, 8e-3]


def test_the_command_measures_what_is_asked(path, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "ORDERS", (3,))
    small = replace(lab.EXPERIMENT, settings=TINY, once=["3-gramme", lab.NOVELIST])
    output = tmp_path / "mesures.json"
    assert small.main(["--corpus", str(path), "--output", str(output), "--seeds", "0", "1"]) == 0
    content = small.load(output)
    assert content["settings"] == asdict(replace(TINY, text=TextFile(path).sha256))
    runs = content["runs"]
    assert set(runs) == {"3-gramme", lab.NOVELIST, *small.names}
    assert 0 < runs[lab.NOVELIST]["0"]["test"] < 8
    for name in small.names:
        first, second = runs[name]["0"], runs[name]["1"]
        assert first["characters"] == 16 * first["steps"] <= 900
        assert first["test"] != second["test"] and first["test"] < math.log2(99)
    assert runs["3-gramme"]["0"]["characters"] == 900


def test_a_text_must_be_given(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        lab.EXPERIMENT.main(["--output", str(tmp_path / "mesures.json")])
    assert "--corpus" in capsys.readouterr().err


def test_the_shipped_rates_are_the_best_on_validation():
    content = lab.load_results()
    assert content["settings"]["text"] == lab.MOLIERE
    runs = content["runs"]
    for family, rate in lab.CHOSEN.items():
        costs = {
            r: runs[name]["0"]["validation"]
            for r in lab.RATES
            if (name := lab.run_name(family, r)) in runs
        }
        assert min(costs, key=costs.get) == rate and len(costs) >= 3
