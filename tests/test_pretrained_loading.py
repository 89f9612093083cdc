"""Charger des modèles : mêmes nombres que `transformers`, pour chaque famille et chaque format."""

import json
import re

import pytest
import torch
import transformers
from pretrained_references import (
    CONTEXT,
    FIRST_WORD,
    PROMPTS,
    REFERENCES,
    VOCAB,
    family_of,
    published,
    reference,
    rewrite_json,
    save_reference,
)
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from course_lib.generation import SamplingConfig, generate
from course_lib.pretrained import store
from course_lib.pretrained.loading import load_pretrained
from course_lib.pretrained.sentences import sentence_embeddings
from course_lib.tokenization import WordTokenizer
from course_lib.transformer import Encoder

B, T = 3, 11


def random_ids(length=T):
    return torch.randint(FIRST_WORD, VOCAB, (B, length), generator=torch.Generator().manual_seed(0))


def close(actual, expected):
    assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def expected_output(model, ids):
    output = model(ids)
    return output.logits if hasattr(output, "logits") else output.last_hidden_state


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("sharded", [False, True], ids=["un-fichier", "morceaux"])
def test_equals_transformers(name, dtype, sharded, tmp_path):
    model = reference(name).to(dtype)
    options = {"max_shard_size": "20KB"} if sharded else {}
    save_reference(model, name, tmp_path, **options)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == sharded
    ours = load_pretrained(tmp_path)
    assert ours.family == family_of(name)
    assert all(p.dtype == torch.float32 and p.device.type == "cpu" for p in ours.model.parameters())
    assert not ours.model.training
    ids = random_ids()
    again = type(model).from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        close(ours.model(ids), expected_output(again, ids))


@pytest.mark.parametrize("name", ["llama", "qwen3", "helium"])
def test_the_cache_writes_as_transformers(name, tmp_path):
    model = reference(name)
    ours = load_pretrained(save_reference(model, name, tmp_path)).model
    ids = random_ids()
    cache = ours.new_cache(B, T)
    with torch.no_grad():
        outputs = [ours(part, cache=cache) for part in ids.split([4, 3, 1, 1, 2], dim=1)]
        close(torch.cat(outputs, dim=1), expected_output(model, ids))
    greedy, rules = SamplingConfig(temperature=0), {"do_sample": False, "eos_token_id": None}
    written = model.generate(ids, max_new_tokens=17, pad_token_id=0, **rules)[:, T:].tolist()
    found = generate(ours, ids.tolist(), 17, sampling=greedy)
    assert [one.ids for one in found] == written


# ------------------------------------------------------------------ positions et jetons de fin


@pytest.mark.parametrize("name", ["llama3", "qwen3", "helium", "gpt2", "bert", "camembert"])
def test_a_shorter_context_changes_nothing_else(name, tmp_path):
    folder = save_reference(reference(name), name, tmp_path)
    whole, short = load_pretrained(folder), load_pretrained(folder, context_length=13)
    assert (whole.config.context_length, short.config.context_length) == (CONTEXT, 13)
    assert short.model.embedding.context_length == 13
    close(short.model(random_ids()), whole.model(random_ids()))
    with pytest.raises(ValueError, match="17 positions et le contexte en a 13"):
        short.model(random_ids(17))
    for wrong in (CONTEXT + 1, 0, 2.5, True):
        with pytest.raises(ValueError, match=r"context_length = .*de 1 à 31 positions"):
            load_pretrained(folder, context_length=wrong)


def test_default_context_fits_a_laptop(tmp_path):
    folder = save_reference(reference("llama"), "llama", tmp_path)
    rewrite_json(folder / "config.json", max_position_embeddings=131_072)
    assert load_pretrained(folder).model.rope.cos.shape == (8192, 6)
    assert load_pretrained(folder, 8193).config.context_length == 8193


def test_a_sliding_window_limits_the_context(tmp_path):
    folder = save_reference(reference("mistral"), "mistral", tmp_path)
    assert load_pretrained(folder).config.context_length == 23


@pytest.mark.parametrize(
    "config, generation, expected", [(5, None, (5, 2)), (5, [7, 2], (7, 2, 5)), (None, None, (2,))]
)
def test_end_tokens_of_all_files_count(config, generation, expected, tmp_path):
    folder = save_reference(reference("llama"), "llama", tmp_path)
    (folder / "generation_config.json").unlink()
    rewrite_json(folder / "config.json", eos_token_id=config)
    if generation:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": generation}))
    assert load_pretrained(folder).eos_ids == expected


