"""Des GGUF montés champ par champ : ce qu’ils disent de faux est refusé, et nommé."""

import random
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from fuzzing import fuzz, read_gguf, surprises
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.pretrained.gguf.blocks import BLOCKS, UNREADABLE
from course_lib.pretrained.gguf.reader import MAX_DEPTH, GGUFFile

UINT8, UINT32, STRING, ARRAY = 0, 4, 8, 9
HUGE = (0, 1, 2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1)


def text(content):
    raw = content if isinstance(content, bytes) else content.encode()
    return struct.pack("<Q", len(raw)) + raw


def setting(key, code, content):
    return text(key) + struct.pack("<I", code) + content


def number(key, value):
    return setting(key, UINT32, struct.pack("<I", value))


def nested(depth):
    """Le contenu d’un tableau sur `depth` niveaux : [[…[1, 2, 3]…]]."""
    return struct.pack("<IQ", ARRAY, 1) * (depth - 1) + struct.pack("<IQ3B", UINT8, 3, 1, 2, 3)


def tensor(name="poids", dimensions=(7, 11), code=0, offset=0, n_dimensions=None):
    count = len(dimensions) if n_dimensions is None else n_dimensions
    fields = struct.pack(f"<I{len(dimensions)}QIQ", count, *dimensions, code, offset)
    return text(name) + fields


