"""Le texte d’un tableau : la colonne évidente d’un JSON, d’un JSONL, d’un CSV, d’un cahier."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path

TEXT_COLUMNS = ("text", "texte", "content", "contenu", "body", "corps")
_SAMPLE = 2**16


def json_text(text: str, path: Path) -> tuple[str, str] | None:
    """Le texte d’un cahier, d’un JSON ou d’un JSONL ; None si ce n’en est pas.

    Erreur : ValueError si aucune colonne n’est évidemment celle du texte.
    """
    rows = _json_lines(text)
    if rows is not None:
        return _column(rows, "JSONL", path, f"jq -r .COLONNE {shlex.quote(str(path))} > texte.txt")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict) and isinstance(content.get("cells"), list):
        return _notebook(content["cells"])
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 and _are_rows(lists[0]) else [content]
    if content and all(isinstance(item, str) for item in content):
        return "\n".join(content) + "\n", f"Liste JSON : {len(content)} textes mis bout à bout."
    if not _are_rows(content):
        return None
    command = f"jq -r '.[].COLONNE' {shlex.quote(str(path))} > texte.txt"
    return _column(content, "Tableau JSON", path, command)


def csv_text(text: str, suffix: str, path: Path) -> tuple[str, str]:
    """La colonne de texte d’un CSV ou d’un TSV, dont la première ligne nomme les colonnes.

    Erreur : ValueError si le tableau est mal formé ou sans colonne évidente.
    """
    delimiter = "\t" if suffix in ("tsv", "tab") else _delimiter(text)
    csv.field_size_limit(2**31 - 1)
    try:
        header, *lines = [
            line for line in csv.reader(io.StringIO(text), delimiter=delimiter) if line
        ]
    except (csv.Error, ValueError) as error:
        raise ValueError(f"Le tableau « {path} » est illisible comme CSV.") from error
    header = [name.strip() for name in header]
    uneven = next((i for i, line in enumerate(lines) if len(line) != len(header)), None)
    if uneven is not None:
        raise ValueError(
            f"Le tableau « {path} » a {len(header)} colonnes, mais sa ligne {uneven + 2} en a "
            f"{len(lines[uneven])}. Corrigez-le, ou renommez-le en .txt si c’est un texte."
        )
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    command = f"renommez « text » la colonne voulue dans {path.name}"
    return _column(rows, "Tableau CSV", path, command)


def _delimiter(text: str) -> str:
    """Le séparateur qui découpe la première ligne en plus de morceaux."""
    first = text.lstrip("\n").partition("\n")[0]
    return max(",;\t", key=first.count)


def _json_lines(text: str) -> list[dict] | None:
    """Les objets d’un JSONL d’au moins deux lignes ; None si une ligne n’en est pas un."""
    rows = []
    for line in io.StringIO(text):
        if not line.strip():
            continue
        if not line.lstrip().startswith("{"):
            return None
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            return None
    return rows if len(rows) > 1 else None


def _are_rows(content: object) -> bool:
    return isinstance(content, list) and bool(content) and all(isinstance(r, dict) for r in content)


def _column(rows: list[dict], kind: str, path: Path, command: str) -> tuple[str, str]:
    """La colonne nommée « text » ou ses pareilles ; à défaut, la seule qui soit faite de texte."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    named = [name for name in names if name.strip().lower() in TEXT_COLUMNS]
    wordy = [name for name in names if _is_prose([row.get(name) for row in rows])]
    chosen = named if len(named) == 1 else [] if named else wordy
    if len(chosen) != 1:
        shown = ", ".join(f"« {name} »" for name in names[:8])
        raise ValueError(
            f"{kind} « {path} » : colonnes {shown or 'absentes'}. Aucune n’est, seule, celle du "
            f"texte. Choisissez-la : {command}."
        )
    texts = [row.get(chosen[0]) for row in rows]
    kept = [text for text in texts if isinstance(text, str) and text.strip()]
    notice = f"{kind} : colonne « {chosen[0]} », {len(kept)} lignes sur {len(rows)}"
    others = [name for name in names if name != chosen[0]]
    if others:
        notice += f" ; autres colonnes laissées de côté : {len(others)}"
    return "\n".join(text.rstrip("\n") for text in kept) + "\n", notice + "."


def _is_prose(values: list) -> bool:
    """Des chaînes de plusieurs mots, pour la moitié au moins."""
    texts = [value for value in values if isinstance(value, str)]
    return 2 * sum(len(text.split()) > 2 for text in texts) >= max(1, len(values))


def _notebook(cells: list) -> tuple[str, str]:
    """Le texte et le code d’un cahier Jupyter, cellule après cellule ; ses sorties sont ôtées."""
    sources, counts = [], {"markdown": 0, "code": 0}
    for cell in cells:
        kind = cell.get("cell_type") if isinstance(cell, dict) else None
        source = cell.get("source", "") if kind in counts else ""
        lines = source if isinstance(source, list) else [source]
        content = "".join(line for line in lines if isinstance(line, str)).strip()
        if content:
            sources.append(content)
            counts[kind] += 1
    return "\n\n".join(sources) + "\n", (
        f"Cahier Jupyter : {counts['markdown']} cellules de texte et {counts['code']} de code "
        "gardées, sorties ôtées."
    )
