"""L’écriture : avec ou sans mémoire cache, seul ou en lot, d’un coup ou au fil de l’eau."""

import itertools

import pytest
import torch
import transformers
from scipy.stats import chisquare
from test_architectures import adopt
from torch.testing import assert_close

from course_lib.generation import (
    SamplingConfig,
    beam_search,
    continuation_log_probs,
    generate,
    next_distribution,
    next_token_distribution,
    row_seeds,
    stream,
)
from course_lib.generation.readers import CachedReader, RereadingReader
from course_lib.generation.sampling import draw
from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    bert,
    gpt2,
    llama,
)

V, CONTEXT = 53, 31
CONFIGS = {
    "gpt2": (gpt2, GPT2Config(V, CONTEXT, d_model=21, n_layers=3, n_heads=7, d_ff=37)),
    "llama": (llama, LlamaConfig(V, CONTEXT, d_model=30, n_layers=3, n_heads=3, d_ff=37)),
    "llama-gqa": (
        llama,
        LlamaConfig(V, CONTEXT, 42, 2, 6, n_kv_heads=2, head_dim=10, d_ff=37, tie_weights=False),
    ),
}
PROMPTS = [[1, 2, 3], [4] * 19, [5], [7] * CONTEXT, [9, 8, 7, 6, 5, 4]]
TYPICAL = SamplingConfig(temperature=0.9, top_k=30, top_p=0.95, repetition_penalty=1.1)
GREEDY = SamplingConfig(temperature=0)
SAMPLINGS = {"pur": SamplingConfig(), "réglé": TYPICAL, "glouton": GREEDY}


