"""Deux façons de lire un chapitre : Lecture, où le code est replié, et Atelier, où tout est ouvert.

La vue est l’attribut `data-view` de `<html>`. Un court script, dans l’en-tête, la pose avant que la
page ne paraisse ; sans JavaScript et sur papier, c’est Lecture.
"""

from pathlib import Path

import minify

HERE = Path(__file__).resolve().parent


def add_views(app, pagename, templatename, context, doctree):
    """Ajoute à un chapitre, et à lui seul, le script qui pose la vue, la bascule et son style."""
    if not pagename.startswith("chapters/"):
        return
    script = minify.string("application/javascript", (HERE / "first_view.js").read_text("utf-8"))
    context["metatags"] = context.get("metatags", "") + f"<script>{script}</script>"
    app.add_js_file("reading.js", loading_method="defer")
    app.add_css_file("reading.css")


def add_templates(app, config):
    """Rend `view-switch.html` visible du thème, qui le place dans l’en-tête de l’article."""
    config.templates_path.append(str(HERE / "templates"))


def setup(app):
    """Inscrit la bascule."""
    app.connect("config-inited", add_templates)
    app.connect("html-page-context", add_views)
