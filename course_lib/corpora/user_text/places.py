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
    def of(cls, data: bytes, offset: int, encoding: str = "utf-8") -> Place:
        """La place d’un octet ; la ligne et la colonne comptent les caractères déjà lus."""
        before = data[:offset].decode(encoding, "replace")
        byte = data[offset] if offset < len(data) else None
        column = len(before) - before.rfind("\n")
        return cls(byte, offset, before.count("\n") + 1, column)

    def __str__(self) -> str:
        what = "fin du fichier" if self.byte is None else f"octet 0x{self.byte:02X}"
        return f"{what} à la position {self.offset} (ligne {self.line}, colonne {self.column})"


def character_place(text: str, index: int) -> str:
    """« ligne 3, colonne 7 » : la place d’un caractère, comptée de 1."""
    line, start = text.count("\n", 0, index) + 1, text.rfind("\n", 0, index)
    return f"ligne {line}, colonne {index - start}"
