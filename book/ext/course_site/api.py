"""La page de la bibliothèque, écrite d’après ses docstrings : la directive `{course-api}`."""

import re
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from course_site.docstrings import Entry, Room, read_room

LIBRARY = Path(__file__).resolve().parents[3] / "course_lib"
# L’ordre de lecture : ce dont on a besoin d’abord, puis les étages de la maison.
ROOMS = (
    "transformer",
    "training",
    "generation",
    "pretrained",
    "models",
    "tokenization",
    "finetuning",
    "distillation",
    "preferences",
    "pruning",
    "interpretation",
    "evaluation",
    "scaling",
    "footprint",
    "rounding",
    "parallel",
    "acceleration",
    "ngram",
    "recurrent",
    "corpora",
    "cleaning",
    "retrieval",
    "figures",
    "widgets",
    "checks",
    "notebook",
    "typography",
)
# On les lance d’un terminal, ou la maison seule s’en sert.
NOT_SHOWN = ("arguments", "commands", "exercises", "extras", "files")


def inline(text: str) -> list[nodes.Node]:
    """Un texte où `code` est entre accents graves."""
    pieces = re.split(r"`([^`]+)`", text)
    return [
        nodes.literal(piece, piece) if rank % 2 else nodes.Text(piece)
        for rank, piece in enumerate(pieces)
        if piece
    ]


def blocks(text: str) -> list[nodes.Node]:
    """Une docstring en paragraphes, listes et textes alignés, laissés tels quels."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines, start = block.splitlines(), 0
        if lines[0].startswith("- "):
            found.append(_bullets(block))
            continue
        while start < len(lines):
            aligned, end = is_aligned(lines[start]), start + 1
            while end < len(lines) and is_aligned(lines[end]) == aligned:
                end += 1
            found += _aligned(lines[start:end]) if aligned else _prose(lines[start:end])
            start = end
    return found


def is_aligned(line: str) -> bool:
    """Vrai si la ligne est en retrait, ou mise en colonnes : ses blancs comptent."""
    return bool(line.startswith("  ") or re.search(r"\S {3,}\S", line))


def _aligned(lines: list[str]) -> list[nodes.Node]:
    text = textwrap.dedent("\n".join(lines))
    return [nodes.literal_block(text, text, language="text", classes=["api-aligned"])]


def _prose(lines: list[str]) -> list[nodes.Node]:
    return [nodes.paragraph("", "", *inline(" ".join(map(str.strip, lines))))]


def _bullets(block: str) -> nodes.bullet_list:
    items = re.split(r"(?:^|\n)- ", block)[1:]
    content = [nodes.paragraph("", "", *inline(" ".join(item.split()))) for item in items]
    return nodes.bullet_list("", *(nodes.list_item("", item) for item in content))


def section(identifier: str, title: str, kind: str) -> nodes.section:
    """Une section dont le titre est un nom de code."""
    found = nodes.section(ids=[identifier], names=[identifier], classes=[kind])
    found += nodes.title("", "", nodes.literal(title, title))
    return found


def signature(text: str) -> nodes.literal_block:
    """Une signature, colorée, sans bouton pour la copier."""
    return nodes.literal_block(text, text, language="python", classes=["api-signature"])


def entry_section(room: str, entry: Entry) -> nodes.section:
    """Un nom public : sa signature, son texte, puis ses méthodes."""
    found = section(f"api-{room}-{entry.name.replace('.', '-')}", entry.name, "api-name")
    found += signature(entry.signature)
    found += blocks(entry.text)
    if entry.members:
        items = [
            nodes.definition_list_item(
                "",
                nodes.term("", "", nodes.literal(member.signature, member.signature)),
                nodes.definition("", *blocks(member.text)),
            )
            for member in entry.members
        ]
        found += nodes.definition_list("", *items, classes=["api-members"])
    return found


def room_section(room: Room) -> nodes.section:
    """Une pièce : sa présentation, ses noms, ses constantes."""
    found = section(f"api-{room.name}", f"course_lib.{room.name}", "api-room")
    found += blocks(room.text)
    if room.constants:
        names = ", ".join(f"`{name}`" for name in room.constants)
        found += nodes.paragraph("", "", *inline(f"Et des constantes ou des modules : {names}."))
    found += [entry_section(room.name, entry) for entry in room.entries]
    return found


class CourseApi(SphinxDirective):
    """Place ici toute la bibliothèque, une section par pièce."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Une section par pièce ; la page dépend des fichiers lus."""
        rooms = [read_room(LIBRARY, name) for name in ROOMS]
        for room in rooms:
            for path in room.paths:
                self.env.note_dependency(str(path))
        sections = [room_section(room) for room in rooms]
        for shown in (node for room in sections for node in room.findall(nodes.section)):
            self.state.document.note_explicit_target(shown)  # [`train`](#api-training-train)
        return sections


def setup(app):
    """Inscrit la directive."""
    app.add_directive("course-api", CourseApi)
