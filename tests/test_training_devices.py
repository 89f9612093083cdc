"""La boucle suit l’appareil du modèle : gardé ici par « meta », qui a des formes et pas de nombres.

Sur « meta », lire un nombre est une erreur : un pas qui y passe n’attend jamais l’appareil. Et tout
tenseur né sur le processeur pendant le pas est compté.
"""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.distillation import (
    AttentionLoss,
    FeatureLoss,
    FeatureStudent,
    HiddenStateLoss,
    SoftTargetLoss,
)
from course_lib.finetuning import (
    LoRAConfig,
    attach_bottleneck,
    attach_lora,
    attach_soft_prompt,
    pack_examples,
    packed_loss,
)
from course_lib.training import (
    IGNORE,
    OneProcess,
    PairBatches,
    SequenceBatches,
    TokenStream,
    TrainingConfig,
    build_optimizer,
    device_of,
    find_device,
    language_model_loss,
    sequence_to_sequence_loss,
    token_loss,
    train,
)
from course_lib.training.devices import autocast, learned_rows, pick, split, to_device
from course_lib.training.randomness import deterministic, restore_states, written_states
from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    OriginalTransformerConfig,
    bert,
    gpt2,
    llama,
    original_transformer,
)

SHAPE = LlamaConfig(vocab_size=23, context_length=16, d_model=16, n_layers=2, n_heads=2, d_ff=32)
ROWS = SequenceBatches([[5, 6, 7, 8], [9, 4], [3, 3, 3]], 3, seed=1)  # avec du remplissage
STREAM = TokenStream([(i * i) % 23 for i in range(200)], 8, 4)


