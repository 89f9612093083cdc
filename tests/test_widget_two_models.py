"""Enseignant et élève, côté Python : état, refus, version figée, envoi des poids."""

import base64
import json
import zlib
from dataclasses import replace

import pytest
import torch

from course_lib.generation import SamplingConfig, TextGenerator
from course_lib.pretrained.describing import write_config
from course_lib.pretrained.saving import llama_weights
from course_lib.tokenization import BPETokenizer, CharTokenizer
from course_lib.tokenization.splits import QWEN2
from course_lib.transformer import GPT2Config, LlamaConfig, gpt2, llama
from course_lib.typography import format_number
from course_lib.widgets import TwoModelsWidget

TEXTS = ["Il était une fois un chat. Il dort, le chat <b>gris</b>."] * 5
TOKENIZER = BPETokenizer.train(TEXTS, vocab_size=283)
TEACHER = LlamaConfig(283, 53, 30, 3, 6, 2, head_dim=10, d_ff=37, rope_theta=500.0)
STUDENT = LlamaConfig(283, 41, 14, 2, 7, d_ff=19)
PROMPT = "Il <b>dort"


def models() -> dict:
    """Un enseignant et son élève, aux poids tirés."""
    pair = {"Enseignant": (TEACHER, 3), "Élève": (STUDENT, 5)}
    return {name: (llama(config, seed=seed), TOKENIZER) for name, (config, seed) in pair.items()}


def widget(**options) -> TwoModelsWidget:
    return TwoModelsWidget(models(), prompt=PROMPT, max_new_tokens=11, **options)


def test_the_state_describes_both_models_and_carries_one_tokenizer():
    one, contents = widget(), [llama_weights(model) for model, _ in models().values()]
    state = json.loads(json.dumps(one.state()))
    assert [base64.b64decode(text) for text in state["embedded"]] == contents
    assert state["parts"]["configs"] == [write_config(TEACHER), write_config(STUDENT)]
    assert BPETokenizer.from_json(state["parts"]["tokenizer"]).merges == TOKENIZER.merges
    assert one.html().count('"merges"') == 1
    for described, (name, (model, _)), content in zip(
        state["models"], models().items(), contents, strict=True
    ):
        header = int.from_bytes(content[:8], "little")
        assert described == {
            "name": name,
            "parameters": sum(p.numel() for p in set(model.parameters())),
            "size": len(content),
            "checksum": zlib.crc32(content[8 + header :]),
            "url": None,
        }
    assert state["prompt"] == PROMPT and state["max_new_tokens"] == 11


@pytest.mark.slow
def test_html_and_repr_are_stable():
    first, second = widget(), widget()
    assert first.html() == second.html() and " id=" not in first.html()
    assert repr(first) == "TwoModelsWidget(« L’enseignant et l’élève, dans la page »)"
    assert repr(widget(title="Duel")) == "TwoModelsWidget(« Duel »)"


@pytest.mark.slow
def test_a_model_with_an_address_is_not_in_the_page():
    whole, half = widget(), widget(weights_urls={"Enseignant": "models/petit_llm"})
    none = widget(weights_urls={"Enseignant": "models/petit_llm", "Élève": "models/eleve"})
    assert half.state()["embedded"] == [None, whole.state()["embedded"][1]]
    assert [one["url"] for one in half.models] == ["models/petit_llm", None]
    teacher, student = (len(text) for text in whole.state()["embedded"])
    assert len(whole.html()) - len(half.html()) > teacher - 100
    assert len(half.html()) - len(none.html()) > student - 100


def test_the_notebook_receives_the_weights_only_when_it_asks():
    one = widget()
    saved = one.get_state()
    assert not saved["weights"] and "embedded" not in saved and "parts" not in saved
    one.requested = True
    assert one.weights == b"".join(llama_weights(model) for model, _ in models().values())
    assert len(one.weights) == sum(described["size"] for described in one.models)
    assert json.loads(one.definition) == json.loads(json.dumps(one.state()["parts"]))
    one.requested = False
    assert one.weights == b"" and one.definition == ""


