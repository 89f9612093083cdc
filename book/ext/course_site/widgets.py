"""Copie les composants interactifs dans le site, allège ce qui est servi, charge leur hôte."""

from pathlib import Path

import minify

SOURCES = Path(__file__).resolve().parents[3] / "course_lib" / "widgets"
OWN_FILES = Path(__file__).resolve().parents[2] / "static"
FORMATS = {".js": "application/javascript", ".css": "text/css"}


def copy_widgets(app, exception):
    """Place sous `_static` nos modules et feuilles de style, sans commentaires ni blancs.

    Ceux de `course_lib/widgets` vont dans `_static/widgets` ; ceux de `book/static`, que Sphinx a
    déjà copiés, sont réécrits sur place. Les sources gardent leurs commentaires.
    """
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    for source, target in ((SOURCES, static / "widgets"), (OWN_FILES, static)):
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.iterdir()):
            if path.suffix in FORMATS:
                text = minify.string(FORMATS[path.suffix], path.read_text("utf-8"))
                (target / path.name).write_text(text, "utf-8")


def setup(app):
    """Inscrit la copie et l'hôte, chargé comme module ES."""
    app.add_js_file("widget-host.js", type="module")
    app.connect("build-finished", copy_widgets)
