"""Refait `llm_kernels.js` : les noyaux de `llm_kernels.c`, compilés en WebAssembly.

    pip install ziglang==0.17.1
    python -m course_lib.widgets.kernels

Le module compilé pèse quelques kilo-octets et voyage en base 64 dans un fichier JavaScript : le
site et le cahier le lisent de la même façon, sans rien demander à personne. zig apporte clang ;
seule cette commande en a besoin. La même version rend les mêmes octets.
"""

import base64
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from course_lib.files import write_text

FOLDER = Path(__file__).parent
SOURCE, MODULE = FOLDER / "llm_kernels.c", FOLDER / "llm_kernels.js"
COMPILER = "ziglang==0.17.1"
OPTIONS = (
    "-target", "wasm32-freestanding", "-msimd128", "-O3", "-nostdlib",
    "-Wl,--no-entry", "-Wl,--export=__heap_base", "-Wl,--strip-all",
)  # fmt: skip
_HEAD = """/**
 * Les noyaux de calcul, compilés de llm_kernels.c (WebAssembly SIMD, en base 64).
 * Fichier engendré : python -m course_lib.widgets.kernels
 */

"""


def compile_kernels(source: Path = SOURCE) -> bytes:
    """Compile les noyaux et rend le module WebAssembly.

    ModuleNotFoundError si zig n’est pas installé ; RuntimeError, avec ce que dit le compilateur,
    s’il refuse la source.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise ModuleNotFoundError(
            f"Il faut un compilateur pour WebAssembly : installez-le (pip install {COMPILER})."
        )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "kernels.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *OPTIONS, "-o", str(target), str(source)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"« {source.name} » ne se compile pas :\n{result.stderr}")
        return target.read_bytes()


def read_kernels(module: Path = MODULE) -> bytes:
    """Le module WebAssembly que porte `llm_kernels.js`."""
    return base64.b64decode(module.read_text("utf-8").split('"')[1])


def main() -> None:
    """Compile, écrit `llm_kernels.js` et dit son poids."""
    content = compile_kernels()
    text = base64.b64encode(content).decode()
    write_text(MODULE, f'{_HEAD}export const KERNELS =\n  "{text}";\n')
    print(f"{MODULE.name} : {len(content)} octets de WebAssembly.")


if __name__ == "__main__":
    main()
