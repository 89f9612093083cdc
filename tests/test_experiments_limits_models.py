"""Les modèles livrés des chapitres 05 et 06 : on les relit, et la commande n’en refait aucun."""

import pytest
import torch

from course_experiments import corpus_cleaning, hallucination, limits_models
from course_lib.transformer import LlamaConfig, llama

SHAPE = LlamaConfig(11, 8, d_model=8, n_layers=1, n_heads=2)


def test_a_shipped_model_is_read_and_the_beginner_is_left_alone(tmp_path):
    limits_models.save_halved(llama(SHAPE, 1), tmp_path / "lecteur.safetensors")
    beginner = llama(SHAPE, 0)
    before = [weight.clone() for weight in beginner.parameters()]
    model = limits_models.load_shipped("lecteur", beginner, tmp_path)
    assert not model.training
    for ours, shipped in zip(model.parameters(), llama(SHAPE, 1).parameters(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, shipped, atol=1e-3, rtol=1e-3)
    assert all(map(torch.equal, before, beginner.parameters()))


def test_the_course_ships_both_models():
    reader = llama(
        LlamaConfig(
            corpus_cleaning.Budget().vocab_size,
            corpus_cleaning.CONTEXT_LENGTH,
            corpus_cleaning.Budget().d_model,
            2,
            4,
        )
    )
    model = limits_models.load_shipped("lecteur", reader)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    assert (limits_models.FOLDER / "biographe.safetensors").is_file()


def test_what_is_missing_or_unknown_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m course_experiments\.limits_models"):
        limits_models.load_shipped("lecteur", llama(SHAPE), tmp_path)
    with pytest.raises(ValueError, match=r"Modèle reçu : 'poète'\. Choisissez parmi lecteur, biog"):
        limits_models.load_shipped("poète", llama(SHAPE), tmp_path)


def test_the_command_writes_each_model_once(tmp_path, monkeypatch, capsys):
    trained = []

    def fake(name):
        return lambda: trained.append(name) or llama(SHAPE, 0)

    monkeypatch.setattr(limits_models, "MODELS", {n: fake(n) for n in limits_models.MODELS})
    for _ in range(2):
        assert limits_models.main(["--output", str(tmp_path)]) == 0
    assert trained == ["lecteur", "biographe"]
    assert capsys.readouterr().out.count("déjà fait") == 2
    limits_models.load_shipped("biographe", llama(SHAPE, 3), tmp_path)


def test_the_first_steps_are_those_of_the_whole_training(monkeypatch):
    seen = {}
    monkeypatch.setattr(hallucination, "train", lambda *_, **options: seen.update(options))
    tiny = hallucination.Budget(5, 3, 3, n_steps=4, batch_size=8, d_model=8)
    hallucination.train_with_lessons("none", 0, tiny, progress=False, stop_at=2)
    assert seen == {"progress": False, "stop_at": 2}
