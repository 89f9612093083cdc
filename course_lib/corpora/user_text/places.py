"""L’endroit d’un octet ou d’un caractère, pour dire au lecteur où regarder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """L’endroit d’un octet : sa valeur, sa position, sa ligne et sa colonne, comptées de 1."""

    byte: int | None
    offset: int
    line: int
    column: int

    @classmethod
    def of(cls, data: bytes, offset: int) -> Place:
        """La place d’un octet ; la colonne compte les caractères, en UTF-8 s’il se peut."""
        start = data.rfind(b"\n", 0, offset) + 1
        column = len(data[start:offset].decode("utf-8", "replace")) + 1
        byte = data[offset] if offset < len(data) else None
        return cls(byte, offset, data.count(b"\n", 0, offset) + 1, column)

    def __str__(self) -> str:
        what = "fin du fichier" if self.byte is None else f"octet 0x{self.byte:02X}"
        return f"{what} à la position {self.offset} (ligne {self.line}, colonne {self.column})"


def character_place(text: str, index: int) -> str:
    """« ligne 3, colonne 7 » : la place d’un caractère, comptée de 1."""
    line, start = text.count("\n", 0, index) + 1, text.rfind("\n", 0, index)
    return f"ligne {line}, colonne {index - start}"
