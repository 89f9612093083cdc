"""Le rôle d’une cellule, son étiquette, décide de ce que la page en montre.

`teaching` et `exercise` paraissent en entier ; `result` replie son code au-dessus de ses sorties ;
`plumbing` n’est qu’une mince poignée ; les `check` d’une section se rassemblent en une ligne,
« ✓ 4 vérifications », à la place de la dernière d’entre elles.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from course_site.typography import NARROW

ROLES = ("teaching", "result", "plumbing", "check", "exercise")
PYTHON = ("python", "ipython3")
PROOF = "✓ "
BLANK_LINES = re.compile(r"\n{3,}")
logger = logging.getLogger(__name__)


class Fold(nodes.General, nodes.Element):
    """Ce qui se replie : `<details>` sur le site, rien sur le papier."""


class FoldTitle(nodes.TextElement):
    """La ligne qui reste d’un repli : `<summary>`."""


class ComposeCells(SphinxPostTransform):
    """Compose chaque page d’après les rôles, une fois les sorties de cellule choisies."""

    default_priority = 800

    def run(self, **kwargs):
        cells = list(code_cells(self.document))
        for cell in cells:
            drop_empty_outputs(cell)
            mark_lines(cell)
            cell["role"] = self.role(cell)
        for cell in cells:
            if cell["role"] == "result":
                fold_code(cell)
        for parent in dict.fromkeys(cell.parent for cell in cells):
            gather_checks(parent)
            gather_plumbing(parent)

    def role(self, cell: nodes.container) -> str:
        """Le rôle d’une cellule ; s’il en manque un, ou s’il y en a deux, un avertissement."""
        tags = cell["cell_metadata"].get("tags", [])
        found = [tag for tag in tags if tag in ROLES]
        if len(found) != 1:
            logger.warning(
                "Cellule %s : %s. Donnez-lui exactement une de ces étiquettes : %s.",
                cell["cell_index"],
                f"rôles {', '.join(found)}" if found else "aucun rôle",
                ", ".join(ROLES),
                location=cell,
                type="course_site",
                subtype="roles",
            )
            return "teaching"
        if found == ["check"] and not proofs([cell]):
            logger.warning(
                "Cellule %s : une cellule « check » affiche au moins une ligne « ✓ … » (`claim`).",
                cell["cell_index"],
                location=cell,
                type="course_site",
                subtype="roles",
            )
        return found[0]


def code_cells(document: nodes.document) -> Iterator[nodes.container]:
    """Les cellules de code de la page, dans l’ordre."""
    for node in document.findall(nodes.container):
        if node.get("nb_element") == "cell_code":
            yield node


def part(cell: nodes.container, element: str) -> nodes.container | None:
    """Le code (`cell_code_source`) ou les sorties (`cell_code_output`) d’une cellule."""
    return next((child for child in cell if child.get("nb_element") == element), None)


def drop_empty_outputs(cell: nodes.container) -> None:
    """Retire une sortie sans rien à montrer : celle d’une cellule qui garde des nombres."""
    output = part(cell, "cell_code_output")
    if output is not None and not output.children:
        cell.remove(output)


def mark_lines(cell: nodes.container) -> None:
    """Enveloppe chaque ligne de Python, où une seule ligne vide sépare deux fonctions.

    Une ligne trop longue se replie ainsi avec un retrait.
    """
    blocks = [b for b in cell.findall(nodes.literal_block) if b.get("language") in PYTHON]
    for number, block in enumerate(blocks):
        block["highlight_args"] = {"linespans": f"c{cell['cell_index']}-{number}"}
        # Sphinx ne colore qu’un bloc dont le texte est aussi `rawsource`.
        block.rawsource = BLANK_LINES.sub("\n\n", block.astext())
        block[:] = [nodes.Text(block.rawsource)]


def fold(role: str, title: str, *content: nodes.Node) -> Fold:
    """Un repli : son titre, puis ce qu’il cache."""
    return Fold("", FoldTitle("", nodes.Text(title)), *content, classes=["role", f"role-{role}"])


def fold_code(cell: nodes.container) -> None:
    """Replie le code d’un résultat au-dessus de ses sorties."""
    source = part(cell, "cell_code_source")
    cell.remove(source)
    cell.insert(0, fold("result", "Code de ce résultat", source))


def proofs(cells: list[nodes.container]) -> list[str]:
    """Les phrases que ces cellules prouvent : leurs lignes « ✓ … », la coche mise à part."""
    outputs = filter(None, (part(cell, "cell_code_output") for cell in cells))
    lines = "\n".join(output.astext() for output in outputs).splitlines()
    return [line.removeprefix(PROOF) for line in lines if line.startswith(PROOF)]


def gather_checks(parent: nodes.Element) -> None:
    """Réunit les vérifications d’une section en une ligne, à la place de la dernière."""
    cells = cells_of(parent, "check")
    if not cells:
        return
    statements = proofs(cells)
    count = len(statements)
    title = f"✓{NARROW}{count} vérification{'s' if count > 1 else ''}"
    items = [nodes.list_item("", nodes.paragraph("", text)) for text in statements]
    listed = nodes.bullet_list("", *items, classes=["proofs"])
    place = parent.index(cells[-1])
    parent.insert(place, gathered := fold("check", title, listed))
    for cell in cells:
        parent.remove(cell)
        gathered += cell
        keep_other_outputs(cell)


def keep_other_outputs(cell: nodes.container) -> None:
    """Ôte d’une vérification les sorties qui ne sont que ses phrases : la liste les dit."""
    output = part(cell, "cell_code_output")
    if output is not None and all(
        line.startswith(PROOF) for line in output.astext().splitlines() if line.strip()
    ):
        cell.remove(output)


def gather_plumbing(parent: nodes.Element) -> None:
    """Réduit chaque suite de cellules de plomberie à une seule poignée."""
    for cell in cells_of(parent, "plumbing"):
        before = parent[parent.index(cell) - 1] if parent.index(cell) else None
        if isinstance(before, Fold) and "role-plumbing" in before["classes"]:
            parent.remove(cell)
            before += cell
        else:
            place = parent.index(cell)
            parent.remove(cell)
            parent.insert(place, fold("plumbing", "Code de préparation", cell))


def cells_of(parent: nodes.Element, role: str) -> list[nodes.container]:
    """Les cellules de ce rôle qui sont directement dans `parent`, jusqu’au titre suivant."""
    return [child for child in parent if child.get("role") == role]


def visit_fold(translator, node):
    """Ouvre le repli, fermé au départ : c’est la vue Lecture."""
    translator.body.append(translator.starttag(node, "details", ""))


def depart_fold(translator, node):
    """Ferme le repli."""
    translator.body.append("</details>\n")


def visit_title(translator, node):
    """Ouvre la ligne du repli."""
    translator.body.append("<summary><span>")


def depart_title(translator, node):
    """Ferme la ligne du repli."""
    translator.body.append("</span></summary>\n")


def skip(translator, node):
    """Le papier montre la page en Lecture : ce qui est replié n’y est pas."""
    raise nodes.SkipNode


def setup(app):
    """Inscrit les replis et la composition des pages."""
    app.add_node(Fold, html=(visit_fold, depart_fold), latex=(skip, None), text=(skip, None))
    app.add_node(FoldTitle, html=(visit_title, depart_title), latex=(skip, None), text=(skip, None))
    app.add_post_transform(ComposeCells)
