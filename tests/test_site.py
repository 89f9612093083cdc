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


# La page est prête : ses icônes sont dessinées, ses polices lues, ses composants vivants ou figés.
READY = """() => document.readyState === 'complete' && document.fonts.status === 'loaded'
  && document.documentElement.classList.contains('fontawesome-i2svg-complete')
  && [...document.querySelectorAll('course-widget')].every((widget) => widget.dataset.state)"""
# Le thème rend au clavier ce qui défile, un instant après un changement de largeur.
REACHABLE = """() => [...document.querySelectorAll('pre, div.math')].every(
  (box) => box.scrollWidth <= box.clientWidth || box.tabIndex === 0)"""
DESKTOP, PHONE = 1300, 390


class Visit:
    """Une page ouverte, avec ce qu’elle a demandé et ce qu’elle a dit à la console."""

    def __init__(self, browser, url: str, *, ready: str = READY):
        self.context = browser.new_context(
            viewport={"width": DESKTOP, "height": 900}, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._listen)
        self.response = self.page.goto(url)
        self.page.wait_for_function(ready)
        images = self.page.evaluate("[...document.images].map((image) => image.src)")
        self.loaded = [*self.requests, *images]  # les figures viennent à l’approche du lecteur

    def _listen(self, message) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def show(self, *, view: str = "lecture", theme: str = "light", width: int = DESKTOP) -> None:
        """La même page, autrement : lecture ou atelier, claire ou sombre, large ou étroite."""
        self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.evaluate("(view) => { document.documentElement.dataset.view = view; }", view)
        self.page.wait_for_selector(f"html[data-theme={theme}]")
        self.page.wait_for_function(REACHABLE)

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        self.context.close()


# Une page n’est ouverte que par un des processus de test, une seule fois.
GROUPED = [pytest.param(page, marks=pytest.mark.xdist_group(page)) for page in PAGES]
# Toutes les façons de la lire ; l’ordre change le moins possible de l’une à l’autre.
APPEARANCES = [
    (view, theme, width)
    for width in (DESKTOP, PHONE)
    for theme in ("light", "dark")
    for view in ("lecture", "atelier")
]
# Ce qui ne dépend pas des couleurs se lit une fois par vue et par largeur ; les liens, que leur
# couleur distingue, le sont ainsi dans les deux thèmes.
STRUCTURES = {
    ("lecture", "light", DESKTOP),
    ("atelier", "dark", DESKTOP),
    ("lecture", "dark", PHONE),
    ("atelier", "light", PHONE),
}
# Un code coloré est fait de milliers de morceaux : on en garde un par sorte, les autres rendent
# leur texte. Sans autre attribut que sa classe, un morceau ne dit rien à un lecteur d’écran.
KEEP_ONE_SPAN_OF_EACH_KIND = """() => {
  const kinds = new Set();
  for (const span of document.querySelectorAll('pre span')) {
    if (span.children.length || [...span.attributes].some((one) => one.name !== 'class')) continue;
    let kind = '';
    for (let node = span; node; node = node.parentElement) kind += `${node.className}/`;
    if (kinds.has(kind)) span.replaceWith(...span.childNodes);
    else kinds.add(kind);
  }
  document.body.normalize();
}"""
# Un texte par façon de paraître : mêmes couleurs, mêmes fonds, même taille. Le contraste ne dépend
# de rien d’autre. Une façon déjà mesurée sur cette page ne l’est pas deux fois.
MARK_NEW_LOOKS = """() => {
  const seen = (window.seenLooks ??= new Set());
  for (const node of document.querySelectorAll('[data-look]')) node.removeAttribute('data-look');
  const before = seen.size;
  const carriesText = (node) => node.matches('input,textarea,select')
    || [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  for (const node of document.body.querySelectorAll('*')) {
    if (!carriesText(node) || !node.getClientRects().length) continue;
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
  return seen.size - before;
}"""
# `preload: false` : axe n’a pas à relire les feuilles de style.
CONTRAST = "{include: [['[data-look]']]}, {preload: false, runOnly: ['color-contrast']"
ALL_BUT_CONTRAST = "document, {preload: false, rules: {'color-contrast': {enabled: false}}"


