"""Ce que LLVM fait des fonctions de `vectors`, processeur par processeur."""

from types import SimpleNamespace

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

from course_lib.acceleration import vectors

PROCESSORS = {
    "avx512": ("x86_64-unknown-linux-gnu", "icelake-server", "+avx512f,+avx512bw", "vperm"),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", "pshufb"),
    "avx": ("x86_64-unknown-linux-gnu", "sandybridge", "+avx", "pshufb"),
    "arm": ("aarch64-unknown-linux-gnu", "generic", "+neon", "tbl"),
    "arm, macOS": ("arm64-apple-darwin20.0.0", "apple-m1", "", "tbl"),
}


def assembly(triple: str, processor: str, features: str) -> str:
    """Le code machine de « seize niveaux cherchés dans une table », pour ce processeur."""
    module = ir.Module()
    module.triple = triple
    octets, floats = vectors.Bytes.data, vectors.Levels.data
    pointers = [octets.as_pointer(), octets.as_pointer(), floats.as_pointer()]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), pointers), "look_up")
    builder = ir.IRBuilder(function.append_basic_block())
    table, ranks = (builder.load(pointer, align=1) for pointer in function.args[:2])
    ranks = builder.and_(ranks, vectors._all(octets, 15))
    codegen = SimpleNamespace(_tm_features=features)
    context = SimpleNamespace(codegen=lambda: codegen)
    found = vectors._look_up(context, builder, table, ranks)
    builder.store(found, function.args[2], align=4)
    builder.ret_void()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=processor, features=features, opt=3
    )
    return machine.emit_assembly(parsed)


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_table_is_looked_up_by_one_instruction(name):
    """Une ou deux permutations, et non seize lectures."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    *target, expected = PROCESSORS[name]
    text = assembly(*target)
    assert 1 <= text.count(expected) <= 2
    assert len(text.splitlines()) < 60
