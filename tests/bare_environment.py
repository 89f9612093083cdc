"""Exécute des cahiers de haut en bas, sans rien de plus que ce que leur installation apporte.

Installer PyTorch dans un environnement neuf prend des minutes. On part plutôt des distributions de
la cellule d’installation, on suit leurs dépendances, et l’on cache à Python tout le reste : ce qui
n’y est pas lève ModuleNotFoundError, comme dans un environnement nu.

    python tests/bare_environment.py cahiers/10_du_texte_a_la_distillation.ipynb …
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nbformat
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# Ce que tout Jupyter apporte avec son noyau.
KERNEL = ("ipykernel",)
# Les nôtres sont lues dans le dépôt, installées ou non.
PROJECTS = {
    "course-lib": "pyproject.toml",
    "course-experiments": "course_experiments/pyproject.toml",
}


def dependencies(name: str) -> list[Requirement]:
    """Ce que demande une distribution, suppléments compris ; vide si elle n’est pas installée."""
    if name in PROJECTS:
        project = tomllib.loads((ROOT / PROJECTS[name]).read_text("utf-8"))["project"]
        extras = project.get("optional-dependencies", {})
        lines = project["dependencies"] + [
            f"{line}; extra == '{extra}'" for extra, lines in extras.items() for line in lines
        ]
    else:
        try:
            lines = distribution(name).requires or []
        except PackageNotFoundError:
            return []
    return [Requirement(line) for line in lines]


def closure(requirements: list[str]) -> set[str]:
    """Les distributions qu’installerait `pip install`, dépendances des dépendances comprises."""
    waiting, seen = [Requirement(line) for line in requirements], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            waiting += [
                asked
                for asked in dependencies(name)
                if asked.marker is None or asked.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in seen}


def visible_modules(requirements: list[str]) -> set[str]:
    """Les modules de premier niveau que ces distributions apportent, d’après leurs fichiers."""
    modules = {"course_lib", "course_experiments"}
    for name in closure([*requirements, *KERNEL]) - set(PROJECTS):
        try:
            record = distribution(name).read_text("RECORD") or ""
        except PackageNotFoundError:  # pour un autre système
            continue
        modules |= {re.split(r"[/.,]", line, maxsplit=1)[0] for line in record.splitlines()}
    return modules


class Filter:
    """Un chercheur de modules qui ne trouve que ce qui est permis."""

    def __init__(self, finder, allowed: set[str]):
        self.finder, self.allowed = finder, allowed

    def find_spec(self, name, path=None, target=None):
        """Rien, si le module n’est ni permis, ni de la bibliothèque standard."""
        top = name.split(".")[0]
        if top not in self.allowed and top not in sys.stdlib_module_names:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


def run_here(path: Path, requirements: list[str]) -> None:
    """Cache ce qui n’est pas permis, exécute le cahier dans ce processus, s’arrête à l’échec."""
    cells = nbformat.read(path, as_version=4).cells
    sources = [(c.source, c.metadata.get("tags", [])) for c in cells if c.cell_type == "code"]
    allowed = visible_modules(requirements)
    sys.meta_path[:] = [Filter(finder, allowed) for finder in sys.meta_path]
    for name in [name for name in sys.modules if name.split(".")[0] not in allowed]:
        if name.split(".")[0] not in {*sys.stdlib_module_names, "__main__"}:
            del sys.modules[name]
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    for rank, (source, tags) in enumerate(sources):
        done = shell.run_cell(source, silent=False)
        if not done.success and "raises-exception" not in tags:
            print(f"{path.name}, cellule de code {rank} :\n{source}", file=sys.stderr)
            sys.exit(1)


def run_bare(path: Path, requirements: list[str]) -> subprocess.CompletedProcess:
    """Exécute un cahier dans un processus neuf, loin du dépôt."""
    code = "import pathlib, sys, bare_environment as bare\n"
    code += "bare.run_here(pathlib.Path(sys.argv[1]), sys.argv[2:])"
    variables = {
        **os.environ,
        "MPLBACKEND": "agg",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    }
    variables |= {"PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "IPYTHONDIR": tempfile.mkdtemp()}
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, "-c", code, str(path.resolve()), *requirements],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )


def main(paths: list[str]) -> int:
    """Exécute chaque cahier ; rend 1 si l’un échoue."""
    sys.path.insert(0, str(ROOT / "book" / "ext"))
    from reader_notebook.colab import requirements

    failures = 0
    for path in map(Path, paths):
        start = time.monotonic()
        asked = requirements(nbformat.read(path, as_version=4).cells)
        done = run_bare(path, asked)
        print(
            f"{path.name} : {'réussi' if not done.returncode else 'ÉCHEC'}, "
            f"{time.monotonic() - start:.0f} s ({', '.join(asked)})",
            flush=True,
        )
        if done.returncode:
            failures += 1
            print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
