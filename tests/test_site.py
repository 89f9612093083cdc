"""Le site construit, ouvert dans un vrai navigateur dont les noms ne se résolvent pas."""

import functools
import gzip
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import axe_playwright_python
import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parent.parent
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
PAGES = [
    *(f"chapters/{path.stem}.html" for path in sorted((ROOT / "chapters").glob("*.md"))),
    *(
        f"book/{name}.html"
        for name in ("index", "glossaire", "guide_enseignant", "api", "bibliographie")
    ),
    "search.html",
    "genindex.html",
]
MAX_COMPRESSED_BYTES = 1_000_000
ENGLISH = re.compile(
    r"\b(the|this page|toggle|search|download|launch|previous|next|contents|show|hide|click|copy|"
    r"copied|index of|skip to|loading|source file|notebook file|edit|theme|back to top|solution to|"
    r"exercise|note that|warning|print to)\b",
    re.IGNORECASE,
)
# Le texte que lit l’utilisateur : ni le code, ni l’anglais annoncé comme tel, ni les références,
# ni les composants (qui montrent les phrases étudiées ; test_widgets_browser les vérifie).
VISIBLE_TEXT = """() => {
  const skip = 'script,style,code,pre,mjx-container,[lang=en],.citation,p.context,course-widget';
  const found = [];
  const walk = (node) => {
    if (node.nodeType === 3) { if (node.data.trim()) found.push(node.data.trim()); return; }
    if (node.nodeType !== 1 || node.matches(skip)) return;
    const names = ['aria-label', 'title', 'placeholder', 'alt', 'data-bs-title', 'data-tooltip'];
    for (const name of names)
      if (node.getAttribute(name)) found.push(node.getAttribute(name));
    for (const child of node.childNodes) walk(child);
  };
  walk(document.body);
  return found;
}"""


def english_texts(page) -> list[str]:
    """Les textes de la page où reste de l’anglais, citations entre « » mises à part."""
    texts = page.evaluate(VISIBLE_TEXT)
    assert len(texts) > 10
    return [text for text in texts if ENGLISH.search(re.sub("«[^»]*»", "", text))]


class Visit:
    """Une page ouverte, avec ce qu’elle a demandé et ce qu’elle a dit à la console."""

    def __init__(self, browser, url: str, *, theme: str = "light", width: int = 1300):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme
        )
        self.page = self.context.new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._listen)
        self.page.goto(url, wait_until="networkidle")
        self.loaded = list(self.requests)  # axe en demandera d’autres

    def _listen(self, message) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        self.context.close()


# Une page n’est ouverte que par un des processus de test, une fois par façon de la lire.
GROUPED = [pytest.param(page, marks=pytest.mark.xdist_group(page)) for page in PAGES]
# Un texte par façon de paraître : mêmes couleurs, mêmes fonds, même taille. Le contraste ne dépend
# de rien d’autre, et axe met dix fois plus de temps à mesurer chaque mot coloré d’un code.
MARK_EACH_LOOK = """() => {
  const seen = new Set();
  const carriesText = (node) => node.matches('input,textarea,select')
    || [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  for (const node of document.body.querySelectorAll('*')) {
    if (!node.getClientRects().length || !carriesText(node)) continue;
    const style = getComputedStyle(node);
    const look = [style.color, style.fontSize, style.fontWeight, style.textShadow];
    for (let under = node; under; under = under.parentElement) {
      const box = getComputedStyle(under);
      look.push(box.backgroundColor, box.backgroundImage, box.opacity, box.position);
      if (box.backgroundColor.startsWith('rgb(') && box.position === 'static') break;
    }
    const key = look.join('|');
    if (seen.has(key)) continue;
    seen.add(key);
    node.setAttribute('data-look', '');
  }
  return seen.size;
}"""
CONTRAST = "{include: [['[data-look]']]}, {runOnly: ['color-contrast']"
ALL_BUT_CONTRAST = "document, {rules: {'color-contrast': {enabled: false}}"
LINKS = "document, {runOnly: ['link-in-text-block']"


