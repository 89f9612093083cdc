"""Le relevé d’une comparaison de vitesse : un tableau Markdown, affiché puis écrit d’un geste."""

import os
from collections.abc import Sequence
from pathlib import Path


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Compose un tableau Markdown ; les colonnes de nombres, à partir de la deuxième, à droite."""
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_report(path: Path, title: str, note: str, table: str) -> None:
    """Affiche le relevé et l’écrit dans `path` ; le fichier n’apparaît qu’une fois complet."""
    text = f"# {title}\n\n{note}\n\n{table}\n"
    print(text)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
