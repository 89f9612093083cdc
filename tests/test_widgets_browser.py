"""Les composants dans un vrai navigateur : mêmes ids qu'en Python, souris, clavier, thèmes."""

import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from course_lib.tokenization import BPETokenizer, CharTokenizer, WordTokenizer
from course_lib.widgets import AttentionExplorer, Choice, Question, Quiz, TokenizerExplorer
from course_lib.widgets.base import FOLDER

HOST = Path(__file__).parents[1] / "book" / "static" / "widget-host.js"
SENTENCE = "the animal did not cross the street because it was too tired"
WORDS = SENTENCE.split()
CORPUS = ["L’animal n’a pas traversé la rue : il était trop fatigué. Été 2024, 1 234,5 €."] * 9
TEXTS = [
    "",
    " ",
    "L’animal n’a pas traversé la rue : il était trop fatigué.",
    "Ça coûte 12 345,67 € — « déjà ? » dit-il…",
    "  deux  espaces\n\n\tet\u00a0des\u202ffines  ",
    "🐾👩‍👩‍👧‍👦 e\u0301te\u0301 \ufeffX\u0085Y\x1cZ",
    "don't we'll I'm 's <eos><pad> <eo",
    "日本語 العربية ไทย Ω≈ç√ ǅ \U0001e6c0 ᲀ",
    "a" * 150 + "é" * 40,
]

pytestmark = pytest.mark.browser


def widgets() -> dict:
    """Les trois composants de la page d'essai."""
    words, characters = WordTokenizer.train(CORPUS), CharTokenizer.train(CORPUS)
    spaced = WordTokenizer.train(CORPUS, split="whitespace")
    bpe = BPETokenizer.train(CORPUS, vocab_size=320)
    digits = BPETokenizer.train(CORPUS, vocab_size=300, isolate_digits=True)
    trained = {"Mots": words, "Espaces": spaced, "Caractères": characters, "BPE": bpe, "Ch": digits}
    weights = np.full((2, 2, 3, 12, 12), 1 / 12)
    weights[0, :, :, 8] = np.eye(12)[1]  # « it » regarde « animal »…
    weights[1, :, :, 8] = np.eye(12)[6]  # … ou « street »
    sentences = [WORDS, [*WORDS[:-1], "wide"]]
    choices = [Choice("1", "Comptez mieux."), Choice("2", "Voilà.", correct=True)]
    return {
        "tokens": (TokenizerExplorer(trained), trained),
        "attention": AttentionExplorer(weights, sentences, labels=["tired", "wide"], query="it"),
        "quiz": Quiz([Question("Que vaut `1 + 1` ?", choices)]),
    }


class QuietHandler(SimpleHTTPRequestHandler):
    """Sert les fichiers sans écrire de journal."""

    def log_message(self, *_):
        """Ne rien écrire."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """La page d'essai dans les deux thèmes, servie comme le site la sert."""
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(FOLDER, root / "_static" / "widgets", ignore=shutil.ignore_patterns("*.py"))
    shutil.copy(HOST, root / "_static")
    built = widgets()
    body = built["tokens"][0].html() + built["attention"].html() + built["quiz"].html()
    broken = '<course-widget module="absent.js"><script type="application/json">{}</script>'
    broken += '<div class="cw-fallback">version figée</div></course-widget>'
    pages = {"light": body, "dark": body, "broken": broken}
    for name, content in pages.items():
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        head += '<link rel="icon" href="data:,"><title>Essai</title>'
        script = '<script type="module" src="_static/widget-host.js"></script>'
        page = f'<!doctype html><html lang="fr" data-theme="{name}"><head>{head}{script}</head>'
        (root / f"{name}.html").write_text(f"{page}<body>{content}</body></html>", "utf-8")
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(root))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", built
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def open_page(browser, site):
    """Ouvre une page ; toute erreur de console fait échouer l'essai."""
    pages, problems = [], []

    def open_one(name="light", **options):
        page = browser.new_page(**options)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None
        )
        page.goto(f"{site[0]}/{name}.html")
        page.wait_for_function(
            "[...document.querySelectorAll('course-widget')].every(e => e.dataset.state)"
        )
        pages.append(page)
        return page

    yield open_one
    for page in pages:
        page.close()
    assert not [p for p in problems if "absent.js" not in p and "404" not in p]