def test_unreadable_end_tokens_are_refused(tmp_path):
    folder = save_reference(reference("llama"), "llama", tmp_path)
    rewrite_json(folder / "generation_config.json", eos_token_id=["deux"])
    with pytest.raises(ValueError, match=r"eos_token_id = \['deux'\]"):
        load_pretrained(folder)


# ------------------------------------------------------------------ tenseurs : noms et formes


@pytest.fixture
def edited(tmp_path):
    """Enregistre un modèle et rend de quoi changer ses tenseurs avant de le charger."""

    def prepare(name, change):
        folder = save_reference(reference(name), name, tmp_path)
        tensors = load_file(folder / "model.safetensors")
        save_file(change(tensors), folder / "model.safetensors", {"format": "pt"})
        return folder

    return prepare


def without(name):
    return lambda tensors: {n: t for n, t in tensors.items() if n != name}


def renamed(pattern, replacement):
    return lambda tensors: {re.sub(pattern, replacement, n): t for n, t in tensors.items()}


@pytest.mark.parametrize(
    "name, change",
    [
        ("gpt2", renamed(r"^transformer\.", "")),
        ("gpt2", lambda t: t | {"transformer.h.0.attn.bias": torch.ones(2, 2, dtype=torch.bool)}),
        ("gpt2", lambda t: t | {"lm_head.weight": t["transformer.wte.weight"].clone()}),
        ("llama", lambda t: t | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(3)}),
        ("bert", renamed(r"LayerNorm\.weight", "LayerNorm.gamma")),
        ("bert", renamed(r"LayerNorm\.bias", "LayerNorm.beta")),
        ("bert", lambda t: t | {"bert.pooler.dense.weight": torch.ones(2, 2)}),
        ("bert", lambda t: t | {"bert.embeddings.position_ids": torch.arange(31)[None]}),
        ("bert-encoder", renamed("^", "bert.")),
        ("camembert-encoder", renamed("^", "roberta.")),
        ("camembert", lambda t: t | {"roberta.pooler.dense.weight": torch.ones(2, 2)}),
        ("camembert", lambda t: t | {"roberta.embeddings.position_ids": torch.arange(33)[None]}),
    ],
)
def test_other_ways_of_naming_the_same_tensors(name, change, edited):
    ours = load_pretrained(edited(name, change))
    ids = random_ids()
    with torch.no_grad():
        close(ours.model(ids), expected_output(reference(name), ids))


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("llama", without("model.norm.weight"), r"Il manque 1 tenseur \(norm\.weight\)"),
        ("llama", without("lm_head.weight"), r"Il manque 1 tenseur \(lm_head\.weight\)"),
        (
            "qwen2",
            lambda t: {n: x for n, x in t.items() if "bias" not in n},
            r"Il manque 9 tenseurs \(layers\.0\.self_attn\.k_proj\.bias, .*…\)",
        ),
        (
            "qwen3",
            lambda t: {n: x for n, x in t.items() if "q_norm" not in n},
            r"Il manque 3 tenseurs \(layers\.0\.self_attn\.q_norm\.weight, ",
        ),
        (
            "llama",
            lambda t: t | {"model.layers.0.self_attn.q_norm.weight": torch.ones(6)},
            r"1 tenseur \(layers\.0\.self_attn\.q_norm\.weight\) de trop",
        ),
        (
            "llama",
            lambda t: t | {"model.layers.0.mlp.gate_proj.bias": torch.ones(37)},
            r"1 tenseur \(layers\.0\.mlp\.gate_proj\.bias\) de trop",
        ),
        ("bert", lambda t: t | {"classifier.weight": torch.ones(2, 21)}, "classifier.weight.*trop"),
        (
            "llama",
            lambda t: t | {"model.norm.weight": torch.ones(29)},
            r"« norm\.weight » a la forme \(29,\).*il faut \(30,\)",
        ),
        (
            "gpt2",
            lambda t: t | {"transformer.h.1.attn.c_attn.weight": torch.ones(63, 21)},
            r"« h\.1\.attn\.c_attn\.weight » a la forme \(63, 21\).*il faut \(21, 63\)",
        ),
        (
            "gpt2",
            lambda t: t | {"lm_head.weight": torch.ones(VOCAB, 21)},
            r"« lm_head\.weight » devrait répéter « wte\.weight »",
        ),
        (
            "llama",
            lambda t: t | {"model.norm.weight": torch.ones(30, dtype=torch.int8)},
            r"« model\.norm\.weight ».*est en I8 ; on sait lire F32, F16, BF16",
        ),
        (
            "llama",
            lambda t: t | {"norm.weight": torch.ones(30)},
            "ont le même nom, au préfixe près",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(name, change, message, edited):
    with pytest.raises(ValueError, match=message):
        load_pretrained(edited(name, change))


def test_tied_weights_stay_tied(tmp_path):
    model = load_pretrained(save_reference(reference("qwen2"), "qwen2", tmp_path)).model
    assert model.head.weight is model.embedding.tokens.weight


def test_the_weights_survive_the_file(tmp_path):
    folder = save_reference(reference("llama"), "llama", tmp_path)
    model = load_pretrained(folder).model
    before = model(random_ids())
    path = folder / "model.safetensors"
    path.write_bytes(bytes(path.stat().st_size))  # sur place : une vue du fichier le verrait
    close(model(random_ids()), before)


# ------------------------------------------------------------------ dossiers et fichiers refusés


def test_absurd_sizes_are_refused_without_building_them(tmp_path):
    folder = save_reference(reference("llama"), "llama", tmp_path)
    rewrite_json(folder / "config.json", num_hidden_layers=10**7)
    with pytest.raises(ValueError, match="10000000 étages et il n’y a que 30 tenseurs"):
        load_pretrained(folder)
    sizes = {"head_dim": 2**24, "num_attention_heads": 2**24, "num_key_value_heads": 2**24}
    rewrite_json(folder / "config.json", num_hidden_layers=3, hidden_size=2**24, **sizes)
    with pytest.raises(ValueError, match="un modèle trop grand"):
        load_pretrained(folder)
    rewrite_json(folder / "config.json", num_attention_heads=1, num_key_value_heads=1)
    with pytest.raises(ValueError, match="a la forme"):
        load_pretrained(folder)


def test_a_tokenizer_from_elsewhere_is_refused(tmp_path):
    folder = save_reference(reference("llama"), "llama", tmp_path)
    other = {f"mot{i}": i for i in range(VOCAB + 1)}
    WordTokenizer(other | {"<unk>": VOCAB + 1}, ["<unk>"]).save(folder / "tokenizer.json")
    with pytest.raises(ValueError, match=r"Le tokeniseur a 283 jetons .* que 281"):
        load_pretrained(folder)


def test_paths_that_are_not_models(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"pas de « config\.json »"):
        load_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="Aucun fichier GGUF"):
        load_pretrained(tmp_path / "absent.gguf")
    with pytest.raises(ValueError, match=r"/modele\.pt » est un pickle : l’ouvrir exécute"):
        load_pretrained(tmp_path / "modele.pt")
    with pytest.raises(ValueError, match="donnez le dossier"):
        load_pretrained(tmp_path / "model.safetensors")


