"""Lire un à un les réglages d’un modèle publié : présents, du bon type, et pris en charge."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from course_lib.tokenization.files import text_fault

REQUIRED = object()
MAX_SETTINGS = 1 << 26  # octets : les plus longs index publiés n’ont pas 10 Mo
MAX_SIZE = 1 << 24  # aucun modèle n’a 16 millions de mots, d’étages ou de positions


class Fields:
    """Les réglages d’un fichier ; `where` le nomme dans les messages.

    Un réglage qui manque et n’a pas de valeur par défaut, ou qui n’est pas du type attendu, est
    refusé (ValueError) avec son nom et sa valeur.
    """

    def __init__(self, content: Mapping[str, object], where: str):
        self.content = content
        self.where = where

    def integer(self, name: str, default: object = REQUIRED) -> int | None:
        """Un entier, plus petit que 2^24 ; `default` s’il manque ou vaut null."""
        value = self._typed(name, default, int, "un entier")
        if value is not None and value > MAX_SIZE:
            raise ValueError(f"{self.where} : {name} = {value} ; il faut {MAX_SIZE} au plus.")
        return value

    def number(self, name: str, default: object = REQUIRED) -> float | None:
        """Un nombre fini, en flottant ; `default` s’il manque ou vaut null."""
        value = self._typed(name, default, (int, float), "un nombre")
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{self.where} : {name} = {value} ; il faut un nombre fini.")
        return None if value is None else float(value)

    def boolean(self, name: str, default: object = REQUIRED) -> bool:
        """Vrai ou faux ; `default` s’il manque ou vaut null."""
        return self._typed(name, default, bool, "vrai ou faux")

    def demand(self, name: str, accepted: Iterable[object], default: object, reason: str) -> None:
        """Refuse toute autre valeur que celles de `accepted` ; absent, il vaudrait `default`."""
        value, accepted = self.content.get(name, default), list(accepted)
        # type(…) : 0 n’est pas False, ni 1.0 True.
        if not any(type(value) is type(one) and value == one for one in accepted):
            shown = " ou ".join(map(repr, accepted))
            raise ValueError(
                f"{self.where} : {name} = {value!r} n’est pas pris en charge (attendu : {shown}). "
                f"{reason}"
            )

    def _typed(self, name: str, default: object, kind: type | tuple, what: str) -> object:
        value = self.content.get(name)
        if value is None:
            if default is REQUIRED:
                raise ValueError(
                    f"{self.where} : le champ « {name} » manque ; sans lui, on ne sait pas bâtir "
                    "le modèle."
                )
            return default
        is_boolean = isinstance(value, bool)  # pour Python, un booléen est aussi un entier
        if not isinstance(value, kind) or is_boolean != (kind is bool):
            raise ValueError(f"{self.where} : {name} = {value!r} ; il faut {what}.")
        return value


def read_settings(path: Path) -> dict:
    """Un fichier de réglages en JSON ; {} s’il manque, ValueError s’il est illisible.

    La marque d’ordre des octets (BOM) que met le Bloc-notes est permise. Un réglage écrit deux
    fois, avec deux valeurs, est refusé.
    """
    if not path.is_file():
        return {}
    if path.stat().st_size > MAX_SETTINGS:
        raise ValueError(
            f"« {path.name} » a {path.stat().st_size} octets : aucun fichier de réglages n’en a "
            f"plus de {MAX_SETTINGS}. Téléchargez-le à nouveau."
        )
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"« {path.name} » n’est pas un JSON en UTF-8 : {text_fault(error)}."
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f"« {path.name} » ne contient pas un objet JSON.")
    return content


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for name, value in pairs:
        if name in content and content[name] != value:
            raise ValueError(f"« {name} » y est deux fois, avec deux valeurs")
        content[name] = value
    return content
