"""Les fichiers d’adaptateurs : chaque réglage de `peft` obéi ou refusé, et les deux mondes."""

import dataclasses
import json
from dataclasses import replace

import peft
import pytest
import torch
import transformers
from fuzzing import adapter_reader, fuzz, save_small_adapter, surprises
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from course_lib.finetuning import (
    LoRAConfig,
    attach_bottleneck,
    attach_lora,
    detach_adapters,
    detach_bottlenecks,
    load_adapter,
    merge_adapter,
    save_adapter,
    weight_fingerprint,
)
from course_lib.finetuning.adapter_settings import IGNORED, OBEYED
from course_lib.finetuning.lora import lora_layers
from course_lib.pretrained.describing import write_config
from course_lib.pretrained.places import pack, published_place
from course_lib.transformer import BertConfig, GPT2Config, LlamaConfig, bert, gpt2, llama
from course_lib.transformer.recognition import config_of

V, CONTEXT = 53, 31
IDS = torch.randint(1, V, (3, 11), generator=torch.Generator().manual_seed(0))
LLAMA = LlamaConfig(V, CONTEXT, 30, 3, 5, n_kv_heads=1, d_ff=37)
MODELS = {
    "llama": lambda: llama(LLAMA),
    "qwen2": lambda: llama(replace(LLAMA, attention_bias=True, tie_weights=False)),
    "qwen3": lambda: llama(replace(LLAMA, qk_norm=True)),
    "gpt2": lambda: gpt2(GPT2Config(V, CONTEXT, 21, 3, 7, d_ff=37, dropout=0.0)),
}
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
]


def build(kind="llama"):
    """Tous les poids au hasard : deux couches ne se ressemblent pas."""
    return shuffle(MODELS[kind]().eval(), 1)


@torch.no_grad()
def shuffle(model, seed, only=""):
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if only in name:
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=draw))
    return model


def in_transformers(model):
    """Le même modèle dans transformers, aux mêmes poids."""
    content = write_config(config_of(model))
    config = transformers.AutoConfig.for_model(**content)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    weights = {name: p.detach() for name, p in model.named_parameters()}
    places = {name: published_place(content["model_type"], name) for name in weights}
    theirs.load_state_dict(pack(places, weights), strict=False)
    assert_close(theirs(IDS).logits, model(IDS), atol=1e-5, rtol=1e-5)
    return theirs


def ours_adapted(model, targets=("query", "value"), **options):
    """Notre modèle et un adaptateur dont tous les nombres comptent."""
    attach_lora(model, LoRAConfig(3, 7.0, targets=targets, **options))
    return shuffle(model, 2, ".adapters.")


def theirs_adapted(model, folder, **options):
    """Les sorties du modèle avec un adaptateur de peft, enregistré dans le dossier."""
    options = {"r": 3, "lora_alpha": 7, "target_modules": ["query", "value"]} | options
    adapted = peft.get_peft_model(model, peft.LoraConfig(**options)).eval()
    shuffle(adapted, 2, "lora_")
    adapted.save_pretrained(folder)
    output = adapted.base_model.model(IDS)
    return getattr(output, "logits", output).detach()


def edit(folder, **changes):
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def saved(tmp_path):
    """Le dossier d’un adaptateur, et les sorties qu’il donne."""
    model = ours_adapted(build())
    save_adapter(model, tmp_path / "a")
    return tmp_path / "a", model(IDS).detach()


# ------------------------------------------------------------------ les réglages de peft


