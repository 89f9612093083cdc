"""Des réglages qui se déduisent des autres tant qu’on ne les donne pas.

Dans une configuration, `d_ff` vaut ainsi 4 × d_model par défaut. Le champ garde None et la valeur
se calcule quand on la lit : égalité, `asdict` et affichage ne voient qu’elle. Un réglage donné
reste tel quel ; un réglage déduit suit les autres, même à travers `dataclasses.replace` :

    config = GPT2Config(d_model=512)            config.d_ff vaut 2048
    replace(config, d_model=128)                d_ff vaut 512
    replace(config, d_model=128, d_ff=2048)     d_ff vaut 2048
"""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, no_type_check

# `replace` relit chaque champ pour le rendre au constructeur : lui seul doit voir None.
_COPIERS = {
    getattr(dataclasses, name).__code__
    for name in ("replace", "_replace")  # la seconde : à partir de Python 3.13
    if hasattr(dataclasses, name)
}


class _Derived:
    """Un champ de dataclass dont la valeur, faute d’être donnée, se déduit de la configuration."""

    def __init__(self, rule: Callable[[Any], Any]):
        self.rule = rule

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @no_type_check  # une vérification de types s’intercalerait entre `replace` et nous
    def __get__(self, config: Any, owner: type | None = None) -> Any:
        if config is None:  # lu sur la classe : la valeur par défaut du champ
            return None
        value = vars(config)[self.name]
        if value is not None or sys._getframe(1).f_code in _COPIERS:
            return value
        return self.rule(config)

    def __set__(self, config: Any, value: Any) -> None:
        vars(config)[self.name] = value


def derived(rule: Callable[[Any], Any]) -> Any:
    """Un champ déduit : `d_ff: int | None = derived(lambda config: 4 * config.d_model)`."""
    return _Derived(rule)


def given(config: Any, name: str) -> Any:
    """La valeur donnée à la construction, None si le réglage est déduit."""
    return vars(config)[name]
