"""Écrire et lire des GGUF : aller-retour, accord avec le paquet `gguf`, fichiers abîmés."""

import struct

import gguf
import numpy as np
import pytest
from fuzzing import fuzz, gguf_seeds, read_gguf, surprises
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.pretrained import store
from course_lib.pretrained.gguf_reader import GGUFFile
from course_lib.pretrained.gguf_writer import write_gguf

SETTINGS = {
    "general.architecture": "llama",
    "entier": 7,
    "negatif": -7,
    "long": 2**40,
    "long.negatif": -(2**40),
    "reel": 0.5,
    "vrai": True,
    "texte": "œuf à la coque — été",
    "textes": ["", "a", "é"],
    "entiers": [1, -2, 3],
    "reels": [0.25, 2.0],
    "booleens": [True, False],
    "vide": [],
    "octet": np.uint8(255),
}
TENSORS = [
    ("trois.axes", np.arange(3 * 5 * 7, dtype=np.float32).reshape(3, 5, 7), "F32"),
    ("demi", np.linspace(-1, 1, 11 * 13, dtype=np.float32).reshape(11, 13), "F16"),
    ("blocs", np.linspace(-1, 1, 3 * 64, dtype=np.float32).reshape(3, 64), "Q8_0"),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "essai.gguf"
    write_gguf(path, SETTINGS, TENSORS)
    return path


def test_round_trip(path):
    with GGUFFile(path) as file:
        assert file.metadata == SETTINGS
        assert [type(v) for v in file.metadata.values()][1:8] == [int] * 4 + [float, bool, str]
        assert list(file.tensors) == [name for name, _, _ in TENSORS]
        for name, array, kind in TENSORS:
            info = file.tensors[name]
            assert (info.shape, info.kind) == (array.shape, kind)
            gap = {"F32": 0, "F16": 1e-3, "Q8_0": 5e-3}[kind]
            np.testing.assert_allclose(file.tensor(name), array, atol=gap)


def test_the_reference_reads_what_we_write(path):
    reader = gguf.GGUFReader(path)
    for key, value in SETTINGS.items():
        if key != "vide":
            assert reader.get_field(key).contents() == value, key
    for tensor, (name, array, kind) in zip(reader.tensors, TENSORS, strict=True):
        assert (tensor.name, tensor.tensor_type.name) == (name, kind)
        assert tuple(reversed(tensor.shape.tolist())) == array.shape


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=20), st.text(), max_size=5))
def test_any_text_survives(tmp_path, texts):
    texts = {k: v for k, v in texts.items() if not any("\ud800" <= c <= "\udfff" for c in k + v)}
    path = tmp_path / "textes.gguf"
    write_gguf(path, texts, [])
    with GGUFFile(path) as file:
        assert file.metadata == texts


def test_a_closed_file_says_so(path):
    with GGUFFile(path) as file:
        kept = file.tensor("demi")
        with pytest.raises(
            ValueError, match="n’a pas de tenseur « autre » ; il a par exemple : tr"
        ):
            file.tensor("autre")
    assert kept.shape == (11, 13)
    with pytest.raises(ValueError, match=r"« essai\.gguf » est fermé"):
        file.tensor("demi")


def replaced(path, old, new):
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def name_field(name, *numbers):
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I2Q", *numbers)


