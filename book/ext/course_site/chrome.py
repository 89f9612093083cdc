"""L’habillage des pages : rien en anglais, rien d’externe, des boutons utiles au lecteur."""

import re
from pathlib import Path

from reader_notebook.colab import addresses
from reader_notebook.links import notebook_name, repository

# « python cours.py lab » sert le dossier des cahiers du lecteur : ils y sont à la racine.
JUPYTERLAB = "http://localhost:8888/lab/tree/{name}"
# Textes que le thème et ses extensions écrivent en dur, sans passer par les traductions.
TRANSLATIONS = {
    # Rôles périmés ou incomplets d’ARIA : les notices sont de simples paragraphes.
    ' role="doc-biblioentry"': "",
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    # Sans JavaScript, le thème clair ; avec lui, la bonne palette dès le premier tracé.
    'data-theme="auto">': 'data-theme="light">',
    'localStorage.getItem("theme") || "auto"': (
        'localStorage.getItem("theme")'
        ' || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'
    ),
    # Le logo réserve sa place, et son texte est dans notre langue.
    '" class="logo__image': '" width="51" height="51" class="logo__image',
    ' - Home"': '"',
    "Toggle primary sidebar": "Afficher ou masquer le plan du cours",
    "Toggle secondary sidebar": "Afficher ou masquer le plan de la page",
    'aria-label="Main"': 'aria-label="Plan du cours"',
    'aria-label="Page"': 'aria-label="Plan de la page"',
    # Le nom accessible doit reprendre le texte visible ; la barre latérale est un repère.
    '<summary aria-label="Toggle hidden content">': "<summary>",
    '<div class="sidebar-primary-items__start': (
        '<div role="region" aria-label="Cours" class="sidebar-primary-items__start'
    ),
}
SCRIPT_TRANSLATIONS = {
    # Une formule plus large que le téléphone défile : le clavier doit l’atteindre.
    "scripts/pydata-sphinx-theme.js": {
        '".pst-scrollable-table-container"]': '".pst-scrollable-table-container","div.math"]'
    },
    "togglebutton.js": {"Toggle hidden content": "Afficher ou masquer"},
    # Un extrait montre de la prose : ni code, ni composant, ni plan.
    "searchtools.js": {
        '[".headerlink", "script", "style"]': (
            '[".headerlink", "script", "style", "pre", "course-widget"]'
        )
    },
}


def drop_thebe(app, pagename, templatename, context, doctree):
    """Retire l’exécution à distance, que ce livre n’emploie pas et qui appelle un CDN."""

    def is_thebe(file) -> bool:
        body = getattr(file, "attributes", {}).get("body") or ""
        return "THEBE_JS_URL" in body or "sphinx-thebe" in str(getattr(file, "filename", file))

    for key in ("script_files", "css_files"):
        if key in context:
            context[key][:] = [file for file in context[key] if not is_thebe(file)]


def add_launch_buttons(app, pagename, templatename, context, doctree):
    """Ajoute « ouvrir dans JupyterLab » et, si le dépôt est connu, Binder et Colab."""
    if not pagename.startswith("chapters/") or "header_buttons" not in context:
        return
    local = JUPYTERLAB.format(name=notebook_name(pagename))
    links = [("JupyterLab, sur votre machine (python cours.py lab)", local)]
    address, branch = repository()
    if address:
        links += addresses(pagename, address, branch).items()
    buttons = [
        {
            "type": "link",
            "url": url,
            "text": name,
            "tooltip": f"Ouvrir dans {name}",
            "icon": "fas fa-flask",
        }
        for name, url in links
    ]
    context["header_buttons"].insert(
        0,
        {
            "type": "group",
            "buttons": buttons,
            "icon": "fas fa-play",
            "tooltip": "Exécuter ce chapitre",
            "label": "launch-buttons",
        },
    )


# Le thème charge sur chaque page de quoi chercher pendant la frappe, que le livre n’emploie pas :
# la recherche a sa page. Cinquante-cinq kilooctets, compressés, de moins sur les autres.
INLINE_SEARCH = re.compile(
    r'\s*<script src="[^"]*(?:_static/searchtools|_static/language_data|searchindex)\.js"></script>'
)
SOURCE_MAP = re.compile(r"\n?(?://|/\*)# sourceMappingURL=\S+?(?:\s*\*/)?(?=\s*$)")


def translate_pages(app, exception):
    """Traduit dans les pages construites ce qui échappe aux catalogues de traduction."""
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        before = page.read_text("utf-8")
        after = translate_html(before)
        if page.name != "search.html":
            after = INLINE_SEARCH.sub("", after)
        if after != before:
            page.write_text(after, "utf-8")
    for name, pairs in SCRIPT_TRANSLATIONS.items():
        script = Path(app.outdir, "_static", name)
        if script.exists():
            text = script.read_text("utf-8")
            for english, french in pairs.items():
                text = text.replace(english, french)
            script.write_text(text, "utf-8")


def drop_source_maps(app, exception):
    """Retire les plans de débogage du thème : 3,4 Mo que personne ne lit."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir, "_static").rglob("*.map"):
        path.unlink()
    for path in Path(app.outdir, "_static").rglob("*.[jc]s*"):
        before = path.read_text("utf-8")
        after = SOURCE_MAP.sub("", before)
        if after != before:
            path.write_text(after, "utf-8")


def translate_html(page: str) -> str:
    """Applique les traductions et accorde les noms accessibles au texte visible."""
    for english, french in TRANSLATIONS.items():
        page = page.replace(english, french)
    page = re.sub(
        r"Solution de(\s*<a[^>]*>\s*(?:<span[^>]*>)?\s*)Exercice", r"Solution de l’\1exercice", page
    )
    page = re.sub(r"<title>(.+?) &#8212; \1</title>", r"<title>\1</title>", page)
    return re.sub(
        r'(<button class="btn[^>]*pst-js-only"[^>]*?)\s+aria-label="(Recherche|Thème)"', r"\1", page
    )


def share_handlers(app):
    """Complète « singlehtml » et « epub », où sphinx-exercise masque les nœuds de « html »."""
    handlers = app.registry.translation_handlers
    for name in ("singlehtml", "epub"):
        if name in handlers:
            handlers[name] = {**handlers.get("html", {}), **handlers[name]}


def setup(app):
    """Branche l’habillage, après le thème (priorité 501) et sphinx-thebe."""
    app.connect("builder-inited", share_handlers)
    app.connect("html-page-context", add_launch_buttons, priority=502)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", translate_pages, priority=900)
    app.connect("build-finished", drop_source_maps, priority=900)
