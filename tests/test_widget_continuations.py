"""L’explorateur de suites côté Python : une seule lecture, des nombres vrais, des refus clairs."""

import json
import math
import re

import pytest
import torch

from course_lib.evaluation.compression import compress
from course_lib.tokenization import BPETokenizer
from course_lib.tokenization.splits import GPT2, LLAMA3, QWEN2
from course_lib.transformer import LlamaConfig, llama
from course_lib.typography import format_number
from course_lib.widgets import ContinuationExplorer
from course_lib.widgets.base import FOLDER
from course_lib.widgets.continuations import LONGEST_NAME
from course_lib.widgets.token_text import token_texts, unfinished

CONTEXT, EXTRA = 41, 7  # la table du modèle a sept lignes de plus que le vocabulaire
TEXTS = ["le chat dort", "sur le lit\nÀ l’aube", "le lit <b>&amp; le chat</b> !"]


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(["le chat dort sur le lit"] * 3, 283)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(3)
    config = LlamaConfig(tokenizer.vocab_size + EXTRA, CONTEXT, 30, 2, 3)
    return llama(config).eval()


def name_of(tokenizer, before: bytes, token_id: int) -> str:
    """Le nom attendu d’un jeton après ces octets, qui commencent peut-être un caractère."""
    if token_id >= tokenizer.vocab_size:
        return f"[{token_id}]"
    return token_texts([before, tokenizer.token_bytes[token_id]])[1]


def test_numbers_are_those_of_a_direct_reading(model, tokenizer):
    widget = ContinuationExplorer.from_model(model, tokenizer, TEXTS, start_id=5)
    assert len(widget.texts) == len(TEXTS)
    for text, shown in zip(TEXTS, widget.texts, strict=True):
        ids = tokenizer.encode(text)
        contents = [tokenizer.token_bytes[i] for i in ids]
        assert [token["text"] for token in shown["tokens"]] == token_texts(contents)
        for place, token in enumerate(shown["tokens"]):
            # Une lecture par place : rien ne peut venir de la suite du texte.
            with torch.no_grad():
                row = model(torch.tensor([[5, *ids[:place]]]))[0, -1].double().softmax(-1)
            chance = float(row[ids[place]])
            assert token["probability"] == pytest.approx(chance, rel=6e-3)
            assert token["bits"] == pytest.approx(-math.log2(chance), abs=6e-3)
            assert token["rank"] == 1 + sum(p > chance * (1 + 1e-6) for p in row.tolist())
            assert len(token["top"]) == 8
            best = row.topk(8)
            assert [p for _, p in token["top"]] == pytest.approx(best.values.tolist(), rel=6e-3)
            before = unfinished(b"".join(contents[:place]))
            shown_names = [name for name, _ in token["top"]]
            assert shown_names == [name_of(tokenizer, before, i) for i in best.indices.tolist()]
            assert token["written"] == (token["rank"] - 1 if token["rank"] <= 8 else -1)
        cost = compress(model, tokenizer, [text], 5)
        assert shown["bitsPerByte"] == pytest.approx(cost.bits_per_byte, abs=1e-4)


@pytest.mark.parametrize("split", [QWEN2, LLAMA3], ids=str)
def test_the_page_shows_the_tokens_cut_by_python(model, tokenizer, split):
    """La page ne coupe aucun texte : tous les découpages lui conviennent."""
    ids = tokenizer.token_to_id | {"-l": tokenizer.vocab_size}
    merges = [("-", "l"), *tokenizer.merges]  # « -le » : un mot pour Qwen2, deux pour GPT-2
    same, other = (BPETokenizer(ids, merges, tokenizer.special_tokens, s) for s in (GPT2, split))
    text = "le chat dort-le lit"
    assert other.encode(text) != same.encode(text)
    (shown,) = ContinuationExplorer.from_model(model, other, [text], start_id=0).texts
    names = [token["text"] for token in shown["tokens"]]
    assert names == [other.tokens[i] for i in other.encode(text)]