def build(name: str) -> torch.nn.Module:
    """Un modèle aux poids assez grands pour que ses distributions ne soient pas plates."""
    make, config = CONFIGS[name]
    torch.manual_seed(0)
    model = make(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(params=CONFIGS)
def model(request):
    return build(request.param)


@pytest.fixture
def small():
    return build("llama")


def copied_from_transformers(**sizes) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Un petit Llama de `transformers`, et le nôtre avec les mêmes poids."""
    torch.manual_seed(0)
    reference = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=sizes["vocab_size"],
            hidden_size=30,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=3,
            max_position_embeddings=CONTEXT,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=None,
        )
    ).eval()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model = llama(LlamaConfig(sizes["vocab_size"], CONTEXT, 30, 2, 3, d_ff=37)).eval()
    adopt(model, "llama", reference)
    return model, reference


# ------------------------------------------------------------------ les chemins sont équivalents


@pytest.mark.slow
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_cached_batch_equals_each_text_alone_uncached(model, sampling):
    options = {"sampling": sampling, "seed": 5, "when_full": "stop"}
    together = generate(model, PROMPTS, 40, **options)
    for i, prompt in enumerate(PROMPTS):
        room = CONTEXT - len(prompt) + 1
        assert (len(together[i].ids), together[i].stopped_by) == (room, "context")
        logits = RereadingReader(model, [prompt], CONTEXT)
        scores = [logits.start(), *(logits.step([token]) for token in together[i].ids[:-1])]
        expected = torch.cat(scores).log_softmax(-1)[range(room), together[i].ids]
        assert_close(torch.tensor(together[i].log_probs), expected, atol=1e-4, rtol=1e-4)
    alone = generate(model, PROMPTS[:1], 40, reader=RereadingReader, **options)
    assert alone[0].ids == together[0].ids


def test_cached_logits_equal_uncached(model):
    readers = [reader(model, PROMPTS[:3], 27) for reader in (CachedReader, RereadingReader)]
    logits = [reader.start() for reader in readers]
    for turn in range(8):
        assert_close(*logits, atol=1e-5, rtol=1e-5)
        if turn == 3:
            for reader in readers:
                reader.keep([2, 0])
        n_texts = 3 if turn < 3 else 2
        logits = [reader.step([11, 12, 13][:n_texts]) for reader in readers]


@pytest.mark.slow
def test_stream_equals_generate(small):
    for sampling in SAMPLINGS.values():
        (whole,) = generate(small, [[1, 2]], 12, sampling=sampling, seed=3)
        steps = list(stream(small, [1, 2], 12, sampling=sampling, seed=3))
        assert [step.token_id for step in steps] == whole.ids
        assert [step.log_prob for step in steps] == whole.log_probs
        ids = [1, 2]
        for step in steps:
            expected = next_token_distribution(small, ids, sampling)
            assert_close(step.distribution, expected, atol=1e-5, rtol=1e-4)
            ids.append(step.token_id)


def test_a_stream_is_lazy_and_leaves_the_gradient_alone(small):
    steps = stream(small, [1], 20)
    next(steps)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    with pytest.raises(ValueError, match="max_new_tokens = 0"):
        stream(small, [1], 0)  # refusé avant le premier jeton


def test_dropout_is_off_while_writing_and_restored():
    model = gpt2(GPT2Config(V, CONTEXT, 21, 2, 7, dropout=0.5)).train()
    first, second = (generate(model, [[1]], 9, sampling=GREEDY)[0] for _ in range(2))
    assert first == second
    assert model.training and model.blocks[0].dropout.training


# ------------------------------------------------------------------ le contexte est plein


def written_slowly(model, prompt, n_new, sampling, row_seed, n_kept):
    """Sans mémoire ni lot : à chaque jeton, tout ce que la fenêtre montre est relu."""
    numbers = torch.Generator().manual_seed(row_seed)
    uniforms = torch.empty(n_new, dtype=torch.float64).uniform_(generator=numbers)
    context, text, window, log_probs = model.embedding.context_length, list(prompt), [*prompt], []
    for uniform in uniforms:
        if len(window) > context:
            recent = max(1, (context - n_kept) // 2)
            window = text[:n_kept] + text[-recent:]
        logits = model(torch.tensor([window]))[:, -1].detach()
        chosen = int(draw(next_distribution(logits, sampling, [text]), uniform[None])[0])
        log_probs.append(float(logits.log_softmax(-1)[0, chosen]))
        text.append(chosen)
        window.append(chosen)
    return text[len(prompt) :], log_probs


@pytest.mark.slow
@pytest.mark.parametrize("n_kept", [0, 5, CONTEXT - 1])
def test_the_window_slides_as_in_a_slow_rereading(model, n_kept):
    options = {"sampling": SamplingConfig(temperature=0.9, top_p=0.95), "seed": 5}
    prompts, n_new = [PROMPTS[0], PROMPTS[1], PROMPTS[3]], 36
    results = generate(model, prompts, n_new, n_kept=n_kept, **options)
    for prompt, result, seed in zip(prompts, results, row_seeds(5, 3), strict=True):
        ids, log_probs = written_slowly(model, prompt, n_new, options["sampling"], seed, n_kept)
        assert (result.ids, result.stopped_by) == (ids, "max_new_tokens")
        assert result.log_probs == pytest.approx(log_probs, abs=1e-4)
    uncached = generate(model, prompts[:1], n_new, n_kept=n_kept, reader=RereadingReader, **options)
    assert [result.ids for result in uncached] == [results[0].ids]


@pytest.mark.parametrize("context", [1, 2, 3, 5])
def test_a_tiny_context_slides_too(context):
    torch.manual_seed(2)
    model = llama(LlamaConfig(V, context, d_model=12, n_layers=2, n_heads=3, d_ff=17)).eval()
    prompts = [[3], [4, 5][:context]]
    results = generate(model, prompts, 12, seed=1)
    for prompt, result, seed in zip(prompts, results, row_seeds(1, 2), strict=True):
        assert result.ids == written_slowly(model, prompt, 12, SamplingConfig(), seed, 0)[0]


@pytest.mark.slow
def test_texts_that_finish_leave_a_window_that_slides(small):
    prompts = [[i, i + 1] for i in range(1, 8)]
    free = generate(small, prompts, 80, seed=2)
    stop_ids = [free[0].ids[2], free[3].ids[35]]
    for result, whole in zip(
        generate(small, prompts, 80, seed=2, stop_ids=stop_ids), free, strict=True
    ):
        ends = [i for i, token in enumerate(whole.ids) if token in stop_ids]
        assert result.ids == whole.ids[: ends[0] + 1 if ends else 80]


@pytest.mark.slow
def test_a_beam_slides_too(small):
    greedy = generate(small, [[1, 2]], 60, sampling=GREEDY, n_kept=1)[0]
    (beam,) = beam_search(small, [1, 2], 1, 60, n_kept=1)
    assert beam.ids == greedy.ids
    assert beam.log_prob == pytest.approx(sum(greedy.log_probs), abs=1e-3)
    beams = beam_search(small, [1, 2], 3, 60, stop_ids=[V - 1])
    assert beams[0].score >= beams[-1].score and len(beams[0].ids) > CONTEXT
    stopped = beam_search(small, [1, 2], 3, 60, when_full="stop")
    assert {len(one.ids) for one in stopped} == {CONTEXT - 1}


# ------------------------------------------------------------------ le hasard


def test_the_seed_decides(small):
    prompts = [[1]] * 5
    first, again, other = (generate(small, prompts, 15, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len({tuple(result.ids) for result in first}) == 5  # même amorce, cinq textes
    longer = generate(small, prompts, 25, seed=0)
    assert [result.ids[:15] for result in longer] == [result.ids for result in first]
    assert row_seeds(7, 3) == row_seeds(7, 20)[:3]
    assert not set(row_seeds(0, 20)) & set(row_seeds(1, 20))


def test_sampling_follows_the_distribution(small):
    sampling = SamplingConfig(temperature=1.3, top_k=9)
    expected = next_token_distribution(small, [3, 4], sampling)
    n = 4000
    results = generate(small, [[3, 4]] * n, 1, sampling=sampling, seed=11)
    counts = torch.bincount(torch.tensor([r.ids[0] for r in results]), minlength=V)
    kept = expected > 0
    assert counts[~kept].sum() == 0 and kept.sum() == 9
    frequencies = expected[kept].double()
    frequencies = n * frequencies / frequencies.sum()
    assert chisquare(counts[kept].double().numpy(), frequencies.numpy()).pvalue > 0.001


# ------------------------------------------------------------------ arrêts


def test_stops(small):
    (free,) = generate(small, [[1, 2]], 20, seed=4)
    assert (len(free.ids), free.stopped_by) == (20, "max_new_tokens")
    token = free.ids[6]
    first = free.ids.index(token)
    (stopped,) = generate(small, [[1, 2]], 20, seed=4, stop_ids=[token])
    assert (stopped.ids, stopped.stopped_by) == (free.ids[: first + 1], "stop_id")
    (cut,) = generate(small, [[1, 2]], 20, seed=4, stop_sequences=[free.ids[8:11], [V - 1] * 9])
    assert (cut.ids, cut.stopped_by) == (free.ids[:11], "stop_sequence")


def test_finished_texts_do_not_disturb_the_others(small):
    prompts = [[i, i + 1] for i in range(1, 8)]
    free = generate(small, prompts, 20, seed=2)
    stop_ids = [free[0].ids[2], free[3].ids[5]]
    for result, whole in zip(
        generate(small, prompts, 20, seed=2, stop_ids=stop_ids), free, strict=True
    ):
        ends = [i for i, token in enumerate(whole.ids) if token in stop_ids]
        assert result.ids == whole.ids[: ends[0] + 1 if ends else 20]


# ------------------------------------------------------------------ probabilités


def test_continuation_log_probs(model):
    prompt, continuation = [3, 1, 4], [1, 5, 9, 2, 6]
    actual = continuation_log_probs(model, prompt, continuation)
    text, expected = list(prompt), []
    for token in continuation:
        expected.append(next_token_distribution(model, text)[token].log())
        text.append(token)
    assert_close(actual, torch.stack(expected), atol=1e-4, rtol=1e-4)
    (written,) = generate(model, [prompt], 6, seed=1)
    judged = continuation_log_probs(model, prompt, written.ids)
    assert_close(torch.tensor(written.log_probs), judged, atol=1e-4, rtol=1e-4)
    assert len(continuation_log_probs(model, [1] * CONTEXT, [2])) == 1  # le dernier n’est pas lu


def test_next_token_distribution_sees_what_is_written(small):
    sampling = SamplingConfig(repetition_penalty=5.0)
    logits = small(torch.tensor([[8, 9]]))[0, -1].detach()
    expected = next_distribution(logits, sampling, [8, 9])
    assert_close(next_token_distribution(small, [8, 9], sampling), expected)


# ------------------------------------------------------------------ recherche


def best_by_enumeration(model, prompt, length, stop, length_penalty):
    """Toutes les suites de longueur au plus `length`, notées une à une."""
    vocab_size, found = model.embedding.tokens.num_embeddings, []
    for n in range(1, length + 1):
        for ids in itertools.product(range(vocab_size), repeat=n):
            if stop in ids[:-1] or (n < length and ids[-1] != stop):
                continue
            log_prob = float(continuation_log_probs(model, prompt, ids).sum())
            found.append((log_prob / n**length_penalty, list(ids)))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
def test_a_wide_beam_is_an_exhaustive_search(length_penalty):
    torch.manual_seed(3)
    model = llama(LlamaConfig(5, 7, d_model=12, n_layers=2, n_heads=3, d_ff=17)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    expected = best_by_enumeration(model, [1, 2], 3, 0, length_penalty)
    beams = beam_search(model, [1, 2], 125, 3, length_penalty=length_penalty, stop_ids=[0])
    assert [beam.ids for beam in beams[:9]] == [ids for _, ids in expected[:9]]
    assert [beam.score for beam in beams[:9]] == pytest.approx([s for s, _ in expected[:9]], 1e-4)


def test_greedy_equals_transformers():
    model, reference = copied_from_transformers(vocab_size=V)
    prompts = torch.randint(1, V, (4, 5), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(prompts)
    expected = reference.generate(prompts, attention_mask=mask, max_new_tokens=15, do_sample=False)
    results = generate(model, prompts.tolist(), 15, sampling=GREEDY)
    assert [result.ids for result in results] == expected[:, 5:].tolist()


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 1.7])
@pytest.mark.parametrize("n_beams", [1, 3, 4])
def test_beam_search_equals_transformers(n_beams, length_penalty):
    model, reference = copied_from_transformers(vocab_size=23)
    for prompt in ([1, 2, 3], [7, 5], [11]):
        expected = reference.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=9,
            do_sample=False,
            num_beams=n_beams,
            length_penalty=length_penalty,
            early_stopping="never" if n_beams > 1 else False,
            eos_token_id=4,
        )[0, len(prompt) :].tolist()
        beams = beam_search(model, prompt, n_beams, 9, length_penalty=length_penalty, stop_ids=[4])
        assert beams[0].ids == expected
        total = float(continuation_log_probs(model, prompt, beams[0].ids).sum())
        assert beams[0].log_prob == pytest.approx(total, abs=1e-4)
        assert [b.score for b in beams] == sorted((b.score for b in beams), reverse=True)


# ------------------------------------------------------------------ refus


@pytest.mark.parametrize(
    "arguments, settings, message",
    [
        (([[]], 5), {}, "Amorce n° 1 : aucun jeton"),
        (([[1], [V]], 5), {}, f"Amorce n° 2 : l’id {V} est hors du vocabulaire"),
        (([[1], [2, -1]], 5), {}, "l’id -1 est hors du vocabulaire"),
        (([[1] * (CONTEXT + 1)], 5), {}, r"a 32 jetons .* tient 31 : .*prompt\[-31:\]"),
        (([[1]], 0), {}, "max_new_tokens = 0"),
        (([], 5), {}, "Aucune amorce"),
        (([[1]], 5), {"stop_sequences": [[]]}, "suite vide"),
        (([[1]], 5), {"seed": -1}, "seed = -1"),
        (([[1]], 5), {"seed": None}, "seed = None"),
        (([[1]], 5), {"stop_ids": [V]}, f"stop_ids : l’id {V} est hors du vocabulaire"),
        (([[1]], 5), {"stop_sequences": [[1], [-1]]}, "stop_sequences : l’id -1 est hors"),
        (([[1]], 5), {"when_full": "couper"}, "when_full = 'couper' est inconnu"),
        (([[1]], 5), {"n_kept": CONTEXT}, f"n_kept = {CONTEXT} : il faut un entier de 0 à 30"),
        (([[1]], 5), {"n_kept": True}, "n_kept = True"),
        (([[1]], True), {}, "max_new_tokens = True"),
        (([[1]], 2.0), {}, "max_new_tokens = 2.0"),
    ],
)
def test_impossible_requests_are_refused(small, arguments, settings, message):
    with pytest.raises(ValueError, match=message):
        generate(small, *arguments, **settings)


@pytest.mark.parametrize(
    "prompts, settings, message",
    [
        ("chat", {}, "prenez TextGenerator"),
        (None, {}, "une liste de suites d’ids"),
        ([1, 2], {}, "Amorce n° 1 : il faut une suite d’entiers"),
        ([[True]], {}, "Amorce n° 1 : il faut une suite d’entiers"),
        ([[1.0]], {}, "Amorce n° 1 : il faut une suite d’entiers"),
        ([[1]], {"stop_ids": 2}, "stop_ids = 2 : il faut une liste d’ids"),
        ([[1]], {"stop_ids": [None]}, "où eos_id n’est pas None"),
        ([[1]], {"stop_ids": "."}, "stop_sequences"),
        ([[1]], {"stop_sequences": "."}, "mettez-le entre crochets"),
        ([[1]], {"stop_sequences": ["."]}, "passez par TextGenerator"),
        ([[1]], {"stop_sequences": [3]}, "3 n’est pas une suite d’ids"),
        ([[1]], {"sampling": 0}, "sampling = 0 : il faut un SamplingConfig"),
        ([[1]], {"sampling": {"top_k": 2}}, "il faut un SamplingConfig"),
        ([[1]], {"reader": "numba"}, "reader = 'numba' : donnez une façon de lire"),
    ],
)
def test_settings_of_another_kind_are_refused(small, prompts, settings, message):
    with pytest.raises(TypeError, match=message):
        generate(small, prompts, 5, **settings)


def test_tensors_of_ids_are_read_as_lists(small):
    prompts = torch.tensor([[1, 2], [3, 4]])
    assert generate(small, prompts, 4) == generate(small, prompts.tolist(), 4)


def test_a_half_precision_model_is_sampled_in_single_precision():
    for name in ("llama", "gpt2"):
        model = build(name).bfloat16()
        (result,) = generate(model, [[1, 2]], 9, sampling=TYPICAL, seed=1)
        log_probs = continuation_log_probs(model, [1, 2], result.ids)
        assert log_probs.dtype == torch.float32
        assert result.log_probs == pytest.approx(log_probs.tolist(), abs=0.2)
        probabilities = next_token_distribution(model, [1, 2], SamplingConfig(top_p=0.9))
        assert probabilities.dtype == torch.float32
        assert float(probabilities.sum()) == pytest.approx(1.0, abs=1e-6)


def test_other_refusals(small):
    with pytest.raises(ValueError, match="n_beams = 0"):
        beam_search(small, [1], 0, 5)
    for penalty in (float("nan"), "1", True):
        with pytest.raises(ValueError, match=f"length_penalty = {penalty!r}"):
            beam_search(small, [1], 2, 5, length_penalty=penalty)
    with pytest.raises(TypeError, match="stop_ids = 4"):
        beam_search(small, [1], 2, 5, stop_ids=4)
    with pytest.raises(ValueError, match="Suite à juger : aucun jeton"):
        continuation_log_probs(small, [1], [])
    with pytest.raises(ValueError, match="lire 32 jetons et le contexte en tient 31"):
        continuation_log_probs(small, [1] * 30, [2, 3, 4])
    with pytest.raises(TypeError, match="suite d’entiers"):
        next_token_distribution(small, "chat")
    with pytest.raises(TypeError, match="il faut un décodeur"):
        generate(bert(BertConfig(V, CONTEXT, 21, 1, 3)), [[1]], 5)
    torch.nn.init.constant_(small.norm.weight, float("nan"))
    for read in (
        lambda: generate(small, [[1]], 5),
        lambda: generate(small, [[1]], 5, sampling=GREEDY),
        lambda: beam_search(small, [1], 2, 5),
        lambda: next_token_distribution(small, [1]),
        lambda: continuation_log_probs(small, [1], [2, 3]),
    ):
        with pytest.raises(ValueError, match="pas des nombres finis"):
            read()


def test_the_cache_forgets_only_what_it_holds(small):
    cache = small.new_cache(1, 6)
    small(torch.tensor([[1, 2, 3, 4]]), cache=cache)
    before = [block.self_attention.read()[1].clone() for block in cache.blocks]
    cache.drop_first(3)
    assert cache.length == 1
    for block, values in zip(cache.blocks, before, strict=True):
        assert_close(block.self_attention.read()[1], values[:, :, 3:])
    with pytest.raises(ValueError, match="oublier 2 positions : la mémoire cache en tient 1"):
        cache.drop_first(2)
