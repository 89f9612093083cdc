"""Le modèle que l’on va entraîner : neuf, ou continué (`--from`)."""

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass

from course_lib.commands.opening import open_model
from course_lib.commands.options import architecture, options_from
from course_lib.commands.run_folder import written_option
from course_lib.training.checkpoint import named_tensors
from course_lib.training.identity import tensors_digest
from course_lib.transformer import Decoder, LlamaConfig, llama
from course_lib.transformer.meta import BUILDERS

KEPT = "model"  # la sorte de découpage d’un modèle continué : le sien
_ITS_OWN = {  # ce que le modèle de départ décide
    "n_layers": "sa forme",
    "d_model": "sa forme",
    "d_ff": "sa forme",
    "n_heads": "sa forme",
    "dropout": "sa forme",
    "tokenizer": "son découpage",
    "vocab_size": "son découpage",
}
_GENTLE_RATE = 4e-4  # dix fois moins que pour un modèle neuf : ne pas effacer ce qu’il sait
_LONGEST = 512  # jetons


@dataclass(frozen=True)
class Start:
    """Un modèle prêt à apprendre. `make()` en bâtit un de même forme ; `identity` le distingue."""

    model: Decoder
    make: Callable[[], Decoder]
    identity: dict


@dataclass(frozen=True)
class Source:
    """Le modèle à continuer, et son tokeniseur ; `digest` : l’empreinte de ce dernier."""

    model: Decoder
    tokenizer: object
    config: object

    @property
    def digest(self) -> str:
        content = json.dumps(self.tokenizer.to_json(), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def open_source(options: Namespace) -> Source | None:
    """Le modèle de `--from`, et les réglages qu’il change ; None pour un modèle neuf.

    ValueError si une option demande ce que ce modèle a déjà décidé, ou un contexte trop long.
    """
    name = options_from(options)
    if name is None:
        return None
    for one, what in _ITS_OWN.items():
        if one in options.written:
            option = written_option(f"--{one.replace('_', '-')}", getattr(options, one))
            raise ValueError(
                f"{option} ne va pas avec --from : le modèle de départ garde {what}. Ôtez l’un "
                "des deux."
            )
        setattr(options, one, None)
    loaded = open_model(name, "cpu")
    limit = loaded.config.context_length
    if "context_length" not in options.written:
        options.context_length = min(limit, _LONGEST)
    if options.context_length > limit:
        raise ValueError(
            f"--context-length {options.context_length} : « {name} » lit {limit} jetons au plus."
        )
    if "learning_rate" not in options.written:
        options.learning_rate = _GENTLE_RATE
    loaded.model.requires_grad_(True)
    return Source(loaded.model, loaded.tokenizer, loaded.config)


def begin(options: Namespace, source: Source | None, vocab_size: int, kind: str) -> Start:
    """Le modèle à entraîner."""
    if source is None:
        shape: LlamaConfig = architecture(options, vocab_size)
        model = llama(shape, seed=options.seed)
        return Start(model, lambda: llama(shape), {"tokenizer": kind, **asdict(shape)})
    config = source.config
    first = tensors_digest(named_tensors(source.model))
    identity = {"tokenizer": kind, **asdict(config), "from": first}
    return Start(source.model, lambda: BUILDERS[type(config)](config), identity)
