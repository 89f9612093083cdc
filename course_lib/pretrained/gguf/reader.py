"""Lire un fichier GGUF : ses réglages, la liste de ses tenseurs, puis chaque tenseur à la demande.

    GGUF · version · nombre de tenseurs · nombre de réglages
    réglages : clé, type, valeur                       …
    tenseurs : nom, dimensions, format, place          …
    (remplissage jusqu’à un multiple de l’alignement)
    données

Le fichier est projeté en mémoire : rien n’est lu avant d’être demandé. Il vient d’ailleurs et peut
mentir : chaque longueur est comparée à ce qui reste du fichier avant de servir.
Source : ggml, `docs/gguf.md`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_lib.pretrained.gguf.blocks import (
    BLOCKS,
    KIND_OF_CODE,
    UNREADABLE,
    dequantize,
    read_levels,
)
from course_lib.pretrained.gguf.levels import Levels

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 1 << 20
MAX_DEPTH = 4  # tableaux de tableaux de…
MAX_DIMENSIONS = 4
MAX_KEY = 65535  # octets du nom d’un réglage
MAX_NAME = 1024  # octets du nom d’un tenseur ; ggml s’arrête à 63
STRING, ARRAY, BOOL = 8, 9, 7
NUMBERS = {  # code du type → format de struct et de numpy
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", BOOL: "<u1",
    10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
_STRUCTS = {
    code: struct.Struct("<" + letter) for code, letter in zip(NUMBERS, "BbHhIifBQqd", strict=True)
}
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


@dataclass(frozen=True)
class TensorInfo:
    """Un tenseur du fichier : `shape` dans l’ordre de PyTorch, `offset` depuis le début."""

    name: str
    shape: tuple[int, ...]
    kind: str
    offset: int
    n_bytes: int


class GGUFFile:
    """Un fichier GGUF ouvert ; à employer dans un bloc `with`.

    `metadata` : réglages (nombres, textes, listes). `tensors` : nom → TensorInfo. FileNotFoundError
    si le fichier manque ; ValueError s’il n’est pas un GGUF, s’il est tronqué ou incohérent.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"Aucun fichier GGUF à l’adresse « {self.path} ».")
        size = self.path.stat().st_size
        if size < 24:
            raise ValueError(self._complaint(0, f"{size} octets, moins que l’en-tête d’un GGUF"))
        self._bytes = np.memmap(self.path, dtype=np.uint8, mode="r")
        try:
            header = _Header(self)
            self.metadata: dict[str, object] = header.metadata
            self.tensors: dict[str, TensorInfo] = header.tensors
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "GGUFFile":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Rend la projection ; les tableaux déjà lus restent bons."""
        self._bytes = None

    def raw(self, name: str) -> np.ndarray:
        """Les octets d’un tenseur (uint8), vus dans le fichier, sans copie."""
        if self._bytes is None:
            raise ValueError(f"« {self.path.name} » est fermé : lisez ses tenseurs avant.")
        if name not in self.tensors:
            raise ValueError(
                f"« {self.path.name} » n’a pas de tenseur « {name} » ; il a par exemple : "
                f"{', '.join(list(self.tensors)[:5])}."
            )
        info = self.tensors[name]
        return np.asarray(self._bytes[info.offset : info.offset + info.n_bytes])

    def tensor(self, name: str) -> np.ndarray:
        """Un tenseur en F32, à sa forme ; c’est une copie, qui survit à la fermeture."""
        raw, info = self.raw(name), self.tensors[name]
        return dequantize(info.kind, raw, info.shape)

    def levels(self, name: str) -> Levels | None:
        """Une matrice dans ses entiers ; None si le fichier la range en nombres flottants."""
        raw, info = self.raw(name), self.tensors[name]
        return read_levels(info.kind, raw, info.shape)

    def _complaint(self, position: int, found: str, how: str = "") -> str:
        return (
            f"« {self.path.name} » n’est pas un fichier GGUF lisible (octet {position}) : {found}. "
            f"Téléchargez-le à nouveau{how}."
        )


class _Header:
    """Parcourt l’en-tête ; `position` avance d’un champ à l’autre."""

    def __init__(self, file: GGUFFile):
        self.file, self.buffer = file, memoryview(file._bytes)
        self.position = 0
        self._check_version()
        n_tensors = self._count(_U64, 24, "tenseurs")
        n_settings = self._count(_U64, 13, "réglages")
        self.metadata = dict(self._settings(n_settings))
        infos = list(self._tensor_infos(n_tensors))
        self.tensors = self._place(infos)

    def _fail(self, found: str, how: str = "") -> ValueError:
        """L’erreur à lever ; `how` : sous quelle forme le télécharger, s’il n’est pas abîmé."""
        return ValueError(self.file._complaint(self.position, found, how))

    def _check_version(self) -> None:
        magic = bytes(self.buffer[:4])
        if magic != MAGIC:
            raise self._fail(f"il commence par {magic!r} et non par {MAGIC!r}")
        self.position = 4
        version = self._number(_U32)
        if version in VERSIONS:
            return
        how = ", en version 3 ordinaire (petit-boutiste)"
        if version and version & 0xFFFF == 0:
            raise self._fail("ses nombres sont rangés à l’envers (gros-boutiste)", how)
        raise self._fail(f"version {version} ; on sait lire {VERSIONS}", how)

    @property
    def remaining(self) -> int:
        """Octets qui restent à lire."""
        return len(self.buffer) - self.position

    def _number(self, form: struct.Struct) -> int | float:
        if form.size > self.remaining:
            raise self._fail("il finit au milieu d’un nombre")
        (value,) = form.unpack_from(self.buffer, self.position)
        self.position += form.size
        return value

    def _count(self, form: struct.Struct, smallest: int, what: str) -> int:
        """Un nombre d’éléments, dont chacun occupe au moins `smallest` octets."""
        count = self._number(form)
        if count * smallest > self.remaining:
            raise self._fail(f"il annonce {count} {what} pour {self.remaining} octets restants")
        return count

    def _text(self) -> str:
        length = self._count(_U64, 1, "caractères")
        try:
            text = str(self.buffer[self.position : self.position + length], "utf-8")
        except UnicodeDecodeError:
            raise self._fail("un texte n’est pas en UTF-8") from None
        self.position += length
        return text

    def _name(self, longest: int) -> str:
        start, name = self.position, self._text()
        length = self.position - start - _U64.size
        if length > longest:
            raise self._fail(f"un nom de {length} octets ; {longest} au plus")
        return name

    def _value(self, code: int, depth: int = 0) -> object:
        if code == STRING:
            return self._text()
        if code == ARRAY:
            return self._array(depth + 1)
        if code not in NUMBERS:
            raise self._fail(f"type de réglage inconnu ({code})")
        value = self._number(_STRUCTS[code])
        return bool(value) if code == BOOL else value

    def _array(self, depth: int) -> list:
        if depth > MAX_DEPTH:
            raise self._fail(f"des tableaux emboîtés sur plus de {MAX_DEPTH} niveaux")
        code = self._number(_U32)
        if code not in NUMBERS:
            smallest = {STRING: 8, ARRAY: 12}.get(code)
            if smallest is None:
                raise self._fail(f"type d’élément inconnu ({code})")
            return [
                self._value(code, depth) for _ in range(self._count(_U64, smallest, "éléments"))
            ]
        dtype = np.dtype(NUMBERS[code])
        count = self._count(_U64, dtype.itemsize, "éléments")
        values = np.frombuffer(self.buffer, dtype, count, self.position)
        self.position += count * dtype.itemsize
        return (values.astype(bool) if code == BOOL else values).tolist()

    def _settings(self, count: int) -> Iterator[tuple[str, object]]:
        seen: set[str] = set()
        for _ in range(count):
            key = self._name(MAX_KEY)
            if key in seen:
                raise self._fail(f"le réglage « {key} » y est deux fois")
            seen.add(key)
            yield key, self._value(self._number(_U32))

    def _tensor_infos(self, count: int) -> Iterator[TensorInfo]:
        for _ in range(count):
            name = self._name(MAX_NAME)
            n_dimensions = self._number(_U32)
            if not 1 <= n_dimensions <= MAX_DIMENSIONS:
                raise self._fail(
                    f"« {name} » a {n_dimensions} dimensions ; il en faut de 1 à {MAX_DIMENSIONS}"
                )
            dimensions = [self._number(_U64) for _ in range(n_dimensions)]
            code = self._number(_U32)
            if code not in KIND_OF_CODE:
                raise self._fail(
                    f"« {name} » est au format {UNREADABLE.get(code, 'inconnu')} (code {code}), "
                    f"que l’on ne sait pas lire ; on sait lire {', '.join(BLOCKS)}",
                    ", dans un de ces formats",
                )
            block = BLOCKS[KIND_OF_CODE[code]]
            n_values = 1
            for dimension in dimensions:  # des entiers de Python : ils ne débordent pas
                n_values *= dimension
            if n_values == 0 or dimensions[0] % block.n_values:
                raise self._fail(
                    f"« {name} » a les dimensions {dimensions} ; aucune ne doit être nulle, et en "
                    f"{block.kind} la première est un multiple de {block.n_values}"
                )
            n_bytes = n_values // block.n_values * block.n_bytes
            offset = self._number(_U64)
            yield TensorInfo(name, tuple(reversed(dimensions)), block.kind, offset, n_bytes)

    def _place(self, infos: list[TensorInfo]) -> dict[str, TensorInfo]:
        """Vérifie que les tenseurs sont dans le fichier, alignés, sans se recouvrir."""
        alignment = self.metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        power = type(alignment) is int and alignment > 0 and alignment & (alignment - 1) == 0
        if not power or not 8 <= alignment <= MAX_ALIGNMENT:
            raise self._fail(
                f"un alignement de {alignment!r} ; il faut un multiple de 8, puissance de deux"
            )
        start = -(-self.position // alignment) * alignment
        size, placed, end = len(self.buffer), {}, start
        for info in sorted(infos, key=lambda info: info.offset):
            offset = start + info.offset
            if info.name in placed:
                raise self._fail(f"le tenseur « {info.name} » y est deux fois")
            if info.offset % alignment or offset < end:
                raise self._fail(
                    f"« {info.name} » est mal placé, ou recouvre un autre tenseur : octet "
                    f"{offset} ; il faut un multiple de {alignment} après l’octet {end}"
                )
            end = offset + info.n_bytes
            if end > size:
                raise self._fail(
                    f"il est tronqué : « {info.name} » devrait finir à l’octet {end}, le fichier "
                    f"en a {size}"
                )
            placed[info.name] = TensorInfo(info.name, info.shape, info.kind, offset, info.n_bytes)
        return {info.name: placed[info.name] for info in infos}  # dans l’ordre du fichier
