"""Ouvrir un cahier ailleurs que chez soi : boutons Colab et Binder, cellule d’installation."""

import ast
import re
import sys
import tomllib
from functools import cache
from itertools import chain

import nbformat

from reader_notebook.cells import readable
from reader_notebook.links import notebook_name
from reader_notebook.myst import ROOT

NOTEBOOKS_BRANCH = "cahiers"  # la branche où le site publie les cahiers du lecteur
OURS = ("course-lib[all]", "course-experiments")
DISTRIBUTIONS = {"IPython": "ipython", "PIL": "pillow"}  # là où les deux noms diffèrent


def addresses(page: str, repository: str, branch: str) -> dict[str, str]:
    """Où ouvrir ce cahier, par nom ; `repository` est une adresse de GitHub."""
    name, path = notebook_name(page), repository.removeprefix("https://github.com/")
    return {
        "Binder": f"https://mybinder.org/v2/gh/{path}/{branch}?urlpath=lab/tree/cahiers/{name}",
        "Colab": f"https://colab.research.google.com/github/{path}/blob/{NOTEBOOKS_BRANCH}/{name}",
    }


def badges(page: str, repository: str, branch: str) -> str:
    """Les deux boutons, en Markdown."""
    found = addresses(page, repository, branch)
    images = {
        "Colab": "https://colab.research.google.com/assets/colab-badge.svg",
        "Binder": "https://mybinder.org/badge_logo.svg",
    }
    return " ".join(f"[![Ouvrir dans {n}]({images[n]})]({found[n]})" for n in images)


def requirements(cells: list[nbformat.NotebookNode]) -> list[str]:
    """Les distributions que le cahier demande : les deux du cours, et ce qu’il importe de plus."""
    asked = {DISTRIBUTIONS.get(module, module.replace("_", "-")) for module in imported(cells)}
    if any("gguf_file=" in cell.source for cell in cells):
        asked |= {"accelerate", "gguf"}  # transformers les emploie sans les demander
    return [*OURS, *sorted(asked - brought())]


@cache
def brought() -> set[str]:
    """Ce que le cours ou le noyau installent déjà : d’après les `pyproject.toml`, sans version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.match(r"[\w.-]+", line)[0] for line in lines}
    return {*names, "course-lib", "course-experiments", "ipython"}


def imported(cells: list[nbformat.NotebookNode]) -> set[str]:
    """Les modules de premier niveau que le code importe, hors bibliothèque standard."""
    names = set()
    for cell in cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(readable(cell.source))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names)


def install_cell(cells, repository: str, branch: str) -> nbformat.NotebookNode:
    """La cellule qui installe le cours, là où il manque."""
    git = f"git+{repository}@{branch}"
    places = {OURS[0]: git, OURS[1]: f"{git}#subdirectory=course_experiments"}
    wanted = [
        f"{name} @ {places[name]}" if name in places else name for name in requirements(cells)
    ]
    quoted = " ".join(f'"{name}"' for name in wanted)
    source = (
        "#@title Installation, là où le cours manque (Colab : deux minutes)\n"
        "import importlib.util\n\n"
        'if importlib.util.find_spec("course_experiments") is None:\n'
        f"    %pip install --quiet {quoted}\n"
    )
    cell = nbformat.v4.new_code_cell(source.rstrip())
    cell.metadata = {"tags": ["plumbing"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    return cell
