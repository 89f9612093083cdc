"""Vérifier les réglages d’une configuration avant de bâtir quoi que ce soit."""

import math
from collections.abc import Collection
from dataclasses import fields
from numbers import Integral, Real
from types import UnionType
from typing import Any, get_args, get_type_hints

_RULES = (  # l’ordre compte : pour Python, True est aussi un entier, et 1 un nombre réel
    (bool, bool, "True ou False"),
    (int, Integral, "un entier"),
    (float, Real, "un nombre fini"),
)


def check_types(config: Any, unbounded: Collection[str] = ()) -> None:
    """ValueError si un réglage donné n’a pas le type que son champ annonce.

    Un booléen n’est pas un nombre, 2.0 n’est pas un entier, NaN ne convient jamais, l’infini aux
    seuls réglages `unbounded`. Les nombres de numpy deviennent ceux de Python, que JSON connaît.
    """
    hints = get_type_hints(type(config))
    for field in fields(config):
        name, value = field.name, vars(config)[field.name]
        hint = hints[name]
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if value is None and type(None) in kinds:
            continue
        for kind, family, wanted in _RULES:
            if kind in kinds:
                if not _belongs(value, kind, family, name in unbounded):
                    raise ValueError(f"{name} = {value!r} est impossible : il faut {wanted}.")
                if type(value) not in (bool, int, float):
                    object.__setattr__(config, name, kind(value))
                break


def _belongs(value: Any, kind: type, family: type, unbounded: bool) -> bool:
    if not isinstance(value, family) or isinstance(value, bool) != (kind is bool):
        return False
    return kind is not float or math.isfinite(value) or (unbounded and not math.isnan(value))


def check_sizes(config: Any) -> None:
    """Tailles entières strictement positives, taux d’oubli entre 0 et 1, petit `norm_eps`."""
    check_types(config)
    for name, value in vars(config).items():
        if name == "pad_id":
            if value is not None and value < 0:
                raise ValueError(f"pad_id = {value} : il faut l’identifiant d’un jeton, ou None.")
        elif type(value) is int and value < 1:
            raise ValueError(f"{name} = {value} : il faut un entier strictement positif.")
    if not 0.0 <= config.dropout < 1.0:
        raise ValueError(f"dropout = {config.dropout} : il faut un taux dans [0, 1[.")
    if config.norm_eps <= 0.0:
        raise ValueError(f"norm_eps = {config.norm_eps} : il faut un petit nombre positif (1e-5).")
