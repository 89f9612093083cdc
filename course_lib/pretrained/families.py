"""Les familles de modèles publiés : leur `config.json` et notre configuration.

    llama    Llama 1 à 3, SmolLM2…    mistral  Mistral 7B…    qwen2    Qwen 2 et 2.5
    qwen3    Qwen 3                   helium   Helium 1       gpt2     GPT-2
    bert     BERT, MiniLM…            roberta  RoBERTa…       camembert  CamemBERT

Un réglage qui change le calcul et que nos modèles ne connaissent pas est refusé, avec son nom et sa
valeur : mieux vaut ne pas charger un modèle que le charger faux. Les réglages qui ne changent rien
au calcul (abandon, tirage des poids…) sont ignorés : l’abandon d’un modèle chargé est nul.
Source des champs et de leurs valeurs par défaut : `configuration_*.py` de transformers.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from course_lib.pretrained.fields import Fields
from course_lib.pretrained.folders.foreign import check_aliases, check_foreign, check_layer_types
from course_lib.pretrained.folders.rope_settings import read_rope
from course_lib.transformer import BertConfig, GPT2Config, LlamaConfig

Config = LlamaConfig | GPT2Config | BertConfig
_FIXED = "Nos modèles n’ont pas ce réglage."
_NO_OUTPUT_BIAS = "Nos biais (attention_bias de LlamaConfig) ne vont pas jusqu’à la sortie."
_GPT2_ALIASES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
# Valeurs d’un config.json qui n’en dit rien.
_MISTRAL_WINDOW = 4096
_HEAD_DIM = 128  # Qwen3 et Helium : jamais d_model / n_heads
_THETA, _HELIUM_THETA = 10000.0, 100000.0
_ROBERTA_PAD = 1


@dataclass(frozen=True)
class Family:
    """Une famille : lire son config.json, et reconnaître ses tenseurs.

    `prefix` : ce que certains fichiers mettent devant les noms et d’autres pas. `useless` : débuts
    ou fins de noms de tenseurs à ignorer. `copies` : tenseurs qui répètent un autre, s’il est lié.
    `word_head` : début des noms de la tête qui devine les mots cachés ; None pour un décodeur.
    """

    name: str
    read_config: Callable[[Fields], Config]
    prefix: str
    useless: tuple[str, ...]
    copies: Mapping[str, str]
    word_head: str | None = None

    def canonical(self, name: str) -> str:
        """Le nom d’un tenseur sans préfixe, les normes à l’ancienne (gamma, beta) renommées."""
        name = name.removeprefix(self.prefix)
        for old, new in (
            ("LayerNorm.gamma", "LayerNorm.weight"),
            ("LayerNorm.beta", "LayerNorm.bias"),
        ):
            name = name.replace(old, new)
        return name

    def is_useless(self, name: str) -> bool:
        """Vrai pour un tenseur (nom canonique) dont notre modèle n’a pas besoin."""
        return name.endswith(self.useless) or name.startswith(self.useless)


def read_config(content: Mapping[str, object], where: str = "config.json") -> tuple[Family, Config]:
    """La famille et notre configuration, d’après le contenu d’un config.json.

    ValueError, avec le nom du champ et sa valeur, si la famille est inconnue, si un champ manque,
    n’est pas du bon type, ou demande un calcul que nos modèles ne font pas.
    """
    fields = Fields(content, where)
    name = content.get("model_type")
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        known = ", ".join(FAMILIES)
        if name is None:
            raise ValueError(
                f"{where} : le champ « model_type » manque, qui dit la famille du modèle ; on sait "
                f"charger {known}. Est-ce bien le config.json d’un modèle publié ?"
            )
        raise ValueError(
            f"{where} : model_type = {name!r} ; on sait charger {known}. Un modèle d’une autre "
            "famille ne fait pas le même calcul : choisissez-en un de celles-ci, ou lisez celui-ci "
            "avec transformers."
        )
    check_foreign(fields, family.name, causal=family.word_head is None)
    return family, family.read_config(fields)


def _read_llama(fields: Fields) -> LlamaConfig:
    fields.demand("attention_bias", [False], False, _NO_OUTPUT_BIAS)
    fields.demand("mlp_bias", [False], False, _FIXED)
    check_layer_types(fields, ["full_attention"])
    return _read_llama_like(fields, fields.integer("num_key_value_heads", None))


def _read_mistral(fields: Fields) -> LlamaConfig:
    window = None
    if fields.content.get("sliding_window", _MISTRAL_WINDOW) is not None:
        window = fields.integer("sliding_window", _MISTRAL_WINDOW)
    # Dans la fenêtre, un étage qui glisse et un étage qui lit tout font le même calcul.
    sliding = [] if window is None else ["sliding_attention"]
    check_layer_types(fields, ["full_attention", *sliding])
    return _read_llama_like(fields, fields.integer("num_key_value_heads"), window=window)


def _read_qwen2(fields: Fields) -> LlamaConfig:
    fields.demand("use_sliding_window", [False], False, "Notre attention lit tout le contexte.")
    check_layer_types(fields, ["full_attention"])
    return _read_llama_like(fields, fields.integer("num_key_value_heads"), attention_bias=True)


def _read_qwen3(fields: Fields) -> LlamaConfig:
    fields.demand("use_sliding_window", [False], False, "Notre attention lit tout le contexte.")
    fields.demand("attention_bias", [False], False, _NO_OUTPUT_BIAS)
    check_layer_types(fields, ["full_attention"])
    n_kv_heads = fields.integer("num_key_value_heads")
    return _read_llama_like(fields, n_kv_heads, head_dim=_HEAD_DIM, qk_norm=True)


def _read_helium(fields: Fields) -> LlamaConfig:
    fields.demand("mlp_bias", [False], False, _FIXED)
    check_layer_types(fields, ["full_attention"])
    return _read_llama_like(
        fields,
        fields.integer("num_key_value_heads"),
        head_dim=_HEAD_DIM,
        default_theta=_HELIUM_THETA,
        attention_bias=fields.boolean("attention_bias", False),
    )


def _read_llama_like(
    fields: Fields,
    n_kv_heads: int | None,
    *,
    window: int | None = None,
    head_dim: int | None = None,
    default_theta: float = _THETA,
    **options: bool,
) -> LlamaConfig:
    """`head_dim`, `default_theta` : faute de mieux ; `options` : des champs de LlamaConfig."""
    fields.demand("hidden_act", ["silu", "swish"], "silu", "Notre réseau à porte est SwiGLU.")
    theta, scaling = read_rope(fields, default_theta)
    context_length = fields.integer("max_position_embeddings")
    return LlamaConfig(
        vocab_size=fields.integer("vocab_size"),
        # Une attention à fenêtre glissante égale la nôtre tant que le texte tient dans la fenêtre.
        context_length=context_length if window is None else min(context_length, window),
        d_model=fields.integer("hidden_size"),
        n_layers=fields.integer("num_hidden_layers"),
        n_heads=fields.integer("num_attention_heads"),
        n_kv_heads=n_kv_heads,
        head_dim=fields.integer("head_dim", head_dim),
        d_ff=fields.integer("intermediate_size"),
        rope_theta=theta,
        norm_eps=fields.number("rms_norm_eps"),
        tie_weights=fields.boolean("tie_word_embeddings", False),
        rope_scaling=scaling,
        **options,
    )


def _read_gpt2(fields: Fields) -> GPT2Config:
    check_aliases(fields, _GPT2_ALIASES)
    accepted = ["gelu_new", "gelu_pytorch_tanh"]  # deux noms de la même forme approchée
    fields.demand("activation_function", accepted, "gelu_new", _FIXED)
    fields.demand("scale_attn_weights", [True], True, _FIXED)
    fields.demand("scale_attn_by_inverse_layer_idx", [False], False, _FIXED)
    fields.demand("add_cross_attention", [False], False, _FIXED)
    fields.demand("tie_word_embeddings", [True], True, "La tête de notre GPT-2 est liée.")
    return GPT2Config(
        vocab_size=fields.integer("vocab_size"),
        context_length=fields.integer("n_positions"),
        d_model=fields.integer("n_embd"),
        n_layers=fields.integer("n_layer"),
        n_heads=fields.integer("n_head"),
        d_ff=fields.integer("n_inner", None),
        dropout=0.0,
        norm_eps=fields.number("layer_norm_epsilon"),
    )


def _read_bert(fields: Fields) -> BertConfig:
    return _read_encoder(fields, fields.integer("max_position_embeddings"))


def _read_roberta(fields: Fields) -> BertConfig:
    pad_id = fields.integer("pad_token_id", _ROBERTA_PAD)
    # Les lignes 0 à pad_id de la table ne sont la position d’aucun mot.
    context_length = fields.integer("max_position_embeddings") - pad_id - 1
    return _read_encoder(fields, context_length, pad_id, positions_after_pad=True)


def _read_encoder(
    fields: Fields, context_length: int, pad_id: int | None = None, **options: bool
) -> BertConfig:
    """`pad_id` : si le fichier n’en dit rien."""
    fields.demand("hidden_act", ["gelu"], "gelu", _FIXED)
    fields.demand("position_embedding_type", ["absolute"], "absolute", _FIXED)
    fields.demand("is_decoder", [False], False, "Notre encodeur lit dans les deux sens.")
    fields.demand("add_cross_attention", [False], False, _FIXED)
    fields.demand("tie_word_embeddings", [True], True, "La tête de notre encodeur est liée.")
    return BertConfig(
        vocab_size=fields.integer("vocab_size"),
        context_length=context_length,
        d_model=fields.integer("hidden_size"),
        n_layers=fields.integer("num_hidden_layers"),
        n_heads=fields.integer("num_attention_heads"),
        d_ff=fields.integer("intermediate_size"),
        n_segments=fields.integer("type_vocab_size"),
        dropout=0.0,
        norm_eps=fields.number("layer_norm_eps"),
        pad_id=fields.integer("pad_token_id", pad_id),
        **options,
    )


def _llama_like(name: str, read: Callable[[Fields], LlamaConfig]) -> Family:
    return Family(
        name,
        read,
        prefix="model.",
        useless=("rotary_emb.inv_freq",),
        copies={"lm_head.weight": "embed_tokens.weight"},
    )


def _roberta_like(name: str) -> Family:
    return Family(
        name,
        _read_roberta,
        prefix="roberta.",
        useless=("pooler.", "embeddings.position_ids", "embeddings.token_type_ids"),
        copies={
            "lm_head.decoder.weight": "embeddings.word_embeddings.weight",
            "lm_head.decoder.bias": "lm_head.bias",
        },
        word_head="lm_head.",
    )


def _by_name(families: Iterable[Family]) -> dict[str, Family]:
    return {family.name: family for family in families}


FAMILIES = _by_name(
    (
        _llama_like("llama", _read_llama),
        _llama_like("mistral", _read_mistral),
        _llama_like("qwen2", _read_qwen2),
        _llama_like("qwen3", _read_qwen3),
        _llama_like("helium", _read_helium),
        Family(
            "gpt2",
            _read_gpt2,
            prefix="transformer.",
            useless=(".attn.bias", ".attn.masked_bias"),  # le masque causal, enregistré jadis
            copies={"lm_head.weight": "wte.weight"},
        ),
        Family(
            "bert",
            _read_bert,
            prefix="bert.",
            useless=("pooler.", "cls.seq_relationship.", "embeddings.position_ids"),
            copies={
                "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
                "cls.predictions.decoder.bias": "cls.predictions.bias",
            },
            word_head="cls.predictions.",
        ),
        _roberta_like("roberta"),
        _roberta_like("camembert"),
    )
)
