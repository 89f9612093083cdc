"""LoRA : égal à `peft` (sorties, gradients, un pas), fondu et défait, côte à côte, base intacte."""

import json

import peft
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from course_lib.acceleration import quantize
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
from course_lib.transformer.recognition import config_of

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


# ------------------------------------------------------------------ poids partagés, états rendus


@pytest.mark.parametrize("targets", [("head",), ("*",), ("query", "head")])
@MAGNITUDE
def test_merging_a_tied_head_leaves_the_embeddings_alone(kind, magnitude, targets):
    """Comme un adaptateur posé sur la tête : les embeddings gardent leur matrice."""
    model, _ = build(kind)
    model.eval()
    table, before = model.embedding.tokens.weight, weight_fingerprint(model)
    n_parameters = sum(p.numel() for p in model.parameters())
    attach_lora(model, LoRAConfig(RANK, targets=targets, magnitude=magnitude))
    randomize_b(model)
    adapted = model(IDS)
    merge_adapter(model)
    assert_close(model(IDS), adapted, atol=1e-4, rtol=1e-4)
    assert model.embedding.tokens.weight is table
    unmerge_adapters(model)
    assert model.head.weight is table and weight_fingerprint(model) == before
    assert_close(model(IDS), adapted)
    merge_adapter(model)
    alone = detach_adapters(model, keep_merged=True)
    assert_close(alone(IDS), adapted, atol=1e-4, rtol=1e-4)
    assert sum(p.numel() for p in alone.parameters()) == n_parameters + table.numel()
    if kind == "llama":
        assert not config_of(alone).tie_weights
        assert config_of(build(kind)[0]).tie_weights


def test_merging_equals_peft_on_a_head():
    ours, _ = build()
    attach_lora(ours, LoRAConfig(RANK, 7.0, targets=("head", "query")))
    randomize_b(ours)
    theirs = peft.get_peft_model(
        build()[0], peft.LoraConfig(r=RANK, lora_alpha=7, target_modules=["head", "query"])
    )
    for path, layer in lora_layers(ours).items():
        module = theirs.base_model.model.get_submodule(path)
        module.lora_A["default"].weight.data = layer.adapters["default"].a.data
        module.lora_B["default"].weight.data = layer.adapters["default"].b.data
    expected = theirs.base_model.model(IDS)
    merge_adapter(ours)
    assert_close(ours(IDS), expected, atol=1e-5, rtol=1e-5)


def test_a_merged_model_can_change_its_type():
    model, _ = build()
    attach_lora(model, LoRAConfig(RANK, targets=("query", "head")))
    merge_adapter(model)
    model.to(torch.float64)
    unmerge_adapters(model)
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert model.head.weight is model.embedding.tokens.weight
    assert_close(detach_adapters(model)(IDS), build()[0].double()(IDS))


def test_merging_one_adapter_switches_the_others_off():
    model, _ = build()
    attach_lora(model, LoRAConfig(RANK, targets=("query",)), "un")
    randomize_b(model, 1, "un")
    expected = model(IDS)
    attach_lora(model, LoRAConfig(RANK, targets=("value", "gate")), "deux")
    randomize_b(model, 2, "deux")
    merge_adapter(model, "un")
    assert_close(model(IDS), expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="« un » est fondu dans les poids"):
        merge_adapter(model, "deux")


def test_an_adapter_follows_the_mode_of_the_model(tmp_path):
    """Posé sur un modèle en lecture, il n’oublie rien : deux lectures sont égales."""
    model = build()[0].eval()
    attach_lora(model, LoRAConfig(RANK, dropout=0.5), "un")
    randomize_b(model, name="un")
    assert torch.equal(model(IDS), model(IDS))
    save_adapter(model, tmp_path, "un")
    load_adapter(model, tmp_path, "deux")
    assert torch.equal(model(IDS), model(IDS))
    assert not any(module.training for module in model.modules())
    model.train()
    assert not torch.equal(model(IDS), model(IDS))
    attach_lora(model, LoRAConfig(RANK, dropout=0.5), "trois")
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("frozen", [False, True])
def test_what_trained_trains_again(frozen):
    model, _ = build()
    if frozen:
        model.embedding.requires_grad_(False)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    attach_lora(model, LoRAConfig(RANK, targets=("head", "query")))
    attach_lora(model, LoRAConfig(RANK), "second")
    merge_adapter(model)
    assert not any(p.requires_grad for n, p in model.named_parameters() if ".adapters." not in n)
    detach_adapters(model)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == trained
    attach_lora(model, LoRAConfig(RANK, targets=("query", "head")))
    merge_adapter(model)
    detach_adapters(model, keep_merged=True)
    assert model.head.weight.requires_grad == (not frozen)


def test_detaching_keeps_nothing_that_was_not_merged():
    model, _ = build()
    attach_lora(model, LoRAConfig(RANK))
    with pytest.raises(ValueError, match=r"Aucun adaptateur n’est fondu.*merge_adapter\(model\)"):
        detach_adapters(model, keep_merged=True)
    assert lora_layers(model)
    detach_adapters(detach_adapters(model))  # deux fois : sans effet


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda m: merge_adapter(m), "Adaptateur inconnu : « default ». Ceux du modèle : aucun"),
        (lambda m: attach_lora(m, LoRAConfig(RANK), "a.b"), "il en faut un, et sans point"),
        (lambda m: attach_lora(m, LoRAConfig(RANK), 3), "Nom d’adaptateur 3"),
        (lambda m: attach_lora(m, LoRAConfig(RANK), "keys"), "'keys' : PyTorch le réserve"),
        (lambda m: attach_lora(m.head, LoRAConfig(targets=("*",))), "ne désigne aucune couche"),
        (
            lambda m: [attach_lora(m, LoRAConfig(RANK)), merge_adapter(quantize(m))],
            "est quantifiée.*merge_adapter, puis detach_adapters",
        ),
    ],
)
def test_everyday_mistakes(act, message):
    model, _ = build()
    with pytest.raises(ValueError, match=message):
        act(model)


def test_dora_on_a_quantized_base_is_refused():
    model, _ = build()
    attach_lora(model, LoRAConfig(RANK))
    randomize_b(model)
    assert_close(quantize(model)(IDS), model(IDS), atol=0.5, rtol=0.1)  # LoRA : QLoRA
    detach_adapters(model)
    attach_lora(model, LoRAConfig(RANK, magnitude=True))
    with pytest.raises(ValueError, match="Cette couche est quantifiée"):
        quantize(model)(IDS)
