"""Les quatre architectures : mêmes nombres que PyTorch et `transformers`, à poids partagés."""

import json
import math
import re
from dataclasses import FrozenInstanceError, asdict, replace

import jaxtyping
import pytest
import torch
import transformers
from torch import nn
from torch.testing import assert_close

from course_lib.pretrained.places import published_place
from course_lib.scaling.parameters import count_by_formula
from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    OriginalTransformerConfig,
    bert,
    count_parameters,
    gpt2,
    llama,
    mixtral,
    original_encoder,
    original_transformer,
)
from course_lib.transformer.meta import build_on_meta
from course_lib.transformer.positions import Llama3Scaling, RotaryPositions, rotary_frequencies
from course_lib.transformer.recognition import config_of

# Des nombres premiers entre eux : deux dimensions échangées ne passent pas inaperçues.
B, T, S, V, VT, CONTEXT = 3, 11, 13, 53, 47, 31
ORIGINAL = OriginalTransformerConfig(
    V, VT, CONTEXT, d_model=15, n_encoder_layers=2, n_decoder_layers=3, n_heads=5, d_ff=37
)
ORIGINAL_FIRST = OriginalTransformerConfig(**{**vars(ORIGINAL), "norm_first": True})
GPT2 = GPT2Config(V, CONTEXT, d_model=21, n_layers=3, n_heads=7, d_ff=37)
LLAMA = LlamaConfig(V, CONTEXT, d_model=30, n_layers=3, n_heads=3, d_ff=37)
GROUPED = LlamaConfig(
    V, CONTEXT, d_model=42, n_layers=2, n_heads=6, n_kv_heads=2, head_dim=10, tie_weights=False
)
BERT = BertConfig(V, CONTEXT, d_model=21, n_layers=2, n_heads=3, d_ff=37)
BIASED = replace(GROUPED, attention_bias=True, rope_scaling=Llama3Scaling(7.0, 1.0, 3.0, 13))
NORMED = replace(GROUPED, qk_norm=True)
DECODERS = {
    "gpt2": (gpt2, GPT2),
    "llama": (llama, LLAMA),
    "llama-gqa": (llama, GROUPED),
    "qwen3": (llama, NORMED),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=DECODERS)
def decoder(request):
    build, config = DECODERS[request.param]
    return randomized(build(config))


