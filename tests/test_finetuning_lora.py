"""LoRA : égal à `peft` (sorties, gradients, un pas), fondu et défait, côte à côte, base intacte."""

import json

import peft
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from course_lib.finetuning import (
    LoRAConfig,
    LoRALinear,
    activate_adapter,
    adapter_names,
    attach_lora,
    count_trainable,
    detach_adapters,
    load_adapter,
    merge_adapter,
    save_adapter,
    unmerge_adapters,
    weight_fingerprint,
)
from course_lib.finetuning.lora import lora_layers
from course_lib.training import TrainingConfig, train
from course_lib.transformer import GPT2Config, LlamaConfig, gpt2, llama

V, CONTEXT, RANK = 53, 31, 3
TARGETS = ("query", "value", "feed_forward.down")
IDS = torch.randint(1, V, (3, 11), generator=torch.Generator().manual_seed(0))


def build(kind="llama", seed=0):
    if kind == "gpt2":
        targets = ("query", "value", "feed_forward.down")
        return gpt2(GPT2Config(V, CONTEXT, 21, 2, 7, d_ff=37, dropout=0.0), seed), targets
    return llama(LlamaConfig(V, CONTEXT, 30, 2, 5, d_ff=37), seed), TARGETS


def randomize_b(model, seed=1, name="default"):
    """B nulle rendrait toute égalité facile."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            if name in layer.adapters:
                b = layer.adapters[name].b
                b.copy_(torch.randn(b.shape, generator=draw))


@pytest.fixture(params=["llama", "gpt2"])
def kind(request):
    return request.param


@pytest.fixture
def twins(kind, request):
    """Le même modèle, affiné par nous et par peft, mêmes A et B."""
    option = getattr(request, "param", "r")
    ours, targets = build(kind)
    theirs, _ = build(kind)
    switches = {"rank_stabilized": option == "racine de r", "magnitude": option == "DoRA"}
    attach_lora(ours, LoRAConfig(RANK, 7.0, targets=targets, **switches))
    randomize_b(ours)
    named = {"use_rslora": switches["rank_stabilized"], "use_dora": switches["magnitude"]}
    reference = peft.get_peft_model(
        theirs, peft.LoraConfig(r=RANK, lora_alpha=7.0, target_modules=list(targets), **named)
    )
    with torch.no_grad():
        for path, layer in lora_layers(ours).items():
            module = reference.base_model.model.get_submodule(path)
            module.lora_A["default"].weight.copy_(layer.adapters["default"].a)
            module.lora_B["default"].weight.copy_(layer.adapters["default"].b)
            if option == "DoRA":  # d’autres normes que celles de départ
                layer.adapters["default"].magnitude.mul_(1.3)
                module.lora_magnitude_vector["default"].weight.mul_(1.3)
    return ours, reference


def gradients(ours):
    return {path: layer.adapters["default"] for path, layer in lora_layers(ours).items()}


OPTIONS = pytest.mark.parametrize("twins", ["r", "racine de r", "DoRA"], indirect=True)


@OPTIONS
def test_equals_peft_outputs_gradients_and_a_step(twins):
    ours, reference = twins
    base = reference.base_model.model
    a, b = ours(IDS), base(IDS)
    assert_close(a, b, atol=1e-5, rtol=1e-5)
    for output, model in ((a, ours), (b, reference)):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
        output.square().mean().backward()
        model.optimizer = optimizer
    for path, weights in gradients(ours).items():
        module = base.get_submodule(path)
        assert_close(weights.a.grad, module.lora_A["default"].weight.grad, atol=1e-5, rtol=1e-4)
        assert_close(weights.b.grad, module.lora_B["default"].weight.grad, atol=1e-5, rtol=1e-4)
        assert weights.a.grad.abs().max() > 0
        if weights.magnitude is not None:
            gradient = module.lora_magnitude_vector["default"].weight.grad
            assert_close(weights.magnitude.grad, gradient, atol=1e-5, rtol=1e-4)
    ours.optimizer.step()
    reference.optimizer.step()
    assert_close(ours(IDS), base(IDS), atol=1e-4, rtol=1e-4)


MAGNITUDE = pytest.mark.parametrize("magnitude", [False, True], ids=["LoRA", "DoRA"])


@MAGNITUDE
def test_a_fresh_adapter_changes_nothing(kind, magnitude):
    model, targets = build(kind)
    expected = model(IDS)
    chosen = attach_lora(model, LoRAConfig(RANK, targets=targets, magnitude=magnitude))
    assert len(chosen) == 6 and torch.equal(model(IDS), expected)
    layers = lora_layers(model).values()
    sizes = [RANK * (m.in_features + m.out_features) + magnitude * m.out_features for m in layers]
    assert count_trainable(model) == sum(sizes)


@MAGNITUDE
def test_merging_equals_the_adapter_and_unmerging_gives_the_base_back(kind, magnitude):
    model, targets = build(kind)
    before, base_output = weight_fingerprint(model), model(IDS)
    attach_lora(model, LoRAConfig(RANK, targets=targets, magnitude=magnitude))
    randomize_b(model)
    adapted = model(IDS)
    assert (adapted - base_output).abs().max() > 0.1
    merge_adapter(model)
    assert_close(model(IDS), adapted, atol=1e-4, rtol=1e-4)
    assert weight_fingerprint(model) != before
    unmerge_adapters(model)
    assert weight_fingerprint(model) == before
    assert_close(model(IDS), adapted)
    merge_adapter(model)
    exported = detach_adapters(model, keep_merged=True)
    assert not lora_layers(exported)
    assert_close(exported(IDS), adapted, atol=1e-4, rtol=1e-4)


def test_training_an_adapter_leaves_the_base_bit_identical(kind):
    model, targets = build(kind)
    before, output = weight_fingerprint(model), model(IDS)
    attach_lora(model, LoRAConfig(RANK, dropout=0.1, targets=targets))

    class Same:
        def batch(self, step):
            return IDS[:, :-1], IDS[:, 1:]

    train(model, Same(), TrainingConfig(5, 1e-2, n_threads=1), progress=False)
    assert weight_fingerprint(model) == before
    assert (model(IDS) - output).abs().max() > 1e-3
    detach_adapters(model)
    assert torch.equal(model(IDS), output)
    assert not any(isinstance(m, LoRALinear) for m in model.modules())


def test_adapters_live_side_by_side():
    model, _ = build()
    base = model(IDS)
    outputs = {}
    for seed, (name, targets) in enumerate(
        {"vous": ("query",), "résumé": ("gate", "value")}.items()
    ):
        attach_lora(model, LoRAConfig(RANK, targets=targets), name, seed)
        randomize_b(model, seed, name)
        outputs[name] = model(IDS)
        trained = [n for n, p in model.named_parameters() if p.requires_grad]
        assert all(f".adapters.{name}." in n for n in trained)
    assert adapter_names(model) == ["vous", "résumé"]
    activate_adapter(model, None)
    assert torch.equal(model(IDS), base)
    activate_adapter(model, "vous")
    assert_close(model(IDS), outputs["vous"])
    assert (outputs["vous"] - outputs["résumé"]).abs().max() > 0.1


@OPTIONS
def test_files_are_those_of_peft(twins, kind, tmp_path):
    ours, reference = twins
    expected = ours(IDS).detach()
    save_adapter(ours, tmp_path / "notre")
    fresh, _ = build(kind)
    read_by_peft = peft.PeftModel.from_pretrained(fresh, tmp_path / "notre")
    assert_close(read_by_peft.base_model.model(IDS), expected, atol=1e-5, rtol=1e-5)
    reference.save_pretrained(tmp_path / "leur")
    other, _ = build(kind)
    chosen = load_adapter(other, tmp_path / "leur", "lu")
    assert set(chosen) == set(lora_layers(ours))
    assert_close(other(IDS), expected, atol=1e-5, rtol=1e-5)
    size = (tmp_path / "notre" / "adapter_model.safetensors").stat().st_size
    assert size < 4 * count_trainable(ours) + 5000


def test_saving_again_replaces_and_never_mixes(tmp_path):
    model, _ = build()
    attach_lora(model, LoRAConfig(RANK))
    folder = tmp_path / "adaptateur"
    save_adapter(model, folder)
    save_adapter(model, folder, base_model="petit LLM")
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    (folder / "notes.txt").write_text("à moi")
    with pytest.raises(FileExistsError, match="contient autre chose qu’un adaptateur"):
        save_adapter(model, folder)
    assert (folder / "notes.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["adaptateur"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rank": 0}, "rank = 0 : il faut un entier d’au moins 1"),
        ({"rank": 2.5}, "rank = 2.5"),
        ({"alpha": 0}, "alpha = 0 : il faut un nombre positif"),
        ({"alpha": "16"}, "alpha = '16' : il faut un nombre positif"),
        ({"alpha": float("nan")}, "alpha = nan : il faut un nombre positif"),
        ({"alpha": float("inf")}, "alpha = inf : il faut un nombre positif"),
        ({"dropout": "0,1"}, "dropout = '0,1' : il faut un taux"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"targets": "query"}, "targets = 'query' : donnez une suite"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(ValueError, match=message):
        LoRAConfig(**options)


def test_wrong_targets_and_names():
    model, _ = build()
    with pytest.raises(ValueError, match=r"La cible « q_proj » ne désigne .* blocks\.0\.self_att"):
        attach_lora(model, LoRAConfig(targets=("query", "q_proj")))
    assert not lora_layers(model)
    attach_lora(model, LoRAConfig(RANK))
    with pytest.raises(ValueError, match="« default » existe déjà"):
        attach_lora(model, LoRAConfig(RANK))
    with pytest.raises(ValueError, match="Adaptateur inconnu : « autre »"):
        activate_adapter(model, "autre")
    merge_adapter(model)
    with pytest.raises(ValueError, match="est fondu dans les poids : appelez d’abord unmerge"):
        attach_lora(model, LoRAConfig(RANK), "second")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"fan_in_fan_out": "oui"}, "fan_in_fan_out = 'oui' ; il faut vrai ou faux"),
        ({"use_dora": True}, "d’une autre base, ou abîmé"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"peft_type": "IA3"}, "n’est pas un adaptateur LoRA"),
        ({"r": 0}, "rank = 0"),
        ({"r": 5}, "d’une autre base, ou abîmé"),
        ({"r": None}, "le champ « r » manque"),
        ({"r": "3"}, "r = '3' ; il faut un entier"),
        ({"lora_alpha": "16"}, "lora_alpha = '16' ; il faut un nombre"),
        ({"lora_alpha": float("nan")}, "lora_alpha = nan ; il faut un nombre fini"),
        ({"lora_alpha": -1}, "alpha = -1.0 : il faut un nombre positif"),
        ({"use_rslora": "false"}, "use_rslora = 'false' ; il faut vrai ou faux"),
    ],
)
def test_other_adapters_are_refused(tmp_path, change, message):
    model, _ = build()
    attach_lora(model, LoRAConfig(RANK))
    save_adapter(model, tmp_path / "a")
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    fresh, _ = build()
    with pytest.raises(ValueError, match=message):
        load_adapter(fresh, tmp_path / "a")
    assert not lora_layers(fresh)


def test_an_adapter_of_another_base(tmp_path):
    model, _ = build()
    attach_lora(model, LoRAConfig(RANK))
    save_adapter(model, tmp_path / "a")
    smaller = llama(LlamaConfig(V, CONTEXT, 30, 1, 5))
    with pytest.raises(ValueError, match=r"« blocks\.1\.self_attention\.\w+ », que ce modèle n’a"):
        load_adapter(smaller, tmp_path / "a")
    narrower = llama(LlamaConfig(V, CONTEXT, 20, 2, 5))
    with pytest.raises(ValueError, match="l’adaptateur a les formes"):
        load_adapter(narrower, tmp_path / "a")
    assert not lora_layers(smaller) and not lora_layers(narrower)
    with pytest.raises(FileNotFoundError, match=r"n’a pas de « adapter_config\.json »"):
        load_adapter(model, tmp_path)
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"abc")
    with pytest.raises(ValueError, match="est illisible"):
        load_adapter(build()[0], tmp_path / "a")


def test_lora_works_on_any_module():
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    x = torch.randn(2, 7)
    before = model(x)
    assert attach_lora(model, LoRAConfig(2, targets=("0",))) == ["0"]
    assert torch.equal(model(x), before)