def assemble(settings=(), tensors=(), version=3, n_settings=None, n_tensors=None, n_bytes=640):
    """Un fichier entier : les nombres annoncés sont les vrais, sauf demande contraire."""
    counts = [
        len(tensors) if n_tensors is None else n_tensors,
        len(settings) if n_settings is None else n_settings,
    ]
    header = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join([*settings, *tensors])
    data = np.arange(n_bytes // 4, dtype="<f4").tobytes()
    return header + bytes(-len(header) % 32) + data


@pytest.fixture
def path(tmp_path):
    return tmp_path / "essai.gguf"


@pytest.mark.parametrize("version", [2, 3])
def test_a_file_built_by_hand_is_read(path, version):
    """Dimensions retournées, tenseurs dans l’ordre du fichier, non dans celui des données."""
    tensors = [tensor("second", (7, 11), offset=64), tensor("premier", (13,), offset=0)]
    path.write_bytes(assemble([number("un", 1)], tensors, version))
    with GGUFFile(path) as file:
        assert file.metadata == {"un": 1}
        assert list(file.tensors) == ["second", "premier"]
        assert file.tensors["second"].shape == (11, 7)
        assert file.tensor("second").tolist() == (16 + np.arange(77.0)).reshape(11, 7).tolist()
        assert file.tensor("premier").tolist() == list(range(13))


TWO = [tensor("a"), tensor("b", offset=320)]
HOSTILE = {
    "version 0": (assemble(version=0), "octet 8.*version 0 ; on sait lire"),
    "version 1": (assemble(version=1), "version 1 .*en version 3 ordinaire"),
    "gros-boutiste": (assemble(version=3 << 24), "à l’envers .*en version 3 ordinaire"),
    "réglages": (assemble(n_settings=2**63), f"annonce {2**63} réglages"),
    "tenseurs": (assemble(n_tensors=2**64 - 1), f"annonce {2**64 - 1} tenseurs pour 656 octets"),
    "longueur": (assemble([struct.pack("<Q", 2**63)]), f"annonce {2**63} caractères"),
    "élément": (
        assemble([setting("k", ARRAY, struct.pack("<IQ", STRING, 2**62))]),
        f"annonce {2**62} éléments",
    ),
    "utf-8": (assemble([setting("k", STRING, text(b"\xff\xfe"))]), "octet 45.*n’est pas en UTF-8"),
    "utf-8, clé": (assemble([number(b"\xc3", 1)]), "octet 32.*n’est pas en UTF-8"),
    "clé longue": (assemble([number("k" * 65536, 1)]), "un nom de 65536 octets ; 65535 au plus"),
    "type": (assemble([setting("k", 13, b"")]), r"type de réglage inconnu \(13\)"),
    "type d’élément": (
        assemble([setting("k", ARRAY, struct.pack("<IQ", 99, 1))]),
        r"type d’élément inconnu \(99\)",
    ),
    "profondeur": (
        assemble([setting("k", ARRAY, nested(MAX_DEPTH + 1))]),
        "tableaux emboîtés sur plus de 4 niveaux",
    ),
    "profondeur extrême": (
        assemble([setting("k", ARRAY, nested(100_000))]),
        "tableaux emboîtés sur plus de 4 niveaux",
    ),
    "clé double": (assemble([number("k", 1), number("k", 2)]), "« k » y est deux fois"),
    "alignement nul": (assemble([number("general.alignment", 0)]), "un alignement de 0"),
    "alignement 24": (
        assemble([number("general.alignment", 24)]),
        "alignement de 24 ; il faut un multiple de 8, puissance de deux",
    ),
    "alignement énorme": (assemble([number("general.alignment", 2**31)]), "alignement de"),
    "alignement texte": (
        assemble([setting("general.alignment", STRING, text("32"))]),
        "un alignement de '32'",
    ),
    "sans dimension": (
        assemble([], [tensor(dimensions=())]),
        "« poids » a 0 dimensions ; il en faut de 1 à 4",
    ),
    "dimensions": (assemble([], [tensor(n_dimensions=2**32 - 1)]), f"a {2**32 - 1} dimensions"),
    "dimension nulle": (
        assemble([], [tensor(dimensions=(7, 0))]),
        r"les dimensions \[7, 0\].* aucune ne doit être nulle",
    ),
    "dimension énorme": (
        assemble([], [tensor(dimensions=(2**63, 2**63, 2**63, 2**63))]),
        "est tronqué : « poids » devrait finir",
    ),
    "blocs": (assemble([], [tensor(dimensions=(31,), code=8)]), "Q8_0 la première est un multip"),
    "place": (assemble([], [tensor(offset=2**64 - 32)]), "est tronqué"),
    "place bancale": (
        assemble([], [tensor(offset=4)]),
        r"« poids » est mal placé.* : octet 100 ; il faut un multiple de 32 après l’octet 96",
    ),
    "recouvrement": (
        assemble([], [tensor("a"), tensor("b", offset=288)]),
        "« b » est mal placé, ou recouvre",
    ),
    "même place": (assemble([], [tensor("a"), tensor("b")]), "« b » est mal placé, ou recouvre"),
    "nom double": (assemble([], [TWO[0], tensor("a", offset=320)]), "« a » y est deux fois"),
    "nom long": (assemble([], [tensor("n" * 1025)]), "un nom de 1025 octets ; 1024 au plus"),
    "tronqué": (
        assemble([], TWO, n_bytes=620),
        "« b » devrait finir à l’octet 756, le fichier en a 748",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_file_says_wrong_is_named(path, case):
    content, message = HOSTILE[case]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        GGUFFile(path)
    assert "« essai.gguf » n’est pas un fichier GGUF lisible (octet " in str(error.value)
    assert "Téléchargez-le à nouveau" in str(error.value)


def test_every_other_format_is_named(path):
    """Chaque format de ggml se lit, ou se refuse par son nom."""
    known = {block.code: block.kind for block in BLOCKS.values()} | UNREADABLE
    for kind in gguf.GGMLQuantizationType:
        assert known.get(kind.value, kind.name) == kind.name
    for code, name in {**UNREADABLE, 77: "inconnu"}.items():
        path.write_bytes(assemble([], [tensor(code=code)]))
        message = rf"au format {name} \(code {code}\), .* nouveau, dans un de ces formats"
        with pytest.raises(ValueError, match=message):
            GGUFFile(path)


def test_nested_arrays_are_read_down_to_the_limit(path):
    path.write_bytes(assemble([setting("k", ARRAY, nested(MAX_DEPTH))]))
    with GGUFFile(path) as file:
        assert file.metadata == {"k": [[[[1, 2, 3]]]]}


def mapped(path):
    return str(path) in Path("/proc/self/maps").read_text(encoding="utf-8")


@pytest.mark.depends_on_machine
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="projections visibles sous Linux")
def test_the_map_is_released(path):
    """À la fermeture, et aussi quand l’ouverture échoue ; un tenseur lu ne la retient pas."""
    path.write_bytes(assemble([], [tensor()]))
    with GGUFFile(path) as file:
        kept = file.tensor("poids")
        assert mapped(path)
    assert not mapped(path)
    kept += 1
    assert kept[0, :3].tolist() == [1, 2, 3]
    path.write_bytes(HOSTILE["recouvrement"][0])
    with pytest.raises(ValueError, match="recouvre"):
        GGUFFile(path)
    assert not mapped(path)


def test_raw_bytes_cannot_be_written_through(path):
    path.write_bytes(assemble([], [tensor()]))
    with GGUFFile(path) as file:
        raw = file.raw("poids")
        assert raw.tobytes() == np.arange(77, dtype="<f4").tobytes()
        with pytest.raises(ValueError, match="read-only"):
            raw[0] = 1


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="Aucun fichier GGUF à l’adresse"):
        GGUFFile(tmp_path)


def read_or_refuse(path):
    """Vrai si le fichier se lit ; un refus doit venir du lecteur, non de numpy."""
    try:
        read_gguf(path)
    except ValueError as error:
        assert "Téléchargez-le à nouveau" in str(error)
        return False
    return True


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 3), st.integers(0, 3))
def test_anything_after_the_counts_is_read_or_refused(path, content, n_tensors, n_settings):
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_settings) + content)
    read_or_refuse(path)