class BornOnTheProcessor(TorchDispatchMode):
    """Compte les tenseurs que le processeur fabrique ; un nombre seul ne compte pas."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu" and tensor.dim():
                self.found.append(function.name())
        return result


@contextlib.contextmanager
def only_on_the_device():
    with BornOnTheProcessor() as guard:
        yield
    assert guard.found == [], "ces opérations ont travaillé sur le processeur"


def a_step(model, batch, loss, dtype="float32", **settings):
    """Un pas comme celui de la boucle, entièrement sur l’appareil du modèle."""
    config = TrainingConfig(1, **settings)
    batch, optimizer, workers = (
        to_device(batch, model),
        build_optimizer(model, config),
        OneProcess(),
    )
    parameters = [p for p in model.parameters() if p.requires_grad]

    def part():
        with autocast(device_of(model), dtype):
            return loss(model, batch)

    with only_on_the_device():
        mean, n_tokens = workers.backward([part], parameters)
        workers.clip(parameters, 1.0)
        optimizer.step()
    assert mean.device.type == "meta" and type(n_tokens) is int
    served = [p for p in parameters if p.grad is not None]
    assert served and all(p.grad.device.type == "meta" for p in served)
    return n_tokens


def on_meta(model):
    return model.to("meta")


MODELS = {
    "llama": lambda: llama(SHAPE),
    "gpt2": lambda: gpt2(GPT2Config(23, 16, 16, 2, 2)),
}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("data", [ROWS, STREAM], ids=["remplissage", "sans"])
@pytest.mark.parametrize("name", MODELS)
def test_a_step_stays_on_the_device_and_never_waits_for_it(name, data, optimizer):
    batch = data.batch(0)
    n_tokens = a_step(on_meta(MODELS[name]()), batch, language_model_loss, optimizer=optimizer)
    assert n_tokens == int((batch[1] != IGNORE).sum())


def test_the_guard_sees_what_it_must_see():
    model, batch = on_meta(llama(SHAPE)), ROWS.batch(0)

    def careless(model, batch):
        loss, n_tokens = language_model_loss(model, batch)
        return loss * torch.ones(1)[0], n_tokens

    def waiting(model, batch):
        loss, n_tokens = language_model_loss(model, batch)
        return loss * loss.item(), n_tokens

    with pytest.raises(AssertionError, match="sur le processeur"):
        a_step(model, batch, careless)
    with pytest.raises(RuntimeError, match="item"):
        a_step(model, batch, waiting)


def test_the_other_families_stay_on_the_device():
    pairs = PairBatches([[4, 5], [6]], [[7, 8, 9], [3]], 2)
    translator = original_transformer(OriginalTransformerConfig(23, 23, 16, 16, 1, 1, 2, 32))
    a_step(on_meta(translator), pairs.batch(0), sequence_to_sequence_loss)
    encoder = bert(BertConfig(23, 16, 16, 1, 2, 32))
    a_step(on_meta(encoder), ROWS.batch(0), token_loss)


@pytest.mark.parametrize(
    "attach",
    [
        lambda m: attach_lora(m, LoRAConfig(rank=2)),
        lambda m: attach_lora(m, LoRAConfig(rank=2, magnitude=True)),
        lambda m: attach_bottleneck(m, 4),
        lambda m: attach_soft_prompt(m, 3),
    ],
    ids=["lora", "dora", "goulots", "amorce"],
)
def test_what_is_attached_is_born_on_the_device_of_the_model(attach):
    model = on_meta(llama(SHAPE))
    attach(model)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    a_step(model, ROWS.batch(0), language_model_loss)


def test_packed_examples_stay_on_the_device():
    examples = [([4, 5], [6, 7]), ([8], [9]), ([3, 3, 3], [2])]
    a_step(on_meta(llama(SHAPE)), pack_examples(examples, 8, 2).batch(0), packed_loss)


@pytest.mark.parametrize("divergence", ["forward", "reverse", "jensen_shannon"])
def test_distillation_stays_on_the_device(divergence):
    student, teacher = on_meta(llama(SHAPE, seed=1)), on_meta(llama(SHAPE, seed=2))
    for alpha in (1.0, 0.5):
        loss = SoftTargetLoss(teacher, alpha=alpha, divergence=divergence)
        a_step(student, ROWS.batch(0), loss)


def test_the_features_of_a_teacher_stay_on_the_device():
    teacher = on_meta(llama(SHAPE, seed=2))
    batch = STREAM.batch(0)
    student = on_meta(FeatureStudent(llama(SHAPE), HiddenStateLoss({0: 1}, 16, 16)))
    with pytest.raises(NotImplementedError, match="nonzero"):  # un masque se compte : on attend
        a_step(student, batch, FeatureLoss(teacher))
    with pytest.raises(NotImplementedError, match="nonzero"):
        a_step(on_meta(llama(SHAPE)), batch, AttentionLoss(teacher, {0: 1}))


# --- Les mêmes nombres


def test_the_targets_counted_beforehand_give_the_same_loss():
    model, (inputs, targets) = llama(SHAPE), ROWS.batch(0)
    expected, n_tokens = language_model_loss(model, (inputs, targets))
    known = targets.clone()
    known.learned = learned_rows(targets)
    loss, n_known = language_model_loss(model, (inputs, known))
    assert loss == expected and n_known == n_tokens < targets.numel()
    flat = model.head(pick(model.hidden(inputs), learned_rows(targets)[1]))
    by_torch = torch.nn.functional.cross_entropy(flat, targets[targets != IGNORE])
    assert loss.item() == pytest.approx(by_torch.item(), rel=1e-6)


def test_an_unknown_id_is_refused_before_leaving_the_processor():
    model = on_meta(llama(SHAPE))
    with pytest.raises(ValueError, match="le modèle connaît ceux de 0 à 22"):
        to_device((torch.tensor([[3, 23]]), torch.tensor([[3, 4]])), model)


def test_on_the_processor_a_batch_is_left_alone():
    batch = ROWS.batch(0)
    assert to_device(batch, llama(SHAPE)) is batch


# --- Le choix de l’appareil


def test_a_device_that_is_not_there_is_refused_and_auto_takes_what_is(monkeypatch):
    with pytest.raises(ValueError, match=r"device = 'tpu' est inconnu.*auto, cpu, cuda, mps"):
        find_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for absent in ("cuda", "mps"):
        with pytest.raises(ValueError, match=rf"device = {absent}.*[Pp]renez cpu ou auto"):
            find_device(absent)
        with pytest.raises(ValueError, match=rf"device = {absent}.*[Pp]renez cpu ou auto"):
            train(llama(SHAPE), STREAM, TrainingConfig(1, device=absent), progress=False)
    assert find_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert find_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == find_device("cuda") == torch.device("cuda")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"device": "tpu"}, "device = tpu est impossible.*auto, cpu, cuda, mps"),
        ({"dtype": "float16"}, "dtype = float16 est impossible.*float32, bfloat16"),
        ({"optimizer": "sgd"}, "optimizer = sgd est impossible.*adamw, muon"),
        (
            {"optimizer": "muon", "muon_rate_ratio": 0.0},
            "muon_rate_ratio = 0.0 est impossible.*un nombre positif.*à 1",
        ),
        (
            {"muon_rate_ratio": 2.0},
            "muon_rate_ratio = 2.0 serait oublié avec optimizer = adamw.*Ôtez",
        ),
        ({"accumulate": 0}, "accumulate = 0 est impossible"),
        ({"compile": 1}, "compile = 1 est impossible"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(3, **changes)


class _FakeDevice:
    """Le générateur d’un accélérateur que cette machine n’a pas."""

    def __init__(self):
        self.generator = torch.Generator()

    def manual_seed(self, seed):
        self.generator.manual_seed(seed)

    def get_rng_state(self):
        return self.generator.get_state()

    def set_rng_state(self, state):
        self.generator.set_state(state)


def test_the_generator_of_the_device_is_saved_too(monkeypatch):
    fake, device = _FakeDevice(), torch.device("cuda")
    monkeypatch.setattr(torch, "get_device_module", lambda device: fake)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        fake.manual_seed(4)
        text = written_states(device)
        before = torch.rand(2), torch.rand(2, generator=fake.generator)
        assert not torch.equal(*before)
        restore_states(device, text)
        after = torch.rand(2), torch.rand(2, generator=fake.generator)
        assert all(map(torch.equal, before, after))
        restore_states(torch.device("cpu"), text)  # repris ailleurs : le processeur seul
        assert torch.equal(torch.rand(2), before[0])
        restore_states(device, written_states(torch.device("cpu")))  # et l’inverse


def test_cuda_adds_in_the_same_order_and_the_caller_gets_its_settings_back():
    torch.use_deterministic_algorithms(False)
    with deterministic(torch.device("cpu")):
        assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(KeyError), deterministic(torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()


# --- Accumuler, compiler, seize bits


def trained(model, data=ROWS, n_steps=6, folder=None, **changes):
    settings = {"learning_rate": 1e-2, "n_threads": 1, "checkpoint_every": 2, **changes}
    config = TrainingConfig(n_steps, **settings)
    history = train(model, data, config, checkpoint_dir=folder, progress=False)
    return model, history


def largest_gap(ours, theirs):
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    return max((a - b).detach().abs().max().item() for a, b in pairs)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulated_batches_learn_as_a_whole_one(accumulate, optimizer):
    n_targets = [(part[1] != IGNORE).sum().item() for part in split(ROWS.batch(0), accumulate)]
    assert len(set(n_targets)) > 1, "les morceaux doivent être inégaux"
    # En double précision, AdamW ne grossit aucun arrondi ; Muon, lui, compte sur seize bits.
    whole, _ = trained(llama(SHAPE).double(), optimizer=optimizer)
    parts, history = trained(llama(SHAPE).double(), optimizer=optimizer, accumulate=accumulate)
    assert largest_gap(whole, parts) < (1e-10 if optimizer == "adamw" else 2e-3)
    assert history.records[-1].tokens == 6 * sum(n_targets)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_the_accumulated_gradient_is_that_of_the_whole_batch(dtype, tolerance):
    whole, parts = llama(SHAPE).to(dtype), llama(SHAPE).to(dtype)
    batch = ROWS.batch(0)
    OneProcess().backward([lambda: language_model_loss(whole, batch)], list(whole.parameters()))
    shares = [lambda part=part: language_model_loss(parts, part) for part in split(batch, 3)]
    mean, n_tokens = OneProcess().backward(shares, list(parts.parameters()))
    expected, n_expected = language_model_loss(whole, batch)
    assert n_tokens == n_expected and mean.item() == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        assert float((ours.grad - theirs.grad).abs().max()) < tolerance


def test_a_batch_has_at_least_a_row_for_each_part():
    with pytest.raises(ValueError, match=r"accumulate = 4.* 3 ligne.*Réduisez accumulate"):
        trained(llama(SHAPE), accumulate=4)


def test_a_part_without_target_brings_nothing():
    targets = torch.tensor([[5, 6], [IGNORE, IGNORE]])
    batch = torch.tensor([[4, 5], [7, 8]]), targets
    whole, parts = llama(SHAPE).double(), llama(SHAPE).double()
    OneProcess().backward([lambda: language_model_loss(whole, batch)], list(whole.parameters()))
    shares = [lambda part=part: language_model_loss(parts, part) for part in split(batch, 2)]
    OneProcess().backward(shares, list(parts.parameters()))
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        assert float((ours.grad - theirs.grad).abs().max()) < 1e-12


def test_sixteen_bits_learn_with_whole_weights():
    model, history = trained(llama(SHAPE), STREAM, 30, dtype="bfloat16", log_every=1)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    _, reference = trained(llama(SHAPE), STREAM, 30, log_every=1)
    losses = [record.loss for record in history.records]
    assert losses[-1] < losses[0] - 0.3
    assert losses != [record.loss for record in reference.records]  # les produits sont arrondis
    assert losses == pytest.approx([record.loss for record in reference.records], abs=0.1)


def test_the_loss_and_the_norms_are_exact_under_autocast():
    model = llama(SHAPE)
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    expected = model.norm(x)
    with autocast(torch.device("cpu"), "bfloat16"):
        assert torch.equal(model.norm(x), expected)
        loss, _ = language_model_loss(model, ROWS.batch(0))
    assert loss.dtype == torch.float32


COMPILED = """
import copy, torch
from course_lib.training import TokenStream, TrainingConfig, evaluate_loss, train
from course_lib.transformer import LlamaConfig, llama

