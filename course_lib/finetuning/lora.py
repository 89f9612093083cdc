"""LoRA : apprendre, à côté d’une matrice gelée W, une correction de petit rang.

    y = W x + (alpha / r) · B A x        A (r, K) tirée au sort, B (N, r) nulle au départ

Au départ B A = 0 : le modèle est la base. Seules A et B s’entraînent, soit r (K + N) nombres au
lieu de K N. La correction s’enlève, s’ajoute à W (« fusion »), ou cohabite avec d’autres.
Source : Hu et al. 2021 ; « rang stabilisé », Kalajdzievski 2023 : alpha / √r.
Formes : N sorties, K entrées, r rang.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from course_lib.finetuning.layers import (
    WrappedLinear,
    find_targets,
    freeze_base,
    replace_module,
    restore_base,
)
from course_lib.finetuning.lora_weights import LoRAConfig, LoRAWeights, check_matrix

DEFAULT_NAME = "default"


class LoRALinear(WrappedLinear):
    """Une couche linéaire gelée et ses adaptateurs ; `active` est celui qui sert, ou None.

    `merged` : l’adaptateur fondu dans les poids. La matrice de la base est alors mise de côté, et
    non récrite : d’autres couches peuvent s’en servir, et elle est rendue au bit près.
    """

    def __init__(self, base: nn.Linear):
        super().__init__(base)
        self.adapters = nn.ModuleDict()
        self.active: str | None = None
        self.merged: str | None = None
        self._original: tuple[nn.Parameter] | None = None  # caché dans un couple : hors du modèle

    def forward(self, x: Tensor) -> Tensor:
        """x (…, K) → (…, N)."""
        y = self.base(x)
        if self.active is None or self.merged is not None:
            return y
        return self.adapters[self.active].correct(y, x, self.base)

    @property
    def base_weight(self) -> Tensor:
        """Les poids de la base, (N, K), même quand un adaptateur y est fondu."""
        return self.base.weight if self._original is None else self._original[0]

    @torch.no_grad()
    def merge(self, name: str) -> None:
        """Met la correction dans les poids : la couche calcule aussi vite que sans adaptateur.

        La couche reçoit une matrice à elle : liée à une autre (la tête, aux embeddings), elle ne
        l’est plus.
        """
        weight = self.base.weight
        corrected = self.adapters[name].correct_weight(weight)
        self._original, self.merged = (weight,), name
        self.base.weight = nn.Parameter(corrected, requires_grad=False)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Rend les poids de la base, au bit près, liés à ceux à qui ils l’étaient."""
        if self.merged is None:
            return
        (original,) = self._original
        original.data = original.data.to(self.base.weight)  # le modèle a pu changer de type
        self.base.weight = original
        self._original, self.merged = None, None

    @torch.no_grad()
    def unwrapped(self) -> nn.Module:
        """Une couche ordinaire qui calcule la même chose ; les poids non corrigés sont partagés."""
        if self.active is None or self.merged is not None:
            return self.base
        corrected = self.adapters[self.active].correct_weight(self.base.weight)
        sizes = (self.in_features, self.out_features)
        linear = nn.Linear(*sizes, bias=False, device="meta").train(self.training)
        linear.weight = nn.Parameter(corrected, requires_grad=False)
        linear.bias = self.base.bias
        return linear


