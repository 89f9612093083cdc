"""Le préfixe appris : égal à celui de `peft`, devant le texte, avec ou sans mémoire cache."""

import peft
import pytest
import torch
import transformers
from torch.testing import assert_close

from course_lib.finetuning import (
    AnswerExamples,
    attach_prefix,
    count_trainable,
    detach_prefix,
    pack_examples,
    packed_loss,
    weight_fingerprint,
)
from course_lib.finetuning.prefix import PrefixedAttention
from course_lib.generation.readers import CachedReader, RereadingReader
from course_lib.pretrained.places import pack, published_place
from course_lib.training import TrainingConfig, evaluate_loss, train
from course_lib.transformer import GPT2Config, LlamaConfig, gpt2, llama
from course_lib.transformer.positions import rotate

V, CONTEXT, P = 53, 31, 5
# Deux têtes de clés pour six de requêtes, de dimension 14 : aucune taille n’en vaut une autre.
LLAMA = LlamaConfig(V, CONTEXT, 30, 3, 6, n_kv_heads=2, head_dim=14, d_ff=37)
IDS = torch.randint(1, V, (3, 11), generator=torch.Generator().manual_seed(0))


def build(kind="llama"):
    if kind == "gpt2":
        return gpt2(GPT2Config(V, CONTEXT, 21, 2, 7, d_ff=37, dropout=0.0)).eval()
    return llama(LLAMA).eval()


def peft_reference(model):
    """Le même modèle dans `transformers`, avec un préfixe de `peft` tiré au sort."""
    reference = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=V,
            hidden_size=LLAMA.d_model,
            intermediate_size=LLAMA.d_ff,
            num_hidden_layers=LLAMA.n_layers,
            num_attention_heads=LLAMA.n_heads,
            num_key_value_heads=LLAMA.n_kv_heads,
            head_dim=LLAMA.head_dim,
            max_position_embeddings=CONTEXT,
            rms_norm_eps=LLAMA.norm_eps,
            tie_word_embeddings=True,
        )
    ).eval()
    weights = dict(model.named_parameters())
    places = {name: published_place("llama", name) for name in weights}
    missing, unknown = reference.load_state_dict(pack(places, weights), strict=False)
    assert missing == ["lm_head.weight"] and not unknown
    config = peft.PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=P,
        num_layers=LLAMA.n_layers,
        num_attention_heads=LLAMA.n_kv_heads,
        token_dim=LLAMA.n_kv_heads * LLAMA.head_dim,
    )
    return peft.get_peft_model(reference, config)


def behind(keys, model):
    """`peft` décale le texte de P positions, nous non : nos clés sont les siennes, P en arrière."""
    cos, sin = model.rope(torch.tensor([P]))
    return rotate(keys, (cos, -sin))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_equals_peft_outputs_and_gradients():
    model = build()
    reference = peft_reference(model)
    attach_prefix(model, P)
    table = reference.prompt_encoder["default"].embedding.weight  # (P, 2·L·Hkv·Dh)

    def by_layer(numbers):
        shape = (P, LLAMA.n_layers, 2, LLAMA.n_kv_heads, LLAMA.head_dim)
        for keys, values in numbers.detach().view(shape).permute(1, 2, 3, 0, 4)[:, :, None]:
            yield behind(keys, model), values  # (1, Hkv, P, Dh)

    prefixes = [block.self_attention.prefix for block in model.blocks]
    with torch.no_grad():
        for ours, theirs in zip(prefixes, by_layer(table), strict=True):
            for mine, given in zip(ours, theirs, strict=True):
                mine.copy_(given)
    a, b = model(IDS), reference(input_ids=IDS).logits
    assert_close(a, b, atol=1e-5, rtol=1e-5)
    a.square().mean().backward()
    b.square().mean().backward()
    for ours, theirs in zip(prefixes, by_layer(table.grad), strict=True):
        for mine, expected in zip(ours, theirs, strict=True):
            assert mine.grad.abs().max() > 0
            assert_close(mine.grad, expected, atol=1e-5, rtol=1e-4)


def test_a_fresh_prefix_is_a_few_tokens_read_before_the_text():
    model = build()
    base = model(IDS)
    draw = torch.Generator().manual_seed(7)
    tokens = torch.randint(V, (1, P), generator=draw).expand(len(IDS), -1)
    expected = model(torch.cat((tokens, IDS), dim=1))[:, P:]
    attach_prefix(model, P, seed=7)
    assert_close(model(IDS), expected, atol=1e-5, rtol=1e-5)
    assert (expected - base).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_only_the_prefix_trains_and_it_leaves_nothing(kind):
    model = build(kind)
    before, output = weight_fingerprint(model), model(IDS)
    chosen = attach_prefix(model, P)
    assert chosen == [f"blocks.{i}.self_attention" for i in range(len(model.blocks))]
    attention = model.blocks[0].self_attention
    size = 2 * P * attention.n_kv_heads * attention.head_dim
    assert count_trainable(model) == len(chosen) * size
    data = AnswerExamples([([1, 2, 3], [4, 5]), ([7], [8, 9, 10])], 2)
    start = evaluate_loss(model, data)
    train(model, data, TrainingConfig(50, 5e-2, n_threads=1), progress=False)
    assert evaluate_loss(model, data) < 0.95 * start
    assert weight_fingerprint(model) == before
    learned = detach_prefix(model)
    shape = (1, attention.n_kv_heads, P, attention.head_dim)
    assert len(learned) == len(chosen) and all(t.shape == shape for pair in learned for t in pair)
    assert torch.equal(model(IDS), output)
    assert not any(isinstance(m, PrefixedAttention) for m in model.modules())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_writing_with_a_cache_reads_the_prefix_too(kind):
    model = build(kind)
    plain = model(IDS)
    attach_prefix(model, P)
    prompts = [[3, 4, 5, 6], [7], [8, 9]]  # de longueurs inégales : il y a du remplissage
    cached, rereading = CachedReader(model, prompts, 9), RereadingReader(model, prompts)
    assert_close(cached.start(), rereading.start(), atol=1e-5, rtol=1e-5)
    for ids in ([1, 2, 3], [4, 5, 6]):
        assert_close(cached.step(ids), rereading.step(ids), atol=1e-5, rtol=1e-5)
    weights = model.blocks[0].self_attention(
        torch.ones(2, 3, model.embedding.tokens.embedding_dim), is_causal=True, return_weights=True
    )[1]
    assert weights.shape[2:] == (3, P + 3)
    assert (weights[..., :P] > 0).all() and (weights[..., P:].triu(1) == 0).all()
    assert (model(IDS) - plain).abs().max() > 1e-3


def test_each_packed_example_reads_the_prefix():
    model = build()
    attach_prefix(model, P)
    examples = [([1, 2, 3], [4, 5]), ([7], [8, 9, 10]), ([11, 12], [13])]
    packed = evaluate_loss(model, pack_examples(examples, CONTEXT, 1), packed_loss)
    assert packed == pytest.approx(evaluate_loss(model, AnswerExamples(examples, 1)), abs=1e-5)


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda m: attach_prefix(m, 0), "n_tokens = 0 : il en faut au moins 1"),
        (lambda m: attach_prefix(m, CONTEXT), r"moins que le contexte \(31\)"),
        (lambda m: [attach_prefix(m, 2), attach_prefix(m, 2)], "est déjà posé : retirez-le"),
        (detach_prefix, "n’a pas de préfixe appris"),
    ],
)
def test_wrong_requests(act, message):
    with pytest.raises(ValueError, match=message):
        act(build())