@pytest.mark.parametrize(
    "options",
    [
        {"rank_pattern": {"value": 5, r"blocks\.0\..*query": 2}},
        {"alpha_pattern": {"self_attention.value": 3, "^blocks.1.self_attention.query": 19}},
        {"rank_pattern": {"query": 5}, "alpha_pattern": {"value": 2}, "use_rslora": True},
        {"layers_to_transform": [0, 2], "layers_pattern": "blocks"},
        {"layers_to_transform": 1, "layers_pattern": ["étages", "blocks"]},
        {"target_modules": r".*\.(gate|up|key)"},
        {"target_modules": r"blocks\.1\..*(down|output)"},
        {"target_modules": ["self_attention.output", "blocks.0.feed_forward.up", "head"]},
        {"exclude_modules": ["blocks.1.self_attention.query"]},
        {"target_modules": ["query", "down"], "exclude_modules": r".*\.0\..*"},
        {"use_dora": True, "use_rslora": True, "lora_alpha": 2.5},
        {"fan_in_fan_out": True},
        {"lora_dropout": 0.4},
        {"init_lora_weights": False},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "orthogonal", "r": 4},
        {"init_lora_weights": "mica"},
        {"task_type": "FEATURE_EXTRACTION", "revision": "main", "inference_mode": True},
    ],
    ids=str,
)
def test_an_obeyed_setting_gives_the_outputs_of_peft(options, tmp_path):
    expected = theirs_adapted(build(), tmp_path, **options)
    model = build()
    plain = model(IDS)
    load_adapter(model, tmp_path)
    assert_close(model(IDS), expected, atol=1e-5, rtol=1e-5)
    assert (expected - plain).abs().max() > 0.01
    save_adapter(model, tmp_path / "encore")  # les rangs de chaque couche y sont
    again = peft.PeftModel.from_pretrained(build(), tmp_path / "encore").eval()
    assert_close(again.base_model.model(IDS), expected, atol=1e-5, rtol=1e-5)


REFUSED = {
    "alora_invocation_tokens": [5],
    "arrow_config": {"top_k": 2},
    "bias": "lora_only",
    "ensure_weight_tying": True,
    "kasa_config": {"beta": 1.0},
    "layer_replication": [[0, 2], [1, 3]],
    "lora_bias": True,
    "megatron_config": {"a": 1},
    "modules_to_save": ["head"],
    "monteclora_config": {"a": 1},
    "target_parameters": ["experts.up"],
    "trainable_token_indices": [1, 2],
    "use_bdlora": {"a": 1},
    "use_qalora": True,
    "velora_config": {"a": 1},
}


def test_every_setting_of_peft_is_known():
    fields = {field.name for field in dataclasses.fields(peft.LoraConfig)}
    assert fields == IGNORED | OBEYED | set(REFUSED)
    assert not (IGNORED | OBEYED) & set(REFUSED) - {"bias"}


@pytest.mark.parametrize("name, value", [*REFUSED.items(), ("un_champ_à_venir", 0.5)])
def test_other_settings_are_refused_by_name(name, value, saved):
    folder, _ = saved
    edit(folder, **{name: value})
    model = build()
    with pytest.raises(ValueError) as error:
        load_adapter(model, folder)
    assert f"{name} = {value!r} n’est pas pris en charge" in str(error.value)
    assert "merge_and_unload" in str(error.value)
    assert not lora_layers(model) and all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    "start", ["pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "inconnu", 1]
)
def test_a_start_that_changes_the_base_is_refused(start, saved):
    edit(saved[0], init_lora_weights=start)
    with pytest.raises(ValueError, match=r"init_lora_weights = .*path_initial_model_for_weight"):
        load_adapter(build(), saved[0])


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_a_converted_adapter_is_read(start, tmp_path):
    """Le remède du message : la conversion de peft rend un LoRA ordinaire, de rang double."""
    config = peft.LoraConfig(r=3, target_modules=["query"], init_lora_weights=start)
    adapted = peft.get_peft_model(build(), config).eval()
    config.init_lora_weights = True
    adapted.save_pretrained(tmp_path / "départ")
    config.init_lora_weights = start
    shuffle(adapted, 2, "lora_B")
    expected = adapted.base_model.model(IDS).detach()
    adapted.save_pretrained(
        tmp_path / "a", path_initial_model_for_weight_conversion=tmp_path / "départ"
    )
    model = build()
    load_adapter(model, tmp_path / "a")
    assert_close(model(IDS), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"target_modules": ["query"]}, "se contredisent .* a des poids pour la couche"),
        ({"target_modules": ["query", "value", "key"]}, "n’a pas de poids pour la couche"),
        ({"target_modules": "(((("}, "Le motif .* ne se lit pas"),
        ({"target_modules": "(.*.*)*x" * 9}, "Le motif .* ne se lit pas|se contredisent"),
        ({"target_modules": None}, "« target_modules » manque"),
        ({"target_modules": [1]}, r"target_modules = \[1\] ; il faut des noms"),
        ({"rank_pattern": [3]}, r"rank_pattern = \[3\] ; il faut un dictionnaire"),
        ({"rank_pattern": {"query": "3"}}, "rank = '3' : il faut un entier"),
        ({"alpha_pattern": {"query": None}}, "alpha = None : il faut un nombre positif"),
        ({"layers_to_transform": ["1"]}, "il faut des entiers"),
        ({"peft_type": "PREFIX_TUNING"}, "peft_type = 'PREFIX_TUNING' n’est pas un adaptateur"),
    ],
)
def test_settings_that_contradict_the_weights(changes, message, saved):
    edit(saved[0], **changes)
    with pytest.raises(ValueError, match=message):
        load_adapter(build(), saved[0])