def test_typed_text_gives_python_ids(open_page, site):
    page = open_page()
    trained = site[1]["tokens"][1]
    area = page.get_by_label("Votre texte")
    for text in TEXTS:
        area.fill(text)
        shown = page.eval_on_selector_all(".cw-chips", "lists => lists.map(l => l.dataset.ids)")
        expected = [" ".join(map(str, one.encode(text))) for one in trained.values()]
        assert shown == expected, text


def test_every_character_is_split_as_in_python(open_page, site):
    page = open_page()
    trained = site[1]["tokens"][1]
    # Un caractère sur 37 (un nombre premier, pour traverser tous les blocs), hors demi-paires.
    sample = [chr(code) for code in range(0x80, 0x20000, 37) if not 0xD800 <= code < 0xE000]
    text = "".join(f"a{character}1 " for character in sample)
    area = page.get_by_label("Votre texte")
    area.fill(text)
    shown = page.eval_on_selector_all(".cw-chips", "lists => lists.map(l => l.dataset.ids)")
    for name, ids in zip(trained, shown, strict=True):
        assert ids == " ".join(map(str, trained[name].encode(text))), name


def test_keyboard_types_and_invisible_characters_show(open_page):
    page = open_page()
    area = page.get_by_label("Votre texte")
    area.fill("")
    area.focus()
    page.keyboard.type("a b")
    page.keyboard.press("Enter")
    lane = page.locator(".cw-lane").nth(2)
    assert lane.locator(".cw-chip-text").all_inner_texts() == ["a", "␣", "b", "⏎"]
    live = page.locator(".cw-tokens [aria-live]")
    page.wait_for_function("e => e.textContent.includes('4')", arg=live.element_handle())
    assert "Caractères" in live.inner_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_attention_answers_to_keyboard_and_mouse(open_page, theme):
    page = open_page(theme)
    summary = page.locator(".cw-attention .cw-summary")
    assert "« animal » (1,00)" in summary.inner_text().replace("\u00a0", " ")
    page.get_by_role("option", name="it", exact=True).first.focus()
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.textContent") == "because"
    assert "« because » regarde" in summary.inner_text().replace("\u00a0", " ")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == "tired"
    page.locator(".cw-queries").nth(1).get_by_text("it", exact=True).click()
    page.get_by_label("Voir").select_option("difference")
    text = page.locator(".cw-panel").inner_text()
    assert "+1,00" in text and "−1,00" in text and "tired / wide" in text
    page.get_by_label("Voir").select_option("each")
    page.get_by_label("Couche").select_option("sum")
    page.get_by_label("Tête").select_option("1")
    assert "« animal » (2,00)" in summary.inner_text().replace("\u00a0", " ")


def test_quiz_judges_with_the_keyboard(open_page):
    page = open_page()
    page.get_by_role("button", name="Vérifier la question 1").click()
    assert "Choisissez d’abord" in page.locator(".cw-feedback").inner_text()
    page.get_by_label("1", exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert "Pas tout à fait. Comptez mieux." in page.locator(".cw-feedback").inner_text()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert "Juste. Voilà." in page.locator(".cw-feedback").inner_text()
    assert page.locator(".cw-quiz .cw-summary").inner_text() == "1 réponse juste sur 1."


def test_a_broken_module_keeps_the_static_form(open_page):
    page = open_page("broken")
    assert "n’a pas pu démarrer" in page.locator(".cw-error").inner_text()
    assert page.locator(".cw-fallback").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_phone_has_no_horizontal_scroll(open_page, theme):
    page = open_page(theme, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


CONTRAST = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (c) => { const [r, g, b] = c.map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { for (; node; node = node.parentElement) {
    const color = getComputedStyle(node).backgroundColor;
    if (!/, 0\\)$|transparent/.test(color)) return channels(color); } return [255, 255, 255]; };
  return [...document.querySelectorAll(".cw *")].filter((node) =>
      [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
    .map((node) => { const style = getComputedStyle(node);
      const [a, b] = [light(channels(style.color)), light(behind(node))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), node.className, node.textContent.slice(0, 20)]; })
    .filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_are_contrasted_enough(open_page, theme):
    assert open_page(theme).evaluate(CONTRAST) == []


def test_fallback_without_javascript(browser, site):
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{site[0]}/light.html")
    assert page.locator("table.cw-table").count() == 3
    assert not page.get_by_text("Voilà.").is_visible()
    page.get_by_text("Voir la réponse").click()
    assert page.get_by_text("Voilà.").is_visible()
    page.close()
