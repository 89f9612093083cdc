"""Ce qu’un texte lu a d’étrange : on l’apprendra tel quel, mais il faut le dire.

Un texte n’est jamais refusé pour ces indices : une pièce, un poème, un roman peuvent leur
ressembler.
"""

from __future__ import annotations

import re
from collections import Counter

SAMPLE = 2**18  # caractères lus
_TAG = re.compile(r"</?[A-Za-z][\w:-]*(?:\s[^<>\n]*)?/?>")
_ENTITY = re.compile(r"&(?:#\d+|#x[\da-fA-F]+|[a-zA-Z]{2,8});")
_QUOTED_PRINTABLE = re.compile(r"=(?:C3=[89AB][0-9A-F]|E[0-9A-F](?=[a-z]))")
_SUBTITLE = re.compile(r"^\d\d:\d\d:\d\d[,.]\d{3} --> ", re.MULTILINE)


def suspicions(text: str) -> list[str]:
    """Les remarques, en clair ; aucune pour un texte ordinaire."""
    sample = text[:SAMPLE]
    checks = (_markup, _json_rows, _table, _subtitles, _pages, _mail)
    return [notice for check in checks if (notice := check(sample))]


def _markup(text: str) -> str | None:
    tags, entities = _TAG.findall(text), _ENTITY.findall(text)
    if len(tags) + len(entities) < 10 or 400 * (len(tags) + len(entities)) < len(text):
        return None
    example = (tags or entities)[0]
    return (
        f"Ce texte porte des balises ({len(tags)}, dont « {example[:30]} ») : elles seront "
        "apprises comme du texte. Si c’est une page, donnez-lui un nom en .html : seul le texte en "
        "sera lu."
    )


def _json_rows(text: str) -> str | None:
    lines = [line for line in text.split("\n")[:1000] if line.strip()]
    n_rows = sum(line.startswith('{"') for line in lines)
    if n_rows < 3 or 2 * n_rows < len(lines):
        return None
    return (
        f"Ce texte ressemble à du JSONL abîmé : {n_rows} lignes commencent par une accolade et "
        "seront apprises telles quelles. Corrigez-le : jq -c . en montre la faute."
    )


def _table(text: str) -> str | None:
    """Dix lignes ou plus, toutes coupées en autant de morceaux par le même signe."""
    lines = list({line for line in text.split("\n")[:1000] if line.strip()})
    if len(lines) < 10:
        return None
    for sign, fewest in (("\t", 1), (";", 2), (",", 2)):
        counts = Counter(line.count(sign) for line in lines)
        ((usual, n_lines),) = counts.most_common(1)
        if usual >= fewest and n_lines >= 0.95 * len(lines):
            return (
                f"Ce texte ressemble à un tableau de {usual + 1} colonnes : elles seront toutes "
                "apprises. Donnez-lui un nom en .csv (ou .tsv) pour n’en lire que le texte."
            )
    return None


def _subtitles(text: str) -> str | None:
    n_times = len(_SUBTITLE.findall(text))
    if n_times < 5:
        return None
    return f"Des sous-titres : {n_times} minutages seront appris comme du texte. Ôtez-les."


def _pages(text: str) -> str | None:
    """Les hauts et bas de page d’un PDF passé en texte : mêmes lignes autour des sauts de page."""
    pages = text.split("\f")
    if len(pages) < 4:
        return None
    edges = Counter()
    for page in pages:
        lines = [line.strip() for line in page.strip().split("\n")]
        edges.update({re.sub(r"\d+", "0", line) for line in (lines[0], lines[-1]) if line})
    repeated = [line for line, count in edges.items() if 2 * count >= len(pages)]
    if not repeated:
        return None
    return (
        f"Ce texte vient d’un document de {len(pages)} pages dont les bords se répètent "
        f"(« {repeated[0][:40]} ») : ils seront appris. Ôtez-les, ou relisez le PDF par pdftotext "
        "-nopgbrk avec un cadre (-x -y -W -H)."
    )


def _mail(text: str) -> str | None:
    n_codes = len(_QUOTED_PRINTABLE.findall(text))
    if n_codes < 5:
        return None
    return (
        f"{n_codes} accents sont écrits à la façon des courriels (« =C3=A9 » pour « é ») : décodez-"
        "les d’abord, par exemple avec quopri, de la bibliothèque de Python."
    )
