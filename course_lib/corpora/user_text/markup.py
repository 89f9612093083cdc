"""Le texte d’une page HTML ou d’un livre TEI, sans ses balises."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

_HTML_BLOCKS = (
    "address article aside blockquote br dd div dl dt figcaption figure footer form h1 h2 h3 h4 h5 "
    "h6 header hr li main nav ol p pre section table tr ul title td th caption option"
)
_TEI_BLOCKS = (
    "ab argument body byline castitem closer dateline div div1 div2 div3 div4 epigraph head item l "
    "lb lg list opener p pb quote row salute sp speaker stage text titlepage trailer"
)
_HTML_SKIPPED = frozenset({"script", "style", "template", "noscript", "svg", "math", "head"})
_TEI_SKIPPED = frozenset({"teiheader", "note", "figure", "fw"})
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "lb", "pb"})


class _TextParser(HTMLParser):
    """Garde le texte, une ligne par bloc ; ignore ce que contiennent certaines balises."""

    def __init__(self, blocks: frozenset[str], skipped: frozenset[str]):
        super().__init__(convert_charrefs=True)
        self.blocks, self.skipped = blocks, skipped
        self.parts, self.n_tags, self._hidden, self._verbatim = [], 0, [], 0

    def handle_starttag(self, tag, attrs):
        self.n_tags += 1
        if tag in self.skipped and tag not in _VOID:
            self._hidden.append(tag)
        # un en-tête dont la balise de fin est omise, ce que HTML permet, s’arrête au corps
        if tag == "body" and self._hidden == ["head"]:
            self._hidden.clear()
        self._verbatim += tag == "pre"
        self._break(tag)

    def handle_startendtag(self, tag, attrs):
        self.n_tags += 1
        self._break(tag)

    def handle_endtag(self, tag):
        if tag in self._hidden:
            while self._hidden.pop() != tag:
                pass
        self._verbatim -= tag == "pre" and self._verbatim > 0
        self._break(tag)

    def handle_data(self, data):
        if not self._hidden:
            self.parts.append(data if self._verbatim else re.sub(r"[ \t\n\r\f]+", " ", data))

    def _break(self, tag):
        if tag in self.blocks and not self._hidden:
            self.parts.append("\n")

    def text(self) -> str:
        """Le texte, les espaces en bord de ligne et les lignes vides répétées ôtées."""
        text = unicodedata.normalize("NFC", "".join(self.parts).replace("\r", "\n"))
        text = re.sub(r"[ \t]*\n[ \t]*", "\n", text)
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def html_text(text: str) -> tuple[str, str]:
    """Le texte d’une page HTML ou XHTML, et ce qui en a été fait."""
    parser = _parsed(text, frozenset(_HTML_BLOCKS.split()), _HTML_SKIPPED)
    return parser.text(), (
        f"Page HTML : seul son texte est gardé, {parser.n_tags} balises ôtées (les menus restent)."
    )


def tei_text(text: str) -> tuple[str, str]:
    """Le texte d’un livre TEI, sans en-tête ni notes, et ce qui en a été fait."""
    parser = _parsed(text, frozenset(_TEI_BLOCKS.split()), _TEI_SKIPPED)
    return parser.text(), (
        f"Livre TEI : seul son texte est gardé, {parser.n_tags} balises, l’en-tête et les notes "
        "ôtés."
    )


def _parsed(text: str, blocks: frozenset[str], skipped: frozenset[str]) -> _TextParser:
    parser = _TextParser(blocks, skipped)
    try:
        parser.feed(text)
        parser.close()
    except AssertionError as error:  # une déclaration que html.parser ne connaît pas
        raise ValueError(
            "Page mal formée : une de ses déclarations « <! » est illisible."
        ) from error
    return parser