def axe_violations(visit: Visit, appearances=APPEARANCES) -> list[str]:
    """Ce qu’axe reproche à la page, sous chacune de ses apparences."""
    found, page = [], visit.page
    page.evaluate(KEEP_ONE_SPAN_OF_EACH_KIND)
    page.evaluate(AXE)
    for appearance in appearances:
        view, theme, width = appearance
        visit.show(view=view, theme=theme, width=width)
        runs = [CONTRAST] if page.evaluate(MARK_NEW_LOOKS) else []
        runs += [ALL_BUT_CONTRAST] if appearance in STRUCTURES else []
        for run in runs:
            result = page.evaluate(f"axe.run({run}, resultTypes: ['violations']}})")
            found += [
                f"{appearance} {violation['id']} : {node['target']} {node['html'][:120]}"
                for violation in result["violations"]
                for node in violation["nodes"]
            ]
    return found


@pytest.fixture(scope="module", params=GROUPED)
def visit(request, browser, site_url):
    """La page, ouverte une fois pour tout ce que l’on en vérifie."""
    with Visit(browser, site_url + request.param) as visit:
        yield visit


def test_page_is_quiet_and_local(visit, site_url):
    local = (site_url, "data:", "blob:")
    assert [url for url in visit.loaded if not url.startswith(local)] == []
    assert visit.errors == []


def test_page_is_in_french(visit):
    assert visit.page.get_attribute("html", "lang") == "fr"
    assert english_texts(visit.page) == []


def test_page_introduces_itself(visit):
    """Une description et un aperçu qui lui sont propres, un titre d’onglet sans redite."""
    head = visit.page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('meta[name], meta[property]')].map("
        "(tag) => [tag.getAttribute('property') ?? tag.name, tag.content]))"
    )
    assert 50 < len(head["description"]) <= 201
    assert head["og:title"] and head["og:description"] == head["description"]
    title = visit.page.title().split(" — ")
    assert len(set(title)) == len(title) <= 2


def test_page_weighs_at_most_a_megabyte(visit, site_url, site_folder):
    paths = {urlparse(url).path for url in visit.loaded if url.startswith(site_url)}
    sizes = {path: compressed_size(site_folder / unquote(path).lstrip("/")) for path in paths}
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert sum(sizes.values()) <= MAX_COMPRESSED_BYTES, heaviest


def test_page_fits_a_phone(visit):
    for view in ("lecture", "atelier"):
        visit.show(view=view, width=PHONE)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE, view


def test_page_is_accessible_in_every_appearance(visit):
    """En lecture et en atelier, claire et sombre, large et étroite ; et sans plainte."""
    views = {"lecture"} if visit.page.locator("div.cell").count() == 0 else {"lecture", "atelier"}
    assert axe_violations(visit, [seen for seen in APPEARANCES if seen[0] in views]) == []
    assert visit.errors == []


SHORT_PAGE = "book/bibliographie.html"
PALE = "#pale {{ color: {} }}"


@pytest.mark.parametrize(
    ("page", "style", "appearance"),
    [
        ("chapters/03_generation.html", PALE.format("#bbb"), ("lecture", "light", DESKTOP)),
        (SHORT_PAGE, PALE.format("rgb(119, 119, 120)"), ("lecture", "light", DESKTOP)),
        (SHORT_PAGE, "[data-theme=dark] #pale { color: #444 }", ("lecture", "dark", DESKTOP)),
        (SHORT_PAGE, "[data-view=atelier] #pale { color: #bbb }", ("atelier", "light", DESKTOP)),
        (SHORT_PAGE, "@media (width < 500px) { #pale { color: #bbb } }", ("lecture", "light", 390)),
    ],
)
def test_a_pale_text_is_seen(browser, site_url, page, style, appearance):
    """Un seul mot trop pâle, sous une seule apparence, et la lecture des contrastes le trouve."""
    with Visit(browser, site_url + page) as visit:
        visit.page.evaluate(
            "(style) => [...document.querySelectorAll('article p')].at(-1)"
            ".insertAdjacentHTML('beforeend', ` <b id='pale'>pâle</b><style>${style}</style>`)",
            style,
        )
        found = axe_violations(visit, APPEARANCES[: APPEARANCES.index(appearance) + 1])
        assert found and all("pâle" in text for text in found)
        assert found[0].startswith(str(appearance))


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("<pre><span class=n>a</span> <span class=n aria-label=x role=y>b</span></pre>", "aria-"),
        ("<img src=../_static/logo.svg>", "image-alt"),
    ],
)
def test_a_fault_of_structure_is_seen(browser, site_url, fault, rule):
    with Visit(browser, site_url + SHORT_PAGE) as visit:
        visit.page.evaluate(
            "(html) => document.querySelector('article').insertAdjacentHTML('beforeend', html)",
            fault,
        )
        assert any(rule in text for text in axe_violations(visit, APPEARANCES[:1]))


