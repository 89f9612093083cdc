"""Les couches d’un modèle sous les noms d’un fichier d’adaptateur, et leurs matrices.

    nos noms        blocks.3.self_attention.query        tels quels, pour `peft` sur nos modèles
    transformers    model.layers.3.self_attn.q_proj      pour `peft` sur AutoModelForCausalLM

GPT-2 n’a qu’une couche, `c_attn`, pour requêtes, clés et valeurs : ses sorties sont les nôtres bout
à bout. Un adaptateur de `c_attn` se partage donc en trois qui ont le même A ; trois des nôtres n’en
font qu’un, dont le rang est la somme des leurs :

    A = [A₁ ; A₂ ; A₃]        B = diagonale par blocs (B₁, B₂, B₃)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from course_lib.finetuning.layers import linear_layers
from course_lib.finetuning.lora import base_weight
from course_lib.finetuning.lora_weights import LoRAConfig, LoRAWeights
from course_lib.pretrained.families import FAMILIES
from course_lib.pretrained.places import published_place
from course_lib.transformer import Decoder, Encoder

N_PARTS = 3  # requêtes, clés, valeurs
Matrices = dict[str, Tensor]  # « a » (r, K), « b » (N, r), et pour DoRA « magnitude » (N,)


@dataclass(frozen=True)
class FileLayer:
    """Une de nos couches, dans un fichier : entière (`part` None), ou la tranche 0, 1 ou 2."""

    path: str
    part: int | None = None

    def take(self, matrices: Matrices) -> Matrices:
        """Ce qui, dans les matrices du fichier, revient à notre couche."""
        if self.part is None:
            return matrices
        return {
            kind: tensor if kind == "a" else tensor.chunk(N_PARTS)[self.part]
            for kind, tensor in matrices.items()
        }


def published_family(model: nn.Module) -> str | None:
    """La famille dont transformers emploierait les noms pour ce modèle ; None s’il n’y en a pas."""
    if isinstance(model, Encoder):
        return "roberta" if model.embedding.positions.first else "bert"
    if isinstance(model, Decoder):
        return "gpt2" if model.rope is None else "llama"
    return None


def our_layers(model: nn.Module) -> dict[str, list[FileLayer]]:
    """Les couches linéaires sous nos noms."""
    return {path: [FileLayer(path)] for path in linear_layers(model) if path}


def published_layers(model: nn.Module) -> dict[str, list[FileLayer]]:
    """Les couches linéaires sous les noms de transformers, préfixe de la famille compris."""
    family = published_family(model)
    layers: dict[str, list[FileLayer]] = {}
    if family is None:
        return layers
    bare = isinstance(getattr(model, "head", None), nn.Identity)  # un encodeur sans sa tête
    for path in linear_layers(model):
        try:
            place = published_place(family, f"{path}.weight")
        except KeyError:  # transformers n’a pas cette couche
            continue
        name = place.name.removesuffix(".weight")
        if bare:
            name = FAMILIES[family].canonical(name)
        layers.setdefault(name, []).append(FileLayer(path, place.part))
    return layers


def without_prefix(model: nn.Module, names: Mapping[str, list[FileLayer]]) -> dict:
    """Les mêmes couches, comme les nomme AutoModel : sans le préfixe de la famille."""
    family = published_family(model)
    return {FAMILIES[family].canonical(name): layers for name, layers in names.items()}


def base_copies(model: nn.Module) -> dict[str, Tensor]:
    """Les embeddings et la tête, sous les noms de transformers."""
    family, copies = published_family(model), {}
    for ours in ("embedding.tokens.weight", "head.weight") if family else ():
        weight = base_weight(model.get_submodule(ours.removesuffix(".weight")))
        if weight is not None:
            copies[published_place(family, ours).name] = weight
    return copies


def base_shape(model: nn.Module, layers: list[FileLayer]) -> tuple[int, int]:
    """Entrées et sorties (K, N) de la couche du fichier."""
    layer = model.get_submodule(layers[0].path)
    whole = layers[0].part is None
    return layer.in_features, layer.out_features * (1 if whole else N_PARTS)


def joined(
    model: nn.Module, layers: list[FileLayer], adapters: Mapping[str, LoRAWeights]
) -> tuple[LoRAConfig, Matrices]:
    """Les réglages et les matrices de la couche du fichier, d’après ceux de nos couches.

    `adapters` : chemin → nombres de l’adaptateur, pour celles de `layers` qui l’ont.
    """
    if layers[0].part is None:
        weights = adapters[layers[0].path]
        return weights.config, _matrices(weights)
    parts = {layer.part: adapters[layer.path] for layer in layers if layer.path in adapters}
    first = next(iter(parts.values()))
    shared = len(parts) == N_PARTS and all(torch.equal(w.a, first.a) for w in parts.values())
    a = first.a if shared else torch.cat([weights.a for weights in parts.values()])
    config = _at_rank(first.config, len(a))
    n_outputs, start = len(first.b), 0
    b = a.new_zeros(N_PARTS * n_outputs, len(a))
    for part, weights in parts.items():
        rows = slice(part * n_outputs, (part + 1) * n_outputs)
        columns = slice(start, start + weights.config.rank)
        b[rows, columns] = weights.b * (weights.config.scale / config.scale)
        start = 0 if shared else columns.stop
    matrices = {"a": a, "b": b}
    if config.magnitude:
        matrices["magnitude"] = _joined_norms(model, layers, adapters)
    return config, matrices


def _at_rank(config: LoRAConfig, rank: int) -> LoRAConfig:
    """Les mêmes réglages à un autre rang, l’échelle gardée."""
    growth = rank / config.rank
    alpha = config.alpha * (math.sqrt(growth) if config.rank_stabilized else growth)
    return replace(config, rank=rank, alpha=alpha)


def _matrices(weights: LoRAWeights) -> Matrices:
    return {kind: tensor.detach() for kind, tensor in weights.named_parameters()}


def _joined_norms(
    model: nn.Module, layers: list[FileLayer], adapters: Mapping[str, LoRAWeights]
) -> Tensor:
    """Les normes apprises, bout à bout ; une tranche sans adaptateur garde les siennes."""
    norms = []
    for layer in sorted(layers, key=lambda one: one.part):
        if layer.path in adapters:
            norms.append(adapters[layer.path].magnitude)
        else:
            norms.append(base_weight(model.get_submodule(layer.path)).norm(dim=1))
    return torch.cat(norms)