DAMAGES = {
    "vide": (lambda p: p.write_bytes(b""), "0 octets, moins que l’en-tête"),
    "autre": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(40)), "commence par b'PK"),
    "v1": (lambda p: p.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0)), "version 1 ; on sait"),
    "boutisme": (
        lambda p: p.write_bytes(b"GGUF" + struct.pack(">IQQ", 3, 0, 0)),
        "à l’envers",
    ),
    "tenseurs": (
        lambda p: p.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0)),
        f"annonce {2**60} tenseurs pour 8 octets",
    ),
    "tronqué": (lambda p: p.write_bytes(p.read_bytes()[:-40]), "est tronqué : « blocs » devrait"),
    "alignement": (
        lambda p: write_gguf(p, {"general.alignment": 12}, []),
        "alignement de 12 ; il faut un multiple de 8",
    ),
    "dimension": (
        lambda p: replaced(p, name_field("demi", 2, 13, 11), name_field("demi", 2, 0, 11)),
        r"« demi » a les dimensions \[0, 11\]",
    ),
    "énorme": (
        lambda p: replaced(p, name_field("demi", 2, 13, 11), name_field("demi", 2, 2**63, 2**63)),
        "est mal placé, ou recouvre|est tronqué",
    ),
    "doublon": (
        lambda p: replaced(p, name_field("demi", 2, 13, 11), name_field("blocs"[:4], 2, 13, 11)),
        None,
    ),
    "clé double": (lambda p: replaced(p, b"negatif\x05", b"entier2\x05"), None),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_or_read(path, damage):
    act, message = DAMAGES[damage]
    act(path)
    if message is None:
        read_gguf(path)  # un nom changé reste un fichier valide
        return
    with pytest.raises(ValueError, match=message) as error:
        read_gguf(path)
    assert "Téléchargez-le à nouveau" in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"Aucun fichier GGUF à l’adresse « .*absent\.gguf »"
    ):
        GGUFFile(tmp_path / "absent.gguf")


def test_names_that_appear_twice_are_refused(tmp_path):
    one = np.ones((1, 8), np.float32)
    with pytest.raises(ValueError, match="Deux tenseurs s’appellent « a »"):
        write_gguf(tmp_path / "x.gguf", {}, [("a", one, "F32"), ("a", one, "F32")])
    write_gguf(tmp_path / "x.gguf", {}, [("a", one, "F32"), ("b", one, "F32")])
    content = (tmp_path / "x.gguf").read_bytes()
    b_field, a_field = (
        struct.pack("<Q", 1) + letter + struct.pack("<I", 2) for letter in (b"b", b"a")
    )
    (tmp_path / "x.gguf").write_bytes(content.replace(b_field, a_field))
    with pytest.raises(ValueError, match="le tenseur « a » y est deux fois"):
        GGUFFile(tmp_path / "x.gguf")


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({"k": {"a": 1}}, "« k » vaut"),
        ({"k": 2**70}, "64 bits au plus"),
        ({"k": ["a", 1]}, "« k »"),
    ],
)
def test_settings_that_cannot_be_written(tmp_path, metadata, message):
    path = tmp_path / "garde.gguf"
    write_gguf(path, SETTINGS, TENSORS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        write_gguf(path, metadata, [])
    with pytest.raises(ValueError, match="multiple de 32 nombres"):
        write_gguf(path, {}, [("a", np.ones((2, 33), np.float32), "Q8_0")])
    assert path.read_bytes() == before
    assert [child.name for child in tmp_path.iterdir()] == ["garde.gguf"]
    with pytest.raises(FileNotFoundError, match="n’existe pas : créez-le"):
        write_gguf(tmp_path / "nulle" / "part.gguf", {}, [])


def test_a_thousand_damaged_files(tmp_path):
    """`python tests/fuzzing.py` en essaie vingt mille."""
    outcomes = fuzz(read_gguf, gguf_seeds(tmp_path), 1000, tmp_path / "abime", seed=1)
    assert surprises(outcomes) == {}
    assert outcomes["refusé"] > 300 and outcomes["lu"] > 50


def test_the_real_file_is_read_as_the_reference_reads_it():
    try:
        path = store.smollm2_path()
    except (FileNotFoundError, ValueError) as reason:
        pytest.skip(str(reason))
    reader = gguf.GGUFReader(path)
    with GGUFFile(path) as file:
        assert len(file.tensors) == len(reader.tensors) == 272
        for tensor in reader.tensors[::17]:
            expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            found = file.tensor(tensor.name)
            np.testing.assert_array_equal(found.reshape(-1), expected.reshape(-1))
        for key in ("tokenizer.ggml.merges", "llama.rope.freq_base", "tokenizer.chat_template"):
            assert file.metadata[key] == reader.get_field(key).contents()