def test_an_embedding_adapter_is_refused(tmp_path):
    theirs_adapted(in_transformers(build()), tmp_path, target_modules=["q_proj", "embed_tokens"])
    with pytest.raises(ValueError, match=r"lora_embedding_.* n’est pas un poids de LoRA sur une"):
        load_adapter(build(), tmp_path)


# ------------------------------------------------------------------ transformers

TARGETS = {
    "llama": (
        ["q_proj", "k_proj", "down_proj", "lm_head"],
        ("query", "value", "feed_forward.gate", "head"),
    ),
    "qwen2": (["v_proj", "o_proj", "lm_head"], ("key", "output", "up")),
    "qwen3": (["q_proj", "k_proj", "gate_proj"], ("query", "key", "output")),
    "gpt2": (["c_attn", "c_fc", "mlp.c_proj"], ("query", "value", "down")),
}


@pytest.mark.parametrize("option", ["r", "use_rslora", "use_dora"])
@pytest.mark.parametrize("kind", TARGETS)
def test_an_adapter_made_with_transformers(kind, option, tmp_path):
    options = {"target_modules": TARGETS[kind][0]} | ({} if option == "r" else {option: True})
    expected = theirs_adapted(in_transformers(build(kind)), tmp_path / "a", **options)
    model = build(kind)
    load_adapter(model, tmp_path / "a")
    assert_close(model(IDS), expected, atol=1e-5, rtol=1e-5)
    assert (model(IDS) - build(kind)(IDS)).abs().max() > 0.01
    save_adapter(model, tmp_path / "b", for_transformers=True)  # de retour, mêmes rangs
    shapes = [
        {
            key: tensor.shape
            for key, tensor in load_file(tmp_path / name / WEIGHTS).items()
            if ".lora_" in key
        }
        for name in "ab"
    ]
    assert shapes[0] == shapes[1]
    again = peft.PeftModel.from_pretrained(in_transformers(build(kind)), tmp_path / "b").eval()
    assert_close(again(IDS).logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("option", ["r", "rank_stabilized", "magnitude"])
@pytest.mark.parametrize("kind", TARGETS)
def test_transformers_reads_ours(kind, option, tmp_path):
    switches = {} if option == "r" else {option: True}
    model = ours_adapted(build(kind), TARGETS[kind][1], **switches)
    expected = model(IDS)
    save_adapter(model, tmp_path, for_transformers=True)
    theirs = peft.PeftModel.from_pretrained(in_transformers(build(kind)), tmp_path).eval()
    assert_close(theirs(IDS).logits, expected, atol=1e-5, rtol=1e-5)
    assert isinstance(theirs, peft.PeftModelForCausalLM)
    back = build(kind)
    load_adapter(back, tmp_path)
    assert_close(back(IDS), expected, atol=1e-5, rtol=1e-5)


def test_a_head_that_was_trained_or_enlarged_is_refused(tmp_path):
    """Quand un adaptateur vise la tête, peft recopie la matrice de la base dans son fichier."""
    theirs_adapted(in_transformers(build("qwen2")), tmp_path, target_modules=["lm_head"])
    tensors = load_file(tmp_path / WEIGHTS)
    key = "base_model.model.lm_head.base_layer.weight"
    for other in (1.1 * tensors[key], torch.cat((tensors[key], tensors[key][:1]))):
        save_file(tensors | {key: other}, tmp_path / WEIGHTS)
        with pytest.raises(ValueError, match=r"lm_head.* n’est pas la matrice de ce modèle"):
            load_adapter(build("qwen2"), tmp_path)
    save_file(tensors | {key: tensors[key].bfloat16()}, tmp_path / WEIGHTS)
    assert load_adapter(build("qwen2"), tmp_path) == ["head"]


def test_names_of_a_model_without_its_head(tmp_path):
    """AutoModel n’a pas le préfixe « model. » d’AutoModelForCausalLM."""
    theirs = in_transformers(build()).model
    adapted = peft.get_peft_model(theirs, peft.LoraConfig(target_modules=["q_proj"])).eval()
    shuffle(adapted, 2, "lora_")
    adapted.save_pretrained(tmp_path)
    model = build()
    load_adapter(model, tmp_path)
    expected = adapted(IDS).last_hidden_state
    assert_close(model.hidden(IDS), expected, atol=1e-5, rtol=1e-5)


def test_bert_crosses_too(tmp_path):
    config = BertConfig(V, CONTEXT, 21, 2, 7, d_ff=37, dropout=0.0)
    model = ours_adapted(shuffle(bert(config).eval(), 1), ("query", "up", "head.0"))
    save_adapter(model, tmp_path, for_transformers=True)
    names = {key.split(".lora_")[0] for key in load_file(tmp_path / WEIGHTS)}
    assert "base_model.model.bert.encoder.layer.1.attention.self.query" in names
    assert "base_model.model.cls.predictions.transform.dense" in names
    back = shuffle(bert(config).eval(), 1)
    load_adapter(back, tmp_path)
    assert_close(back(IDS), model(IDS))


def test_gpt2_parts_of_unequal_scales(tmp_path):
    """Requêtes et valeurs n’ont ni le même rang, ni la même échelle : c_attn les réunit."""
    model = build("gpt2")
    theirs_adapted(model, tmp_path / "a", rank_pattern={"value": 5}, alpha_pattern={"query": 19})
    model = build("gpt2")
    load_adapter(model, tmp_path / "a")
    save_adapter(model, tmp_path / "b", for_transformers=True)
    theirs = peft.PeftModel.from_pretrained(in_transformers(build("gpt2")), tmp_path / "b").eval()
    assert_close(theirs(IDS).logits, model(IDS), atol=1e-5, rtol=1e-5)


def test_a_family_never_reads_the_names_of_another(tmp_path):
    theirs_adapted(in_transformers(build()), tmp_path, target_modules=["q_proj"])
    with pytest.raises(ValueError, match=r"vise la couche « model\.layers\.0.*que ce modèle n’a"):
        load_adapter(build("gpt2"), tmp_path)


# ------------------------------------------------------------------ la base


def test_another_base_of_the_same_shapes_is_refused(saved):
    other = shuffle(build(), 3)
    before = weight_fingerprint(other)
    with pytest.raises(ValueError, match="fait pour une autre base, dont les poids de « blocks"):
        load_adapter(other, saved[0])
    assert not lora_layers(other) and weight_fingerprint(other) == before


@pytest.mark.parametrize("for_transformers", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_rounded_base_is_the_same_base(dtype, for_transformers, tmp_path):
    merged = ours_adapted(build())
    expected = merged(IDS)
    merge_adapter(merged)  # fondu, c’est encore la base que l’on reconnaît
    save_adapter(merged, tmp_path, for_transformers=for_transformers)
    model = build().to(dtype)
    load_adapter(model, tmp_path)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert_close(model(IDS).float(), expected, atol=0.05, rtol=0.05)


def test_numbers_too_large_for_the_base(saved):
    tensors = load_file(saved[0] / WEIGHTS)
    key = next(iter(tensors))
    tensors[key][0, 0] = 1e6
    save_file(tensors, saved[0] / WEIGHTS)
    load_adapter(build(), saved[0])
    with pytest.raises(ValueError, match=r"trop grands pour le type de la base, torch\.float16"):
        load_adapter(build().half(), saved[0])


# ------------------------------------------------------------------ les fichiers


def test_what_a_folder_may_lack(saved, tmp_path):
    folder, expected = saved
    for absent in (tmp_path / "absent", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"n’a pas de « adapter_config\.json »"):
            load_adapter(build(), absent)
    content = (folder / CONFIG).read_bytes()
    (folder / CONFIG).write_bytes(b"\xef\xbb\xbf" + content)  # une marque d’ordre des octets
    model = build()
    load_adapter(model, folder)
    assert torch.equal(model(IDS), expected)
    (folder / CONFIG).write_bytes(b"[" * 100_000)
    with pytest.raises(ValueError, match="n’est pas un JSON en UTF-8"):
        load_adapter(build(), folder)
    (folder / CONFIG).write_bytes(content)
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(FileNotFoundError, match=r"peut exécuter du code .* save_pretrained"):
        load_adapter(build(), folder)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda t: t.clear(), "n’a aucun poids"),
        (lambda t: t.pop(min(t)), "l’adaptateur a les formes"),
        (lambda t: t.update({"a.b": torch.zeros(2)}), "« a.b » n’est pas un poids de LoRA"),
        (lambda t: t[min(t)].fill_(torch.inf), "qui n’est pas un nombre fini"),
        (lambda t: t.update({min(t): t[min(t)].int()}), r"est en torch\.int32"),
    ],
)
def test_wrong_weights(damage, message, saved):
    tensors = load_file(saved[0] / WEIGHTS)
    damage(tensors)
    save_file(tensors, saved[0] / WEIGHTS)
    with pytest.raises(ValueError, match=message):
        load_adapter(build(), saved[0])


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    model = build()
    names = attach_lora(model, LoRAConfig(2))
    save_adapter(model, "~/adaptateur")
    assert (tmp_path / "adaptateur" / "adapter_config.json").exists()
    assert load_adapter(build(), "~/adaptateur") == names


