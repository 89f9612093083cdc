"""De vrais modèles, décrits par des configurations que nos constructeurs savent bâtir.

Ce qui est publié ne se compte pas toujours comme notre modèle : `Adjustment` dit quoi retirer ou
ajouter, et pourquoi.
"""

from dataclasses import dataclass

from course_lib.scaling.parameters import count_by_formula
from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    OriginalTransformerConfig,
    SwitchConfig,
)


@dataclass(frozen=True)
class Adjustment:
    """Un écart entre le modèle que nous bâtissons et celui dont le compte est publié."""

    reason: str
    parameters: int  # à ajouter au compte du nôtre ; négatif : à retrancher


@dataclass(frozen=True)
class Model:
    """Un modèle publié. `exact` : le compte publié est au paramètre près, non arrondi.

    `training_tokens` : jetons lus pendant l’entraînement, None s’ils ne sont pas publiés.
    """

    name: str
    year: int
    config: object
    published_parameters: int | None
    source: str
    training_tokens: float | None = None
    exact: bool = False
    adjustments: tuple[Adjustment, ...] = ()

    @property
    def parameters_as_published(self) -> int:
        """Notre compte, ramené à la façon de compter de la source."""
        extra = sum(adjustment.parameters for adjustment in self.adjustments)
        return count_by_formula(self.config) + extra


def _bert_adjustments(config: BertConfig) -> tuple[Adjustment, ...]:
    d = config.d_model
    head = d * d + 3 * d + config.vocab_size
    return (
        Adjustment("sans la tête qui devine les mots cachés", -head),
        Adjustment("avec la couche « pooler », posée sur le premier jeton", d * d + d),
    )


def _original(name: str, published: int, tokens: float, **sizes: int) -> Model:
    vocab_size = 37000  # BPE commun à l’anglais et à l’allemand
    config = OriginalTransformerConfig(vocab_size, vocab_size, tie_weights=True, **sizes)
    shared = Adjustment(
        "table de plongement commune à la source et à la cible", -vocab_size * config.d_model
    )
    source = "Vaswani et al. 2017, tableau 3"
    return Model(name, 2017, config, published, source, tokens, adjustments=(shared,))


def _bert(name: str, published: int, config: BertConfig) -> Model:
    # Un million d’étapes de 256 phrases de 512 jetons au plus (§A.2).
    source, tokens = "Devlin et al. 2018 ; poids publiés", 1e6 * 256 * 512
    return Model(name, 2018, config, published, source, tokens, True, _bert_adjustments(config))


def _gpt2(name: str, published: int, d_model: int, n_layers: int, n_heads: int) -> Model:
    config = GPT2Config(d_model=d_model, n_layers=n_layers, n_heads=n_heads)
    return Model(name, 2019, config, published, "Radford et al. 2019 ; poids publiés", exact=True)


def _llama(
    name: str, year: int, published: int, tokens: float | None, source: str, **sizes
) -> Model:
    return Model(name, year, LlamaConfig(**sizes), published, source, tokens, exact=True)


_SEVEN_BILLION = {"d_model": 4096, "n_layers": 32, "n_heads": 32, "tie_weights": False}

_ALL = (
    _original("Transformer (base)", 65_000_000, 5e9),
    _original("Transformer (big)", 213_000_000, 15e9, d_model=1024, n_heads=16, d_ff=4096),
    _bert("BERT-base", 109_482_240, BertConfig()),
    _bert("BERT-large", 335_141_888, BertConfig(d_model=1024, n_layers=24, n_heads=16, d_ff=4096)),
    _gpt2("GPT-2", 124_439_808, 768, 12, 12),
    _gpt2("GPT-2 medium", 354_823_168, 1024, 24, 16),
    _gpt2("GPT-2 large", 774_030_080, 1280, 36, 20),
    _gpt2("GPT-2 XL", 1_557_611_200, 1600, 48, 25),
    Model(
        "GPT-3 175B",
        2020,
        GPT2Config(context_length=2048, d_model=12288, n_layers=96, n_heads=96),
        175_000_000_000,
        "Brown et al. 2020, tableau 2.1",
        300e9,
    ),
    Model(
        "Switch-C",
        2021,
        SwitchConfig(
            vocab_size=32128,
            d_model=2080,
            n_encoder_layers=15,
            n_decoder_layers=15,
            n_heads=30,
            head_dim=64,
            d_ff=6144,
            n_experts=2048,
        ),
        1_571_000_000_000,
        "Fedus et al. 2021, tableau 9 ; tailles : configuration T5X « switch_c »",
    ),
    _llama(
        "Llama-2-7B",
        2023,
        6_738_415_616,
        2e12,
        "Touvron et al. 2023",
        vocab_size=32000,
        context_length=4096,
        d_ff=11008,
        **_SEVEN_BILLION,
    ),
    _llama(
        "Mistral-7B",
        2023,
        7_241_732_096,
        None,
        "Jiang et al. 2023 ; poids publiés (fenêtre glissante non comptée)",
        vocab_size=32000,
        context_length=8192,
        n_kv_heads=8,
        d_ff=14336,
        **_SEVEN_BILLION,
    ),
    Model(
        "Mixtral-8x7B",
        2024,
        MixtralConfig(
            vocab_size=32000,
            context_length=32768,
            n_kv_heads=8,
            d_ff=14336,
            rope_theta=1e6,
            **_SEVEN_BILLION,
        ),
        46_702_792_704,
        "Jiang et al. 2024 ; poids publiés",
        exact=True,
    ),
    _llama(
        "Llama-3-8B",
        2024,
        8_030_261_248,
        15e12,
        "Grattafiori et al. 2024 ; poids publiés",
        vocab_size=128256,
        context_length=8192,
        n_kv_heads=8,
        d_ff=14336,
        rope_theta=5e5,
        **_SEVEN_BILLION,
    ),
    _llama(
        "Llama-3.1-405B",
        2024,
        405_853_388_800,
        15.6e12,
        "Grattafiori et al. 2024, tableau 3 ; poids publiés",
        vocab_size=128256,
        context_length=131072,
        d_model=16384,
        n_layers=126,
        n_heads=128,
        n_kv_heads=8,
        d_ff=53248,
        rope_theta=5e5,
        tie_weights=False,
    ),
    _llama(
        "SmolLM2-135M",
        2025,
        134_515_008,
        2e12,
        "Ben Allal et al. 2025 ; poids publiés",
        vocab_size=49152,
        context_length=8192,
        d_model=576,
        n_layers=30,
        n_heads=9,
        n_kv_heads=3,
        d_ff=1536,
        rope_theta=1e5,
    ),
    Model(
        "petit LLM",
        2026,
        LlamaConfig(
            vocab_size=1536, context_length=256, d_model=128, n_layers=2, n_heads=4, d_ff=256
        ),
        None,
        "ce cours",
    ),
    Model(
        "romancier",
        2026,
        LlamaConfig(vocab_size=16384, context_length=1024, d_ff=1280),
        32_514_560,
        "ce cours ; fichier livré",
        8224 * 64 * 1024,
        exact=True,
    ),
)

MODELS: dict[str, Model] = {model.name: model for model in _ALL}


def find_model(name: str) -> Model:
    """Le modèle de ce nom ; ValueError, avec la liste, s’il n’y est pas."""
    if name not in MODELS:
        raise ValueError(f"Modèle inconnu : {name!r}. Choisissez parmi {', '.join(MODELS)}.")
    return MODELS[name]
