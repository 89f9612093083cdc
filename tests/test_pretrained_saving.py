"""Enregistrer un modèle pour transformers et llama.cpp : mêmes nombres, rien d’écrasé."""

import json
import logging
import os
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
import transformers
from pretrained_references import reference, rewrite_json, save_reference
from safetensors import SafetensorError
from torch.testing import assert_close

from course_lib import files
from course_lib.finetuning import (
    LoRAConfig,
    attach_bottleneck,
    attach_lora,
    attach_soft_prompt,
    detach_adapters,
    merge_adapter,
)
from course_lib.generation import SamplingConfig, generate
from course_lib.models.shipped import load_petit_llm
from course_lib.pretrained import saving
from course_lib.pretrained.describing import written_family
from course_lib.pretrained.folders.replacing import FILES
from course_lib.pretrained.gguf import writer as gguf_writer
from course_lib.pretrained.gguf.reader import GGUFFile
from course_lib.pretrained.loading import load_pretrained
from course_lib.pretrained.saving import save_folder, save_gguf
from course_lib.tokenization import BPETokenizer, CharTokenizer, WordTokenizer
from course_lib.transformer import BertConfig, GPT2Config, LlamaConfig, bert, gpt2, llama
from course_lib.transformer.positions import Llama3Scaling

TEXTS = ["le chat dort sur le tapis 42 fois", "la chatte chasse le chat de l’été"]
TOKENIZER = BPETokenizer.train(TEXTS, isolate_digits=True)
VOCAB, CONTEXT = 283, 31  # plus de lignes que de jetons : les dernières ne servent pas
SIZES = {"vocab_size": VOCAB, "context_length": CONTEXT, "d_model": 30, "n_layers": 3, "n_heads": 5}
LLAMA = LlamaConfig(**SIZES, d_ff=37)
CONFIGS = {
    "llama": LLAMA,
    "llama-gqa": replace(LLAMA, n_kv_heads=1, head_dim=14, tie_weights=False, norm_eps=1e-6),
    "llama-wide": LlamaConfig(VOCAB, CONTEXT, 64, 2, 2, n_kv_heads=1, d_ff=37),  # lignes de 64
    "llama3": replace(LLAMA, rope_scaling=Llama3Scaling(8.0, 1.0, 4.0, 16), rope_theta=777.0),
    "qwen2": replace(LLAMA, attention_bias=True, n_kv_heads=1),
    "qwen3": replace(LLAMA, qk_norm=True, n_kv_heads=1, head_dim=14, d_model=29),
    # transformers ne lit pas la taille des têtes dans un GGUF « qwen3 » : il prend 128.
    "qwen3-128": replace(LLAMA, qk_norm=True, n_kv_heads=1, head_dim=128),
    "gpt2": GPT2Config(VOCAB, CONTEXT, d_model=21, n_layers=3, n_heads=7, d_ff=37, dropout=0.0),
}
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
GREEDY = SamplingConfig(temperature=0)


