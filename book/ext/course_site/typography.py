"""Typographie française du texte : apostrophes courbes, espaces insécables."""

import re

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

NARROW, NO_BREAK = "\u202f", "\u00a0"
VERBATIM = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)


def french_spaces(text: str) -> str:
    """Pose les espaces insécables devant la ponctuation double, « % » et dans les guillemets."""
    text = re.sub(r"(?<=\d) (?=\d{3}(?!\d))", NARROW, text)
    text = re.sub(r"[ \u00a0]([;!?])", NARROW + r"\1", text)
    text = re.sub(r" ([:»%])", NO_BREAK + r"\1", text)
    return text.replace("« ", "«" + NO_BREAK)


def french_apostrophes(text: str) -> str:
    """Courbe l’apostrophe qui suit une lettre, même en fin de morceau (« l’{term}`x` »)."""
    return re.sub(r"(?<=\w)'(?=[\w«]|$)", "’", text)


def is_verbatim(node: nodes.Node) -> bool:
    """Dit si un texte est du code, une formule ou du HTML brut."""
    parent = node.parent
    while parent is not None:
        if isinstance(parent, VERBATIM) or parent.get("language") == "python":
            return True
        parent = parent.parent
    return False


def rewrite(document: nodes.document, change) -> None:
    """Applique `change` à chaque texte courant du document."""
    for text in list(document.findall(nodes.Text)):
        changed = change(str(text))
        if changed != str(text) and not is_verbatim(text):
            text.parent.replace(text, nodes.Text(changed))


class Apostrophes(SphinxTransform):
    """Précède SphinxSmartQuotes (750), qui prendrait « l' » devant un rôle pour un guillemet."""

    default_priority = 740

    def apply(self, **kwargs):
        rewrite(self.document, french_apostrophes)


class NoBreakSpaces(SphinxPostTransform):
    """Dernière retouche, une fois les références résolues."""

    default_priority = 900

    def run(self, **kwargs):
        rewrite(self.document, french_spaces)


class English(nodes.inline):
    """Un passage en anglais, annoncé comme tel aux lecteurs d’écran."""


def english_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Rôle `{lang-en}` : écrit `<span lang="en">`."""
    return [English(rawtext, text)], []


def visit_english(translator, node):
    """Ouvre le passage en HTML."""
    translator.body.append('<span lang="en">')


def depart_english(translator, node):
    """Ferme le passage en HTML."""
    translator.body.append("</span>")


def nothing(translator, node):
    """Laisse le texte tel quel dans les autres formats."""


def setup(app):
    """Inscrit les transformations et le rôle des mots anglais."""
    app.add_node(
        English,
        html=(visit_english, depart_english),
        latex=(nothing, nothing),
        text=(nothing, nothing),
    )
    app.add_role("lang-en", english_role)
    app.add_transform(Apostrophes)
    app.add_post_transform(NoBreakSpaces)