@pytest.mark.slow
@pytest.mark.parametrize("count", [7, 500])
def test_the_static_form_shows_sizes_and_the_greedy_continuations(count):
    pair = models()
    one = TwoModelsWidget(pair, prompt=PROMPT, max_new_tokens=count)
    shown, paragraphs = one.fallback_html(), one.preview["paragraphs"]
    assert shown.count("<tr>") == 3 and "Version figée" in shown
    assert "<b>" not in shown and "Il &lt;b&gt;dort" in shown
    used = 1 + len(TOKENIZER.encode(PROMPT))
    for (name, (model, _)), row, text in zip(
        pair.items(), one.preview["rows"], paragraphs, strict=True
    ):
        parameters = sum(p.numel() for p in model.parameters())
        size = format_number(len(llama_weights(model)) / 1000, 0)
        assert row == [name, format_number(parameters), f"{size}\u00a0ko"]
        room = min(count, model.embedding.context_length - used)
        greedy = SamplingConfig(temperature=0)
        written = TextGenerator(model, TOKENIZER).complete(PROMPT, room, sampling=greedy)
        assert len(written) > len(PROMPT)
        assert text.endswith(f"«\u00a0{written}\u00a0».") and text.startswith(
            f"«\u00a0{name}\u00a0»"
        )
        assert model.training  # la lecture rend le modèle comme elle l’a pris


def altered(**changes) -> dict:
    """Les deux modèles, l’élève remplacé."""
    return {**models(), "Élève": changes["student"]}


def split_by(split) -> BPETokenizer:
    return BPETokenizer(TOKENIZER.token_to_id, TOKENIZER.merges, TOKENIZER.special_tokens, split)


def digits() -> BPETokenizer:
    return BPETokenizer.train(TEXTS, vocab_size=283, isolate_digits=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {}, "exactement deux modèles.* reçu 0"),
        (lambda: {"Seul": models()["Élève"]}, "exactement deux modèles.* reçu 1"),
        (lambda: {**models(), "Tiers": models()["Élève"]}, "exactement deux modèles.* reçu 3"),
        (lambda: dict(zip(["A", " "], models().values(), strict=True)), r"\['A', ' '\].*pas vide"),
        (lambda: dict(zip(["A", "A "], models().values(), strict=True)), "Rien ne les distingue"),
        (
            lambda: altered(student=(llama(STUDENT), BPETokenizer.train(TEXTS, vocab_size=270))),
            "« Élève » : Le modèle connaît 283 jetons et le tokeniseur 270",
        ),
        (
            lambda: altered(student=(gpt2(GPT2Config(283, 16, 12, 1, 2)), TOKENIZER)),
            "« Élève » : .*type Llama",
        ),
        (
            lambda: altered(student=(llama(STUDENT), split_by(QWEN2))),
            "« Élève » : .*coupe les mots autrement",
        ),
        (
            lambda: altered(student=(llama(STUDENT), digits())),
            "« Enseignant » .283 jetons. et « Élève » .283 jetons. n’ont pas le même tokeniseur",
        ),
        (
            lambda: altered(student=(llama(replace(STUDENT, context_length=3)), TOKENIZER)),
            r"compte \d+ jetons ; il en faut de 1 à 2",
        ),
    ],
)
def test_wrong_models_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        TwoModelsWidget(make(), prompt=PROMPT)


def test_another_kind_of_tokenizer_or_diverged_weights_are_refused():
    with pytest.raises(TypeError, match="« Élève » : Le tokeniseur est un CharTokenizer"):
        TwoModelsWidget(altered(student=(llama(STUDENT), CharTokenizer.train(TEXTS))))
    student = llama(STUDENT)
    with torch.no_grad():
        student.norm.weight[4] = torch.inf
    with pytest.raises(ValueError, match=r"norm\.weight.*divergé"):
        TwoModelsWidget(altered(student=(student, TOKENIZER)), prompt=PROMPT)


@pytest.mark.parametrize("count", [0, -3, 2.5, True, None])
def test_the_length_is_a_positive_integer(count):
    with pytest.raises(ValueError, match=rf"max_new_tokens = {count} : il faut un entier"):
        TwoModelsWidget(models(), max_new_tokens=count)


@pytest.mark.parametrize("temperature", [-0.1, 3.5, float("nan")])
def test_the_temperature_is_one_of_the_slider(temperature):
    assert widget(temperature=0.6).state()["temperature"] == 0.6
    with pytest.raises(ValueError, match=rf"temperature = {temperature} : le curseur va de 0 à 3"):
        widget(temperature=temperature)


def test_an_address_for_nobody_is_refused():
    with pytest.raises(ValueError, match=r"l’adresse de Eleve ; .* Enseignant et Élève"):
        widget(weights_urls={"Eleve": "models/eleve"})
