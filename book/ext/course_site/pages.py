"""Ce qu’une page dit d’elle-même : numéro, description, polices, taille des images."""

import html
import re
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform

CHAPTER = re.compile(r"chapters/(\d\d)_")
DEFAULT_DESCRIPTION = (
    "Un cours en français sur les grands modèles de langage, où chaque affirmation est mesurée par "
    "une cellule qui s’exécute sur un ordinateur portable."
)
LONGEST_DESCRIPTION, SHORTEST_PARAGRAPH = 200, 60
# Celles du texte et des titres : demandées tout de suite, elles arrivent avant le premier tracé.
PRELOADED_FONTS = ("source-serif-4-latin-wght-normal", "source-sans-3-latin-wght-normal")
IMAGE = re.compile(r'<img (?=[^>]*src="(?:\.\./)*(_images/[^"]+)")([^>]*?)\s*/?>')
SVG_SIZE = re.compile(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"')
WIDTH_STYLE = re.compile(r' style="width: (\d+)px;"')


class ChapterNumbers(SphinxTransform):
    """« La génération » devient « 3 · La génération » : le numéro est celui du nom de fichier."""

    default_priority = 700

    def apply(self, **kwargs):
        """Le titre porte son numéro avant que sommaires et renvois ne le relèvent."""
        found = CHAPTER.match(self.env.docname)
        title = next(self.document.findall(nodes.title), None)
        if found and title is not None:
            title.insert(0, nodes.Text(f"{int(found[1])} · "))


def describe(document: nodes.document | None) -> str:
    """Le premier vrai paragraphe, coupé à une fin de phrase ou de mot ; celui du cours sinon."""
    for paragraph in document.findall(nodes.paragraph) if document else ():
        text = " ".join(paragraph.astext().split())
        if len(text) >= SHORTEST_PARAGRAPH:
            return shorten(text)
    return DEFAULT_DESCRIPTION


def shorten(text: str) -> str:
    """Au plus `LONGEST_DESCRIPTION` signes, sans couper un mot."""
    if len(text) <= LONGEST_DESCRIPTION:
        return text
    start = text[:LONGEST_DESCRIPTION]
    sentence = re.match(r".*[.!?…](?=\s)", start)
    if sentence and len(sentence[0]) >= SHORTEST_PARAGRAPH:
        return sentence[0]
    return start.rsplit(" ", 1)[0].rstrip(",;: ") + "…"


def add_head(app, pagename, templatename, context, doctree):
    """Ajoute à l’en-tête la description, l’aperçu que montrent les messageries, les polices."""
    tags = context.get("metatags") or ""
    given = re.search(r'<meta content="([^"]*)" name="description"', tags)
    description = given[1] if given else html.escape(describe(doctree), quote=True)
    title = html.escape(html.unescape(re.sub("<[^>]+>", "", context.get("title") or "")))
    preview = {
        "type": "article" if CHAPTER.match(pagename) else "website",
        "locale": "fr_FR",
        "site_name": app.config.project,
        "title": title or app.config.project,
        "description": description,
    }
    if app.config.html_baseurl:  # une image et une adresse s’y donnent en entier, ou pas du tout
        base = app.config.html_baseurl.rstrip("/")
        preview |= {"url": f"{base}/{pagename}.html", "image": f"{base}/_static/capture.png"}
    lines = [] if given else [f'<meta name="description" content="{description}" />']
    lines += [f'<meta property="og:{key}" content="{value}" />' for key, value in preview.items()]
    for name in PRELOADED_FONTS:
        address = context["pathto"](f"_static/vendor/fonts/{name}.woff2", 1)
        lines.append(
            f'<link rel="preload" href="{address}" as="font" type="font/woff2" crossorigin />'
        )
    context["metatags"] = tags + "\n".join(lines) + "\n"


def image_size(path: Path) -> tuple[float, float] | None:
    """Largeur et hauteur d’une figure, pour réserver sa place ; None si ce n’est pas un SVG."""
    found = SVG_SIZE.search(path.read_text("utf-8")) if path.suffix == ".svg" else None
    return (float(found[1]), float(found[2])) if found else None


def reserve_images(page: str, folder: Path) -> str:
    """Donne à chaque image ses dimensions ; elle n’est demandée qu’à l’approche du lecteur."""

    def sized(match: re.Match) -> str:
        path, attributes = folder / match[1], match[2]
        size = image_size(path) if path.is_file() else None
        if size is None or " height=" in attributes:
            return match[0]
        wanted = WIDTH_STYLE.search(attributes)
        width = int(wanted[1]) if wanted else round(size[0])
        height = round(width * size[1] / size[0])
        attributes = WIDTH_STYLE.sub("", attributes)
        return f'<img {attributes} width="{width}" height="{height}" loading="lazy" />'

    return IMAGE.sub(sized, page)


def reserve_places(app, exception):
    """Donne leurs dimensions aux images de toutes les pages."""
    if exception or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    for page in folder.rglob("*.html"):
        before = page.read_text("utf-8")
        after = reserve_images(before, folder)
        if after != before:
            page.write_text(after, "utf-8")


def setup(app):
    """Inscrit les numéros, l’en-tête, et les dimensions."""
    app.add_transform(ChapterNumbers)
    app.connect("html-page-context", add_head, priority=503)
    app.connect("build-finished", reserve_places, priority=905)