def random_model(name):
    """Tous les paramètres au hasard, biais et normes compris."""
    config = CONFIGS[name]
    model = (gpt2 if name == "gpt2" else llama)(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return model.eval()


def random_ids(vocab_size=VOCAB):
    return torch.randint(0, vocab_size, (3, 11), generator=torch.Generator().manual_seed(1))


def close(actual, expected, atol=1e-5):
    assert_close(actual, expected, atol=atol, rtol=1e-5)


@pytest.fixture
def quiet(caplog):
    """Vérifie qu’aucun avertissement n’est émis, ni par Python ni par le journal."""
    transformers.logging.enable_propagation()
    with caplog.at_level(logging.WARNING):
        yield
    transformers.logging.disable_propagation()
    assert [record.getMessage() for record in caplog.get_records("call")] == []


# ------------------------------------------------------------------ dossiers


@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_reads_our_folder(name, tmp_path, quiet):
    model, folder = random_model(name), tmp_path / "modele"
    save_folder(model, TOKENIZER, folder, chat_template=TEMPLATE)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(info.values())
    assert theirs.dtype == torch.float32
    with torch.no_grad():
        close(model(random_ids()), theirs(random_ids()).logits)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text in [*TEXTS, "1789, œuf 🙂\n\n  fin<eos>", ""]:
        assert tokenizer(text)["input_ids"] == TOKENIZER.encode(text)
        assert tokenizer.decode(TOKENIZER.encode(text)) == text
    roles = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert roles == (TOKENIZER.bos_id, TOKENIZER.eos_id, TOKENIZER.pad_id)
    assert tokenizer.model_max_length == CONTEXT
    messages = [{"role": "user", "content": "Bonjour !"}]
    assert tokenizer.apply_chat_template(messages, tokenize=False) == "[user] Bonjour !\n"


@pytest.mark.parametrize("name", CONFIGS)
def test_our_folder_comes_back(name, tmp_path):
    model = random_model(name)
    save_folder(model, TOKENIZER, tmp_path / "modele", chat_template=TEMPLATE, eos_ids=[5, 2])
    ours = load_pretrained(tmp_path / "modele")
    assert ours.config == CONFIGS[name]
    assert ours.family == ("gpt2" if name == "gpt2" else written_family(CONFIGS[name]))
    assert ours.eos_ids == (5, 2)
    assert ours.chat_template.source == TEMPLATE
    assert ours.tokenizer.token_to_id == TOKENIZER.token_to_id
    state = model.state_dict()
    assert ours.model.state_dict().keys() == state.keys()
    assert all(torch.equal(ours.model.state_dict()[one], state[one]) for one in state)


@pytest.fixture(scope="module")
def small_llm():
    """Le petit LLM du cours, et dix débuts d’histoires."""
    model, tokenizer = load_petit_llm()
    starts = ["Il était une fois", "Un jour,", "Le chat", "Marie", "La petite fille", "Dans la",
              "Paul", "Le roi", "Un soir", "Elle"]  # fmt: skip
    return model, tokenizer, [[tokenizer.bos_id, *tokenizer.encode(start)] for start in starts]


def test_the_small_llm_writes_the_same_stories(small_llm, tmp_path, quiet):
    model, tokenizer, prompts = small_llm
    save_folder(model, tokenizer, tmp_path / "petit")
    ours = load_pretrained(tmp_path / "petit")
    options = {"sampling": GREEDY, "stop_ids": [tokenizer.eos_id]}
    expected = [result.ids for result in generate(model, prompts, 24, **options)]
    assert [result.ids for result in generate(ours.model, prompts, 24, **options)] == expected
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "petit")
    assert theirs.generation_config.eos_token_id == tokenizer.eos_id
    for prompt, ids in zip(prompts, expected, strict=True):
        batch = torch.tensor([prompt])
        with torch.no_grad():
            close(theirs(batch).logits, model(batch), atol=2e-5)
        mask = torch.ones_like(batch)
        written = theirs.generate(batch, attention_mask=mask, max_new_tokens=24, do_sample=False)
        assert written[0, len(prompt) :].tolist() == ids


@pytest.mark.parametrize(
    "tokenizer", [CharTokenizer.train(TEXTS), WordTokenizer.train(TEXTS)], ids=["chars", "words"]
)
def test_other_tokenizers_go_into_folders(tokenizer, tmp_path, quiet):
    save_folder(random_model("llama"), tokenizer, tmp_path / "modele")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "modele")
    ours = load_pretrained(tmp_path / "modele").tokenizer
    for text in (text[:CONTEXT] for text in TEXTS):
        assert theirs(text)["input_ids"] == tokenizer.encode(text) == ours.encode(text)


# ------------------------------------------------------------------ ne rien écraser


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_our_folder_is_replaced_and_nothing_is_left_behind(tmp_path):
    folder = tmp_path / "modele"
    save_folder(random_model("llama"), TOKENIZER, folder)
    before = content_of(folder)
    save_folder(random_model("qwen2"), TOKENIZER, folder)
    assert content_of(folder) != before
    assert load_pretrained(folder).family == "qwen2"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("stranger", ["notes.txt", "config.json"])
