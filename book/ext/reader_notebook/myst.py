"""Lire le MyST des chapitres avec l’analyseur du site : directives, options, rôles."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

ROOT = Path(__file__).resolve().parents[3]
DIRECTIVE = re.compile(r"\{([\w:-]+)\}\s*(.*)", re.DOTALL)
# Un passage entre accents graves, précédé ou non du nom d’un rôle : {term}`jeton`.
SPAN = re.compile(r"(?:\{([\w:-]+)\})?(`+)(?!`)(.+?)(?<!`)\2(?!`)", re.DOTALL)
TARGETED = re.compile(r"(.*?)\s*<([^<>]+)>", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """Un morceau du texte : `kind` est directive, verbatim, target, equation, heading ou prose."""

    kind: str
    text: str
    line: int
    name: str = ""
    argument: str = ""
    options: dict = field(default_factory=dict)


@cache
def settings() -> dict:
    """`_config.yml`."""
    return yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))


@cache
def parser() -> MarkdownIt:
    """L’analyseur du site, avec les extensions de `_config.yml`."""
    extensions = set(settings()["parse"]["myst_enable_extensions"])
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


def cut(text: str) -> list[Piece]:
    """Découpe un texte MyST en morceaux, dans l’ordre ; chaque ligne est dans un seul.

    ValueError si une directive est dans une liste ou une citation : elle ne s’y récrirait pas.
    """
    lines, pieces, position = text.split("\n"), [], 0
    for token in parser().parse(text, {}):
        piece = _piece(token, lines)
        if piece is None or token.map[0] < position:
            continue
        if token.map[0] > position:
            pieces.append(Piece("prose", "\n".join(lines[position : token.map[0]]), position))
        pieces.append(piece)
        position = token.map[1]
    if position < len(lines):
        pieces.append(Piece("prose", "\n".join(lines[position:]), position))
    return pieces


def _piece(token, lines: list[str]) -> Piece | None:
    """Le morceau que ce jeton de l’analyseur commence ; None s’il n’en commence aucun."""
    if token.type in ("fence", "colon_fence"):
        return _fence(token, lines)
    if token.map is None:
        return None
    source, line = "\n".join(lines[slice(*token.map)]), token.map[0]
    if token.type == "code_block":
        return Piece("verbatim", source, line)
    if token.type in ("math_block", "math_block_label", "amsmath"):
        label = token.info if token.type == "math_block_label" else ""
        return Piece("equation", token.content, line, options={"label": label} if label else {})
    if token.type == "myst_target":
        return Piece("target", "", line, name=token.content)
    if token.type in ("myst_line_comment", "myst_block_break"):
        return Piece("comment", "", line)
    if token.type == "heading_open" and token.level == 0:
        return Piece("heading", source, line)
    return None


def _fence(token, lines: list[str]) -> Piece:
    source, line = "\n".join(lines[slice(*token.map)]), token.map[0]
    found = DIRECTIVE.fullmatch(token.info.strip())
    if not found:
        return Piece("verbatim", source, line)
    if token.level:
        raise ValueError(
            f"ligne {line + 1} : la directive « {found[1]} » est dans une liste ou une citation. "
            "Sortez-l’en."
        )
    options, body = split_options(token.content)
    return Piece("directive", body, line, found[1], found[2].strip(), options)


def split_options(content: str) -> tuple[dict, str]:
    """Les options d’une directive, écrites `:nom: valeur` ou en YAML, et son texte."""
    lines = content.rstrip("\n").split("\n")
    if lines[0].strip() == "---":
        end = lines.index("---", 1)
        return yaml.safe_load("\n".join(lines[1:end])) or {}, "\n".join(lines[end + 1 :]).strip(
            "\n"
        )
    options, start = {}, 0
    while start < len(lines) and (found := re.match(r":([\w-]+):\s*(.*)", lines[start])):
        options[found[1]] = found[2]
        start += 1
    return options, "\n".join(lines[start:]).strip("\n")


def target_of(text: str) -> tuple[str, str]:
    """« texte <cible> » donne (texte, cible) ; sans chevrons, ("", texte)."""
    found = TARGETED.fullmatch(text)
    return (found[1], found[2]) if found else ("", text)