def hostile_file(draw):
    """Un GGUF dont un à trois champs mentent : des nombres, des places, des noms, des tableaux."""
    names = [draw.choice(("a", "b", "poids", b"\xff", "")) for _ in range(3)]
    lies = [draw.random() < 0.12 for _ in range(6)]
    a_setting = [
        lambda: number("general.alignment", draw.choice((0, 1, 8, 12, 32, 64, 2**20, 2**31))),
        lambda: setting("tableau", ARRAY, nested(draw.choice((1, 2, 4, 5, 900)))),
        lambda: setting(
            "tableau", ARRAY, struct.pack("<IQ", draw.randrange(14), draw.choice(HUGE))
        ),
        lambda: setting("texte", STRING, text(bytes(draw.choices((65, 0xC3, 0xA9), k=2)))),
        lambda: setting(draw.choice("kl"), draw.randrange(14), bytes(draw.choice((1, 4, 8)))),
    ]
    settings = [draw.choice(a_setting)() for _ in range(draw.randrange(3))]
    tensors, offset = [], 0
    for name in names[: draw.randrange(1, 4)]:
        block = draw.choice(list(BLOCKS.values()))
        dimensions, code = [block.n_values, draw.choice((1, 2, 3))], block.code
        size = block.n_bytes * dimensions[1]
        if lies[0]:
            dimensions[draw.randrange(2)] = draw.choice(HUGE)
        if lies[1]:
            code = draw.choice((5, 16, 29, 77, 2**32 - 1))
        place = draw.choice((*HUGE, max(0, offset - 32))) if lies[2] else offset
        n_dimensions = draw.choice((0, 1, 3, 4, 5, 2**32 - 1)) if lies[3] else None
        tensors.append(tensor(name, tuple(dimensions), code, place, n_dimensions))
        offset += -(-size // 32) * 32
    draw.shuffle(tensors)
    counts = {draw.choice(("n_settings", "n_tensors")): draw.choice(HUGE)} if lies[4] else {}
    n_bytes = draw.randrange(0, offset + 64, 4) if lies[5] else offset
    return assemble(settings, tensors, draw.choice((2, 3)), n_bytes=n_bytes, **counts)


def test_a_thousand_lying_files(path, tmp_path):
    """Lus tels quels, puis abîmés en plus par les mutations d’octets."""
    draw = random.Random(0)
    seeds = [hostile_file(draw) for _ in range(1000)]
    outcomes = []
    for content in seeds:
        path.write_bytes(content)
        outcomes.append(read_or_refuse(path))
    assert 100 < sum(outcomes) < 900
    damaged = fuzz(read_gguf, seeds, 2000, tmp_path / "abime")
    assert surprises(damaged) == {}
    assert min(damaged["lu"], damaged["refusé"]) > 50