data = TokenStream([(i * i) % 23 for i in range(200)], 8, 4)
models, evaluated = [], []
for compile in (False, True):
    model = llama(LlamaConfig(23, 16, 16, 2, 2, d_ff=32)).double()
    keys = list(model.state_dict())
    config = TrainingConfig(3, learning_rate=1e-2, n_threads=1, compile=compile, eval_every=2)

    def measure(m):
        evaluated.append(m.training)
        return {"validation_loss": evaluate_loss(m, data)}

    train(model, data, config, evaluate=measure, progress=False)
    assert list(model.state_dict()) == keys
    models.append(copy.deepcopy(model))
    assert all(block._compiled_call_impl is None for block in model.blocks)
assert evaluated == [False] * 4
stats = torch._dynamo.utils.counters["stats"]
assert stats["unique_graphs"] >= 1, "rien n’a été compilé"
assert not torch._dynamo.utils.counters["graph_break"], "les blocs ne sont pas d’un seul tenant"
print(max(float((a - b).abs().max()) for a, b in zip(*(m.parameters() for m in models))))
"""


@pytest.mark.slow(seconds=45)
@pytest.mark.depends_on_machine  # torch.compile demande un compilateur C++
def test_a_compiled_run_computes_the_same_thing_and_leaves_the_model_plain():
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("aucun compilateur C++")
    command = [
        sys.executable,
        "-c",
        COMPILED,
    ]  # à part : ici, chaque appel est vérifié par beartype
    alone = {**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "1"}  # sans processus d’appoint
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=alone)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-9


def test_there_must_be_something_to_compile():
    with pytest.raises(ValueError, match="aucun bloc de Transformer à compiler"):
        trained(torch.nn.Linear(2, 2), compile=True)


# --- Muon


def test_muon_takes_the_matrices_of_the_blocks_and_adamw_the_rest():
    model = llama(SHAPE)
    optimizer = build_optimizer(model, TrainingConfig(1, optimizer="muon", weight_decay=0.3))
    muon, matrices, vectors = optimizer.param_groups
    assert {id(p) for p in muon["params"]} == {
        id(p) for block in model.blocks for p in block.parameters() if p.dim() == 2
    }
    assert [p.shape for p in matrices["params"]] == [(23, 16)]  # embeddings, liés à la tête
    assert all(p.dim() == 1 for p in vectors["params"])
    total = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert total == sum(p.numel() for p in model.parameters())
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.3, 0.0]


def test_muon_needs_a_block():
    with pytest.raises(ValueError, match=r"optimizer = muon.*aucune matrice.*Prenez adamw"):
        build_optimizer(torch.nn.Linear(3, 3), TrainingConfig(1, optimizer="muon"))


def first_step(ratio):
    """Ce que le premier pas de Muon change, par paramètre ; ses matrices à `ratio` fois 1e-3."""
    model = llama(SHAPE)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    settings = {"optimizer": "muon", "weight_decay": 0.0, "warmup_steps": 0}
    trained(model, STREAM, 1, learning_rate=1e-3, muon_rate_ratio=ratio, **settings)
    return {name: p.detach() - before[name] for name, p in model.named_parameters()}


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_a_step_of_muon_is_the_same_length_in_all_directions(ratio):
    change = first_step(ratio)["blocks.0.feed_forward.gate.weight"]  # (32, 16)
    values = torch.linalg.svdvals(change) / (ratio * 1e-3 * 0.2 * 32**0.5)
    assert values.min() > 0.5 and values.max() < 1.4  # cinq tours de Newton-Schulz : à peu près 1


def test_the_ratio_changes_the_rate_of_the_matrices_and_of_nothing_else():
    at_par, wider = first_step(1.0), first_step(4.0)
    for name, change in at_par.items():
        factor = 4.0 if name.startswith("blocks.") and change.dim() == 2 else 1.0
        torch.testing.assert_close(wider[name], factor * change, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    "changes", [{}, {"muon_rate_ratio": 3.0}, {"accumulate": 2}, {"dtype": "bfloat16"}]
)
def test_muon_resumes_bit_for_bit(tmp_path, changes):
    def fresh():
        shape = LlamaConfig(23, 16, 16, 2, 2, d_ff=32, dropout=0.1)
        return llama(shape)

    settings = {"optimizer": "muon", **changes}
    whole, history = trained(fresh(), STREAM, 9, tmp_path / "entier", **settings)

    class Stop(Exception):
        pass

    def data_until(step):
        class Cut:
            def batch(self, at):
                if at == step:
                    raise Stop
                return STREAM.batch(at)

            fingerprint, in_order = STREAM.fingerprint, STREAM.in_order

        return Cut()

    with pytest.raises(Stop):
        trained(fresh(), data_until(5), 9, tmp_path / "coupé", **settings)
    resumed, again = trained(fresh(), STREAM, 9, tmp_path / "coupé", **settings)
    assert again == history
    assert all(map(torch.equal, whole.parameters(), resumed.parameters()))
    with pytest.raises(ValueError, match=r"optimizer.» diffère.: muon dans le point de reprise"):
        trained(fresh(), STREAM, 9, tmp_path / "coupé", learning_rate=1e-2)
    with pytest.raises(ValueError, match=r"muon_rate_ratio.» diffère"):
        trained(fresh(), STREAM, 9, tmp_path / "coupé", **{**settings, "muon_rate_ratio": 2.0})


def test_an_older_checkpoint_was_made_with_adamw(tmp_path):
    trained(llama(SHAPE), STREAM, 2, tmp_path)
    state = tmp_path / "step-0000002" / "state.json"
    text = state.read_text(encoding="utf-8")
    text = text.replace('"optimizer": "adamw", ', "").replace(', "dtype": "float32"', "")
    text = text.replace('"muon_rate_ratio": 1.0, ', "").replace(', "muon_rate_ratio": 1.0', "")
    state.write_text(text, encoding="utf-8")
    settings = text.split('"tensors"')[0]
    assert not any(name in settings for name in ("adamw", "muon", 'float32"'))
    trained(llama(SHAPE), STREAM, 2, tmp_path)
    with pytest.raises(ValueError, match="optimizer"):
        trained(llama(SHAPE), STREAM, 2, tmp_path, optimizer="muon")


def test_the_device_and_the_parts_may_change_at_a_resume(tmp_path):
    trained(llama(SHAPE), STREAM, 4, tmp_path, checkpoint_every=2)
    trained(llama(SHAPE), STREAM, 4, tmp_path, accumulate=2, device="cpu")