def randomized(model: nn.Module) -> nn.Module:
    """Tous les paramètres au hasard, biais et normes compris : rien ne s’annule par chance."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model.eval()


def random_ids(vocab_size=V, length=T):
    return torch.randint(1, vocab_size, (B, length))


def right_padding(length, n_padded=3):
    mask = torch.ones(B, length, dtype=torch.bool)
    mask[0, -n_padded:] = False
    return mask


def close(actual, expected):
    assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def rename(state: dict, rules: list[tuple[str, str]]) -> dict:
    """Renomme les poids d’une référence vers les nôtres, règle après règle."""
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


# ------------------------------------------------------------------ 2017, contre torch.nn

TORCH_RULES = [
    (r"layers\.", "blocks."),
    (r"self_attn\.", "self_attention."),
    (r"multihead_attn\.", "cross_attention."),
    (r"out_proj\.", "output."),
    (r"linear1\.", "feed_forward.up."),
    (r"linear2\.", "feed_forward.down."),
    (r"norm1\.", "self_attention_norm."),
    (r"(decoder.*)norm2\.", r"\1cross_attention_norm."),
    (r"norm[23]\.", "feed_forward_norm."),
]


def split_projections(state: dict) -> dict:
    """PyTorch empile les matrices des requêtes, des clés et des valeurs : on les sépare."""
    separated = {}
    for name, tensor in state.items():
        if "in_proj_" in name:
            prefix, kind = name.split("in_proj_")
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                separated[f"{prefix}{part}.{kind}"] = rows
        else:
            separated[name] = tensor
    return separated


def torch_reference(config: OriginalTransformerConfig) -> nn.Transformer:
    reference = nn.Transformer(
        config.d_model,
        config.n_heads,
        config.n_encoder_layers,
        config.n_decoder_layers,
        config.d_ff,
        norm_first=config.norm_first,
        batch_first=True,
    )
    if not config.norm_first:  # l’article n’a pas de norme finale, PyTorch en ajoute une
        reference.encoder.norm = reference.decoder.norm = None
    return randomized(reference)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("config", [ORIGINAL, ORIGINAL_FIRST], ids=["norm-after", "norm-first"])
@pytest.mark.parametrize("padded", [False, True])
def test_equals_torch_transformer(config, padded):
    reference, model = torch_reference(config), original_transformer(config).eval()
    state = rename(split_projections(reference.state_dict()), TORCH_RULES)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("embedding" in name or "decoder.head" in name for name in missing)

    source, target = random_ids(length=S), random_ids(VT)
    if padded:
        source = source * right_padding(S)  # pad_id = 0
    hidden = reference(
        model.encoder.embedding(source, torch.arange(S)),
        model.decoder.embedding(target, torch.arange(T)),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(T).isneginf(),
        src_key_padding_mask=source == 0,
        memory_key_padding_mask=source == 0,
    )
    close(model(source, target), model.decoder.head(hidden))


# ------------------------------------------------------------------ contre transformers


def adopt(model: nn.Module, family: str, reference: nn.Module) -> None:
    """Donne à notre modèle les poids de la référence, tous, selon les noms de sa famille."""
    state, ours = reference.state_dict(), model.state_dict()
    places = {name: published_place(family, name) for name in ours}
    copies = {"cls.predictions.decoder.bias"}
    assert {place.name for place in places.values()} == state.keys() - copies
    model.load_state_dict({name: place.read(state[place.name]) for name, place in places.items()})


def test_equals_transformers_bert():
    reference = transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=V,
            hidden_size=BERT.d_model,
            num_hidden_layers=BERT.n_layers,
            num_attention_heads=BERT.n_heads,
            intermediate_size=BERT.d_ff,
            max_position_embeddings=CONTEXT,
        )
    )
    randomized(reference)
    model = bert(BERT).eval()
    adopt(model, "bert", reference)
    assert count_parameters(model) == reference.num_parameters()
    ids, segments, mask = random_ids(), torch.randint(0, 2, (B, T)), right_padding(T)
    expected = reference(ids, attention_mask=mask.long(), token_type_ids=segments).logits
    close(model(ids, mask, segments)[mask], expected[mask])
    close(model(ids * mask)[mask], reference(ids * mask, attention_mask=mask.long()).logits[mask])


def gpt2_reference():
    reference = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=V,
            n_positions=CONTEXT,
            n_embd=GPT2.d_model,
            n_layer=GPT2.n_layers,
            n_head=GPT2.n_heads,
            n_inner=GPT2.d_ff,
        )
    )
    return randomized(reference)


def llama_reference(config: LlamaConfig):
    kind = "Qwen3" if config.qk_norm else "Llama"
    reference = getattr(transformers, f"{kind}ForCausalLM")(
        getattr(transformers, f"{kind}Config")(
            vocab_size=V,
            hidden_size=config.d_model,
            intermediate_size=config.d_ff,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads,
            head_dim=config.head_dim,
            max_position_embeddings=CONTEXT,
            rms_norm_eps=config.norm_eps,
            tie_word_embeddings=config.tie_weights,
        )
    )
    return randomized(reference)


@pytest.mark.parametrize("name", DECODERS)
def test_equals_transformers_decoders(name):
    build, config = DECODERS[name]
    model = build(config).eval()
    reference = gpt2_reference() if name == "gpt2" else llama_reference(config)
    adopt(model, name.removesuffix("-gqa"), reference)
    assert count_parameters(model) == reference.num_parameters()
    ids = random_ids()
    close(model(ids), reference(ids).logits)
    mask = right_padding(T).flip(1)  # remplissage à gauche, comme pour écrire la suite
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    expected = reference(ids, attention_mask=mask.long(), position_ids=positions).logits
    close(model(ids, padding_mask=mask)[mask], expected[mask])


# ------------------------------------------------------------------ biais, positions étirées


def test_biases_of_qwen_stop_before_the_output():
    """Deux modèles aux mêmes matrices : les biais seuls font la différence."""
    model, plain = randomized(llama(BIASED)), llama(replace(BIASED, attention_bias=False)).eval()
    missing, extra = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing
    assert {name.split(".", 2)[2] for name in extra} == {
        f"self_attention.{part}.bias" for part in ("query", "key", "value")
    }
    assert count_parameters(model) == count_by_formula(BIASED)
    ids = random_ids()
    assert (model(ids) - plain(ids)).abs().max() > 1e-2
    for block in model.blocks:
        for part in ("query", "key", "value"):
            nn.init.zeros_(getattr(block.self_attention, part).bias)
    close(model(ids), plain(ids))


def test_head_norms_forget_the_length_of_queries_and_keys():
    """Multiplier la matrice des requêtes ne change rien ; sans norme, tout change."""
    model, plain = randomized(llama(NORMED)), randomized(llama(GROUPED))
    assert count_parameters(model) == count_by_formula(NORMED)
    assert count_by_formula(NORMED) - count_by_formula(GROUPED) == 2 * 2 * 10  # étages × 2 × Dh
    ids = random_ids()
    before = [one(ids) for one in (model, plain)]
    with torch.no_grad():
        for one in (model, plain):
            for block in one.blocks:
                block.self_attention.query.weight.mul_(7.0)
                block.self_attention.key.weight.mul_(3.0)
    assert_close(model(ids), before[0], atol=1e-3, rtol=1e-3)  # à ε près, qui s’ajoute au carré
    assert (plain(ids) - before[1]).abs().max() > 0.1


@pytest.mark.parametrize("change", ["eps", "kind", "one of two"])
def test_other_head_norms_have_no_configuration(change):
    model = llama(NORMED)
    attention = model.blocks[1].self_attention
    if change == "eps":
        attention.query_norm.eps = attention.key_norm.eps = 0.5
    elif change == "kind":
        attention.key_norm = nn.LayerNorm(10)
    else:
        attention.key_norm = None
    with pytest.raises(ValueError, match=r"n’est ni de type Llama"):
        config_of(model)


def test_mixtral_has_the_same_attention():
    config = MixtralConfig(**asdict(BIASED))
    attention = mixtral(config).blocks[0].self_attention
    assert attention.query_norm is None
    assert mixtral(replace(config, qk_norm=True)).blocks[0].self_attention.query_norm is not None
    assert attention.query.bias is not None and attention.output.bias is None
    assert mixtral(config).rope.scaling == BIASED.rope_scaling


def test_stretched_positions_are_slower_and_only_that():
    frequencies = rotary_frequencies(10)
    scaling = Llama3Scaling(7.0, 1.0, 3.0, 13)
    ratios = scaling.slow_down(frequencies) / frequencies
    turns = 13 * frequencies / (2 * math.pi)
    assert (ratios[turns < 1.0] - 1 / 7).abs().max() < 1e-6
    assert Llama3Scaling(1.0).slow_down(frequencies).equal(frequencies)
    positions = RotaryPositions(CONTEXT, 10, scaling=scaling)
    angles = torch.outer(torch.arange(CONTEXT), scaling.slow_down(frequencies))
    close(positions.cos[:, :5], angles.cos())
    close(positions.sin[:, 5:], angles.sin())


@pytest.mark.parametrize("config", [LLAMA, GROUPED, BIASED, NORMED, replace(GPT2, dropout=0.0)])
def test_a_model_tells_its_configuration(config):
    build = gpt2 if isinstance(config, GPT2Config) else llama
    assert config_of(build(config)) == config


def test_models_of_another_kind_have_no_configuration():
    for model in (bert(BERT), original_transformer(ORIGINAL), mixtral(MixtralConfig(V, d_ff=7))):
        with pytest.raises(ValueError, match=r"n’est ni de type Llama .* ni de type GPT-2"):
            config_of(model)
    untied = gpt2(GPT2)
    untied.head = nn.Linear(GPT2.d_model, V, bias=False)
    with pytest.raises(ValueError, match="tête liée"):
        config_of(untied)


def test_a_configuration_survives_json():
    assert LlamaConfig(**json.loads(json.dumps(asdict(BIASED)))) == BIASED


# ------------------------------------------------------------------ ce qui doit toujours valoir


@pytest.mark.parametrize("chunks", [[5, *[1] * 6], [4, 3, 1, 3], [1] * T])
def test_cached_equals_uncached(decoder, chunks):
    ids = random_ids()
    cache = decoder.new_cache(B, T)
    outputs = [decoder(part, cache=cache) for part in ids.split(chunks, dim=1)]
    close(torch.cat(outputs, dim=1), decoder(ids))
    assert cache.length == T


def test_cached_batch_with_left_padding(decoder):
    ids, mask = random_ids(), right_padding(T).flip(1)
    cache = decoder.new_cache(B, T)
    first = decoder(ids[:, :7], padding_mask=mask[:, :7], cache=cache)
    steps = [
        decoder(ids[:, i : i + 1], padding_mask=mask[:, : i + 1], cache=cache) for i in range(7, T)
    ]
    close(torch.cat([first, *steps], dim=1)[mask], decoder(ids, padding_mask=mask)[mask])


def test_future_never_changes_the_past(decoder):
    ids = random_ids()
    changed = ids.clone()
    changed[:, 6:] = random_ids()[:, 6:] % (V - 1) + 1
    before, after = decoder(ids), decoder(changed)
    assert_close(before[:, :6], after[:, :6], atol=1e-6, rtol=0)
    assert (before[:, 6:] - after[:, 6:]).abs().max() > 1e-3


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing_in_decoders(decoder, side):
    ids, filler = random_ids(), random_ids(length=4)
    real, no = torch.ones(B, T, dtype=torch.bool), torch.zeros(B, 4, dtype=torch.bool)
    pieces, masks = ([filler, ids], [no, real]) if side == "left" else ([ids, filler], [real, no])
    mask = torch.cat(masks, dim=1)
    padded = decoder(torch.cat(pieces, dim=1), padding_mask=mask)
    close(padded[mask], decoder(ids).flatten(0, 1))
    assert padded.isfinite().all()


@pytest.mark.parametrize("build, config", [(bert, BERT), (original_encoder, ORIGINAL)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing_in_encoders(build, config, side):
    model, ids, zeros = randomized(build(config)), random_ids(), torch.zeros(B, 4).long()
    padded = torch.cat([zeros, ids] if side == "left" else [ids, zeros], dim=1)
    close(model(padded)[padded != 0], model(ids).flatten(0, 1))


@pytest.mark.parametrize("config", [ORIGINAL, ORIGINAL_FIRST], ids=["norm-after", "norm-first"])
def test_encoder_decoder_padding_causality_and_cache(config):
    model = randomized(original_transformer(config))
    source, target = random_ids(length=S), random_ids(VT)
    expected = model(source, target)
    padded = torch.cat([source, torch.zeros(B, 4).long()], dim=1)
    close(model(padded, target), expected)
    close(model(source, target[:, :6]), expected[:, :6])
    # Écrire mot à mot : la source n’est lue qu’une fois.
    mask = padded != 0
    memory, cache = model.encode(padded, mask), model.new_cache(B, T)
    steps = [model.decode(word, memory, mask, cache=cache) for word in target.split(1, dim=1)]
    close(torch.cat(steps, dim=1), expected)
    # Recherche en faisceau : changer l’ordre des phrases dans la mémoire cache.
    cache, rows = model.new_cache(B, T), torch.tensor([2, 0, 0])
    model.decode(target[:, :6], memory, mask, cache=cache)
    cache.select(rows)
    rest = model.decode(target[rows, 6:], memory[rows], mask[rows], cache=cache)
    close(rest, expected[rows, 6:])


def test_head_can_be_applied_where_needed(decoder):
    ids, chosen = random_ids(), torch.rand(B, T) < 0.3
    close(decoder.head(decoder.hidden(ids)[chosen]), decoder(ids)[chosen])


@pytest.mark.parametrize(
    "config, published",
    [
        (GPT2Config(), 124_439_808),
        (BertConfig(), 109_514_298),
        (LlamaConfig(49152, 2048, 576, 30, 9, 3, d_ff=1536), 134_515_008),  # SmolLM2-135M
    ],
    ids=["gpt2", "bert-base", "smollm2"],
)
def test_published_sizes(config, published):
    # Sur le périphérique « meta », les poids ont une forme mais pas de valeurs : rien à tirer.
    assert count_parameters(build_on_meta(config)) == published


def test_course_llama_is_smaller_than_its_rival():
    model = llama(LlamaConfig(100, 128, d_model=128, n_layers=3, n_heads=4))
    assert model.blocks[0].feed_forward.up.out_features == 352
    assert count_parameters(model) == 615_808 < 632_149


def test_seed_decides_the_weights():
    first, again, other = (gpt2(GPT2, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embedding.tokens.weight"], other["embedding.tokens.weight"])


@pytest.mark.parametrize("d_model", [16, 64, 128])
def test_untrained_models_start_near_the_uniform_loss(d_model):
    ids = torch.randint(1, 101, (7, 29))
    config = LlamaConfig(101, 29, d_model=d_model, n_layers=3, n_heads=4)
    loss = nn.functional.cross_entropy(llama(config)(ids[:, :-1]).flatten(0, 1), ids[:, 1:].ravel())
    assert loss.item() == pytest.approx(torch.tensor(101.0).log().item(), abs=0.25)


# ------------------------------------------------------------------ erreurs


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GPT2Config(d_model=31, n_heads=3), "d_model = 31 .* n_heads = 3"),
        (lambda: GPT2Config(n_layers=0), "n_layers = 0.*strictement positif"),
        (lambda: BertConfig(dropout=1.0), r"dropout = 1\.0.*\[0, 1\["),
        (lambda: BertConfig(norm_eps=0.0), r"norm_eps = 0\.0"),
        (lambda: LlamaConfig(V, d_model=30, n_heads=6, n_kv_heads=4), "multiple de n_kv_heads = 4"),
        (lambda: LlamaConfig(V, d_model=9, n_heads=3), "head_dim = 3 est impair"),
        (lambda: OriginalTransformerConfig(V, -1), "target_vocab_size = -1"),
        (lambda: Llama3Scaling(0.5), r"factor = 0\.5 .*au moins égaux à 1"),
        (lambda: Llama3Scaling(2.0, 4.0, 4.0), r"low_freq_factor = 4\.0 et high_freq_factor = 4"),
    ],
)
def test_impossible_configurations_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_configurations_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        LLAMA.d_model = 31


@pytest.fixture
def without_annotations():
    """Le lecteur n’a pas les vérifications de formes de pytest : il rencontre nos messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_unreadable_inputs_are_refused(decoder, without_annotations):
    with pytest.raises(ValueError, match=r"forme \(11,\).*ids\[None\]"):
        decoder(random_ids()[0])
    with pytest.raises(ValueError, match=r"37 positions et le contexte en a 31"):
        decoder(random_ids(length=37))
    with pytest.raises(ValueError, match=r"de 1 à 99.*de 0 à 52"):
        decoder(torch.tensor([[1, 99]]))
    with pytest.raises(ValueError, match=r"padding_mask a la forme \(3, 5\)"):
        decoder(random_ids(), padding_mask=torch.ones(B, 5, dtype=torch.bool))


def test_wrong_shape_is_caught_by_the_annotations(decoder):
    with pytest.raises(jaxtyping.TypeCheckError, match="parameter 'ids'"):
        decoder(random_ids()[0])
