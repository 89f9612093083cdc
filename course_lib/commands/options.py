"""Les options de `python -m course_lib train`, et ce que l’on peut en vérifier d’avance."""

import codecs
import math
import os
import re
from argparse import ArgumentTypeError, Namespace
from pathlib import Path

from course_lib.arguments import (
    FrenchArgumentParser,
    natural_float,
    natural_int,
    positive_float,
    positive_int,
)
from course_lib.commands.opening import add_device, chosen_device
from course_lib.commands.run_folder import written_option
from course_lib.parallel import STRATEGIES
from course_lib.training.devices import DTYPES
from course_lib.training.optimization import OPTIMIZERS, TrainingConfig
from course_lib.transformer import LlamaConfig
from course_lib.typography import format_number

_SIZES = (
    ("tokens", 4_000_000, "nombre de jetons à lire en tout"),
    ("context-length", 128, "longueur du contexte, en jetons"),
    ("n-layers", 3, "nombre de couches"),
    ("d-model", 128, "dimension du modèle"),
    ("d-ff", 352, "dimension cachée des réseaux positionnels"),
    ("n-heads", 8, "nombre de têtes d’attention"),
    ("batch-size", 8, "fenêtres de texte par pas"),
    ("threads", 1, "fils de calcul"),
    ("sample-length", 400, "longueur du texte inventé, en jetons"),
)
_RATES = (
    ("learning-rate", positive_float, 4e-3, "taux d’apprentissage maximal"),
    ("muon-rate-ratio", positive_float, 1.0, "taux de Muon, rapporté à celui d’AdamW"),
    ("weight-decay", natural_float, 0.1, "décroissance des poids"),
    ("max-grad-norm", positive_float, 1.0, "norme au-delà de laquelle le gradient est raccourci"),
    ("dropout", natural_float, 0.0, "part des activations éteintes pendant l’apprentissage"),
    ("temperature", natural_float, 0.8, "audace du texte inventé ; 0 : toujours le plus probable"),
)
# Ce qui change le modèle obtenu ; le reste peut changer d’une reprise à l’autre.
_DECISIVE = (
    "tokens",
    "context-length",
    "n-layers",
    "d-model",
    "d-ff",
    "n-heads",
    "batch-size",
    "learning-rate",
    "weight-decay",
    "max-grad-norm",
    "dropout",
    "warmup-steps",
    "seed",
    "vocab-size",
    "from",
    "optimizer",
    "muon-rate-ratio",
    "dtype",
)
_NOT_WRITTEN = object()
_MAX_SEED, _MAX_THREADS = 10**12, 1024
# Le nom d’un réglage de la bibliothèque → ce que l’utilisateur de la commande connaît.
_KNOWN_AS = {name.replace("-", "_"): f"--{name}" for name in _DECISIVE} | {
    "n_steps": "--tokens",
    "checksum": "le texte",
    "n_tokens": "le texte",
    "data_seed": "--seed",
    **{name: f"--{name}" for name in ("device", "accumulate", "compile")},
}


def build_parser() -> FrenchArgumentParser:
    """Les options de la commande."""
    parser = FrenchArgumentParser(
        prog="python -m course_lib train",
        description="Entraîne un modèle de langue (un Transformer de forme Llama) sur un texte. "
        "La même commande reprend un entraînement interrompu. Lancée par torchrun, elle répartit "
        "le travail entre plusieurs processus.",
    )
    add = parser.add_argument
    add("--corpus", required=True, metavar="FICHIER", help="le texte à apprendre")
    add(
        "--from",
        metavar="MODÈLE",
        help="continuer un modèle au lieu d’en commencer un : un dossier, un GGUF, petit_llm, "
        "smollm2… Il garde sa forme et son découpage",
    )
    add(
        "--encoding", type=encoding_name, metavar="NOM", help="encodage du texte (défaut : reconnu)"
    )
    add("--output", metavar="DOSSIER", help="où écrire (défaut : runs/<nom du texte>)")
    add(
        "--tokenizer",
        choices=("char", "bpe", "word"),
        help="découpage en caractères, morceaux de mots ou mots "
        "(défaut : char, et bpe au-delà de 5 Mo)",
    )
    add(
        "--vocab-size",
        type=positive_int,
        metavar="N",
        help="taille du vocabulaire, pour bpe (défaut : 2 048) et word (8 000)",
    )
    for name, default, what in _SIZES:
        help_text = f"{what} (défaut : {format_number(default, 0)})"
        add(f"--{name}", type=positive_int, default=default, metavar="N", help=help_text)
    add("--seed", type=natural_int, default=0, metavar="N", help="graine du hasard (défaut : 0)")
    for name, kind, default, what in _RATES:
        help_text = f"{what} (défaut : {format_number(default)})"
        add(f"--{name}", type=kind, default=default, metavar="X", help=help_text)
    add(
        "--warmup-steps",
        type=natural_int,
        metavar="N",
        help="pas de montée du taux d’apprentissage (défaut : un dixième des pas, au plus 200)",
    )
    add(
        "--optimizer",
        choices=OPTIMIZERS,
        default="adamw",
        help="comment les poids avancent (défaut : adamw)",
    )
    add_device(parser)
    add(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="précision des produits de matrices (défaut : float32)",
    )
    add(
        "--accumulate",
        type=positive_int,
        default=1,
        metavar="N",
        help="traiter chaque lot en N morceaux, s’il ne tient pas en mémoire (défaut : 1)",
    )
    add("--compile", action="store_true", help="compiler les blocs du modèle (torch.compile)")
    add(
        "--parallel",
        choices=tuple(STRATEGIES),
        help="sous torchrun, ce que les processus se partagent : les données (ddp, par défaut), "
        "aussi le modèle (fsdp), ou chaque couche (tensor)",
    )
    return parser