def base_weight(module: nn.Module) -> Tensor | None:
    """La matrice d’un module, sans adaptateur fondu ; None s’il n’en a pas, ou quantifiée."""
    weight = getattr(module, "base_weight", getattr(module, "weight", None))
    return weight if isinstance(weight, Tensor) else None


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """Les couches qui portent des adaptateurs, par nom."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LoRALinear)}


def adapter_names(model: nn.Module) -> list[str]:
    """Les noms des adaptateurs du modèle."""
    return list(dict.fromkeys(n for layer in lora_layers(model).values() for n in layer.adapters))


def attach_lora(
    model: nn.Module, config: LoRAConfig, name: str = DEFAULT_NAME, seed: int = 0
) -> list[str]:
    """Pose un adaptateur sur les couches visées et gèle tout le reste ; rend leurs noms.

    Plusieurs adaptateurs peuvent être posés sur une même base, sous des noms différents ; le
    dernier posé est actif et seul à s’entraîner. ValueError si une cible ne désigne aucune couche
    linéaire ou en désigne une qui porte un goulot, si le nom est pris, si un adaptateur est fondu.
    """
    _check_free_name(model, name)
    chosen = find_targets(model, config.targets)
    place_adapters(model, dict.fromkeys(chosen, config), name, seed)
    return list(chosen)


def place_adapters(
    model: nn.Module, configs: Mapping[str, LoRAConfig], name: str, seed: int = 0
) -> None:
    """Pose l’adaptateur `name` sur des couches données par leur nom exact, chacune à son rang."""
    _check_free_name(model, name)
    layers = {path: model.get_submodule(path) for path in configs}
    for path, layer in layers.items():
        if not isinstance(layer, nn.Linear | LoRALinear):
            raise ValueError(
                f"« {path} » est un {type(layer).__name__}, et LoRA n’adapte qu’une couche "
                "linéaire : retirez d’abord cette enveloppe, ou visez d’autres couches."
            )
        check_matrix(layer.weight)
    freeze_base(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for path, layer in layers.items():
            if isinstance(layer, nn.Linear):
                layer = LoRALinear(layer)
                replace_module(model, path, layer)
            layer.adapters[name] = LoRAWeights(layer.base, configs[path])
            layer.train(layer.base.training)
    activate_adapter(model, name)


def activate_adapter(model: nn.Module, name: str | None) -> None:
    """Fait servir (et s’entraîner) cet adaptateur, et lui seul ; None : la base nue."""
    check_known(model, name)
    _check_not_merged(model)
    for layer in lora_layers(model).values():
        layer.active = name if name in layer.adapters else None
        for other, weights in layer.adapters.items():
            weights.requires_grad_(other == name)


def merge_adapter(model: nn.Module, name: str = DEFAULT_NAME) -> None:
    """Fond l’adaptateur dans les poids : mêmes sorties qu’avec lui seul, aucun calcul de plus.

    Une matrice que le modèle emploie deux fois ne change que là où l’adaptateur est posé : la tête
    se détache des embeddings, et le modèle a une matrice de plus.
    """
    check_known(model, str(name))
    activate_adapter(model, name)
    for layer in lora_layers(model).values():
        if name in layer.adapters:
            layer.merge(name)


def unmerge_adapters(model: nn.Module) -> None:
    """Rend la base au bit près ; sans effet si rien n’est fondu."""
    for layer in lora_layers(model).values():
        layer.unmerge()


def detach_adapters(model: nn.Module, keep_merged: bool = False) -> nn.Module:
    """Retire tous les adaptateurs : le modèle retrouve ses couches d’origine, au bit près.

    `keep_merged` : garde dans les poids l’adaptateur qui y est fondu, pour exporter le modèle
    affiné comme un modèle ordinaire ; ValueError si aucun ne l’est. Rend le modèle ; ce qui
    s’entraînait avant les adaptateurs s’entraîne de nouveau.
    """
    layers = lora_layers(model)
    if keep_merged and layers and not any(layer.merged for layer in layers.values()):
        raise ValueError(
            "Aucun adaptateur n’est fondu dans les poids : il n’en resterait rien. Appelez d’abord "
            "merge_adapter(model)."
        )
    for path, layer in layers.items():
        if not keep_merged:
            layer.unmerge()
        replace_module(model, path, layer.base)
    restore_base(model)
    return model


def check_known(model: nn.Module, name: str | None) -> None:
    """ValueError si le modèle n’a pas l’adaptateur `name`."""
    known = adapter_names(model)
    if name is not None and name not in known:
        listed = ", ".join(known) or "aucun"
        raise ValueError(f"Adaptateur inconnu : « {name} ». Ceux du modèle : {listed}.")


def _check_free_name(model: nn.Module, name: str) -> None:
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"Nom d’adaptateur {name!r} : il en faut un, et sans point.")
    if hasattr(nn.ModuleDict, name):
        raise ValueError(f"Nom d’adaptateur {name!r} : PyTorch le réserve, choisissez-en un autre.")
    if name in adapter_names(model):
        raise ValueError(
            f"L’adaptateur « {name} » existe déjà : choisissez un autre nom, ou retirez-les "
            "(detach_adapters)."
        )
    _check_not_merged(model)


def _check_not_merged(model: nn.Module) -> None:
    merged = {layer.merged for layer in lora_layers(model).values()} - {None}
    if merged:
        raise ValueError(
            f"L’adaptateur « {min(merged)} » est fondu dans les poids : appelez d’abord "
            "unmerge_adapters(model)."
        )
