"""Tirer le texte de ce qui n’en est pas tout à fait : page HTML ou TEI, cahier, tableau.

Le nom du fichier ou une forme sans équivoque en décide : tout le fichier se lit en JSON, il
s’ouvre par « <!DOCTYPE html> ». Un texte qui contient un « < », une accolade ou des
points-virgules reste un texte. Ce qui est gardé se dit toujours.
"""

from __future__ import annotations

import re
import shlex

from course_lib.corpora.user_text.files import Source
from course_lib.corpora.user_text.markup import html_text, tei_text
from course_lib.corpora.user_text.tables import csv_text, json_text

_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.I | re.S
)
_TEI = re.compile(r"<(?:\w+:)?TEI(?:\.2)?[\s>]")
_XML = re.compile(r"\s*<\?xml\s[^>]*\?>")
_MAIL = re.compile(r"(?:From |(?:[A-Z][\w-]+: .*\n(?:[ \t].*\n)*){3,}\n)")


def extract(text: str, source: Source) -> tuple[str, list[str]]:
    """Le texte à apprendre, et ce qui en a été tiré ; sans balise, le texte lui-même.

    Erreur : ValueError pour un XML d’un genre inconnu, ou un tableau sans colonne évidente.
    """
    suffix = source.name.lower().rpartition(".")[2]
    start = text[:4096]
    if _HTML.match(start) or (suffix in ("html", "htm", "xhtml") and _is_markup(text)):
        return _checked(html_text(text), source)
    if _XML.match(start) or (suffix in ("xml", "tei") and _is_markup(text)):
        if _TEI.search(text[: 2**16]):
            return _checked(tei_text(text), source)
        raise _unknown_markup(source)
    if suffix in ("csv", "tsv", "tab"):
        return _checked(csv_text(text, suffix, source.path), source)
    if start.lstrip()[:1] in ("{", "[") and (read := json_text(text, source.path)):
        return _checked(read, source)
    if suffix in ("json", "jsonl", "ndjson", "ipynb"):
        raise ValueError(
            f"Le fichier « {source.path} » porte un nom de JSON mais n’en est pas, ou n’a pas de "
            "texte. Corrigez-le (jq . en montre la faute), ou renommez-le en .txt si c’en est un."
        )
    if suffix in ("eml", "mbox", "mht", "mhtml") and _MAIL.match(start):
        raise ValueError(
            f"Le fichier « {source.path} » est un courriel : en-têtes et codage y cachent le "
            "texte. Enregistrez-le en texte seul depuis votre messagerie."
        )
    return text, []


def _is_markup(text: str) -> bool:
    return len(re.findall(r"</[A-Za-z][\w:.-]*\s*>", text[: 2**16])) >= 2


def _checked(read: tuple[str, str], source: Source) -> tuple[str, list[str]]:
    """Refuse un texte tiré vide ou qui porte des demi-codets, que JSON sait écrire."""
    text, notice = read
    if not text or text.isspace():
        raise ValueError(f"Le fichier « {source.path} » est vide de texte : {notice}")
    if lone := re.search("[\x00-\x08\x0e-\x1f\ud800-\udfff]", text):
        raise ValueError(
            f"Le texte tiré de « {source.path} » contient U+{ord(lone[0]):04X}, qui n’est pas un "
            "caractère. Corrigez le fichier d’où il vient."
        )
    return text, [notice]


def _unknown_markup(source: Source) -> ValueError:
    return ValueError(
        f"Le fichier « {source.path} » est du XML d’un genre inconnu : ses balises seraient "
        "apprises. Tirez-en le texte : xmllint --xpath 'string(/)' "
        f"{shlex.quote(str(source.path))} > texte.txt."
    )