def parse_options(arguments: list[str] | None) -> Namespace:
    """Les options lues ; `written` : celles que l’on a écrites, et non laissées par défaut."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    parser.set_defaults(**dict.fromkeys(vars(options), _NOT_WRITTEN))
    again = vars(parser.parse_args(arguments))
    options.written = {name for name, value in again.items() if value is not _NOT_WRITTEN}
    return options


def options_from(options: Namespace) -> str | None:
    """La valeur de --from ; « from » est un mot de Python."""
    return vars(options)["from"]


def check_options(options: Namespace) -> None:
    """ValueError si un réglage est impossible, ou s’il serait accepté puis oublié.

    Tout ce qui ne dépend pas du texte se sait avant de le lire.
    """
    for name, limit in (("seed", _MAX_SEED), ("threads", _MAX_THREADS)):
        if getattr(options, name) > limit:
            raise ValueError(f"--{name} {getattr(options, name)} est trop grand : au plus {limit}.")
    if options.vocab_size is not None and options.vocab_size < 5:
        raise ValueError(
            f"--vocab-size {options.vocab_size} est trop petit : quatre jetons spéciaux y ont déjà "
            "leur place. Donnez par exemple --vocab-size 2048."
        )
    chosen_device(options.device)
    TrainingConfig(1, optimizer=options.optimizer, muon_rate_ratio=options.muon_rate_ratio)
    if options.accumulate > options.batch_size:
        raise ValueError(
            f"--accumulate {options.accumulate} : un lot de {options.batch_size} fenêtres ne fait "
            f"pas {options.accumulate} morceaux. Réduisez --accumulate, ou agrandissez "
            "--batch-size."
        )
    if options_from(options) is None:
        architecture(options, vocab_size=5)


def check_kind(options: Namespace, kind: str) -> None:
    """ValueError si une option ne s’applique pas à ce découpage."""
    if kind == "char" and options.vocab_size is not None:
        raise ValueError(
            f"--vocab-size {options.vocab_size} ne s’applique pas au découpage en caractères, dont "
            "le vocabulaire est l’alphabet du texte. Ajoutez --tokenizer bpe, ou ôtez --vocab-size."
        )
    smallest = 256 + 3
    if kind == "bpe" and options.vocab_size is not None and options.vocab_size < smallest:
        raise ValueError(
            f"--vocab-size {options.vocab_size} est trop petit pour bpe, qui garde les 256 octets "
            f"et 3 jetons spéciaux. Donnez au moins --vocab-size {smallest}, ou --tokenizer word."
        )


def architecture(options: Namespace, vocab_size: int) -> LlamaConfig:
    """La forme du modèle."""
    return LlamaConfig(
        vocab_size=vocab_size,
        context_length=options.context_length,
        d_model=options.d_model,
        n_layers=options.n_layers,
        n_heads=options.n_heads,
        d_ff=options.d_ff,
        dropout=options.dropout,
    )


def training_config(options: Namespace, tokens_per_step: int) -> TrainingConfig:
    """Les réglages de l’apprentissage, d’après ce qu’un pas lit en vérité."""
    n_steps = math.ceil(options.tokens / tokens_per_step)
    warmup = options.warmup_steps
    return TrainingConfig(
        n_steps=n_steps,
        learning_rate=options.learning_rate,
        warmup_steps=min(200, n_steps // 10) if warmup is None else warmup,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        log_every=min(20, max(1, n_steps // 16)),
        eval_every=max(1, n_steps // 8),
        checkpoint_every=max(1, min(500, n_steps // 16)),
        seed=options.seed,
        n_threads=options.threads,
        optimizer=options.optimizer,
        muon_rate_ratio=options.muon_rate_ratio,
        device=options.device,
        dtype=options.dtype,
        accumulate=options.accumulate,
        compile=options.compile,
    )


def decisive_settings(options: Namespace, kind: str) -> dict:
    """{option: valeur} de ce qu’une reprise doit partager avec l’entraînement commencé."""
    values = {f"--{name}": getattr(options, name.replace("-", "_")) for name in _DECISIVE}
    return {"--tokenizer": None if options_from(options) else kind, **values}


def divergence_remedy(options: Namespace, default_rate: float = 4e-3) -> str:
    """Quoi changer après une divergence, valeurs comprises."""
    rate = options.learning_rate
    lower = default_rate if rate > default_rate else rate / 4
    return (
        f"Relancez la même commande avec {written_option('--learning-rate', lower)} au lieu de "
        f"{written_option('', rate).strip()}. Si cela ne suffit pas, allongez la chauffe "
        "(--warmup-steps) ou réduisez --max-grad-norm."
    )


def output_folder(options: Namespace) -> Path:
    """Le dossier demandé, ou celui qui porte le nom du texte."""
    if options.output:
        return Path(options.output).expanduser()  # « --output=~/x » arrive tel quel
    corpus = Path(options.corpus).expanduser().absolute()
    return Path("runs") / (Path(os.path.normpath(corpus)).stem or "texte")  # « . » a aussi un nom


def name_options(message: str) -> str:
    """Le même message, où un réglage de la bibliothèque porte le nom de l’option qui le donne."""
    cited = r"(?<![\w-])[a-z]+(?:_[a-z]+)*(?= =|\u00a0»)"  # « n_heads = 3 », ou entre guillemets
    return re.sub(cited, lambda name: _KNOWN_AS.get(name[0], name[0]), message)


def encoding_name(name: str) -> str:
    """Le nom que Python donne à un encodage."""
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ArgumentTypeError(
            f"encodage inconnu : « {name} » ; par exemple utf-8, cp1252, latin-1, utf-16"
        ) from None
