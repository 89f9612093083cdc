"""Les poids d’un dossier : lus un à un, ou refusés avec la raison, jamais crus sur parole."""

import json
import os
import pickle
import struct

import pytest
import torch
from fuzzing import (
    folder_reader,
    fuzz,
    save_small_model,
    sharded_folder,
    surprises,
    weights_reader,
)
from safetensors.torch import save, save_file

from course_lib.pretrained.folders.locating import check_not_pickle
from course_lib.pretrained.folders.reading import INDEX, WEIGHTS, FolderWeights

TENSORS = {
    "a.weight": torch.arange(15.0).reshape(3, 5),
    "a.bias": torch.tensor([0.5, -1.25, 3.0]),
    "norme": torch.ones(7),
}
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def sharded(tmp_path):
    """Les mêmes tenseurs dans deux fichiers, et l’index qui les annonce."""
    parts = {FIRST: ["a.weight"], SECOND: ["a.bias", "norme"]}
    for file_name, names in parts.items():
        save_file({name: TENSORS[name] for name in names}, tmp_path / file_name)
    write_index(tmp_path, {name: file for file, names in parts.items() for name in names})
    return tmp_path


def write_index(folder, weight_map):
    content = {"metadata": {"total_size": 100}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(content), encoding="utf-8")


def read_all(folder):
    with FolderWeights(folder) as weights:
        return {name: weights.tensor(name).clone() for name in weights.shapes}


