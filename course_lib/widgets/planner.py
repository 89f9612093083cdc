"""Le planificateur d’échelle : on règle un modèle et des machines, on lit ce que cela coûte.

La page refait les comptes de `course_lib.scaling` (scaling_arithmetic.js) ; un test compare les
deux sur tous les modèles publiés et sur des centaines de réglages.
"""

from dataclasses import asdict
from typing import Any

import traitlets

from course_lib.scaling import (
    BYTES,
    MACHINES,
    MODELS,
    PART_LABELS,
    Machine,
    Model,
    active_parameters,
    chinchilla,
    count_by_formula,
    find_machine,
    find_model,
    training_cost,
)
from course_lib.scaling.anatomy import Anatomy, anatomy
from course_lib.transformer import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    OriginalTransformerConfig,
    SwitchConfig,
)
from course_lib.typography import NO_BREAK, format_number, french_spaces, large_number
from course_lib.widgets.base import FOLDER, CourseWidget, html_table, scrolling
from course_lib.widgets.bundle import bundle

PUE = 1.1  # énergie de la salle rapportée à celle des machines
GRAMS_CO2_PER_KWH = 50.0  # en France, environ
UTILISATION = 0.4  # part de la vitesse de pointe vraiment atteinte
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022 : ce qu’on suppose quand rien n’est publié
# Au-delà, un modèle apprend d’abord sur des textes plus courts que son contexte (Llama 3.1).
LONGEST_TRAINING_TEXT = 8192

_KINDS = {
    GPT2Config: "décodeur de type GPT-2",
    LlamaConfig: "décodeur de type Llama",
    MixtralConfig: "décodeur de type Llama",
    BertConfig: "encodeur de type BERT",
    OriginalTransformerConfig: "encodeur-décodeur de 2017",
    SwitchConfig: "encodeur-décodeur de type Switch",
}
_SHOWN = ("romancier", "GPT-2", "GPT-3 175B", "Llama-3-8B", "Mixtral-8x7B", "Llama-3.1-405B")
_STATIC_NOTICE = (
    "Version figée. Paramètres et opérations sont comptés ; les activations et les heures sont "
    "estimées, à 40 % de la vitesse de pointe, en bfloat16, un texte à la fois, de 8 192 jetons au "
    "plus. Un astérisque : jetons non publiés, on en suppose vingt par paramètre actif."
)


class ScalingPlanner(CourseWidget):
    """Un modèle, des jetons, des machines : paramètres, mémoire, calcul, durée, énergie, prix.

    `preset` : un nom de `scaling.MODELS`, dont les tailles remplissent les champs ; `machine` : un
    nom de `scaling.MACHINES`. Tout se modifie ensuite dans la page. ValueError, avec la liste, si
    un nom est inconnu.
    """

    module = "scaling_planner.js"
    state_fields = ("preset", "machine", "data")
    _esm = bundle(FOLDER / "scaling_planner.js")
    preset = traitlets.Unicode().tag(sync=True)
    machine = traitlets.Unicode().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        preset: str = "GPT-2",
        machine: str = "A100 80 Go",
        *,
        title: str = "Planificateur d’échelle",
        **kwargs: Any,
    ):
        super().__init__(preset=preset, machine=machine, data=_data(), title=title, **kwargs)

    @traitlets.validate("preset")
    def _known_preset(self, proposal: Any) -> str:
        return find_model(proposal["value"]).name

    @traitlets.validate("machine")
    def _known_machine(self, proposal: Any) -> str:
        return find_machine(proposal["value"]).name

    def fallback_html(self) -> str:
        """Rend un tableau de quelques modèles publiés sur la machine choisie, et ses réserves."""
        machine = find_machine(self.machine)
        names = [self.preset, *(name for name in _SHOWN if name != self.preset)]
        rows = [_fallback_row(find_model(name), machine) for name in names]
        hours = f"Heures ({machine.name})"
        headers = ["Modèle", "Paramètres", "Jetons", "Mémoire d’apprentissage", "Opérations", hours]
        table = html_table(headers, rows, "Ce que coûte l’apprentissage de quelques modèles")
        return f"{scrolling(table, 'Modèles')}<p>{french_spaces(_STATIC_NOTICE)}</p>"


def describe(config: object) -> dict[str, dict[str, Any]]:
    """Ce que la page sait d’une configuration : tailles qui se règlent, forme de l’architecture.

    TypeError si l’architecture est inconnue ; ValueError si ses deux piles n’ont pas autant de
    blocs, car la page n’a qu’un champ pour les deux.
    """
    model = anatomy(config)
    if len({stack.n_layers for stack in model.stacks}) != 1:
        layers = " et ".join(str(stack.n_layers) for stack in model.stacks)
        raise ValueError(
            f"L’encodeur et le décodeur ont {layers} blocs ; le planificateur n’a qu’un champ pour "
            "les deux. Donnez-leur le même nombre."
        )
    return {"sizes": _sizes(model), "shape": _shape(config, model)}


