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
    """Courbe l'apostrophe qui suit une lettre, même en fin de morceau (« l'{term}`x` »)."""
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


def setup(app):
    """Inscrit les deux transformations."""
    app.add_transform(Apostrophes)
    app.add_post_transform(NoBreakSpaces)