def test_a_folder_of_someone_else_is_kept(stranger, tmp_path):
    folder = tmp_path / "a-moi"
    folder.mkdir()
    (folder / stranger).write_text('{"model_type": "llama"}')
    before = content_of(folder)
    with pytest.raises(FileExistsError, match=r"« .*a-moi » existe et contient .*overwrite=True"):
        save_folder(random_model("llama"), TOKENIZER, folder)
    assert content_of(folder) == before
    save_folder(random_model("llama"), TOKENIZER, folder, overwrite=True)
    assert sorted(content_of(folder)) == sorted(FILES)


def test_a_file_added_to_our_folder_protects_it(tmp_path):
    folder = tmp_path / "modele"
    save_folder(random_model("llama"), TOKENIZER, folder)
    (folder / "notes.txt").write_text("à garder")
    with pytest.raises(FileExistsError):
        save_folder(random_model("llama"), TOKENIZER, folder)


def test_files_and_links_are_never_replaced(tmp_path):
    (tmp_path / "fichier").write_text("à garder")
    (tmp_path / "lien").symlink_to(tmp_path / "ailleurs", target_is_directory=True)
    for name in ("fichier", "lien"):
        with pytest.raises(FileExistsError, match="n’est pas un dossier"):
            save_folder(random_model("llama"), TOKENIZER, tmp_path / name, overwrite=True)
    with pytest.raises(FileNotFoundError, match=r"« .*absent » n’existe pas"):
        save_folder(random_model("llama"), TOKENIZER, tmp_path / "absent" / "modele")


