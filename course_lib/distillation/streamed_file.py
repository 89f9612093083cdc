"""Écrire un fichier safetensors par morceaux : il peut dépasser la mémoire vive.

Le format : huit octets (la longueur de l’en-tête), l’en-tête en JSON (type, forme et place de
chaque tenseur), puis les tenseurs bout à bout. Les formes connues, les places le sont aussi : on
peut remplir les tenseurs dans n’importe quel ordre.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from course_lib.files import atomic

NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.uint8: "U8",
}


class StreamedFile:
    """Des tenseurs de formes annoncées, que l’on remplit ligne après ligne."""

    def __init__(self, file, layout: dict[str, tuple[torch.dtype, tuple[int, ...]]], metadata):
        self.file, self.layout = file, layout
        header, end = {"__metadata__": metadata}, 0
        # Les plus grands nombres d’abord : chaque tenseur commence à un multiple de sa taille.
        for name in sorted(layout, key=lambda name: -layout[name][0].itemsize):
            dtype, shape = layout[name]
            start, end = end, end + dtype.itemsize * math.prod(shape)
            header[name] = {
                "dtype": NAMES[dtype],
                "shape": list(shape),
                "data_offsets": [start, end],
            }
        content = json.dumps(header, ensure_ascii=False).encode()
        content += b" " * (-len(content) % 8)
        file.write(len(content).to_bytes(8, "little") + content)
        self.heads = {name: file.tell() + header[name]["data_offsets"][0] for name in layout}
        self.ends = {name: file.tell() + header[name]["data_offsets"][1] for name in layout}

    def append(self, name: str, rows: Tensor) -> None:
        """Écrit des lignes à la suite, converties au type annoncé."""
        content = rows.to("cpu", self.layout[name][0]).contiguous().numpy().tobytes()
        if self.heads[name] + len(content) > self.ends[name]:
            raise ValueError(
                f"« {name} » : plus de lignes que {self.layout[name][1]} n’en annonce."
            )
        self.file.seek(self.heads[name])
        self.file.write(content)
        self.heads[name] += len(content)

    def check_full(self) -> None:
        """ValueError si un tenseur n’est pas rempli."""
        for name, head in self.heads.items():
            if head != self.ends[name]:
                missing = self.ends[name] - head
                raise ValueError(f"« {name} » n’est pas rempli : il y manque {missing} octets.")


@contextmanager
def streamed_file(
    path: Path, layout: dict[str, tuple[torch.dtype, tuple[int, ...]]], metadata: dict[str, str]
) -> Iterator[StreamedFile]:
    """Ouvre un `StreamedFile` ; le fichier n’apparaît sous son nom qu’une fois complet."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        streamed = StreamedFile(file, layout, metadata)
        yield streamed
        streamed.check_full()
