"""L’arrondi calibré : ses grilles, son erreur, ses modèles relus par nous et par transformers."""

import itertools

import pytest
import torch
from transformers import AutoModelForCausalLM

from course_lib.distillation.divergences import forward_kl
from course_lib.pretrained import load_pretrained, save_gguf
from course_lib.pretrained.gguf.levels import IQ4_LEVELS
from course_lib.rounding import (
    GRIDS,
    round_matrix,
    round_model,
    round_to_nearest,
    rounding_costs,
    share_kinds,
)
from course_lib.rounding.grids import lay, snap
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import GPT2Config, LlamaConfig, gpt2, llama

VOCABULARY = 300


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated_inputs(width, n=2000):
    """Des entrées dont les coordonnées vont ensemble, comme celles d’un modèle."""
    return drawn(n, width) @ (drawn(width, width, seed=1) / width**0.5 + torch.eye(width))


def small_model(n_layers=1, **options):
    """Des têtes de clés partagées ; des jetons qui se ressemblent."""
    config = LlamaConfig(
        VOCABULARY, 64, d_model=256, n_layers=n_layers, n_heads=4, n_kv_heads=2, d_ff=256, **options
    )
    model = llama(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)
        alike = drawn(VOCABULARY, 24, seed=7) @ drawn(24, 256, seed=8) / 24**0.5
        model.embedding.tokens.weight.copy_(0.12 * alike + 0.03 * drawn(VOCABULARY, 256, seed=9))
    return model.eval()