@pytest.mark.parametrize("step", ["save_file", "_move_into_place", "second rename"])
def test_a_failure_leaves_the_old_folder(step, tmp_path, monkeypatch):
    folder = tmp_path / "modele"
    save_folder(random_model("llama"), TOKENIZER, folder)
    before = content_of(folder)

    def fail(*arguments, **options):
        raise OSError("disque plein")

    if step == "second rename":
        renames, rename = [], os.replace

        def replace_once(source, target):
            renames.append(source)
            return fail() if len(renames) == 2 else rename(source, target)

        tokenizer = TOKENIZER.__class__.from_json(TOKENIZER.to_json())
        tokenizer.save = lambda path: path.write_text("{}")
        monkeypatch.setattr(files.os, "replace", replace_once)
    else:
        tokenizer = TOKENIZER
        place = saving if step == "save_file" else files
        monkeypatch.setattr(place, step, fail)
    with pytest.raises(OSError, match="disque plein"):
        save_folder(random_model("qwen2"), tokenizer, folder)
    assert content_of(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


# ------------------------------------------------------------------ avec un adaptateur


def adapted(name, targets):
    """Un modèle et son adaptateur, qui compte."""
    model = random_model(name)
    attach_lora(model, LoRAConfig(3, 7.0, targets=targets, magnitude=True))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    "name, targets",
    [("llama", ("query", "down")), ("llama", ("value", "head")), ("qwen2", ("*",)),
     ("qwen3", ("key", "up")),
     ("gpt2", ("key", "up"))],
)  # fmt: skip
def test_an_adapter_is_merged_in_what_is_written(name, targets, merged, tmp_path):
    model = adapted(name, targets)
    if merged:
        merge_adapter(model)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    modules, expected = dict(model.named_modules()), model(random_ids())
    assert (expected - random_model(name)(random_ids())).abs().max() > 0.01
    folder, path = tmp_path / "modele", tmp_path / "modele.gguf"
    save_folder(model, TOKENIZER, folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    ours = load_pretrained(folder)
    with torch.no_grad():
        close(theirs(random_ids()).logits, expected, 1e-4)
        close(ours.model(random_ids()), expected, 1e-4)
    if name != "gpt2":
        assert ours.config == replace(CONFIGS[name], tie_weights=not {"head", "*"} & set(targets))
        save_gguf(model, TOKENIZER, path, "F32")
        close(load_pretrained(path).model(random_ids()), expected, 1e-4)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert dict(model.named_modules()) == modules


def test_an_adapter_that_is_off_is_not_written(tmp_path):
    model = adapted("llama", ("query",))
    for layer in model.modules():
        if hasattr(layer, "active"):
            layer.active = None
    save_folder(model, TOKENIZER, tmp_path / "modele")
    back = load_pretrained(tmp_path / "modele").model.state_dict()
    assert all(torch.equal(back[key], t) for key, t in random_model("llama").state_dict().items())


@pytest.mark.parametrize("merged", [False, True])
def test_gpt2_has_no_head_of_its_own(tmp_path, merged):
    model = adapted("gpt2", ("head",))
    if merged:
        merge_adapter(model)
        detach_adapters(model, keep_merged=True)
    with pytest.raises(ValueError, match=r"La tête de ce modèle n’est pas liée .*detach_adapters"):
        save_folder(model, TOKENIZER, tmp_path / "modele")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("save", [save_folder, save_gguf])
@pytest.mark.parametrize(
    "attach, remedy",
    [
        (attach_bottleneck, "Un goulot ne se fond pas .*detach_bottlenecks"),
        (attach_soft_prompt, "Les jetons d’une amorce apprise .*detach_soft_prompt"),
    ],
)
def test_what_does_not_merge_is_refused(save, attach, remedy, tmp_path):
    model = random_model("llama")
    attach(model)
    with pytest.raises(ValueError, match=remedy):
        save(model, TOKENIZER, tmp_path / "modele")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ GGUF

LLAMA_LIKE = [name for name in CONFIGS if name != "gpt2"]
# Écart permis sur les scores, de l’ordre de 1 : F16 arrondit au millième, Q8_0 au centième.
TOLERANCE = {"F32": 1e-5, "F16": 2e-3, "Q8_0": 1e-1}


@pytest.mark.parametrize("name", LLAMA_LIKE)
@pytest.mark.parametrize("kind", TOLERANCE)
def test_our_gguf_comes_back(name, kind, tmp_path):
    model, path = random_model(name), tmp_path / "modele.gguf"
    if name == "llama3":  # un GGUF ne dit que les facteurs, pas comment ils furent choisis
        model = scaled_model()
    save_gguf(model, TOKENIZER, path, kind, chat_template=TEMPLATE)
    ours = load_pretrained(path)
    config = scaled_config() if name == "llama3" else CONFIGS[name]
    assert replace(ours.config, rope_theta=config.rope_theta) == config
    assert ours.config.rope_theta == pytest.approx(config.rope_theta)
    assert ours.family == written_family(config)
    assert (ours.eos_ids, ours.chat_template.source) == ((TOKENIZER.eos_id,), TEMPLATE)
    assert [ours.tokenizer.encode(text) for text in TEXTS] == list(map(TOKENIZER.encode, TEXTS))
    with torch.no_grad():
        gap = (ours.model(random_ids()) - model(random_ids())).abs().max().item()
    assert gap <= TOLERANCE[kind]
    assert kind == "F32" or gap > 1e-5  # un arrondi a bien eu lieu
    assert (kind, name) != ("Q8_0", "llama-wide") or gap > TOLERANCE["F16"]


def scaled_config():
    scaling = Llama3Scaling(32.0)
    sizes = {"d_model": 64, "n_heads": 1, "n_layers": 2, "d_ff": 37}
    return LlamaConfig(VOCAB, CONTEXT, **sizes, rope_theta=5e5, rope_scaling=scaling)


def scaled_model():
    return llama(scaled_config()).eval()


@pytest.mark.parametrize("name", ["llama", "llama-gqa", "llama-wide", "qwen2", "qwen3-128"])
@pytest.mark.parametrize("kind", TOLERANCE)
def test_transformers_reads_our_gguf(name, kind, tmp_path):
    model = random_model(name)
    save_gguf(model, TOKENIZER, tmp_path / "modele.gguf", kind)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="modele.gguf", dtype=torch.float32
    )
    ours = load_pretrained(tmp_path / "modele.gguf").model
    with torch.no_grad():
        expected = theirs(random_ids()).logits
        close(ours(random_ids()), expected, atol=2e-5)
        assert (model(random_ids()) - expected).abs().max() <= TOLERANCE[kind]


