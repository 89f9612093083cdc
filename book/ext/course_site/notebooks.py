"""Donne à chaque chapitre son cahier du lecteur, à télécharger : `cahiers/NN_nom.ipynb`."""

from pathlib import Path

import nbformat
from reader_notebook.index import book_index, pages
from reader_notebook.links import Links, has_notebook, notebook_name, site_address
from reader_notebook.notebook import reader_notebook


def write_notebooks(app, exception):
    """Écrit les cahiers dans le site, une fois les pages construites."""
    if exception or app.builder.format != "html":
        return
    folder, links = Path(app.outdir, "cahiers"), Links(site_address())
    folder.mkdir(exist_ok=True)
    for page in filter(has_notebook, pages()):
        notebook = reader_notebook(page, book_index(), links)
        nbformat.write(notebook, folder / notebook_name(page))


def offer_notebook(app, pagename, templatename, context, doctree):
    """Le bouton de téléchargement donne le cahier du lecteur, non la source MyST de la page."""
    for group in context.get("header_buttons", []):
        if group.get("label") != "download-buttons":
            continue
        source = next(b for b in group["buttons"] if b["label"] == "download-source-button")
        if has_notebook(pagename):
            source["url"] = context["pathto"](f"cahiers/{notebook_name(pagename)}", 1)
            source["text"] = "Cahier Jupyter (.ipynb)"
            source["tooltip"] = "Télécharger le cahier de cette page"
        else:
            group["buttons"].remove(source)


def setup(app):
    """Inscrit l’écriture et le bouton, que le thème pose avec la priorité 501."""
    app.connect("html-page-context", offer_notebook, priority=502)
    app.connect("build-finished", write_notebooks)
