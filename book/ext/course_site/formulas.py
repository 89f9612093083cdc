"""Les formules en MathML, écrites à la construction : on les lit sans JavaScript, on les copie.

Le navigateur les compose lui-même, avec TeX Gyre Schola Math, réduite aux signes employés.
"""

import re
from pathlib import Path

import math_core
from docutils import nodes
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from course_site.icons import keep_glyphs

LOGGER = logging.getLogger(__name__)
CONVERTER = math_core.LatexToMathML()
FONT = "_static/vendor/fonts/texgyreschola-math.woff2"
# Les lettres seules d’une formule sont composées en italique : U+1D434 pour « A », par exemple.
# Le radical n’est pas écrit dans la page : le navigateur le pose lui-même.
ROOT_SIGN = 0x221A
ITALICS = {0x210E, *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)}
FORMULA = re.compile(r"<math.*?</math>", re.DOTALL)
# « 0{,}5 » est un seul nombre, pour l’œil, la copie et le lecteur d’écran ; « 6\,950 » aussi.
DECIMAL = re.compile(r'<mn>(\d+)</mn><mo rspace="0">,</mo><mn>(\d+)</mn>')
THOUSANDS = re.compile(r'<mn>(\d+)</mn><mspace width="0\.16666667em"/><mn>(\d{3}(?:,\d+)?)</mn>')
NARROW = "\u202f"


def to_mathml(latex: str, *, display: bool = False) -> str:
    """Une formule LaTeX en MathML ; `math_core.LatexError` si elle ne se lit pas."""
    found = CONVERTER.convert_with_local_state(latex.strip(), displaystyle=display)
    found = THOUSANDS.sub(rf"<mn>\1{NARROW}\2</mn>", DECIMAL.sub(r"<mn>\1,\2</mn>", found))
    return found.replace("<mspace/>", "")


def write(translator, node: nodes.Node, *, display: bool = False) -> None:
    """Ajoute la formule à la page, ou se plaint de ce qui ne se lit pas."""
    try:
        translator.body.append(to_mathml(node.astext(), display=display))
    except math_core.LatexError as error:
        LOGGER.warning("Formule illisible : %s\n%s", node.astext(), error, location=node)


def visit_inline(translator, node):
    """Une formule dans la phrase."""
    write(translator, node)
    raise nodes.SkipNode


def visit_block(translator, node):
    """Une formule seule sur sa ligne, avec son numéro si elle en a un."""
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Lien vers cette équation")
        translator.body.append("</span>")
    write(translator, node, display=True)
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def add_copy(app, pagename, templatename, context, doctree):
    """Une page à formules reçoit de quoi les copier comme elles se lisent."""
    if doctree and any(doctree.findall(nodes.math)):
        app.add_js_file("copy-formulas.js", type="module")


def shrink_font(app, exception):
    """Réduit la police aux signes des formules du site."""
    font = Path(app.outdir, FONT)
    if exception or app.builder.format != "html" or not font.exists():
        return
    pages = [page.read_text("utf-8") for page in Path(app.outdir).rglob("*.html")]
    signs = "".join(formula for page in pages for formula in FORMULA.findall(page))
    keep_glyphs(font, {ord(sign) for sign in signs} | ITALICS | {ROOT_SIGN})


def setup(app):
    """Inscrit l’écriture des formules ; `_config.yml` la choisit."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("html-page-context", add_copy)
    app.connect("build-finished", shrink_font, priority=920)
