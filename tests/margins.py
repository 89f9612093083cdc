"""Mesure la marge de chaque comparaison : celles des tests, et celles des affirmations du cours.

`tests/processeurs.py` s’en sert pour savoir quelle borne tient à un cheveu. Dans un test, chaque
`assert a < b`, chaque `approx` et chaque `assert_close` est relevé ; dans un chapitre, chaque
comparaison d’un `claim`. Les relevés s’ajoutent, un objet JSON par ligne, au fichier que nomme
COURS_MARGES. COURS_BRUIT, un entier, imite un processeur de plus : les poids que reçoit un
optimiseur changent d’un dernier bit, comme ils changeraient ailleurs au premier produit.

Se charge par `pytest -p margins`, et par une ligne ajoutée en tête des cahiers instrumentés.
"""

import ast
import functools
import json
import math
import operator
import os
import zlib

import numpy as np
import pytest

ORDER = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
FUNCTIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
RECORDER = "__compare__"

_closest: dict[str, float] = {}
_current = {"test": ""}  # le test en cours, ou le chapitre


def record(place: str, margin: float, left: float, right: float, kind: str) -> None:
    """Garde, par endroit, le cas le plus serré : `margin` est nulle quand la borne est atteinte."""
    if not math.isfinite(margin) or margin >= _closest.get(place, math.inf):
        return
    _closest[place] = margin
    path = os.environ.get("COURS_MARGES")
    if path:
        line = {"place": place, "margin": margin, "left": left, "right": right, "kind": kind}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def compare(place: str, values: list, signs: list[str]):
    """Rend ce que rendrait `a < b <= c`, et relève l’écart de chaque couple de nombres."""
    result = True
    for sign, left, right in zip(signs, values[:-1], values[1:], strict=True):
        result = FUNCTIONS[sign](left, right)
        _record_pair(place, sign, left, right)
        if isinstance(result, bool | np.bool_) and not result:
            break
    return result


def _record_pair(place: str, sign: str, left, right) -> None:
    try:
        a, b = (np.asarray(v.detach() if hasattr(v, "detach") else v) for v in (left, right))
        if not any(v.dtype.kind == "f" for v in (a, b)):  # un compte exact n’a pas de marge
            return
        a, b = np.broadcast_arrays(a.astype(float), b.astype(float))
    except (TypeError, ValueError, RuntimeError):
        return
    if a.size == 0:
        return
    gap = (b - a) if sign.startswith("<") else (a - b)
    scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-30)
    with np.errstate(invalid="ignore"):
        relative = np.where(np.isfinite(gap), gap / scale, np.inf).ravel()
    worst = int(np.argmin(relative))
    name = f"{_current['test']}:{place}" if _current["test"] else place
    record(name, float(relative[worst]), float(a.flat[worst]), float(b.flat[worst]), sign)


class Instrument(ast.NodeTransformer):
    """Remplace chaque comparaison d’ordre par un appel à `compare`."""

    def __init__(self, place: str):
        self.place = place

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if not all(type(op) in ORDER for op in node.ops):
            return node
        call = ast.Call(
            ast.Name(RECORDER, ast.Load()),
            [
                ast.Constant(f"{self.place}:{node.lineno}"),
                ast.List([node.left, *node.comparators], ast.Load()),
                ast.List([ast.Constant(ORDER[type(op)]) for op in node.ops], ast.Load()),
            ],
            [],
        )
        return ast.fix_missing_locations(ast.copy_location(call, node))


def instrument_cell(source: str, place: str) -> str:
    """Instrumente la condition de chaque `claim` d’une cellule, sans toucher au reste du code."""
    try:
        calls = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "claim"
            and node.args
        ]
    except SyntaxError:  # une ligne magique de Jupyter
        return source
    starts = np.cumsum([0, *(len(line.encode()) for line in source.splitlines(keepends=True))])
    content = source.encode()
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        condition = call.args[0]
        first = starts[condition.lineno - 1] + condition.col_offset
        last = starts[condition.end_lineno - 1] + condition.end_col_offset
        changed = Instrument(place).visit(condition)
        # La condition d’un `claim` n’est jamais affichée : elle peut tenir sur une ligne.
        content = content[:first] + ast.unparse(changed).encode() + content[last:]
    return content.decode()


def start(place: str = "") -> None:
    """Met en place le relevé et le bruit, dans ce processus."""
    import builtins

    setattr(builtins, RECORDER, compare)
    _current["test"] = place
    noise = os.environ.get("COURS_BRUIT")
    if noise:
        _add_noise(int(noise))


def _add_noise(seed: int) -> None:
    """Change d’un dernier bit les poids confiés à un optimiseur ; mêmes poids, même bruit."""
    import torch

    original = torch.optim.Optimizer.__init__

    @functools.wraps(original)
    def noisy(self, params, defaults):
        original(self, params, defaults)
        with torch.no_grad():
            for group in self.param_groups:
                for rank, weight in enumerate(group["params"]):
                    if not weight.is_floating_point() or type(weight) is not torch.nn.Parameter:
                        continue
                    key = zlib.crc32(f"{seed} {rank} {tuple(weight.shape)}".encode())
                    draw = torch.Generator().manual_seed(key)
                    epsilon = torch.finfo(weight.dtype).eps / 2
                    weight.mul_(1 + epsilon * torch.randn(weight.shape, generator=draw))

    torch.optim.Optimizer.__init__ = noisy


def pytest_configure(config) -> None:
    """Greffon : instrumente les `assert` à leur réécriture, puis `approx` et `assert_close`."""
    import _pytest.assertion.rewrite as rewriting
    import torch

    start()
    rewrite = rewriting.rewrite_asserts

    def instrumented(tree, source, *rest):
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert):
                node.test = Instrument("assert").visit(node.test)
        return rewrite(tree, source, *rest)

    rewriting.rewrite_asserts = instrumented

    ApproxScalar = type(pytest.approx(1.0))
    equal = ApproxScalar.__eq__

    def approximately(self, actual):
        same = equal(self, actual)
        if same and isinstance(actual, float) and isinstance(self.expected, float | int):
            gap, allowed = abs(actual - self.expected), self.tolerance
            if gap:
                record(f"{_current['test']}:approx", 1 - gap / allowed, gap, allowed, "approx")
        return same

    ApproxScalar.__eq__ = approximately
    ApproxScalar.__hash__ = None
    close = torch.testing.assert_close

    @functools.wraps(close)
    def closely(actual, expected, *args, **options):
        close(actual, expected, *args, **options)
        _record_close(actual, expected, options)

    torch.testing.assert_close = closely


DEFAULTS = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float64": (1e-7, 1e-7)}


def _record_close(actual, expected, options) -> None:
    if not all(hasattr(v, "detach") and v.is_floating_point() for v in (actual, expected)):
        return
    rtol, atol = options.get("rtol"), options.get("atol")
    if rtol is None:
        rtol, atol = DEFAULTS.get(str(actual.dtype).removeprefix("torch."), (1.3e-6, 1e-5))
    if rtol == atol == 0:
        return
    a, e = actual.detach().double(), expected.detach().double()
    gap, allowed = (a - e).abs(), atol + rtol * e.abs()
    share = (gap / allowed).nan_to_num(0).flatten()
    if share.numel() and share.max() > 0:
        worst = int(share.argmax())
        record(
            f"{_current['test']}:close",
            1 - float(share[worst]),
            float(gap.flatten()[worst]),
            float(allowed.flatten()[worst]),
            "close",
        )


def pytest_runtest_setup(item) -> None:
    """Le test en cours donne leur nom aux relevés."""
    _current["test"] = item.nodeid