def test_what_no_family_has_is_refused_before_anything_is_written(tmp_path):
    both = llama(replace(LLAMA, attention_bias=True, qk_norm=True))
    for save in (save_folder, save_gguf):
        with pytest.raises(ValueError, match="attention_bias = True et qk_norm = True : aucune"):
            save(both, TOKENIZER, tmp_path / "modele")
    for change in ({"attention_bias": True}, {"qk_norm": True}):
        stretched = llama(replace(CONFIGS["llama3"], **change))
        with pytest.raises(ValueError, match=r"llama\.cpp n’étire .* s’écrit en qwen.*save_folder"):
            save_gguf(stretched, TOKENIZER, tmp_path / "m.gguf")
    assert not list(tmp_path.iterdir())


def test_number_formats_follow_llama_cpp(tmp_path):
    """Vecteurs en F32 ; lignes de 64 en Q8_0 ; lignes de 37, qui ne font pas des blocs, en F16."""
    config = LlamaConfig(VOCAB, CONTEXT, 64, 1, 2, d_ff=37, attention_bias=True)
    save_gguf(llama(config), TOKENIZER, tmp_path / "m.gguf", "Q8_0")
    with GGUFFile(tmp_path / "m.gguf") as file:
        kinds = {name: info.kind for name, info in file.tensors.items()}
    assert kinds["token_embd.weight"] == kinds["blk.0.attn_q.weight"] == "Q8_0"
    assert kinds["blk.0.ffn_up.weight"] == "Q8_0"
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.0.attn_norm.weight"] == kinds["blk.0.attn_q.bias"] == "F32"
    assert "output.weight" not in kinds


def test_gguf_settings_llama_cpp_needs(tmp_path):
    save_gguf(random_model("llama-gqa"), TOKENIZER, tmp_path / "petit.gguf", "F16")
    reader = gguf.GGUFReader(tmp_path / "petit.gguf")
    found = {key: field.contents() for key, field in reader.fields.items()}
    expected = {
        "general.architecture": "llama",
        "general.name": "petit",
        "general.file_type": 1,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": 30,
        "llama.block_count": 3,
        "llama.feed_forward_length": 37,
        "llama.attention.head_count": 5,
        "llama.attention.head_count_kv": 1,
        "llama.attention.key_length": 14,
        "llama.attention.value_length": 14,
        "llama.attention.layer_norm_rms_epsilon": pytest.approx(1e-6),
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": 14,
        "llama.vocab_size": VOCAB,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.eos_token_id": TOKENIZER.eos_id,
    }
    assert {key: found[key] for key in expected} == expected
    tokens, kinds = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert len(tokens) == len(set(tokens)) == len(kinds) == VOCAB
    n_tokens = TOKENIZER.vocab_size
    assert kinds == [3] * 3 + [1] * (n_tokens - 3) + [5] * (VOCAB - n_tokens)
    assert tokens[n_tokens] == f"[PAD{n_tokens}]"


def test_a_failed_gguf_leaves_the_old_one(tmp_path):
    path, model = tmp_path / "m.gguf", random_model("llama")
    save_gguf(model, TOKENIZER, path, "F32")
    before = path.read_bytes()
    with torch.no_grad():
        model.blocks[2].feed_forward.down.weight[0, 0] = 70_000.0
    with pytest.raises(ValueError, match="trop grand pour F16"):
        save_gguf(model, TOKENIZER, path, "F16")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------------ refus