# ------------------------------------------------------------------ phrases en vecteurs

SENTENCES = ["le chat dort", "la chatte", "", "le chat chasse la chatte sur le tapis" * 3]


def expected_embeddings(model, tokenizer, sentences, context):
    """Une phrase à la fois : ni remplissage, ni masque."""
    vectors = []
    for sentence in sentences:
        ids = torch.tensor([tokenizer.encode_sentence(sentence, context)])
        with torch.no_grad():
            vectors.append(model(ids).last_hidden_state[0].mean(0))
    return torch.nn.functional.normalize(torch.stack(vectors), dim=-1)


def test_sentence_embeddings_equal_transformers(tmp_path):
    model = reference("bert-encoder")
    ours = load_pretrained(save_reference(model, "bert", tmp_path))
    actual = sentence_embeddings(ours, SENTENCES)
    close(actual, expected_embeddings(model, ours.tokenizer, SENTENCES, CONTEXT))
    close(sentence_embeddings(ours, SENTENCES[::-1]), actual.flip(0))
    assert sentence_embeddings(ours, []).shape == (0, 21)
    with pytest.raises(TypeError, match=r"\[phrase\]"):
        sentence_embeddings(ours, "une phrase")


def test_only_sentence_encoders_embed_sentences(tmp_path):
    ours = load_pretrained(save_reference(reference("llama"), "llama", tmp_path))
    with pytest.raises(ValueError, match="llama au tokeniseur BPETokenizer"):
        sentence_embeddings(ours, ["une phrase"])


# ------------------------------------------------------------------ les vrais modèles


def test_minilm_equals_transformers():
    """Écart mesuré : moins de 1e-6 sur les vecteurs normés."""
    folder = published(store.minilm_folder)
    ours = load_pretrained(folder)
    assert isinstance(ours.model, Encoder)
    assert (ours.family, ours.eos_ids, ours.chat_template) == ("bert", (), None)
    theirs = transformers.BertModel.from_pretrained(folder, dtype=torch.float32).eval()
    expected = expected_embeddings(theirs, ours.tokenizer, PROMPTS, 512)
    close(sentence_embeddings(ours, PROMPTS), expected)