def same(found):
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
    assert all(tensor.dtype == torch.float32 for tensor in found.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_one_file_in_any_precision(dtype, tmp_path):
    save_file({name: tensor.to(dtype) for name, tensor in TENSORS.items()}, tmp_path / WEIGHTS)
    same(read_all(tmp_path))
    with FolderWeights(tmp_path) as weights:
        assert weights.shapes == {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}


def test_several_files(sharded):
    same(read_all(sharded))


def test_the_single_file_comes_first(sharded):
    """Comme dans transformers : un index resté là ne sert pas."""
    save_file(TENSORS | {"de plus": torch.ones(2)}, sharded / WEIGHTS)
    assert "de plus" in read_all(sharded)


@pytest.mark.parametrize(
    "dtype, name", [(torch.int64, "I64"), (torch.float64, "F64"), (torch.bool, "BOOL")]
)
def test_other_number_formats_are_refused_when_read(dtype, name, tmp_path):
    save_file(TENSORS | {"entiers": torch.ones(2).to(dtype)}, tmp_path / WEIGHTS)
    with FolderWeights(tmp_path) as weights:
        assert weights.shapes["entiers"] == (2,)
        weights.tensor("norme")
        with pytest.raises(ValueError, match=rf"« entiers » .* est en {name} ; .*F32, F16, BF16"):
            weights.tensor("entiers")


# ------------------------------------------------------------------ absents, pickles


def test_absent_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Aucun dossier"):
        FolderWeights(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"Ni « model\.safetensors » ni « .*index\.json »"):
        FolderWeights(tmp_path)


class Hostile:
    """Ce qu’un pickle peut faire à qui l’ouvre."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "m.PTH", "last.ckpt", "m.pkl"])
def test_pickles_are_refused_unopened(name, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps(Hostile(tmp_path / "execute")))
    with pytest.raises(ValueError, match=r"est un pickle : l’ouvrir exécute le code.*safetensors"):
        FolderWeights(tmp_path)
    assert not (tmp_path / "execute").exists()
    with pytest.raises(ValueError, match="est un pickle"):
        check_not_pickle(tmp_path / name)


def test_a_pickle_beside_safetensors_is_ignored(sharded):
    (sharded / "pytorch_model.bin").write_bytes(b"!")
    same(read_all(sharded))


def test_a_pickle_behind_the_index_is_refused(sharded):
    write_index(sharded, {"a.weight": "pytorch_model-00001.bin"})
    with pytest.raises(ValueError, match="est un pickle"):
        FolderWeights(sharded)


# ------------------------------------------------------------------ index menteurs


@pytest.mark.parametrize(
    "name",
    [
        "../dehors.safetensors",
        "/etc/dehors.safetensors",
        "sous/dossier.safetensors",
        "..\\dehors.safetensors",
        "C:dehors.safetensors",
        "nul\0.safetensors",
        "x" * 244 + ".safetensors",
        "\ud800.safetensors",
        3,
        None,
        ["a.safetensors"],
    ],
)
def test_an_index_never_leads_outside(name, sharded):
    save_file(TENSORS, sharded.parent / "dehors.safetensors")
    write_index(sharded, {"a.weight": FIRST, "a.bias": name})
    with pytest.raises(ValueError, match=r"« a\.bias » dans .* nom d’un fichier du même dossier"):
        FolderWeights(sharded)


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "n’est pas un JSON"),
        ("[]", "objet JSON"),
        ("{}", "n’a pas de « weight_map »"),
        ('{"weight_map": []}', "n’a pas de « weight_map »"),
        ('{"weight_map": {}}', "n’a pas de « weight_map »"),
        ('{"weight_map": {"a.weight": "model.txt"}}', r"dans 'model\.txt', qui n’est pas un"),
        ("[" * 100_000, "n’est pas un JSON"),
    ],
)
def test_unreadable_indexes_are_refused(content, message, sharded):
    (sharded / INDEX).write_text(content)
    with pytest.raises(ValueError, match=message):
        FolderWeights(sharded)


def test_index_and_files_must_agree(sharded):
    write_index(sharded, {"a.weight": SECOND, "a.bias": FIRST})
    with pytest.raises(ValueError, match=r"annonce le tenseur « a\.weight » dans « .*00002-of-00"):
        FolderWeights(sharded)
    write_index(sharded, {"absent": FIRST})
    with pytest.raises(ValueError, match="annonce le tenseur « absent »"):
        FolderWeights(sharded)
    write_index(sharded, {"a.weight": "model-00003.safetensors"})
    with pytest.raises(FileNotFoundError, match=r"manque le fichier de poids « model-00003\.safe"):
        FolderWeights(sharded)


def test_a_tensor_is_in_one_file_only(sharded):
    save_file(TENSORS, sharded / SECOND)
    with pytest.raises(ValueError, match=r"« a\.weight » est dans « .* et dans « .* lequel croire"):
        FolderWeights(sharded)


# ------------------------------------------------------------------ fichiers abîmés


def header(**entry):
    """Un fichier safetensors dont l’en-tête dit ce que l’on veut."""
    text = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | entry})
    return struct.pack("<Q", len(text)) + text.encode() + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        header()[:-1],
        header() + b"\x00",
        header(shape=[3]),
        header(shape=[-2]),
        header(shape=[2**62, 2**62]),
        header(data_offsets=[8, 0]),
        header(data_offsets=[0, 2**63]),
        header(dtype="F31"),
        header(dtype=None),
        save(TENSORS)[:-4],
    ],
)
def test_damaged_files_are_refused(content, tmp_path):
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match=r"« model\.safetensors » est abîmé ou tronqué"):
        FolderWeights(tmp_path)


@pytest.fixture
def small_model(tmp_path):
    save_small_model(tmp_path / "modele")
    return tmp_path / "modele"


@pytest.mark.slow
@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_damaged_folders_are_read_or_refused(name, small_model, tmp_path):
    """`python tests/fuzzing.py` en essaie vingt mille de chaque sorte."""
    seeds = [(small_model / name).read_bytes()]
    outcomes = fuzz(folder_reader(small_model, name), seeds, 200, tmp_path / "abime")
    assert surprises(outcomes) == {}
    assert outcomes["refusé"] > 60


def test_a_damaged_index_never_moves_a_tensor(tmp_path):
    folder = sharded_folder(tmp_path / "modele")
    seeds = [(folder / INDEX).read_bytes()]
    outcomes = fuzz(weights_reader(folder, INDEX, same=True), seeds, 300, tmp_path / "abime")
    assert surprises(outcomes) == {}
    assert outcomes["refusé"] > 60