@pytest.mark.parametrize("save", [save_folder, save_gguf])
def test_what_cannot_be_saved_is_refused(save, tmp_path):
    path = tmp_path / "modele"
    small = llama(LlamaConfig(257, CONTEXT, 30, 1, 5))
    with pytest.raises(ValueError, match=r"Le tokeniseur a 268 jetons et .* que 257"):
        save(small, TOKENIZER, path)
    encoder = bert(BertConfig(VOCAB, CONTEXT, 21, 1, 3, 37))
    with pytest.raises(ValueError, match="Ce Encoder n’est ni de type Llama"):
        save(encoder, TOKENIZER, path)
    model = random_model("llama")
    with torch.no_grad():
        model.norm.weight[3] = torch.nan
    with pytest.raises(ValueError, match=r"« norm\.weight » contient une valeur"):
        save(model, TOKENIZER, path)
    assert list(tmp_path.iterdir()) == []


def test_what_only_a_gguf_refuses(tmp_path):
    path = tmp_path / "m.gguf"
    with pytest.raises(ValueError, match="kind = 'Q4_K' : choisissez parmi F32, F16, Q8_0"):
        save_gguf(random_model("llama"), TOKENIZER, path, "Q4_K")
    with pytest.raises(ValueError, match="Seuls les modèles de type Llama"):
        save_gguf(random_model("gpt2"), TOKENIZER, path)
    with pytest.raises(ValueError, match="WordTokenizer ne s’écrit pas dans un GGUF"):
        save_gguf(random_model("llama"), WordTokenizer.train(TEXTS), path)


def test_end_tokens_are_checked(tmp_path):
    for wrong in (VOCAB, -1, "fin"):
        with pytest.raises(ValueError, match=f"eos_ids contient {wrong!r}"):
            save_folder(random_model("llama"), TOKENIZER, tmp_path / "m", eos_ids=[wrong])


def test_settings_are_plain_json(tmp_path):
    save_folder(random_model("llama"), TOKENIZER, tmp_path / "m")
    settings = json.loads((tmp_path / "m" / "config.json").read_text("utf-8"))
    assert settings["saved_by"] == "course_lib"
    assert (settings["bos_token_id"], settings["eos_token_id"]) == (1, 2)


# ------------------------------------------------------------------ charger, puis enregistrer