def test_a_lost_page_says_so_and_shows_the_way(browser, site_url, site_folder):
    lost = f"{site_url}chapters/perdue/3.html"
    ready = "document.readyState === 'complete' && document.fonts.status === 'loaded'"
    with Visit(browser, lost, ready=ready) as visit:
        assert visit.response.status == 404
        assert visit.page.locator("h1").text_content() == "Cette page n’existe pas"
        links = visit.page.evaluate("[...document.links].map((link) => link.href)")
        assert all((site_folder / urlparse(url).path.lstrip("/")).is_file() for url in links)
        visit.page.evaluate(AXE)
        assert visit.page.evaluate("axe.run({preload: false})")["violations"] == []


COPY = """(node) => new Promise((resolve) => {
  getSelection().selectAllChildren(node);
  document.addEventListener('copy', (event) => resolve(event.clipboardData.getData('text/plain')));
  document.execCommand('copy');
})"""


def test_formulas_copy_as_they_read(browser, site_url):
    """Ce que le presse-papiers reçoit est la phrase, nombres compris."""
    with Visit(browser, f"{site_url}chapters/03_generation.html") as visit:
        sentence = visit.page.locator("p:has(math)", has_text="Leurs parts sont").first
        text = sentence.evaluate(COPY)
        assert visit.page.evaluate("document.querySelectorAll('math').length") > 20
    assert "à e^2 ≈ 7,4, e ≈ 2,7 et 1." in " ".join(text.split())


def test_the_page_holds_without_javascript(browser, site_url):
    """Sans script : la palette claire, les formules composées, les figures à leur place."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site_url}chapters/01_transformer.html")
    paper = page.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
    assert paper == "rgb(253, 251, 246)"
    tall = page.locator("div.math mfrac").first.bounding_box()
    assert tall["height"] > 25
    assert page.locator("text=\\frac").count() == 0
    context.close()


ENDED = "/[0-9]/.test(document.querySelector('#search-results .search-summary')?.textContent)"


@pytest.mark.parametrize(
    ("accented", "plain"), [("modèle", "modele"), ("probabilités", "probabilites")]
)
def test_search_ignores_accents(browser, site_url, accented, plain):
    found = {}
    for query in (accented, plain):
        with Visit(browser, f"{site_url}search.html?q={query}") as visit:
            visit.page.wait_for_function(ENDED)
            links = visit.page.locator("#search-results ul.search li > a")
            found[query] = {urlparse(link.get_attribute("href")).path for link in links.all()}
    assert found[accented]
    assert found[accented] == found[plain]


SEARCHED = "!document.querySelector('#search-results ul.search li:not(:has(.context))')"


def test_search_leads_to_sections_in_french(browser, site_url, site_folder):
    """Un extrait par page, pris à la prose d’une section, et un lien qui y mène."""
    with Visit(browser, f"{site_url}search.html?q=température") as visit:
        page = visit.page
        page.wait_for_selector("#search-results ul.search li .context")
        page.wait_for_function(SEARCHED)
        assert english_texts(page) == []
        links = page.evaluate("[...document.querySelectorAll('.search-section')].map(a => a.href)")
        texts = page.locator(".context").all_text_contents()
    assert len(links) >= 3
    for link in links:
        address, fragment = urldefrag(link)
        assert unquote(fragment) in anchors(site_folder / urlparse(address).path.lstrip("/"))
    assert not [text for text in texts if "import " in text or "claim(" in text]


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
