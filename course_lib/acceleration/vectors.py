"""Seize poids à la fois : ce que numba ne sait pas dire, écrit pour LLVM.

numba rend vectorielle une boucle simple ; il ne voit pas « chercher seize niveaux dans une table ».
Ces fonctions le disent : LLVM en fait une instruction (vpermd ou vpshufb sur x86, tbl sur ARM),
ou, à défaut, une suite plus longue qui rend les mêmes nombres.

    Bytes    16 octets                      Levels   16 niveaux, en simple précision
    Totals   16 sommes, de même

Un tableau est plat, contigu, et sa place n’est pas vérifiée.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

COUNT = 16  # nombres tenus ensemble
_I8, _I32, _F32 = ir.IntType(8), ir.IntType(32), ir.FloatType()


class Vector(types.Type):
    """Un type de numba : seize nombres tenus ensemble dans un registre."""

    def __init__(self, name: str, element: ir.Type):
        super().__init__(name)
        self.data = ir.VectorType(element, COUNT)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind: Vector):
        super().__init__(manager, kind, kind.data)


Bytes = Vector("Bytes", _I8)
Levels, Totals = Vector("Levels", _F32), Vector("Totals", _F32)


def _all(kind: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * COUNT)


def _repeat(builder, number):
    """Seize fois le même nombre."""
    vector = ir.Constant(ir.VectorType(number.type, COUNT), ir.Undefined)
    vector = builder.insert_element(vector, number, ir.Constant(_I32, 0))
    return builder.shuffle_vector(vector, vector, _all(ir.VectorType(_I32, COUNT), 0))


def _pointer(context, builder, kind, array, place, data: ir.Type):
    struct = context.make_array(kind)(context, builder, array)
    return builder.bitcast(builder.gep(struct.data, [place]), data.as_pointer())


def _load(context, builder, kind, array, place, data: ir.Type, align: int):
    return builder.load(_pointer(context, builder, kind, array, place, data), align=align)


def _floats(builder, integers):
    """Seize octets signés en nombres flottants."""
    return builder.sitofp(builder.sext(integers, ir.VectorType(_I32, COUNT)), Levels.data)


def _permute(builder, table, ranks):
    """table[rang] de seize rangs : la forme où LLVM reconnaît une permutation."""
    found = ir.Constant(table.type, ir.Undefined)
    for place in (ir.Constant(_I32, j) for j in range(COUNT)):
        rank = builder.zext(builder.extract_element(ranks, place), _I32)
        found = builder.insert_element(found, builder.extract_element(table, rank), place)
    return found


def _look_up(context, builder, table, ranks):
    """Les niveaux, flottants, de seize rangs de 4 bits ; `table` et `ranks` en octets."""
    features = getattr(context.codegen(), "_tm_features", None) or ""
    if "+avx512f" in features.split(","):  # seize flottants tiennent dans un registre
        wide = builder.zext(ranks, ir.VectorType(_I32, COUNT))
        return _permute(builder, _floats(builder, table), wide)
    if builder.module.triple.startswith(("aarch64", "arm64")):
        kind = ir.FunctionType(ranks.type, (table.type, ranks.type))
        name = "llvm.aarch64.neon.tbl1.v16i8"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return _floats(builder, builder.call(function, [table, ranks]))
    return _floats(builder, _permute(builder, table, ranks))


@intrinsic
def load_bytes(typing, array, place):
    """Les 16 octets d’un tableau à partir de `place`."""

    def generate(context, builder, signature, args):
        return _load(context, builder, signature.args[0], *args, Bytes.data, 1)

    return Bytes(array, types.intp), generate


@intrinsic
def as_levels(typing, integers):
    """Seize entiers signés d’un octet, chacun son propre niveau."""
    return Levels(Bytes), lambda context, builder, signature, args: _floats(builder, *args)


@intrinsic
def low_levels(typing, table, pairs):
    """Les niveaux que désignent les 4 bits bas de chaque octet."""

    def generate(context, builder, signature, args):
        table, pairs = args
        return _look_up(context, builder, table, builder.and_(pairs, _all(pairs.type, 15)))

    return Levels(Bytes, Bytes), generate


@intrinsic
def high_levels(typing, table, pairs):
    """Les niveaux que désignent les 4 bits hauts de chaque octet."""

    def generate(context, builder, signature, args):
        table, pairs = args
        return _look_up(context, builder, table, builder.lshr(pairs, _all(pairs.type, 4)))

    return Levels(Bytes, Bytes), generate


@intrinsic
def float_of_bits(typing, bits):
    """Le nombre en simple précision qu’écrivent ces 32 bits."""

    def generate(context, builder, signature, args):
        return builder.bitcast(*args, _F32)

    return types.float32(types.int32), generate


@intrinsic
def no_totals(typing):
    """Seize zéros."""
    return Totals(), lambda context, builder, signature, args: _all(Totals.data, 0.0)


@intrinsic
def add_products(typing, totals, levels, x, place, factors, rank):
    """totals + niveaux × x[place : place + 16] × factors[rank], nombre par nombre."""

    def generate(context, builder, signature, args):
        totals, levels, x, place, factors, rank = args
        kinds = signature.args
        inputs = _load(context, builder, kinds[2], x, place, Totals.data, 4)
        factor = _load(context, builder, kinds[4], factors, rank, _F32, 4)
        products = builder.fmul(levels, inputs)
        return builder.fadd(totals, builder.fmul(products, _repeat(builder, factor)))

    return Totals(Totals, Levels, x, types.intp, factors, types.intp), generate


@intrinsic
def sum_totals(typing, first, second):
    """La somme de deux fois seize sommes."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(_F32, (_F32, Totals.data))
        name = "llvm.vector.reduce.fadd.v16f32"
        reduce = cgutils.get_or_insert_function(builder.module, kind, name)
        both = builder.fadd(*args)
        return builder.call(reduce, [ir.Constant(_F32, 0.0), both], fastmath=["reassoc"])

    return types.float32(Totals, Totals), generate


@intrinsic
def store_weights(typing, row, place, levels, factor, shift):
    """Écrit 16 poids, niveau × facteur + décalage, dans row[place : place + 16]."""

    def generate(context, builder, signature, args):
        row, place, levels, factor, shift = args
        numbers = builder.fmul(levels, _repeat(builder, factor))
        numbers = builder.fadd(numbers, _repeat(builder, shift))
        target = _pointer(context, builder, signature.args[0], row, place, Totals.data)
        builder.store(numbers, target, align=4)
        return context.get_dummy_value()

    return types.void(row, types.intp, levels, types.float32, types.float32), generate