def published(name, folder, **changes):
    """Un dossier comme ceux du dépôt, aux réglages que nous ne chargeons pas."""
    save_reference(reference(name), name, folder)
    rewrite_json(folder / "config.json", **changes)
    generation = {"temperature": 0.6, "top_p": 0.9, "do_sample": True, "eos_token_id": [5, 2, 7, 9]}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    tokens = {"eos_token": "<eos>", "chat_template": TEMPLATE, "padding_side": "left"}
    settings = tokens | {"model_max_length": 131_072, "additional_special_tokens": ["<bos>"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("name", ["llama", "llama3", "qwen2", "qwen3", "mistral", "gpt2"])
def test_loading_then_saving_keeps_everything(name, tmp_path):
    long = {} if name == "gpt2" else {"max_position_embeddings": 131_072}
    folder = published(name, tmp_path / "avant", **long)
    ours, again = load_pretrained(folder), tmp_path / "apres"
    save_folder(ours.model, ours.tokenizer, again)
    before, after = (transformers.AutoConfig.from_pretrained(f).to_dict() for f in (folder, again))
    written = {
        "_name_or_path",
        "dtype",
        "architectures",
        "head_dim",
        "saved_by",
        "eos_token_id",
        "bos_token_id",
    }
    written |= {"pad_token_id", "layer_types", "max_window_layers", "sliding_window"}
    assert {key: before[key] for key in before.keys() - written} == {
        key: after[key] for key in before.keys() - written
    }
    assert after.get("sliding_window") == before.get("sliding_window")
    models = [transformers.AutoModelForCausalLM.from_pretrained(f).eval() for f in (folder, again)]
    with torch.no_grad():
        close(*(model(random_ids(270)).logits for model in models))
    theirs = [transformers.GenerationConfig.from_pretrained(f) for f in (folder, again)]
    for field in ("temperature", "top_p", "do_sample", "eos_token_id"):
        assert getattr(theirs[0], field) == getattr(theirs[1], field)
    settings = json.loads((again / "tokenizer_config.json").read_text("utf-8"))
    assert settings["chat_template"] == TEMPLATE
    assert settings["padding_side"] == "left"
    assert settings["additional_special_tokens"] == ["<bos>"]
    assert load_pretrained(again).config == ours.config


def test_another_tokenizer_takes_neither_ends_nor_template(tmp_path):
    ours = load_pretrained(published("llama", tmp_path / "avant"))
    save_folder(ours.model, BPETokenizer.train(TEXTS[:1]), tmp_path / "apres")
    again = load_pretrained(tmp_path / "apres")
    assert (again.eos_ids, again.chat_template) == ((2,), None)
    save_folder(ours.model, ours.tokenizer, tmp_path / "sans", chat_template="", eos_ids=[3])
    again = load_pretrained(tmp_path / "sans")
    assert (again.eos_ids, again.chat_template) == ((3, 2), None)  # 2 : la fin du tokeniseur


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "helium", "mistral"])
def test_loading_then_saving_a_gguf_keeps_what_it_can(name, tmp_path):
    long = {"max_position_embeddings": 131_072}
    ours = load_pretrained(published(name, tmp_path / "avant", **long))
    path = tmp_path / "apres.gguf"
    with pytest.warns(UserWarning, match=r"4 jetons de fin, et un GGUF n’en dit que 3 : \[9\]"):
        save_gguf(ours.model, ours.tokenizer, path, "F32")
    with GGUFFile(path) as file:
        # Hors de sa fenêtre, Mistral ferait un autre calcul, et ce format ne la dit pas.
        length = 23 if name == "mistral" else 131_072
        architecture = file.metadata["general.architecture"]
        assert file.metadata[f"{architecture}.context_length"] == length
    again = load_pretrained(path)
    assert (again.eos_ids, again.chat_template.source) == ((2, 5, 7), TEMPLATE)
    with torch.no_grad():
        close(again.model(random_ids(270)), ours.model(random_ids(270)))
    save_gguf(again.model, again.tokenizer, tmp_path / "second.gguf", "F32", name="apres")
    with GGUFFile(path) as first, GGUFFile(tmp_path / "second.gguf") as second:
        # Les lignes sans emploi sont pour notre tokeniseur des jetons comme les autres.
        kinds = "tokenizer.ggml.token_type"
        assert first.metadata | {kinds: 0} == second.metadata | {kinds: 0}
        assert all(np.array_equal(first.tensor(n), second.tensor(n)) for n in first.tensors)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_written_when_asked(dtype, tmp_path):
    model = random_model("llama")
    save_folder(model, TOKENIZER, tmp_path / "m", dtype=dtype)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert str(theirs.dtype) == f"torch.{dtype}"
    ours = load_pretrained(tmp_path / "m").model
    assert {p.dtype for p in ours.parameters()} == {torch.float32}  # comme toujours
    for name, weight in model.named_parameters():
        rounded = weight.detach().to(theirs.dtype).float()
        assert torch.equal(dict(ours.named_parameters())[name], rounded)
    with torch.no_grad():
        model.norm.weight[3] = 70_000.0
    if dtype == "float16":
        with pytest.raises(
            ValueError, match=r"« norm\.weight » a une valeur de 70000, trop grande"
        ):
            save_folder(model, TOKENIZER, tmp_path / "n", dtype=dtype)
        assert [one.name for one in tmp_path.iterdir()] == ["m"]
    with pytest.raises(ValueError, match="dtype = 'int8' : choisissez parmi float32, float16"):
        save_folder(model, TOKENIZER, tmp_path / "n", dtype="int8")


