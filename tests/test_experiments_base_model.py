"""Le petit LLM : ses fichiers se refont, se relisent et disent vrai."""

import json
import shutil

import pytest
import torch

from course_experiments import base_model as command
from course_lib.evaluation.story_task import build_task, oracle_score, score_network
from course_lib.models import shipped
from course_lib.scaling import find_model
from course_lib.transformer import count_parameters
from course_lib.transformer.positions import RotaryPositions

PROBES = 200


@pytest.fixture(scope="module")
def petit_llm():
    return shipped.load_petit_llm()


def test_record_tells_the_size_and_the_share(petit_llm):
    record = shipped.load_training_record()
    assert record["parameters"] == count_parameters(petit_llm[0])
    test = record["test"]
    assert test["kl_share"] == pytest.approx(test["kl"] / test["entropy"], abs=1e-4)
    assert record["curve"][-1]["step"] == record["training"]["n_steps"]


@pytest.mark.slow
def test_shipped_weights_reach_the_recorded_distance(petit_llm):
    model, tokenizer = petit_llm
    task = build_task(1, PROBES, 0, "test", tokenizer)
    score, oracle = score_network(model, task), oracle_score(task)
    assert 0 < score.kl < 0.03 * oracle.nats, "moins de 3 % de l’entropie"
    recorded = shipped.load_training_record()["test"]["kl"]
    assert score.kl == pytest.approx(recorded, rel=0.25)  # les 200 premières histoires du test


def test_shipped_model_is_in_single_precision_and_ready(petit_llm):
    model, tokenizer = petit_llm
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training
    assert tokenizer.vocab_size == model.embedding.tokens.num_embeddings


@pytest.mark.slow
def test_command_remakes_every_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "N_TEST", 11)
    assert command.main(["--stories", "24", "--output", str(tmp_path)]) == 0
    assert "de l’entropie d’une histoire" in capsys.readouterr().out
    _, tokenizer = shipped.load_petit_llm(tmp_path)
    assert tokenizer.encode("Il était une fois") == shipped_ids("Il était une fois")
    record = shipped.load_training_record(tmp_path)
    assert record["training"]["n_steps"] == 3
    assert record["test"]["stories"] == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    ]


def shipped_ids(text):
    return shipped.load_petit_llm()[1].encode(text)


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_missing_file_names_the_command(tmp_path, missing):
    folder = tmp_path / "petit_llm"
    shutil.copytree(shipped.FOLDER, folder)
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"{missing}.*python -m course_experiments"):
        shipped.load_petit_llm(folder)


def test_weights_of_another_shape_are_refused(tmp_path):
    folder = tmp_path / "petit_llm"
    shutil.copytree(shipped.FOLDER, folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(
        json.dumps(config | {"intermediate_size": 64}), encoding="utf-8"
    )
    with pytest.raises(ValueError, match=r"mlp\..* a la forme"):
        shipped.load_petit_llm(folder)


def test_positions_are_not_rounded_with_the_weights():
    """Un modèle passé en F16 puis en F32 arrondit aussi ses tables de positions : 2e-4 d’écart."""
    model, _ = shipped.load_petit_llm()
    exact = RotaryPositions(shipped.SHAPE.context_length, shipped.SHAPE.head_dim)
    assert torch.equal(model.rope.cos, exact.cos) and torch.equal(model.rope.sin, exact.sin)
    assert model.embedding.tokens.weight.dtype == torch.float32


def test_scaling_knows_the_shipped_shape():
    assert find_model("petit LLM").config == shipped.SHAPE