def axe_violations(page, *runs: str) -> list[str]:
    """Ce qu’axe reproche à la page, en une ou plusieurs lectures."""
    assert page.evaluate(MARK_EACH_LOOK) > 10
    page.evaluate(AXE)
    results = [page.evaluate(f"axe.run({run}, resultTypes: ['violations']}})") for run in runs]
    return [
        f"{violation['id']} : {node['target']} {node['html'][:120]}"
        for result in results
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


@pytest.fixture(scope="module", params=GROUPED)
def light_visit(request, browser, site_url):
    """La page dans le thème clair, sur un écran d’ordinateur."""
    with Visit(browser, site_url + request.param) as visit:
        yield visit


def test_page_is_quiet_and_local(light_visit, site_url):
    local = (site_url, "data:", "blob:")
    assert [url for url in light_visit.loaded if not url.startswith(local)] == []
    assert light_visit.errors == []


def test_page_is_accessible(light_visit):
    assert light_visit.page.get_attribute("html", "data-theme") == "light"
    assert axe_violations(light_visit.page, ALL_BUT_CONTRAST, CONTRAST) == []


def test_page_is_in_french(light_visit):
    assert light_visit.page.get_attribute("html", "lang") == "fr"
    assert english_texts(light_visit.page) == []


def test_page_weighs_at_most_a_megabyte(light_visit, site_url, site_folder):
    paths = {urlparse(url).path for url in light_visit.loaded if url.startswith(site_url)}
    sizes = {path: compressed_size(site_folder / unquote(path).lstrip("/")) for path in paths}
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert sum(sizes.values()) <= MAX_COMPRESSED_BYTES, heaviest


@pytest.mark.parametrize("color", ["#bbb", "rgb(119, 119, 120)"])
def test_a_pale_text_is_seen(browser, site_url, color):
    """Un seul mot trop pâle, au bout d’une longue page, et la lecture des contrastes le trouve."""
    with Visit(browser, site_url + PAGES[3]) as visit:
        visit.page.evaluate(
            "(color) => [...document.querySelectorAll('article p')].at(-1)"
            ".insertAdjacentHTML('beforeend', ` <b style='color: ${color}'>pâle</b>`)",
            color,
        )
        found = axe_violations(visit.page, CONTRAST)
        assert found and all("pâle" in text for text in found)


@pytest.mark.parametrize("page", GROUPED)
def test_page_is_legible_in_the_dark(browser, site_url, page):
    with Visit(browser, site_url + page, theme="dark") as visit:
        assert visit.errors == []
        assert visit.page.get_attribute("html", "data-theme") == "dark"
        assert axe_violations(visit.page, CONTRAST, LINKS) == []


@pytest.mark.parametrize("page", GROUPED)
def test_page_fits_a_phone(browser, site_url, page):
    with Visit(browser, site_url + page, width=390) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(
    ("accented", "plain"), [("modèle", "modele"), ("probabilités", "probabilites")]
)
def test_search_ignores_accents(browser, site_url, accented, plain):
    found = {}
    for query in (accented, plain):
        with Visit(browser, f"{site_url}search.html?q={query}") as visit:
            visit.page.wait_for_selector("#search-results ul.search li a")
            links = visit.page.locator("#search-results ul.search li > a")
            found[query] = {urlparse(link.get_attribute("href")).path for link in links.all()}
    assert found[accented]
    assert found[accented] == found[plain]


def test_search_summary_is_french(browser, site_url):
    with Visit(browser, f"{site_url}search.html?q=jeton") as visit:
        visit.page.wait_for_selector("#search-results ul.search li a")
        visit.page.wait_for_timeout(500)
        assert english_texts(visit.page) == []


def test_teacher_and_student_write_in_the_closing_page(browser, site_url):
    """Les deux modèles livrés, lus à leur adresse, écrivent sans réseau : la fin du cours."""
    with Visit(browser, f"{site_url}chapters/09_du_texte_a_la_distillation.html") as visit:
        page = visit.page
        page.locator(".cw-two").scroll_into_view_if_needed()
        page.wait_for_selector(".cw-two textarea", timeout=30_000)
        page.get_by_role("button", name="Écrire").click()
        page.wait_for_function(
            "document.querySelector('.cw-two [aria-live]').textContent.includes('Fin de')",
            timeout=60_000,
        )
        written = page.locator(".cw-written").all_text_contents()
        assert len(written) == 2 and all(len(text) > 100 for text in written)
        assert all(text.startswith("Il était une fois") for text in written)
        assert all(page.locator(".cw-speed").all_text_contents())
        weights = [url for url in visit.requests if url.endswith("model.safetensors")]
        assert [url.split("/")[-2] for url in sorted(weights)] == ["assistant", "petit_assistant"]
        assert all(url.startswith((site_url, "data:", "blob:")) for url in visit.requests)
        assert visit.errors == []


@functools.cache
def anchors(page: Path) -> set[str]:
    """Les identifiants d’une page, lus une seule fois."""
    return set(re.findall(r'\bid="([^"]+)"', page.read_text("utf-8")))


def test_internal_links_resolve(site_folder):
    broken = []
    for page in PAGES:
        html = (site_folder / page).read_text("utf-8")
        for link in re.findall(r'<a [^>]*?href="([^"]+)"', html):
            if urlparse(link).scheme or link.startswith("//"):
                continue
            path, fragment = urldefrag(urljoin(f"/{page}", link))
            target = site_folder / unquote(path).lstrip("/")
            if not target.is_file():
                broken.append(f"{page} → {link}")
            elif fragment and target.suffix == ".html" and unquote(fragment) not in anchors(target):
                broken.append(f"{page} → {link} (ancre absente)")
    assert broken == []


def test_tables_rendered_by_cells_are_tables(site_folder):
    raw = {
        path.name: found
        for path in sorted(site_folder.glob("chapters/*.html"))
        if (found := re.findall(r"<p>\|[^<]{0,60}", path.read_text("utf-8")))
    }
    assert not raw, f"Des tableaux paraissent en texte : {raw}"


def compressed_size(path: Path) -> int:
    """Taille transmise par un serveur qui compresse le texte."""
    content = path.read_bytes()
    compressible = path.suffix in {".html", ".js", ".css", ".svg", ".json"}
    return len(gzip.compress(content, 6)) if compressible else len(content)
