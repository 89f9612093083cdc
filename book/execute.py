"""Exécute les chapitres : chapters/NN_nom.md (MyST) devient NN_nom.ipynb, de façon reproductible.

Relancer la commande sans rien changer ne produit aucun diff : pas de durée, des identifiants de
cellule stables, aucun état de composant (leur forme HTML suffit à la page). Seuls les chapitres
dont le code a changé sont exécutés ; si seule la prose a changé, les sorties sont gardées. `--all`
les reprend tous, par exemple après un changement de `course_lib`.

    python book/execute.py [--all] [--check] [NN_nom …]
"""

import argparse
import hashlib
import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from jupytext.myst import MystMetadataParsingError
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"
# Fixés pour que deux machines donnent le même résultat, à l’arrondi près ; un fil, comme les tests.
KERNEL_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
CELL_TIMEOUT_SECONDS = 600


def read_source(path: Path) -> nbformat.NotebookNode:
    """Lit un chapitre MyST et lui donne des identifiants de cellule stables.

    ValueError si l’en-tête d’une cellule n’est pas du YAML.
    """
    try:
        notebook = jupytext.read(path)
    except MystMetadataParsingError as error:
        raise ValueError(
            f"{path.name} : l’en-tête d’une cellule n’est pas du YAML. Un texte qui contient "
            f"« : » doit y être entre guillemets.\n{error}"
        ) from error
    for index, cell in enumerate(notebook.cells):
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        cell["id"] = f"c{index:03d}-{digest}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def disagreements(source: Path, target: Path) -> list[str]:
    """Dit, phrase par phrase, en quoi le cahier diffère de sa source ou n’est pas exécuté."""
    if not target.exists():
        return [f"{target.name} n'existe pas : lancez « python cours.py chapitres »."]
    expected, found = read_source(source).cells, nbformat.read(target, as_version=4).cells
    if len(expected) != len(found):
        return [
            f"{source.name} a {len(expected)} cellules, {target.name} en a {len(found)} : "
            "lancez « python cours.py chapitres »."
        ]
    problems = []
    for index, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
        for name in ("cell_type", "source", "metadata"):
            if ours[name] != theirs[name]:
                problems.append(
                    f"{target.name}, cellule {index} : {name} diffère de {source.name}."
                )
        problems += [f"{target.name}, cellule {index} : {p}" for p in execution_problems(theirs)]
    return problems


def execution_problems(cell: nbformat.NotebookNode) -> list[str]:
    """Dit si une cellule de code n’a pas été exécutée, ou l’a été avec une erreur."""
    if cell.cell_type != "code" or not cell.source.strip():
        return []
    problems = [] if cell.execution_count else ["n'a pas été exécutée."]
    if "raises-exception" not in cell.metadata.get("tags", []):
        failed = [output.ename for output in cell.outputs if output.output_type == "error"]
        problems += [f"s'est terminée par {name}." for name in failed]
    return problems


def strip_volatile(notebook: nbformat.NotebookNode) -> None:
    """Retire ce qui change d’une exécution à l’autre sans rien apprendre au lecteur."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            # La forme HTML du composant reste ; l’identifiant de la vue, tiré au hasard, s’en va.
            if "text/html" in data:
                data.pop(WIDGET_VIEW, None)


def execute(source: Path, target: Path) -> None:
    """Exécute un chapitre dans son dossier et écrit le cahier d’un seul geste.

    Lève `CellExecutionError` si une cellule échoue : le cahier en place reste alors intact.
    """
    notebook = read_source(source)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(source.parent)}},
    )
    client.execute(env={**os.environ, **KERNEL_ENVIRONMENT})
    strip_volatile(notebook)
    write_atomically(target, nbformat.writes(notebook) + "\n")


def refresh(source: Path, target: Path) -> bool:
    """Reprend la prose sans rien exécuter si aucun code n’a changé ; dit si c’est fait.

    Les sorties ne dépendent que du code : celles du cahier en place restent vraies.
    """
    if not target.exists():
        return False
    notebook = read_source(source)
    old = [c for c in nbformat.read(target, as_version=4).cells if c.cell_type == "code"]
    new = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [(c.source, c.metadata) for c in old] != [(c.source, c.metadata) for c in new]:
        return False
    if any(execution_problems(cell) for cell in old):
        return False
    for cell, done in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    write_atomically(target, nbformat.writes(notebook) + "\n")
    return True


def write_atomically(path: Path, text: str) -> None:
    """Écrit dans un fichier voisin puis le met en place : jamais de cahier à moitié écrit."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def select_sources(names: list[str]) -> list[Path]:
    """Trouve les chapitres demandés (tous si `names` est vide)."""
    sources = sorted(CHAPTERS.glob("*.md"))
    wanted = {Path(name).stem for name in names}
    unknown = wanted - {source.stem for source in sources}
    if unknown:
        known = ", ".join(source.stem for source in sources) or "aucun"
        raise FileNotFoundError(
            f"Chapitre inconnu : {', '.join(sorted(unknown))}. Chapitres présents : {known}."
        )
    return [source for source in sources if not wanted or source.stem in wanted]


def main(arguments: list[str] | None = None) -> int:
    """Point d’entrée : 0 si tout va bien, 1 si un chapitre échoue ou diffère."""
    parser = argparse.ArgumentParser(description="Exécute les chapitres du cours.")
    parser.add_argument("chapters", nargs="*", help="chapitres à traiter (tous par défaut)")
    parser.add_argument("--all", action="store_true", help="exécute même ce qui n’a pas changé")
    parser.add_argument("--check", action="store_true", help="compare sans rien exécuter")
    options = parser.parse_args(arguments)
    try:
        sources = select_sources(options.chapters)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        return max([process(source, options) for source in sources], default=0)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


def process(source: Path, options: argparse.Namespace) -> int:
    """Traite un chapitre selon les options ; rend le code de sortie."""
    target = source.with_suffix(".ipynb")
    problems = disagreements(source, target)
    if options.check:
        print("\n".join(problems) or f"{source.stem} : à jour.")
        return int(bool(problems))
    if not problems and not options.all:
        print(f"{source.stem} : inchangé.")
        return 0
    if not options.all and refresh(source, target):
        print(f"{source.stem} : seule la prose a changé, les sorties sont gardées.")
        return 0
    print(f"{source.stem} : exécution…", flush=True)
    try:
        execute(source, target)
    except CellExecutionError as error:
        print(f"{source.stem} : une cellule a échoué ; le cahier n'est pas modifié.\n{error}")
        return 1
    print(f"{source.stem} : écrit dans {target.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
