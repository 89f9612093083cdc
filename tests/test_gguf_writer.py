"""Écrire des GGUF : le type de chaque réglage, ce qui se refuse, et le fichier d’avant gardé."""

import os
import tracemalloc

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.pretrained.gguf.blocks import quantize
from course_lib.pretrained.gguf.packing import Packed
from course_lib.pretrained.gguf.reader import GGUFFile
from course_lib.pretrained.gguf.writer import write_gguf

ONE = np.ones((2, 32), np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "essai.gguf"


def reread(path, metadata):
    write_gguf(path, metadata, [])
    with GGUFFile(path) as file:
        return file.metadata


@pytest.mark.parametrize(
    "value, types",
    [
        (0, "UINT32"),
        (2**32 - 1, "UINT32"),
        (-1, "INT32"),
        (-(2**31), "INT32"),
        (2**32, "UINT64"),
        (2**64 - 1, "UINT64"),
        (-(2**31) - 1, "INT64"),
        (0.5, "FLOAT32"),
        (1e300, "FLOAT64"),
        (False, "BOOL"),
        ("", "STRING"),
        (np.uint8(3), "UINT8"),
        (np.int8(-3), "INT8"),
        (np.uint16(3), "UINT16"),
        (np.int16(-3), "INT16"),
        (np.int32(3), "INT32"),
        (np.uint64(3), "UINT64"),
        (np.int64(3), "INT64"),
        (np.float64(0.1), "FLOAT64"),
        (np.bool_(True), "BOOL"),
        ([1, 2], "ARRAY UINT32"),
        ([1, -2], "ARRAY INT32"),
        ([-1, 2**31], "ARRAY INT64"),
        ([1, 2**40], "ARRAY UINT64"),
        ([np.uint8(200), -1], "ARRAY INT32"),
        ([0.5, 1e300], "ARRAY FLOAT64"),
        (np.array([1, 2], np.uint8), "ARRAY UINT8"),
        ((0.5, -1.5), "ARRAY FLOAT32"),
        ([True, False], "ARRAY BOOL"),
        (["é", ""], "ARRAY STRING"),
        ([], "ARRAY"),
    ],
)
def test_each_setting_takes_the_narrowest_type(path, value, types):
    """Le paquet `gguf` lit le type attendu ; valeur et type de Python se relisent tels quels."""
    expected = list(value) if isinstance(value, (list, tuple, np.ndarray)) else value
    assert reread(path, {"k": value}) == {"k": expected}
    field = gguf.GGUFReader(path).get_field("k")
    assert " ".join(kind.name for kind in field.types) == types


SCALARS = st.one_of(
    st.text(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(width=32, allow_nan=False),
)
LISTS = st.one_of(
    st.lists(st.text()),
    st.lists(st.booleans()),
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.integers(0, 2**64 - 1)),
    st.lists(st.floats(width=32, allow_nan=False)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=20), SCALARS | LISTS, max_size=5))
def test_any_setting_survives(path, metadata):
    found = reread(path, metadata | {"general.alignment": 32})
    assert found == metadata | {"general.alignment": 32}
    for key, value in metadata.items():
        assert type(found[key]) is type(value)


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({"k": [1, 0.5]}, r"« k » vaut \[1, 0.5\].* d’une seule de ces sortes"),
        ({"k": [1, True]}, "d’une seule de ces sortes"),
        ({"k": [0.5, True]}, "d’une seule de ces sortes"),
        ({"k": ["a", 0.5]}, "d’une seule de ces sortes"),
        ({"k": [[1], [2]]}, r"« k » vaut \[1\]"),
        ({"k": [2**63, -1]}, r"« k » vaut \[-1, 9223372036854775808\].*64 bits au plus"),
        ({"k": -(2**63) - 1}, "64 bits au plus"),
        ({"k": None}, "« k » vaut None"),
        ({"k": np.float16(1)}, "« k » vaut np.float16"),
        ({"k": "a\ud800"}, "moitié de caractère.* Retirez-la"),
        ({"k\udfff": 1}, "moitié de caractère"),
        ({"k" * 65536: 1}, "un nom de 65536 octets. Il en faut 65535 au plus"),
    ],
)
def test_settings_without_a_type_are_refused(path, metadata, message):
    with pytest.raises(ValueError, match=message):
        write_gguf(path, metadata, [])
    assert os.listdir(path.parent) == []