def test_a_failed_save_loses_nothing(saved, monkeypatch):
    folder, expected = saved
    model = shuffle(ours_adapted(build()), 5, ".adapters.")

    def fail(*arguments):
        raise OSError("disque plein")

    monkeypatch.setattr("course_lib.finetuning.adapter_files.save_file", fail)
    with pytest.raises(OSError, match="disque plein"):
        save_adapter(model, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["a"]
    back = build()
    load_adapter(back, folder)
    assert torch.equal(back(IDS), expected)


def test_what_cannot_be_saved(tmp_path):
    model = ours_adapted(build())
    (tmp_path / "fichier").write_text("à moi")
    with pytest.raises(FileExistsError, match="n’est pas un dossier"):
        save_adapter(model, tmp_path / "fichier")
    with pytest.raises(ValueError, match="Adaptateur inconnu : « autre »"):
        save_adapter(model, tmp_path / "a", "autre")
    shuffle(model, 2, ".adapters.")
    next(iter(lora_layers(model).values())).adapters["default"].b.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"lora_B.* n’est pas un nombre fini : l’entraînement"):
        save_adapter(model, tmp_path / "a")
    plain = torch.nn.Sequential(torch.nn.Linear(3, 5))
    attach_lora(plain, LoRAConfig(2, targets=("*",)))
    with pytest.raises(ValueError, match="transformers n’a pas de couche « 0 »"):
        save_adapter(plain, tmp_path / "a", for_transformers=True)
    assert [path.name for path in tmp_path.iterdir()] == ["fichier"]


def test_a_bottleneck_around_an_adapter_does_not_rename_it(tmp_path):
    model = ours_adapted(build())
    expected = model(IDS)
    attach_bottleneck(model, 2, ("query",))
    save_adapter(model, tmp_path)
    detach_bottlenecks(model)
    detach_adapters(model)
    load_adapter(model, tmp_path)
    assert torch.equal(model(IDS), expected)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_damaged_folders_are_read_right_or_refused(name, tmp_path):
    """Les mêmes nombres, ou un refus ; `python tests/fuzzing.py` en essaie des milliers."""
    folder = tmp_path / "a"
    model = save_small_adapter(folder)
    content, fingerprint = (folder / name).read_bytes(), weight_fingerprint(model)
    outcomes = fuzz(adapter_reader(folder, model, name), [content], 150, tmp_path / "abîmé", seed=1)
    assert surprises(outcomes) == {} and outcomes["refusé"] > 50
    assert not lora_layers(model) and weight_fingerprint(model) == fingerprint