def test_the_model_reads_each_text_once_and_keeps_its_mode(model, tokenizer):
    calls = []
    hook = model.register_forward_hook(lambda *_: calls.append(model.training))
    model.train()
    try:
        ContinuationExplorer.from_model(model, tokenizer, TEXTS, start_id=0)
        assert model.training
    finally:
        hook.remove()
        model.eval()
    assert calls == [False] * len(TEXTS)


def test_a_row_beyond_the_vocabulary_has_a_name(model, tokenizer):
    size = tokenizer.vocab_size + EXTRA
    widget = ContinuationExplorer.from_model(model, tokenizer, ["le"], start_id=0, top=size)
    names = [name for name, _ in widget.texts[0]["tokens"][0]["top"]]
    assert {f"[{tokenizer.vocab_size + i}]" for i in range(EXTRA)} < set(names)
    assert len(names) == size


def test_six_texts_of_thirty_tokens_stay_light(model, tokenizer):
    text = "Un merle moqueur, zoé y crut."
    assert 28 <= len(tokenizer.encode(text)) <= CONTEXT
    widget = ContinuationExplorer.from_model(model, tokenizer, [text] * 6, start_id=0)
    assert len(json.dumps(widget.state(), ensure_ascii=False).encode()) < 60_000
    modules = ("continuation_explorer.js", "temperature_slider.js", "tokenizer_explorer.js")
    assert sum((FOLDER / name).stat().st_size for name in modules) < 30_000


def test_the_static_version_lists_every_text_and_escapes_it(model, tokenizer):
    widget = ContinuationExplorer.from_model(model, tokenizer, TEXTS, start_id=0)
    html = widget.fallback_html()
    assert html.count("<table") == 2 and " id=" not in html and "<b>" not in html
    assert "Surprise (bits)" in html
    first, second = re.findall(r"<tbody>(.*?)</tbody>", html, re.DOTALL)
    assert first.count("<tr>") == 3
    assert second.count("<tr>") == len(widget.texts[0]["tokens"])
    for text in widget.texts:
        assert f"<td>{format_number(text['bitsPerByte'], 2)}</td>" in first
    for token in widget.texts[0]["tokens"]:
        assert f"<td>{format_number(token['bits'], 1)}</td>" in second


def test_a_long_text_is_named_by_its_beginning(model, tokenizer):
    text = "le chat dort sur le lit le chat dort sur le lit le chat"
    (shown,) = ContinuationExplorer.from_model(model, tokenizer, [text], start_id=0).texts
    assert shown["name"].endswith("…") and len(shown["name"]) <= LONGEST_NAME
    assert text.startswith(shown["name"][:-1])


REFUSALS = [
    ({"texts": "le chat"}, TypeError, "une seule chaîne, « le chat »"),
    ({"texts": []}, ValueError, "Aucun texte"),
    ({"texts": ["le chat", ""]}, ValueError, "est vide"),
    ({"texts": [3]}, TypeError, "reçu int"),
    ({"texts": ["le chat "] * 2 + ["zzz " * 30]}, ValueError, "le contexte en a 41"),
    ({"top": 0}, ValueError, "top = 0 : il faut de 1 à"),
    ({"top": 9999}, ValueError, "top = 9999 : il faut de 1 à"),
    ({"start_id": 9999}, ValueError, "de 9999 à 9999"),
]


@pytest.mark.parametrize("arguments, error, message", REFUSALS)
def test_wrong_arguments_are_refused(model, tokenizer, arguments, error, message):
    given = {"texts": ["le"], "start_id": 0, **arguments}
    with pytest.raises(error, match=message):
        ContinuationExplorer.from_model(model, tokenizer, **given)


def test_a_diverged_model_is_refused(tokenizer):
    """Un NaN rendrait le JSON de la page illisible."""
    torch.manual_seed(0)
    broken = llama(LlamaConfig(tokenizer.vocab_size, CONTEXT, 30, 2, 3)).eval()
    with torch.no_grad():
        next(broken.parameters())[0, 0] = float("nan")
    with pytest.raises(ValueError, match="« le chat », le modèle rend des scores"):
        ContinuationExplorer.from_model(broken, tokenizer, ["le chat"], start_id=0)
