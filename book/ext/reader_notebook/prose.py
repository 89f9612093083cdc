"""Récrire la prose MyST d’un chapitre en Markdown que tout Jupyter sait lire.

Les directives et les rôles connus forment une liste close ; tout autre est refusé.
"""

import base64
import mimetypes
import posixpath
import re
import textwrap
from dataclasses import dataclass, field

from course_lib.typography import NARROW_NO_BREAK, french_spaces
from reader_notebook.index import ROOT, Index
from reader_notebook.links import GLOSSARY, Links, entry_id
from reader_notebook.myst import SPAN, Piece, cut, target_of

# Les encadrés, et le titre de ceux qui n’en portent pas.
BOXES = {
    "admonition": "",
    "attention": "Attention",
    "caution": "Prudence",
    "danger": "Danger",
    "error": "Erreur",
    "hint": "Indice",
    "important": "Important",
    "note": "Note",
    "seealso": "Voir aussi",
    "tip": "Astuce",
    "warning": "Avertissement",
}
# Ce que la typographie ne touche pas : code, formules, adresses, HTML, filets de tableau.
UNTOUCHED = re.compile(
    r"((?:`+)(?!`).+?(?<!`)`+(?!`)|\$\$.+?\$\$|\$[^$\n]+\$|\]\([^)]*\)|<[^>\n]+>"
    r"|^[ :|-]*--[ :|-]*$)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """Du Markdown ; `kind` : texte, titre, exercice, terme du glossaire ou borne de solution."""

    kind: str
    text: str
    label: str = ""


@dataclass
class Prose:
    """Récrit les textes d’une page ; `values` : ce que le chapitre a mesuré, par nom."""

    page: str
    index: Index
    values: dict[str, str]
    links: Links
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)

    def blocks(self, text: str) -> list[Block]:
        """Les blocs d’une cellule. ValueError, qui nomme la page, si quelque chose est inconnu."""
        try:
            found = [block for piece in cut(text) for block in self._blocks(piece)]
        except ValueError as error:
            raise ValueError(f"{self.page} : {error}") from None
        return [block for block in found if block.kind != "text" or block.text.strip()]

    def markdown(self, text: str) -> str:
        """Un texte entier, sans solution."""
        blocks = self.blocks(text)
        if any(block.kind.startswith("solution") for block in blocks):
            raise ValueError(f"{self.page} : une solution est dans une autre directive.")
        return "\n\n".join(block.text.strip("\n") for block in blocks)

    def _blocks(self, piece: Piece) -> list[Block]:
        """Un morceau donne un bloc ; un glossaire, un par terme."""
        if (piece.kind, piece.name) == ("directive", "glossary"):
            return self._glossary(piece.text)
        return [self._block(piece)]

    def _block(self, piece: Piece) -> Block:
        if piece.kind == "directive":
            return self._directive(piece)
        if piece.kind == "verbatim":
            return Block("text", piece.text)
        if piece.kind == "equation":
            return Block("text", self.equation(piece.text, piece.options.get("label", "")))
        if piece.kind in ("target", "comment"):
            return Block("text", "")
        return Block("heading" if piece.kind == "heading" else "text", self.inline(piece.text))

    # Les directives

    def _directive(self, piece: Piece) -> Block:
        name, body = piece.name, piece.text
        if name in BOXES:
            return Block("text", self._box(piece))
        if name == "exercise":
            return self._exercise(piece)
        if name in ("solution-start", "solution-end"):
            return Block(name, "", piece.argument)
        if name == "math":
            return Block("text", self.equation(body, piece.options.get("label", "")))
        if name in ("figure", "image"):
            return Block("text", self._figure(piece))
        if name == "code-block":
            return Block("text", f"```{piece.argument}\n{body}\n```")
        known = [*BOXES, "exercise", "solution-start", "solution-end", "math", "figure", "image"]
        raise unknown("directive", name, [*known, "code-block", "glossary"], piece.line)

    def _box(self, piece: Piece) -> str:
        title = self.inline(piece.argument) if piece.name == "admonition" else BOXES[piece.name]
        body = self.markdown(piece.text)
        if "dropdown" in piece.options.get("class", "").split():
            return folded(title, body)
        lines = [f"**{title}**", "", *body.split("\n")]
        return "\n".join(f"> {line}".rstrip() for line in lines)

    def _exercise(self, piece: Piece) -> Block:
        label = piece.options.get("label", "")
        if label not in self.index.numbers:
            raise ValueError(
                f"ligne {piece.line + 1} : l’exercice « {piece.argument} » n’a pas d’étiquette. "
                "Ajoutez-lui « :label: ex-nom »."
            )
        title = self.inline(piece.argument)
        head = f"**Exercice {self.index.numbers[label]}. {title}**"
        return Block("exercise", f"{head}\n\n{self.markdown(piece.text)}", label)

    def _figure(self, piece: Piece) -> str:
        """L’image jointe à la cellule, son texte de remplacement et sa légende."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(self.page), piece.argument))
        file, alt = ROOT / path, piece.options.get("alt", "")
        if not file.is_file() or not alt:
            problem = (
                "n’a pas de texte de remplacement (:alt:)" if file.is_file() else "n’existe pas"
            )
            raise ValueError(f"ligne {piece.line + 1} : l’image « {path} » {problem}.")
        kind = mimetypes.guess_type(file.name)[0]
        data = base64.b64encode(file.read_bytes()).decode()
        self.attachments[file.name] = {kind: data}
        image = f"![{alt}](attachment:{file.name})"
        if piece.name == "image" or not piece.text:
            return image
        return f"{image}\n\n{self.caption(piece.options.get('name', ''), piece.text)}"

    def caption(self, label: str, text: str) -> str:
        """« **Figure 3.** Légende » ; sans étiquette, pas de numéro, comme sur le site."""
        number = f"**Figure {self.index.numbers[label]}.** " if label in self.index.numbers else ""
        return number + self.markdown(text)

    def equation(self, body: str, label: str) -> str:
        """Une formule hors texte ; si elle a une étiquette, le numéro qu’elle a sur le site."""
        body = body.strip()
        if r"\\" in body and r"\begin" not in body:
            body = f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
        tag = f" \\tag{{{self.index.numbers[label]}}}" if label else ""
        return f"$$\n{body}{tag}\n$$"

    def _glossary(self, body: str) -> list[Block]:
        blocks = []
        for entry in re.split(r"\n(?=\S)", body.strip("\n")):
            term, definition = entry.split("\n", 1)
            text = self.markdown(textwrap.dedent(definition))
            blocks.append(Block("entry", f"### {french(term)}\n\n{text}", entry_id(term)))
        return blocks

    # Les rôles

    def inline(self, text: str) -> str:
        """La prose courante : rôles récrits, puis typographie française."""
        return french(SPAN.sub(self._role, text))

    def _role(self, match: re.Match) -> str:
        name, text = match[1], match[3]
        if not name:
            return match[0]
        writers = {
            "glue:text": self._value,
            "term": self._term,
            "ref": self._reference,
            "doc": self._document,
            "numref": self._numbered,
            "eq": lambda label: f"({self._number(label)})",
            "cite:p": self._cite_in_brackets,
            "cite:t": self._cite_in_text,
            "lang-en": lambda words: f"*{words}*",
            "math": lambda formula: f"${formula}$",
        }
        if name not in writers:
            raise unknown("rôle", name, writers)
        return writers[name](text)

    def _value(self, name: str) -> str:
        if name not in self.values:
            raise ValueError(
                f"« {name} » n’est gardé par aucune cellule exécutée. Gardez-le par "
                f"keep({name!r}, …), puis lancez « python cours.py chapitres »."
            )
        return self.values[name]

    def _term(self, text: str) -> str:
        shown, term = target_of(text)
        if term.lower() not in self.index.terms:
            raise ValueError(f"le terme « {term} » n’est pas dans le glossaire. Ajoutez-l’y.")
        return self.links.write(shown or term, GLOSSARY, self.index.terms[term.lower()])

    def _reference(self, text: str) -> str:
        shown, label = target_of(text)
        if label not in self.index.titles:
            raise ValueError(f"l’étiquette « {label} » ne désigne aucun titre ni exercice.")
        page, title = self.index.titles[label]
        return (shown or title) if page == self.page else self.links.write(shown or title, page)

    def _document(self, text: str) -> str:
        shown, target = target_of(text)
        page = posixpath.normpath(posixpath.join(posixpath.dirname(self.page), target))
        if page not in self.index.titles:
            raise ValueError(f"la page « {page} » n’est pas dans book/_toc.yml.")
        return self.links.write(shown or self.index.titles[page][1], page)

    def _numbered(self, text: str) -> str:
        shown, label = target_of(text)
        number = self._number(label)
        if shown:
            return shown.replace("%s", number).replace("{number}", number)
        return f"Figure {number}"

    def _number(self, label: str) -> str:
        if label not in self.index.numbers:
            raise ValueError(f"« {label} » n’est l’étiquette d’aucune figure ni formule.")
        return str(self.index.numbers[label])

    def _works(self, keys: str) -> list[tuple[str, str, str]]:
        missing = [key for key in map(str.strip, keys.split(",")) if key not in self.index.works]
        if missing:
            raise ValueError(f"« {missing[0]} » n’est pas dans book/references.bib.")
        return [self.index.works[key.strip()] for key in keys.split(",")]

    def _cite_in_text(self, keys: str) -> str:
        cited = [linked(f"{names} ({year})", url) for names, year, url in self._works(keys)]
        return " ; ".join(cited)

    def _cite_in_brackets(self, keys: str) -> str:
        cited = [linked(f"{names}, {year}", url) for names, year, url in self._works(keys)]
        return f"({' ; '.join(cited)})"


def linked(text: str, url: str) -> str:
    """Un lien si l’ouvrage a une adresse."""
    return f"[{text}]({url})" if url else text


def folded(summary: str, body: str) -> str:
    """Un passage replié : les lignes vides laissent au Markdown son sens à l’intérieur."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body.strip()}\n\n</details>"


def french(text: str) -> str:
    """Apostrophes courbes et espaces insécables, hors du code, des formules et des adresses."""
    parts = UNTOUCHED.split(text)
    for rank in range(0, len(parts), 2):
        part = re.sub(r"(?<=\d) (?=\d{3}(?!\d))", NARROW_NO_BREAK, french_spaces(parts[rank]))
        parts[rank] = re.sub(r"(?<=\w)'(?=$|[*_\[])", "’", part)
    return "".join(parts)


def unknown(kind: str, name: str, known, line: int | None = None) -> ValueError:
    """L’erreur d’une directive ou d’un rôle que le cahier ne sait pas récrire."""
    where = "" if line is None else f"ligne {line + 1} : "
    return ValueError(
        f"{where}le cahier du lecteur ne sait pas récrire « {name} » ({kind}). Il connaît : "
        f"{', '.join(sorted(known))}. Employez l’un d’eux, ou apprenez-lui celui-ci dans "
        "book/ext/reader_notebook/prose.py."
    )
