"""Le site construit, ouvert dans un vrai navigateur dont les noms ne se résolvent pas."""

import functools
import gzip
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
from site_accessibility import APPEARANCES, AXE, axe_violations
from site_visit import PAGES, PHONE, Visit

pytestmark = pytest.mark.browser

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


def pale(name, style):
    """Un mot trop pâle, sous certaines apparences seulement."""
    return f" <b id='{name}'>pâle</b><style>{style.replace('#_', f'#{name}')}</style>"


CODE_FAULT = "<pre><span class=n>a</span> <span class=n aria-label=x role=y>b</span></pre>"
FIRST = "('lecture', 'light', 1300)"
# Un défaut, ce qui le désigne, et le début de ce qu’axe en dit d’abord : apparence et règle.
EVERYWHERE = (pale("pale", "#_ { color: #bbb }"), 'id="pale"', f"{FIRST} color-contrast")
PLANTED = [
    (pale("gris", "#_ { color: rgb(119, 119, 120) }"), 'id="gris"', f"{FIRST} color-contrast"),
    (
        pale("sombre", "[data-theme=dark] #_ { color: #444 }"),
        'id="sombre"',
        "('atelier', 'dark', 1300) color-contrast",
    ),
    (
        pale("vue", "[data-view=atelier] #_ { color: #bcbcbc }"),
        'id="vue"',
        "('atelier', 'light', 1300) color-contrast",
    ),
    (
        pale("etroit", "@media (width < 500px) { #_ { color: #b9b9b9 } }"),
        'id="etroit"',
        "('atelier', 'light', 390) color-contrast",
    ),
    (CODE_FAULT, 'aria-label="x"', f"{FIRST} aria-"),
    ("<img src=../_static/logo.svg>", "logo.svg", f"{FIRST} image-alt"),
]


@pytest.mark.parametrize(
    ("page", "faults"),
    [("chapters/03_generation.html", [EVERYWHERE]), ("book/bibliographie.html", PLANTED)],
)
def test_each_planted_fault_is_seen_and_nothing_else(browser, site_url, page, faults):
    """Un mot trop pâle sous une seule apparence, une faute de structure : axe trouve chacune."""
    with Visit(browser, site_url + page) as visit:
        for html, *_ in faults:
            visit.page.evaluate(
                "(html) => [...document.querySelectorAll('article p')].at(-1)"
                ".insertAdjacentHTML(html.startsWith(' <b') ? 'beforeend' : 'afterend', html)",
                html,
            )
        found = axe_violations(visit, APPEARANCES if len(faults) > 1 else APPEARANCES[:1])
    first = {mark: next((text for text in found if mark in text), "") for _, mark, _ in faults}
    for _, mark, said in faults:
        assert first[mark].startswith(said), (mark, first[mark])
    assert [text for text in found if not any(mark in text for mark in first)] == []


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
    with Visit(browser, f"{site_url}chapters/10_du_texte_a_la_distillation.html") as visit:
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
