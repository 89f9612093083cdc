"""Écrire et lire des GGUF : aller-retour, accord avec le paquet `gguf`, fichiers abîmés."""

import gguf
import numpy as np
import pytest
from fuzzing import fuzz, gguf_seeds, read_gguf, surprises

from course_lib.pretrained.gguf.reader import GGUFFile
from course_lib.pretrained.gguf.writer import write_gguf

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


DAMAGES = {
    "vide": (lambda p: p.write_bytes(b""), "0 octets, moins que l’en-tête"),
    "autre": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(40)), "commence par b'PK"),
    "alignement": (
        lambda p: write_gguf(p, {"general.alignment": 12}, []),
        "alignement de 12 ; il faut un multiple de 8",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused(path, damage):
    """Les autres mensonges d’un fichier : `test_gguf_reader.py`."""
    act, message = DAMAGES[damage]
    act(path)
    with pytest.raises(ValueError, match=message) as error:
        read_gguf(path)
    assert "Téléchargez-le à nouveau" in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"Aucun fichier GGUF à l’adresse « .*absent\.gguf »"
    ):
        GGUFFile(tmp_path / "absent.gguf")


def test_a_name_written_twice_is_refused(tmp_path):
    one = np.ones((1, 8), np.float32)
    with pytest.raises(ValueError, match="Deux tenseurs s’appellent « a »"):
        write_gguf(tmp_path / "x.gguf", {}, [("a", one, "F32"), ("a", one, "F32")])


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({"k": {"a": 1}}, "« k » vaut"),
        ({"k": 2**70}, "64 bits au plus"),
    ],
)
def test_settings_that_cannot_be_written(tmp_path, metadata, message):
    path = tmp_path / "garde.gguf"
    write_gguf(path, SETTINGS, TENSORS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        write_gguf(path, metadata, [])
    assert path.read_bytes() == before
    assert [child.name for child in tmp_path.iterdir()] == ["garde.gguf"]
    with pytest.raises(FileNotFoundError, match="n’existe pas : créez-le"):
        write_gguf(tmp_path / "nulle" / "part.gguf", {}, [])


def test_a_thousand_damaged_files(tmp_path):
    """`python tests/fuzzing.py` en essaie vingt mille."""
    outcomes = fuzz(read_gguf, gguf_seeds(tmp_path), 1000, tmp_path / "abime", seed=1)
    assert surprises(outcomes) == {}
    assert outcomes["refusé"] > 300 and outcomes["lu"] > 50
