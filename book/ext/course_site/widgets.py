"""Copie les composants interactifs dans le site, allège ce qui est servi, charge leur hôte."""

from pathlib import Path

import minify

SOURCES = Path(__file__).resolve().parents[3] / "course_lib" / "widgets"
OWN_FILES = Path(__file__).resolve().parents[2] / "static"
FORMATS = {".js": "application/javascript", ".css": "text/css"}


def copy_widgets(app, exception):
    """Place sous `_static` nos modules et feuilles de style, sans commentaires ni blancs.

    Ceux de `course_lib/widgets` vont dans `_static/widgets`. Sphinx a déjà copié ceux de
    `book/static` : ils sont réécrits sur place, comme les feuilles de style des extensions et la
    racinisation de la recherche, servies à chaque page. Les sources gardent leurs commentaires.
    """
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    (static / "widgets").mkdir(parents=True, exist_ok=True)
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in FORMATS:
            (static / "widgets" / path.name).write_text(minified(path), "utf-8")
    own = [static / path.name for path in OWN_FILES.glob("*.js")]
    for path in sorted([*static.glob("*.css"), *own, static / "language_data.js"]):
        path.write_text(minified(path), "utf-8")


def minified(path: Path) -> str:
    """Le contenu d’un module ou d’une feuille de style, allégé."""
    return minify.string(FORMATS[path.suffix], path.read_text("utf-8"))


def add_style(app, pagename, templatename, context, doctree):
    """Donne leur feuille aux pages qui ont des composants : la version figée en a besoin aussi."""
    if "<course-widget" in context.get("body", ""):
        app.add_css_file("widgets/course-widgets.css", **{"data-course-widgets": ""})


def setup(app):
    """Inscrit la copie et l’hôte, chargé comme module ES."""
    app.add_js_file("widget-host.js", type="module")
    app.connect("html-page-context", add_style)
    app.connect("build-finished", copy_widgets)