TEXTS = torch.randint(VOCABULARY, (64, 48), generator=torch.Generator().manual_seed(2))
OTHERS = torch.randint(VOCABULARY, (8, 48), generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def distance(model, other):
    return float(forward_kl(other(OTHERS), model(OTHERS)))


@pytest.mark.parametrize("kind", GRIDS)
def test_snap_takes_the_nearest_level(kind):
    levels = torch.tensor(GRIDS[kind].levels, dtype=torch.float32)
    targets = drawn(1000) * 80
    distances = (targets[:, None] - levels).abs()
    found = snap(GRIDS[kind], targets)
    torch.testing.assert_close((found - targets).abs(), distances.amin(1))
    assert set(found.tolist()) <= set(levels.tolist())


def test_the_uneven_levels_are_those_of_the_format():
    assert GRIDS["IQ4_XS"].levels == IQ4_LEVELS and list(IQ4_LEVELS) == sorted(IQ4_LEVELS)


@pytest.mark.parametrize("kind", GRIDS)
def test_the_values_are_bit_for_bit_those_of_the_file(kind):
    """Échelles nulles et lignes constantes comprises."""
    w = drawn(40, 512) * 0.1
    w[0], w[1, :256], w[2] = 0.0, 0.3, w[2].abs()
    x = correlated_inputs(512)
    matrix = round_matrix(w, x.T @ x, GRIDS[kind])
    assert torch.equal(torch.from_numpy(matrix.packed().values()), matrix.values())


@pytest.mark.parametrize("kind", ["Q3_K", "IQ4_XS", "Q4_K"])
def test_an_important_weight_is_laid_more_finely(kind):
    """Dix poids d’un bloc pèsent mille fois plus : leur erreur est moindre qu’à poids égaux."""
    w, weights = drawn(200, 256), torch.ones(256)
    chosen = torch.arange(0, 256, 25)
    weights[chosen] = 1000.0

    def error(steps):
        grid = GRIDS[kind]
        step, shift = (part.repeat_interleave(grid.group, 1) for part in steps.of(slice(None)))
        rounded = step * snap(grid, (w + shift) / step) - shift
        return float((w - rounded)[:, chosen].square().mean())

    assert error(lay(GRIDS[kind], w, weights)) < 0.8 * error(lay(GRIDS[kind], w, torch.ones(256)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", GRIDS)
def test_calibrated_rounding_keeps_the_products_better(kind):
    """Sur des entrées neuves ; les retouches gagnent sur les leurs, sans perdre sur celles-là."""
    w, x = drawn(64, 512, seed=5) * 0.1, correlated_inputs(512)
    moment = x.T @ x / len(x)

    def error(rounded, inputs=x[:1000]):
        return float(((rounded - w) @ inputs.T).square().mean())

    learned = x[1000:].T @ x[1000:]
    plain = error(round_to_nearest(w, moment, kind))
    once = round_matrix(w, learned, GRIDS[kind], n_passes=0)
    thrice = round_matrix(w, learned, GRIDS[kind], n_passes=3)
    assert error(once.values()) < 0.9 * plain
    assert error(thrice.values()) < 1.02 * error(once.values())
    own = [error(matrix.values(), x[1000:]) for matrix in (once, thrice)]
    assert own[1] < 0.97 * own[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"tie_weights": False}, {"attention_bias": True}, {"qk_norm": True}]
)
def test_a_rounded_model_stays_near_and_its_file_is_itself(tmp_path, options):
    model = small_model(**options)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    plain = small_model(**options)
    with torch.no_grad():
        for parameter in plain.parameters():
            if parameter.ndim == 2:
                parameter.copy_(round_to_nearest(parameter, torch.eye(parameter.shape[1]), "Q3_K"))
    rounded = round_model(model, TEXTS, "Q3_K", progress=False)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert distance(model, rounded.model) < 0.6 * distance(model, plain)
    tied = rounded.model.head.weight is rounded.model.embedding.tokens.weight
    assert tied is options.get("tie_weights", True)
    tokenizer = BPETokenizer.train(["une histoire, une autre"], vocab_size=270)
    save_gguf(rounded.model, tokenizer, tmp_path / "m.gguf", rounded=rounded.packed())
    again = load_pretrained(tmp_path / "m.gguf").model
    for name, weight in rounded.model.named_parameters():
        assert torch.equal(again.get_parameter(name), weight), name


@pytest.mark.slow
def test_transformers_reads_a_mix_of_formats(tmp_path):
    """Requêtes et clés comprises, dont le fichier mêle les lignes."""
    model = small_model(2)
    names = [name for name, parameter in model.named_parameters() if parameter.ndim == 2]
    kinds = dict(zip(names, itertools.cycle(GRIDS), strict=False))
    del kinds["blocks.1.feed_forward.up.weight"]
    rounded = round_model(model, TEXTS, kinds, progress=False)
    assert set(rounded.matrices) == set(kinds)
    tokenizer = BPETokenizer.train(["une histoire, une autre"], vocab_size=270)
    save_gguf(rounded.model, tokenizer, tmp_path / "m.gguf", "F32", rounded=rounded.packed())
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(
            theirs.eval()(OTHERS).logits, rounded.model(OTHERS), rtol=1e-4, atol=1e-4
        )


@pytest.mark.slow
def test_costs_announce_what_rounding_one_matrix_alone_does():
    """L’estimation au second ordre, contre la divergence mesurée : à un facteur deux près."""
    model = small_model()
    costs = rounding_costs(model, torch.cat([TEXTS, OTHERS]), ["Q3_K", "IQ4_XS"], progress=False)
    for name in ("embedding.tokens.weight", "blocks.0.self_attention.value.weight"):
        copied = small_model()
        weight = copied.get_parameter(name)
        with torch.no_grad():
            weight.copy_(round_to_nearest(weight, torch.eye(weight.shape[1]), "IQ4_XS"))
        measured = distance(model, copied)
        assert measured / 2 < costs[name]["IQ4_XS"] < 2 * measured, name
    assert all(cost["IQ4_XS"] < cost["Q3_K"] / 2 for cost in costs.values())


def test_bits_go_where_they_serve_most():
    """Le partage tient dans le budget, et nul échange d’une seule matrice ne ferait mieux."""
    names = [f"m{i}" for i in range(6)]
    sizes = {name: 25600 * (1 + i % 3) for i, name in enumerate(names)}
    costs = {
        name: {"Q3_K": 4.0 * c, "IQ4_XS": 1.0 * c, "Q8_0": 0.01 * c}
        for name, c in zip(names, (1.0, 5.0, 0.2, 3.0, 0.5, 8.0), strict=True)
    }
    bits = {"Q3_K": 3.4375, "IQ4_XS": 4.25, "Q8_0": 8.5}
    budget = 190_000

    def weighs(chosen):
        return sum(sizes[name] * bits[kind] / 8 for name, kind in chosen.items())

    def total(chosen):
        return sum(costs[name][kind] for name, kind in chosen.items())

    chosen = share_kinds(costs, sizes, budget)
    assert weighs(chosen) <= budget
    for name, kind in itertools.product(names, bits):
        other = chosen | {name: kind}
        assert weighs(other) > budget or total(other) >= total(chosen)
    every = (dict(zip(names, k, strict=True)) for k in itertools.product(bits, repeat=6))
    best = min(total(other) for other in every if weighs(other) <= budget)
    assert total(chosen) < 1.3 * best
    with pytest.raises(ValueError, match=r"100 octets ne suffisent pas .* tout en Q3_K"):
        share_kinds(costs, sizes, 100)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kinds": "Q5_K"}, "arrondir en 'Q5_K' : choisissez parmi Q3_K"),
        ({"kinds": {"norm.weight": "Q3_K"}}, "pas de matrice « norm.weight ». Les siennes"),
        ({"texts": TEXTS.float()}, r"torch.float32 et de forme \(64, 48\)"),
        ({"texts": TEXTS.repeat(1, 2)}, "de 1 à 64 jetons"),
        ({"model": gpt2(GPT2Config(50, 8, 64, 1, 2))}, "modèles de type Llama"),
        (
            {"model": llama(LlamaConfig(50, 8, d_model=64, n_layers=1, n_heads=2))},
            "64 colonnes : Q3_K .* blocs de 256. Prenez Q8_0",
        ),
    ],
)
def test_what_cannot_be_rounded_is_refused(change, message):
    arguments = {"model": small_model(), "texts": TEXTS, "kinds": "Q3_K"} | change
    with pytest.raises(ValueError, match=message):
        round_model(**arguments, progress=False)


@pytest.mark.slow
def test_a_model_changed_since_is_not_written(tmp_path):
    rounded = round_model(small_model(), TEXTS, "Q8_0", progress=False)
    tokenizer = BPETokenizer.train(["une histoire"], vocab_size=270)
    packed = rounded.packed()
    with torch.no_grad():
        rounded.model.blocks[0].feed_forward.up.weight.mul_(1.1)
    with pytest.raises(ValueError, match=r"up.weight » n’est plus la matrice arrondie"):
        save_gguf(rounded.model, tokenizer, tmp_path / "m.gguf", rounded=packed)
    with pytest.raises(ValueError, match="pas de poids « autre »"):
        save_gguf(rounded.model, tokenizer, tmp_path / "m.gguf", rounded={"autre": 0})
    assert list(tmp_path.iterdir()) == []
