"""L’expérience de l’énergie : opérations exactes, mesures reprises, compromis cohérent."""

import json
from dataclasses import replace

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_experiments import energy as lab
from course_experiments.records import load_records
from course_lib.generation import CachedReader, RereadingReader, generate
from course_lib.transformer import llama

TINY = lab.Budget(
    sizes=((32, 1), (64, 2)),
    vocab_size=97,
    prompt_length=5,
    new_tokens=7,
    batch_sizes=(1, 3),
    min_cpu_seconds=0.01,
)


@pytest.mark.parametrize("use_cache", [True, False])
def test_writing_flops_equal_the_counter_of_torch(use_cache):
    config = TINY.config(64, 2)
    model = llama(config, 0).eval()
    prompts = [[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        generate(model, prompts, 7, reader=CachedReader if use_cache else RereadingReader)
    assert counter.get_total_flops() == 2 * lab.writing_flops(config, 5, 7, use_cache)


def test_one_token_costs_the_same_with_and_without_cache():
    config = TINY.config(64, 2)
    costs = [lab.writing_flops(config, 5, 1, use_cache) for use_cache in (True, False)]
    assert costs[0] == costs[1]


def test_every_setting_is_measured_and_labelled():
    found = lab.measure("32-1", 0, TINY)
    settings = [(s["use_cache"], s["batch_size"]) for s in found["settings"]]
    assert settings == [(True, 1), (True, 3), (False, 1), (False, 3)]
    for s in found["settings"]:
        assert s["tokens"] % (7 * s["batch_size"]) == 0
        assert s["cpu_seconds_per_token"] > 0 and s["joules_per_token"] > 0
        assert isinstance(s["measured"], bool) and s["method"] and s["method_from_flops"]
    if not found["settings"][0]["measured"]:
        first = found["settings"][0]
        expected = lab.WATTS_PER_CORE * first["cpu_seconds_per_token"]
        assert first["joules_per_token"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_measures_are_written_and_resumed(tmp_path, monkeypatch):
    path, calls, original = tmp_path / "mesures.json", [], lab.measure_writing
    monkeypatch.setattr(
        lab, "measure_writing", lambda *args: calls.append(args[2:4]) or original(*args)
    )
    lab.warm_up.cache_clear()
    tiny = replace(lab.EXPERIMENT, settings=TINY, names=["32-1", "64-2"])
    tiny.main(["--repeats", "0", "--output", str(path)])
    each = [(1, True), (3, True), (1, False), (3, False)]
    assert calls == 3 * each  # la première série, à froid, est jetée
    first = json.loads(path.read_text("utf-8"))
    assert list(first["runs"]) == ["32-1", "64-2"]
    tiny.main(["--repeats", "0", "--output", str(path)])
    assert len(calls) == 12 and load_records(path) == first
