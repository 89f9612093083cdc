"""Les modèles livrés : un seul format, que nous lisons, que transformers lit, que la page lit."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file

from course_lib.models import MODELS
from course_lib.pretrained import load_pretrained

SHIPPED = sorted(path.parent for path in MODELS.glob("*/config.json"))


def test_three_models_are_shipped():
    assert [folder.name for folder in SHIPPED] == ["assistant", "petit_assistant", "petit_llm"]


@pytest.mark.slow
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_transformers_reads_the_same_model(folder):
    ours = load_pretrained(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "Il était une fois une fée qui s'appelait Léa. Elle vivait près de l'église."
    ids = tokenizer(text)["input_ids"]
    assert ids == ours.tokenizer.encode(text)
    batch = torch.tensor([[ours.tokenizer.bos_id, *ids]])
    with torch.no_grad():
        expected, found = ours.model(batch), theirs(batch).logits
    # 1e-5 du plus grand des scores (une vingtaine) : en F32, l’arrondi croît avec eux.
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert theirs.generation_config.eos_token_id == ours.tokenizer.eos_id == ours.eos_ids[0]
    assert tokenizer.bos_token_id == ours.tokenizer.bos_id


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_weights_are_stored_on_two_bytes_under_published_names(folder):
    tensors = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert all(name.startswith("model.") for name in tensors)  # tête liée
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert (config["model_type"], config["torch_dtype"]) == ("llama", "float16")