def _sizes(model: Anatomy) -> dict[str, int | bool]:
    stack = model.stacks[-1]
    return {
        "layers": stack.n_layers,
        "width": stack.d_model,
        "heads": stack.n_heads,
        "kvHeads": stack.n_kv_heads,
        "headSize": stack.head_dim,
        "innerWidth": stack.d_ff,
        "vocabulary": model.vocab_size,
        "context": model.context_length,
        "experts": stack.n_experts,
        "active": stack.n_active,
        "tied": _dense_head(model) or model.head_parameters == 0,
    }


def _shape(config: object, model: Anatomy) -> dict[str, Any]:
    """Ce qui ne se règle pas : piles, biais, normes (en largeurs), tables de plongement, tête."""
    stack = model.stacks[-1]
    rows = model.embeddings // stack.d_model  # lignes des tables de plongement
    return {
        "kind": _KINDS[type(config)],
        "encoder": model.encoder is not None,
        "decoder": model.decoder is not None,
        "bias": stack.bias,
        "gated": stack.gated,
        "norm": stack.norm_size // stack.d_model,
        "finalNorm": stack.final_norm,
        "learnedPositions": model.positions > 0,
        "rotary": isinstance(config, LlamaConfig),
        "tables": rows // model.vocab_size,
        "segments": rows % model.vocab_size,
        "embeddingNorm": model.embedding_norm // stack.d_model,
        "denseHead": _dense_head(model),
        "leastExperts": 1 if isinstance(config, SwitchConfig) else 0,
        "editable": _editable(config, model),
    }


def _dense_head(model: Anatomy) -> bool:
    """Vrai si une couche d → d précède les scores, comme chez BERT."""
    return model.head_matrices > model.vocab_size * model.stacks[-1].d_model


def _editable(config: object, model: Anatomy) -> list[str]:
    """Les champs que cette architecture laisse libres, en plus des tailles communes."""
    stack = model.stacks[-1]
    free = {
        "kvHeads": hasattr(config, "n_kv_heads"),
        "headSize": hasattr(config, "head_dim") and stack.n_heads * stack.head_dim != stack.d_model,
        "experts": isinstance(config, LlamaConfig | SwitchConfig),
        "active": isinstance(config, LlamaConfig),
        "tied": hasattr(config, "tie_weights"),
    }
    return [name for name, is_free in free.items() if is_free]


def _data() -> dict[str, Any]:
    """Tout ce que la page doit connaître pour refaire les comptes."""
    return {
        "presets": [_preset(model) for model in MODELS.values()],
        "machines": [asdict(machine) for machine in MACHINES.values()],
        "bytes": BYTES,
        "parts": PART_LABELS,
        "law": {**asdict(chinchilla.BESIROGLU), "flops": chinchilla.FLOPS_PER_PARAMETER},
        "pue": PUE,
        "carbon": GRAMS_CO2_PER_KWH,
        "share": UTILISATION,
        "longest": LONGEST_TRAINING_TEXT,
    }


def _preset(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "year": model.year,
        "source": french_spaces(model.source),
        "tokens": _tokens(model),
        "published": model.training_tokens is not None,
        **describe(model.config),
    }


def _tokens(model: Model) -> float:
    """Jetons lus ; s’ils ne sont pas publiés, vingt par paramètre actif, à deux chiffres près."""
    if model.training_tokens is not None:
        return model.training_tokens
    return float(f"{TOKENS_PER_PARAMETER * active_parameters(model.config):.1e}")


def _fallback_row(model: Model, machine: Machine) -> list[str]:
    length = min(anatomy(model.config).context_length, LONGEST_TRAINING_TEXT)
    sizes = {"utilisation": UTILISATION, "pue": PUE, "context_length": length}
    cost = training_cost(model.config, _tokens(model), machine, **sizes)
    known = "" if model.training_tokens is not None else f"{NO_BREAK}*"
    return [
        f"{model.name} ({model.year})",
        format_number(count_by_formula(model.config)),
        large_number(_tokens(model)) + known,
        _bytes(cost.memory),
        large_number(cost.flops),
        "moins d’une heure" if cost.machine_hours < 1 else large_number(cost.machine_hours),
    ]


def _bytes(value: float) -> str:
    """Écrit « 2,5 Go »."""
    for scale, unit in ((1e12, "To"), (1e9, "Go"), (1e6, "Mo")):
        if value >= scale:
            return f"{format_number(value / scale, 1)}{NO_BREAK}{unit}"
    return f"{format_number(value, 0)}{NO_BREAK}octets"
