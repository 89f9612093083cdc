"""Les noyaux numba : mêmes scores que PyTorch, et un refus net des autres architectures."""

import numba
import pytest
import torch
from torch.testing import assert_close

from course_lib.acceleration import NumbaReader, kernels, quantize, token_step
from course_lib.finetuning import LoRAConfig, attach_lora, detach_adapters, merge_adapter
from course_lib.generation import SamplingConfig, generate, stream
from course_lib.generation.readers import CachedReader
from course_lib.transformer import GPT2Config, LlamaConfig, gpt2, llama

V, CONTEXT = 53, 41
CONFIGS = {
    "liée": LlamaConfig(V, CONTEXT, d_model=30, n_layers=3, n_heads=3, d_ff=37),
    "groupée": LlamaConfig(
        V, CONTEXT, 42, 2, 6, n_kv_heads=2, head_dim=10, d_ff=31, tie_weights=False, norm_eps=1e-2
    ),
    "une-tête": LlamaConfig(V, CONTEXT, 22, 1, 11, n_kv_heads=1, d_ff=13, rope_theta=300.0),
}
PROMPTS = [[1, 2, 3], [4] * 11, [5], [7] * 2, [9] * 6, [8] * 5, [6]]


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    model = llama(CONFIGS[request.param]).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return model


@pytest.mark.slow
def test_logits_equal_torch(model):
    readers = [reader(model, PROMPTS, CONTEXT) for reader in (CachedReader, NumbaReader)]
    assert_close(*[reader.start() for reader in readers])
    n_texts = len(PROMPTS)
    for turn in range(20):
        ids = [(7 * turn + i) % V for i in range(n_texts)]
        expected, actual = [reader.step(ids) for reader in readers]
        assert expected.abs().max() > 1
        assert_close(actual, expected, atol=1e-4, rtol=1e-4)
        if turn in (4, 9):
            rows = [0, 2, 4, 5, 6] if turn == 4 else [3]
            n_texts = len(rows)
            for reader in readers:
                reader.keep(rows)
        if turn in (6, 14):  # la fenêtre glisse : un passé plus court, ou plus de passé du tout
            rows, texts = ([1, 3], [[3, 1, 4], []]) if turn == 6 else ([0], [[2, 7]])
            for reader in readers:
                reader.restart(rows, texts)


def test_written_log_probs_are_those_of_the_model(model):
    for sampling in (SamplingConfig(), SamplingConfig(temperature=0)):
        options = {"sampling": sampling, "stop_ids": [3], "when_full": "stop"}
        results = generate(model, PROMPTS, 60, reader=NumbaReader, **options)
        for prompt, result in zip(PROMPTS, results, strict=True):
            ids = torch.tensor([prompt + result.ids[:-1]])
            logits = model(ids)[0, len(prompt) - 1 :].detach().log_softmax(-1)
            expected = logits[range(len(result.ids)), result.ids]
            assert_close(torch.tensor(result.log_probs), expected, atol=1e-4, rtol=1e-4)


def test_stream_accepts_the_backend(model):
    steps = list(stream(model, [1, 2], 9, seed=1, reader=NumbaReader))
    (whole,) = generate(model, [[1, 2]], 9, seed=1, reader=NumbaReader)
    assert [step.token_id for step in steps] == whole.ids


def test_the_window_slides(model):
    options = {"sampling": SamplingConfig(temperature=0), "n_kept": 1}
    for result in generate(model, PROMPTS[:3], 70, reader=NumbaReader, **options):
        assert (len(result.ids), result.stopped_by) == (70, "max_new_tokens")
    # Les scores sont ceux de PyTorch (plus haut) : ici, on juge la fenêtre du dernier jeton.
    (last,) = generate(model, [[5]], CONTEXT + 1, reader=NumbaReader, **options)
    window = [5, *last.ids[-1 - (CONTEXT - 1) // 2 : -1]]
    logits = model(torch.tensor([window]))[0, -1].detach()
    assert last.log_probs[-1] == pytest.approx(
        float(logits.log_softmax(-1)[last.ids[-1]]), abs=1e-4
    )


def unsupported(change: str) -> torch.nn.Module:
    if change == "gpt2":
        return gpt2(GPT2Config(V, CONTEXT, 21, 1, 3))
    model = llama(LlamaConfig(V, CONTEXT, 30, 1, 3))
    if change == "biais":
        model.blocks[0].self_attention.key = torch.nn.Linear(30, 30)
    elif change == "norme":
        model.norm = torch.nn.LayerNorm(30)
    elif change == "après":
        model.blocks[0].norm_first = False
    elif change == "tête":
        model.head = torch.nn.Linear(30, V)
    return model


@pytest.mark.parametrize(
    "change, reason",
    [
        ("gpt2", "positions ne sont pas rotatives"),
        ("biais", "attention a des biais"),
        ("norme", "pas des RMSNorm"),
        ("après", "norme avant, SwiGLU"),
        ("tête", "tête n’est pas une matrice sans biais"),
    ],
)
def test_other_architectures_are_refused(change, reason):
    with pytest.raises(ValueError, match=f"{reason}.*prenez reader=CachedReader"):
        generate(unsupported(change), [[1]], 5, reader=NumbaReader)


@pytest.mark.parametrize("targets", [("query", "value"), ("key", "head")])
@torch.no_grad()
def test_a_merged_adapter_writes_like_torch(targets):
    model = llama(CONFIGS["liée"])
    attach_lora(model, LoRAConfig(2, targets=targets))
    for layer in model.modules():
        if hasattr(layer, "b") and hasattr(layer, "a"):
            layer.b.normal_(std=0.5)
    merge_adapter(model)
    detach_adapters(model, keep_merged=True)
    texts = [
        generate(model, [[3, 5, 7]], 11, seed=1, reader=reader)[0].ids
        for reader in (CachedReader, NumbaReader)
    ]
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_the_compiled_reader_comes_back_from_the_cache(tmp_path, monkeypatch):
    """Relu du dossier de cache, il n’est pas recompilé, et rend les mêmes scores au bit près."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(kernels.OPTIONS, "cache", True)
    model, found = llama(CONFIGS["liée"]).eval(), []
    for _ in range(2):
        compiled = token_step.fingerprinted(token_step._read_token)
        monkeypatch.setattr(token_step, "read_token", compiled)
        reader = NumbaReader(model, [[1, 2, 3]], 10)
        reader.start()
        found.append((reader.step([4]), sum(compiled.stats.cache_hits.values())))
    assert [hits for _, hits in found] == [0, 1]
    assert torch.equal(found[0][0], found[1][0])


def test_one_compilation_serves_every_layout():
    """Rangements et lots : numba ne compile qu’un lecteur."""
    model = llama(LlamaConfig(V, CONTEXT, 48, 2, 3, d_ff=64)).eval()
    for weights in (model, quantize(model, 8), quantize(model, 4, head_bits=8)):
        for prompts in (PROMPTS[:1], PROMPTS):
            reader = NumbaReader(weights, prompts, CONTEXT)
            reader.start()
            reader.step([1] * len(prompts))
    assert len(token_step.read_token.signatures) == 1
    assert len(kernels.project.signatures) == 1