# ------------------------------------------------------------------ disque plein, chemins pris


@pytest.mark.parametrize("code, message", [(28, "disque est plein"), (30, "en lecture seule")])
def test_a_full_disk_is_said_in_french_and_loses_nothing(code, message, tmp_path, monkeypatch):
    folder, path = tmp_path / "modele", tmp_path / "m.gguf"
    save_folder(random_model("llama"), TOKENIZER, folder)
    save_gguf(random_model("llama"), TOKENIZER, path)
    before = content_of(folder), path.read_bytes()

    def fail(*arguments, **options):
        raise OSError(code, os.strerror(code))

    def fail_as_safetensors(*arguments, **options):
        raise SafetensorError(f"I/O error: {os.strerror(code)} (os error {code})")

    monkeypatch.setattr(gguf_writer, "_content", fail)
    for failure in (fail, fail_as_safetensors):
        monkeypatch.setattr(saving, "save_file", failure)
        with pytest.raises(OSError, match=f"« {folder} » : .*{message}"):
            save_folder(random_model("qwen2"), TOKENIZER, folder)
    with pytest.raises(OSError, match=f"« {path} » : .*{message}"):
        save_gguf(random_model("qwen2"), TOKENIZER, path)
    assert (content_of(folder), path.read_bytes()) == before
    assert sorted(tmp_path.iterdir()) == [path, folder]


def test_a_gguf_replaces_only_a_gguf(tmp_path):
    (tmp_path / "x.gguf").mkdir()
    (tmp_path / "notes.txt").write_text("à garder")
    (tmp_path / "vide").touch()
    with pytest.raises(FileExistsError, match=r"x\.gguf » est un dossier"):
        save_gguf(random_model("llama"), TOKENIZER, tmp_path / "x.gguf")
    with pytest.raises(FileExistsError, match=r"notes\.txt » existe et n’est pas un GGUF"):
        save_gguf(random_model("llama"), TOKENIZER, tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "à garder"
    save_gguf(random_model("llama"), TOKENIZER, tmp_path / "vide")


# ------------------------------------------------------------------ GGUF en morceaux


@pytest.fixture
def parts(tmp_path):
    """Un GGUF coupé en trois, comme par gguf-split, et le modèle."""
    model = random_model("llama")
    save_gguf(model, TOKENIZER, tmp_path / "entier.gguf", "F32")
    with GGUFFile(tmp_path / "entier.gguf") as file:
        names, paths = list(file.tensors), []
        for rank in range(3):
            split = {"split.no": rank, "split.count": 3, "split.tensors.count": len(names)}
            tensors = [(name, file.tensor(name), "F32") for name in names[rank::3]]
            paths.append(tmp_path / f"m-{rank + 1:05d}-of-00003.gguf")
            gguf_writer.write_gguf(paths[-1], split | (file.metadata if rank == 0 else {}), tensors)
    return model, paths


def test_all_the_parts_of_a_gguf_are_read(parts):
    model, paths = parts
    for path in paths:
        with torch.no_grad():
            close(load_pretrained(path).model(random_ids()), model(random_ids()))


def test_parts_that_do_not_fit_are_named(parts):
    _, (first, second, third) = parts
    content = second.read_bytes()
    second.write_bytes(third.read_bytes())
    with pytest.raises(ValueError, match=r"est dans « m-00002-of-.* et dans « m-00003-of-"):
        load_pretrained(first)
    second.unlink()
    with pytest.raises(FileNotFoundError, match=r"Il manque le morceau « m-00002-of-00003\.gguf »"):
        load_pretrained(first)
    second.write_bytes(content)
    second.rename(first.with_name("milieu.gguf"))
    with pytest.raises(ValueError, match=r"« milieu\.gguf » se dit le morceau 1 .* sur 3"):
        load_pretrained(first.with_name("milieu.gguf"))
