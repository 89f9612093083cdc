"""La loi de taille sur les romans : les tailles, les taux, la mesure, et le relevé livré."""

import csv
import hashlib
from dataclasses import replace
from itertools import pairwise

import pytest

from course_experiments.romancier import size_law
from course_experiments.romancier.novels import CLEAN
from course_lib.scaling import count_by_formula

TEXTS = {
    "FRA1": "Le cuisinier entra dans la salle.\nIl posa son panier, et s'assit.\n" * 30,
    "FRA2": "La bergère sortit sans bruit.\nElle regardait la plaine, et se taisait.\n" * 30,
    "FRA3": "La bergère entra dans la salle.\nElle posa son panier, et se taisait.\n" * 30,
}
TINY = size_law.Protocol(
    short=96, long=384, vocab_size=280, excerpt=900, held_out=600, every=2, context_length=16,
    batch_size=2,
)  # fmt: skip


@pytest.fixture
def novels(tmp_path, monkeypatch):
    """Un dossier de trois romans, dont un jamais lu."""
    roles = {"FRA1": "training", "FRA2": "training", "FRA3": CLEAN}
    with (tmp_path / "novels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["repository", "file", "author", "title", "first_edition", "role"])
        table.writerows(
            ["r", f"level1/{n}.xml", "A", "T", "1860", role] for n, role in roles.items()
        )
    (tmp_path / "novels").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "novels" / f"{name}.txt").write_text(text, "utf-8")
    known = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in TEXTS.items()}
    monkeypatch.setattr(size_law, "fingerprints", lambda: known)
    size_law.read_corpus.cache_clear()
    yield tmp_path
    size_law.read_corpus.cache_clear()


def test_sizes_grow_a_hundredfold_in_even_steps():
    protocol = size_law.Protocol()
    sizes = []
    for width, blocks in size_law.SHAPES:
        config = size_law.shape(width, blocks, protocol)
        sizes.append(count_by_formula(config) - protocol.vocab_size * width)
        assert config.head_dim == 16
    assert 25_000 < sizes[0] < 30_000 and 3_000_000 < sizes[-1] < 3_100_000
    assert all(2 < large / small < 3.3 for small, large in pairwise(sizes))


def test_the_rate_follows_width_and_reading():
    protocol = size_law.Protocol()
    assert size_law.rate_for(128, "court", protocol) == pytest.approx(5e-3)
    assert size_law.rate_for(32, "court", protocol) == pytest.approx(2e-2)
    assert size_law.rate_for(32, "long", protocol) == pytest.approx(1e-2)


def test_the_loss_is_measured_on_what_was_not_read(novels):
    corpus = size_law.read_corpus(novels, TINY)
    read, held_out = corpus.tokenizer.decode(corpus.read), corpus.tokenizer.decode(corpus.held_out)
    assert read in TEXTS["FRA2"] and held_out in TEXTS["FRA3"]
    assert corpus.tokenizer.decode(corpus.validation) in TEXTS["FRA1"]
    assert corpus.held_out_characters == len(held_out) == 600


def test_a_measure_says_what_it_did_and_is_repeatable(novels):
    found = size_law.measure("32×2 court", 1, TINY, novels)
    assert found["steps"] == 3 and found["without_embeddings"] == 26_784
    assert found["parameters"] == 26_784 + 280 * 32
    again = size_law.measure("32×2 court", 1, TINY, novels)
    assert again["loss"] == found["loss"] and found["loss"] > 0
    trial = size_law.measure("32×2 long taux ×0.5", 1, TINY, novels)
    assert trial["learning_rate"] == pytest.approx(found["learning_rate"] / 4)
    assert trial["steps"] == 12 and trial["loss"] != found["loss"]


def runs_of(losses: dict[str, list[float]], reading: str = "court") -> dict:
    """Un relevé où chaque taille a ces pertes, une par graine."""
    sizes = [26_784, 83_280, 213_568, 473_872, 1_270_080, 3_048_864]
    return {
        f"{name} {reading}": {
            str(seed): {"loss": loss, "without_embeddings": size} for seed, loss in enumerate(found)
        }
        for (name, found), size in zip(losses.items(), sizes, strict=True)
    }


NAMES = [f"{width}×{blocks}" for width, blocks in size_law.SHAPES]


def test_an_inversion_is_told_with_its_seed():
    falling = {name: [6.0 - rank, 5.9 - rank] for rank, name in enumerate(NAMES)}
    assert size_law.inversions(runs_of(falling), "court") == []
    falling[NAMES[3]] = [6.0 - 3, 4.0]
    assert size_law.inversions(runs_of(falling), "court") == [
        ("1", f"{NAMES[2]} court", f"{NAMES[3]} court")
    ]


def test_a_seed_that_a_size_lacks_is_left_out():
    runs = runs_of({name: [6.0, 5.9, 5.8] for name in NAMES})
    assert size_law.seeds_of(runs, "court") == ["0", "1", "2"]
    del runs[f"{NAMES[5]} court"]["2"]
    assert size_law.seeds_of(runs, "court") == ["0", "1"]
    assert len(size_law.points(runs, "court")[1]) == 12
    assert {seed for seed, _, _ in size_law.inversions(runs, "court")} == {"0", "1"}


def test_the_law_finds_the_floor_it_was_given():
    sizes = [26_784, 83_280, 213_568, 473_872, 1_270_080, 3_048_864]
    losses = {name: [3.0 + 90 * n**-0.4] * 3 for name, n in zip(NAMES, sizes, strict=True)}
    law = size_law.law(runs_of(losses), "court", floor=True)
    assert law.floor == pytest.approx(3.0, rel=1e-3) and law.exponent == pytest.approx(
        0.4, rel=1e-2
    )


def test_the_command_measures_the_readings_asked(novels, capsys):
    tiny = replace(size_law.EXPERIMENT, settings=TINY)
    path = novels / "mesures.json"
    # Une seule taille suffit ; l’ordre des autres est celui des noms.
    assert size_law.run_names(["long"]) == [f"{name} long" for name in NAMES[:-1]]
    command = [
        "--novels",
        str(novels),
        "--output",
        str(path),
        "--seeds",
        "0",
        "--readings",
        "court",
    ]
    assert tiny.main(command) == 0
    assert list(tiny.load(path)["runs"]) == [f"{name} court" for name in NAMES]
    assert "6 mesures ajoutées" in capsys.readouterr().out


@pytest.mark.parametrize("size", size_law.TRIED)
def test_the_rule_is_near_the_best_rate_tried(size):
    """Ni la moitié ni le double du taux ne font mieux que la meilleure graine de la règle."""
    runs = size_law.load_results()["runs"]
    name = size_law.run_name(size, size_law.SHORT)
    rule = runs[name]["0"]
    for factor in size_law.FACTORS:
        trial = runs[f"{name} taux ×{factor:g}"]["0"]
        assert trial["learning_rate"] == pytest.approx(factor * rule["learning_rate"], abs=1e-4)
        best = min(run["validation_loss"] for run in runs[name].values())
        assert trial["validation_loss"] > best
