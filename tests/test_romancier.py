"""Le romancier livré : son poids, sa fiche, et les mêmes jetons et scores chez les autres."""

import csv
import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from course_experiments.romancier import rounding
from course_experiments.romancier.novels import CLEAN, Novel
from course_experiments.romancier.passages import checked_text, fingerprints, n_twins, passages
from course_lib.models import load_romancier
from course_lib.models.shipped import ROMANCIER, ROMANCIER_WEIGHTS
from course_lib.pretrained import load_pretrained, save_gguf
from course_lib.pretrained.folders.locating import shipped_names
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig, count_parameters, llama

TEXTS = [
    "Où est-il allé ?",
    "« Ça suffit ! » s’écria-t-elle.",
    "L'élève Noël, âgé de 12 ans, habitait au n° 3 — rue de l'Ægidius.",
    "En 1848, il gagna 1 234,50 francs ; 15 % de plus qu'en 1847.",
    "Il fallut qu'elle s'en allât ; ils eussent voulu qu'elle restât.",
    "  Deux espaces   et une tabulation\tpuis\nune ligne.",
]


@pytest.fixture(scope="module")
def romancier():
    return load_romancier()


def test_it_opens_by_its_name(romancier):
    opened = load_pretrained("romancier", context_length=256)
    assert opened.config.context_length == 256 and opened.family == "llama"
    assert torch.equal(opened.model.head.weight, romancier[0].head.weight)
    assert count_parameters(romancier[0]) == 32_514_560
    assert {"romancier", "petit_llm", "assistant"} <= set(shipped_names())
    assert load_pretrained("petit-llm").config.vocab_size == 1536


def test_an_unknown_name_lists_those_that_are_shipped():
    with pytest.raises(FileNotFoundError, match=r"par leur nom : .*« petit_llm ».*« romancier »"):
        load_pretrained("romancière")
    with pytest.raises(FileNotFoundError, match="Le romancier manque"):
        load_romancier(Path("ailleurs.gguf"))


def test_it_weighs_what_its_card_says():
    assert ROMANCIER_WEIGHTS.stat().st_size <= 17_000_000
    card = (ROMANCIER / "README.md").read_text("utf-8")
    assert f"{ROMANCIER_WEIGHTS.stat().st_size:,}".replace(",", "\u202f") in card
    runs = rounding.EXPERIMENT.load()["runs"]
    cost = runs[rounding.SHIPPED]["0"]["nats"] - runs[rounding.F16]["0"]["nats"]
    assert f"+ {cost:.3f}".replace(".", ",").replace("+ ", "+\u202f") in card
    assert runs[rounding.SHIPPED]["0"]["bytes"] == ROMANCIER_WEIGHTS.stat().st_size


@pytest.mark.slow(seconds=8)
def test_transformers_reads_the_same_tokens_and_scores(romancier):
    model, tokenizer = romancier
    name = ROMANCIER_WEIGHTS.name
    theirs = AutoTokenizer.from_pretrained(ROMANCIER, gguf_file=name)
    their_model = AutoModelForCausalLM.from_pretrained(
        ROMANCIER, gguf_file=name, dtype=torch.float32
    )
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False), text
        assert tokenizer.decode(ids) == text
    ids = torch.tensor([tokenizer.encode(" ".join(TEXTS))])
    with torch.no_grad():
        torch.testing.assert_close(their_model.eval()(ids).logits, model(ids), rtol=1e-3, atol=1e-3)


@pytest.mark.depends_on_machine
def test_llama_cpp_reads_the_same_tokens_and_nearly_the_same_scores(romancier):
    """llama.cpp arrondit aussi les entrées, sur 8 bits : ses scores diffèrent un peu des nôtres."""
    llama_cpp = pytest.importorskip("llama_cpp")
    model, tokenizer = romancier
    theirs = llama_cpp.Llama(str(ROMANCIER_WEIGHTS), n_ctx=256, logits_all=True, verbose=False)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert theirs.tokenize(text.encode(), add_bos=False, special=False) == ids, text
        theirs.reset()
        theirs.eval(ids)
        scores = torch.tensor(theirs.scores[: len(ids)])
        with torch.no_grad():
            ours = model(torch.tensor([ids]))[0].log_softmax(-1)
        assert (ours.exp() * (ours - scores.log_softmax(-1))).sum(-1).mean() < 0.02


def test_the_list_knows_each_text_by_its_fingerprint():
    known = fingerprints()
    assert len(known) == 470 and n_twins() == 21
    assert known["FRA01302_Flaubert"] == known["FRA40040"]  # « Madame Bovary », deux fois
    novel = Novel("FRA40040", "Flaubert", "Madame Bovary", "1857", "training", "un autre texte")
    with pytest.raises(ValueError, match=r"« FRA40040 » n’est pas le texte .* empreinte est"):
        checked_text(novel, known)


def invented(role, name):
    """Un roman au texte inventé, et son empreinte."""
    text = f"{name} -- dit-il. " * 400
    novel = Novel(name, f"{name}, A", "t", "1850", role, text)
    return novel, hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.slow(seconds=6)
def test_a_mix_is_measured_from_the_two_sources(tmp_path, monkeypatch):
    """Un petit modèle, deux romans inventés : octets, surprise, divergence, fichier gardé."""
    pairs = [invented("training", "lu"), invented(CLEAN, "neuf")]
    known = {novel.name: fingerprint for novel, fingerprint in pairs}

    def read_novels(folder, *roles):
        return [novel for novel, _ in pairs if novel.role in roles]

    for module in (rounding, sys.modules[passages.__module__]):
        monkeypatch.setattr(module, "fingerprints", lambda: known)
    monkeypatch.setattr(rounding, "read_novels", read_novels)
    assert checked_text(pairs[0][0], known).startswith("lu — dit-il. lu")
    tokenizer = BPETokenizer.train([novel.text for novel, _ in pairs], 280)
    small = llama(LlamaConfig(280, 32, d_model=256, n_layers=1, n_heads=2, d_ff=256))
    path = tmp_path / "m.gguf"
    save_gguf(small, tokenizer, path)
    read = [novel for novel, _ in pairs]
    assert passages(read, tokenizer, 3, 20).shape == (3, 20)
    with pytest.raises(ValueError, match=r"« \w+ » est trop court : \d+ jetons, pour 9000"):
        passages(read, tokenizer, 3, 9000)
    settings = rounding.Settings(
        (4, 16), (2, 16), file_bytes=275_000, characters=(0, 400), tokens=64, window=16
    )
    sources = rounding.Sources(path, tmp_path, tmp_path)
    whole = rounding.measure(rounding.F16, 0, settings, sources)
    mixed = rounding.measure(rounding.MIX, 0, settings, sources)
    assert whole["kl"] == whole["excess"] == 0 and set(whole["novels"]) == {"neuf"}
    assert 0 < mixed["kl"] < 1 and mixed["bytes"] <= 275_000 < whole["bytes"]
    assert mixed["excess"] == pytest.approx(mixed["nats"] - whole["nats"], abs=1e-5)
    assert (tmp_path / "romancier-mélange.gguf").stat().st_size == mixed["bytes"]
    with pytest.raises(ValueError, match="Donnez --model, le romancier sur 16 bits"):
        rounding.measure(rounding.F16, 0, settings, rounding.Sources())


def test_the_files_beside_are_readable():
    assert json.loads((ROMANCIER / "training.json").read_text("utf-8"))["gpu"] == "NVIDIA H200"
    with (ROMANCIER / "novels.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 470