BAD = ONE.copy()
BAD[1, 3] = np.nan


@pytest.mark.parametrize(
    "tensor, message",
    [
        (("b", BAD, "F32"), "« b » : Le tenseur contient un nombre indéfini"),
        (("b", ONE * 7e4, "F16"), "« b » : .* trop grand pour F16"),
        (("b", ONE, "Q4_1"), "« b » : On ne sait pas écrire 'Q4_1'"),
        (("b", ONE, "IQ9"), "Format de nombres inconnu : 'IQ9'"),
        (("b", ONE.T, "Q8_0"), r"« b » a la forme \(32, 2\) .* multiple de 32 nombres"),
        (("b", ONE[:0], "F32"), r"« b » a la forme \(0, 32\) : .* aucune nulle"),
        (("b", np.float32(1), "F32"), r"« b » a la forme \(\) : il faut de 1 à 4 dimensions"),
        (("b", ONE.reshape(1, 1, 2, 4, 8), "F32"), "il faut de 1 à 4 dimensions"),
        (("é" * 32, ONE, "F32"), "un nom de 64 octets. Il en faut 63 au plus"),
    ],
)
def test_a_bad_tensor_leaves_the_former_file(path, tensor, message):
    """Même découvert en cours d’écriture, après un premier tenseur sans défaut."""
    write_gguf(path, {"k": 1}, [("a", ONE, "F32")])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        write_gguf(path, {"k": 2}, [("a", ONE, "F32"), tensor])
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_another_alignment_is_refused(path):
    """Les tenseurs sont placés tous les 32 octets : annoncer 64 les rendrait illisibles."""
    with pytest.raises(ValueError, match=r"alignment = 64 : .* 32 octets\. Retirez"):
        write_gguf(path, {"general.alignment": 64}, [("a", ONE, "F32")])
    write_gguf(path, {"general.alignment": np.uint32(32)}, [("a", ONE, "F32")])
    with GGUFFile(path) as file:
        assert file.tensor("a").tolist() == ONE.tolist()


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0"])
def test_the_reference_reads_the_same_bits(path, kind):
    """Trois tenseurs de tailles non alignées, donnés par un générateur, un transposé parmi eux."""
    draw = np.random.default_rng(3)
    arrays = {
        "un": draw.standard_normal((3, 5, 32)),
        "deux": draw.standard_normal((32, 7)).T,
        "n" * 63: draw.standard_normal((2, 1, 3, 64)).astype(np.float32),
    }
    write_gguf(path, {}, ((name, array, kind) for name, array in arrays.items()))
    reader = gguf.GGUFReader(path)
    with GGUFFile(path) as file:
        for tensor, (name, array) in zip(reader.tensors, arrays.items(), strict=True):
            expected = gguf.quants.quantize(
                np.ascontiguousarray(array, np.float32), gguf.GGMLQuantizationType[kind]
            )
            assert (tensor.name, tensor.data_offset % 32) == (name, 0)
            assert tensor.data.tobytes() == file.raw(name).tobytes() == expected.tobytes()
            assert file.tensor(name).shape == array.shape


def test_a_packed_tensor_goes_in_as_it_is(path):
    """Ses octets, sa forme ; sous un autre format que le sien, il est refusé."""
    packed = Packed("Q8_0", quantize("Q8_0", ONE).reshape(2, -1))
    with pytest.raises(ValueError, match="« a » est déjà rangé en Q8_0, et non en Q4_0"):
        write_gguf(path, {}, [("a", packed, "Q4_0")])
    assert os.listdir(path.parent) == []
    write_gguf(path, {}, [("a", packed, "Q8_0"), ("b", ONE, "F32")])
    with GGUFFile(path) as file:
        assert file.raw("a").tobytes() == packed.raw.tobytes()
        assert file.tensor("a").tolist() == packed.values().tolist()
        assert file.tensor("b").tolist() == ONE.tolist()


def test_only_one_tensor_is_converted_at_a_time(path):
    """Écrire ne demande pas une deuxième copie du modèle."""
    arrays = [np.full((64, 4096), i, np.float32) for i in range(16)]
    tracemalloc.start()
    try:
        write_gguf(path, {}, [(f"t{i}", array, "F32") for i, array in enumerate(arrays)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * arrays[0].nbytes < sum(array.nbytes for array in arrays) / 3
