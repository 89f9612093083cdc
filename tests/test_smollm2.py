"""SmolLM2, le modèle publié : son fichier, ses scores, ses réponses, l’adaptateur livré.

Ensemble dans un fichier : le modèle n’y est chargé qu’une fois.
"""

import copy
import functools

import gguf
import numpy as np
import pytest
import torch
import transformers
from pretrained_references import PROMPTS, published

from course_experiments import polite_forms
from course_lib.corpora.sentences.polite_forms import generate_polite_forms
from course_lib.evaluation.answers import exact_answers
from course_lib.finetuning import AnswerExamples, detach_adapters, load_adapter, weight_fingerprint
from course_lib.generation import SamplingConfig, generate
from course_lib.pretrained import load_pretrained, store
from course_lib.pretrained.gguf.reader import GGUFFile

pytestmark = pytest.mark.slow(seconds=7)


@pytest.fixture(scope="module")
def path():
    return published(store.smollm2_path)


@pytest.fixture(scope="module")
def smollm(path):
    return load_pretrained(path)


@pytest.fixture(scope="module")
def reader(path):
    """Le lecteur de référence ; un simple tableau lui fait lire 150 000 chaînes plus vite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "memmap", lambda path, mode: np.fromfile(path, np.uint8))
        return gguf.GGUFReader(path)


def same(found, expected):
    """Égaux, deux NaN l’étant aussi."""
    return found == expected or (found != found and expected != expected)


def test_the_file_is_read_like_the_reference(path, reader):
    """Tous les réglages, et chaque tenseur au bit près."""
    expected = {key: field for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    with GGUFFile(path) as file:
        assert list(file.metadata) == list(expected)
        for key, field in expected.items():
            assert same(file.metadata[key], field.contents()), key
        assert list(file.tensors) == [tensor.name for tensor in reader.tensors]
        for tensor in reader.tensors:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            found = file.tensor(tensor.name)
            assert file.tensors[tensor.name].kind == tensor.tensor_type.name
            assert found.shape == values.shape
            np.testing.assert_array_equal(found.view("u4"), values.view("u4"), tensor.name)


def test_scores_equal_transformers(path, smollm, reader, monkeypatch):
    """Écart mesuré : 4e-5 à 1e-4, pour des scores de l’ordre de 30."""
    assert (smollm.family, smollm.eos_ids, len(PROMPTS)) == ("llama", (2,), 20)
    texts = [smollm.tokenizer.encode(prompt) for prompt in PROMPTS]
    # transformers lit le fichier deux fois, et refait la table des noms à chaque module.
    monkeypatch.setattr(gguf, "GGUFReader", lambda _: reader)
    monkeypatch.setattr(gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    with torch.inference_mode():
        for ids in texts:
            gap = theirs(torch.tensor([ids])).logits[0] - smollm.model(torch.tensor([ids]))[0]
            assert gap.abs().max().item() <= 1e-3


@torch.no_grad()
def test_it_still_answers_in_half_precision(smollm):
    prompt = smollm.tokenizer.encode("The capital of France is")
    for dtype in (torch.float16, torch.bfloat16):
        model = copy.deepcopy(smollm.model).to(dtype)
        (text,) = generate(model, [prompt], 1, sampling=SamplingConfig(0.0))
        assert smollm.tokenizer.decode(text.ids) == " Paris"


def test_shipped_adapter_rewrites_what_it_is_said_to(smollm):
    """Du « tu » au « vous » ; l’adaptateur retiré, il n’en reste rien."""
    forms = generate_polite_forms(seed=0)
    model, tokenizer = smollm.model, smollm.tokenizer
    before = weight_fingerprint(model)
    load_adapter(model, polite_forms.ADAPTER)
    chosen = [tests[k] for tests in forms.tests.values() for k in range(2)]
    examples = AnswerExamples(polite_forms.as_examples(chosen, tokenizer), 6)
    written = polite_forms.rewrite(model, tokenizer, [form.familiar for form in chosen])
    # Une lecture suffit à savoir ce qu’écrirait le choix glouton.
    assert exact_answers(model, examples) == [
        text == form.polite for text, form in zip(written, chosen, strict=True)
    ]
    assert sum(text == form.polite for text, form in zip(written, chosen, strict=True)) >= 2
    detach_adapters(model)
    assert weight_fingerprint(model) == before
