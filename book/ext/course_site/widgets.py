"""Copie les composants interactifs dans le site et charge leur hôte sur chaque page."""

import shutil
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[3] / "course_lib" / "widgets"


def copy_widgets(app, exception):
    """Place les modules et feuilles de style de `course_lib/widgets` sous `_static/widgets`."""
    if exception or app.builder.format != "html":
        return
    folder = Path(app.outdir, "_static", "widgets")
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted([*SOURCES.glob("*.js"), *SOURCES.glob("*.css")]):
        shutil.copyfile(path, folder / path.name)


def setup(app):
    """Inscrit la copie et l'hôte, chargé comme module ES."""
    app.add_js_file("widget-host.js", type="module")
    app.connect("build-finished", copy_widgets)
