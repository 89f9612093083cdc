"""Les composants dans un vrai navigateur : mêmes ids qu’en Python, souris, clavier, thèmes."""

from types import SimpleNamespace

import numpy as np
import pytest

from course_lib.tokenization import BPETokenizer, CharTokenizer, WordTokenizer
from course_lib.widgets import AttentionExplorer, Choice, Question, Quiz, TokenizerExplorer

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


@pytest.fixture(scope="module")
def trained() -> dict:
    """Les tokeniseurs de l’explorateur, par leur nom."""
    words, characters = WordTokenizer.train(CORPUS), CharTokenizer.train(CORPUS)
    spaced = WordTokenizer.train(CORPUS, split="whitespace")
    bpe = BPETokenizer.train(CORPUS, vocab_size=320)
    digits = BPETokenizer.train(CORPUS, vocab_size=300, isolate_digits=True)
    return {"Mots": words, "Espaces": spaced, "Caractères": characters, "BPE": bpe, "Ch": digits}


@pytest.fixture(scope="module")
def together(trained):
    """Trois composants voisins, comme dans un chapitre."""
    weights = np.full((2, 2, 3, 12, 12), 1 / 12)
    weights[0, :, :, 8] = np.eye(12)[1]  # « it » regarde « animal »…
    weights[1, :, :, 8] = np.eye(12)[6]  # … ou « street »
    sentences = [WORDS, [*WORDS[:-1], "wide"]]
    choices = [Choice("1", "Comptez mieux."), Choice("2", "Voilà.", correct=True)]
    widgets = [
        TokenizerExplorer(trained),
        AttentionExplorer(weights, sentences, labels=["tired", "wide"], query="it"),
        Quiz([Question("Que vaut `1 + 1` ?", choices)]),
    ]
    return SimpleNamespace(html=lambda: "".join(widget.html() for widget in widgets))


@pytest.fixture
def open_page(open_widget, together):
    """Ouvre la page des trois composants."""
    return lambda *theme, **options: open_widget(together, *theme, **options)


def test_typed_text_gives_python_ids(open_page, trained):
    page = open_page()
    area = page.get_by_label("Votre texte")
    for text in TEXTS:
        area.fill(text)
        shown = page.eval_on_selector_all(".cw-chips", "lists => lists.map(l => l.dataset.ids)")
        expected = [" ".join(map(str, one.encode(text))) for one in trained.values()]
        assert shown == expected, text


def test_every_character_is_split_as_in_python(open_page, trained):
    page = open_page()
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
    page.get_by_label("Bloc").select_option("sum")
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


def test_quiz_shuffles_at_each_visit_and_not_during_it(open_widget):
    choices = [Choice(f"choix {n}", f"Expliqué {n}.", correct=n == 3) for n in range(6)]
    many = Quiz([Question("Lequel ?", choices)])
    orders = []
    for _ in range(4):
        page = open_widget(many)
        labels = page.locator(".cw-choice")
        orders.append(labels.all_inner_texts())
        for n in (0, 3):
            page.get_by_label(f"choix {n}", exact=True).check()
            page.get_by_role("button", name="Vérifier la question 1").click()
            assert f"Expliqué {n}." in page.locator(".cw-feedback").inner_text()
        assert "Juste" in page.locator(".cw-feedback").inner_text()
        assert labels.all_inner_texts() == orders[-1]
    assert len({tuple(order) for order in orders}) > 1, "une chance sur trois cent millions"
    assert all(sorted(order) == [choice.text for choice in choices] for order in orders)


def test_quiz_shows_one_question_at_a_time_and_counts_them_all(open_widget):
    choices = [Choice("oui", "Bien vu.", correct=True), Choice("non", "Relisez.")]
    page = open_widget(Quiz([Question(f"La question {n}", choices) for n in (1, 2, 3)]))
    shown = page.locator(".cw-question:visible")
    back, forth = (page.get_by_role("button", name=name) for name in ("Précédente", "Suivante"))
    assert shown.count() == 1 and back.is_disabled()
    for n in (1, 2, 3):
        assert page.locator(".cw-place").inner_text() == f"Question {n} sur 3"
        assert f"La question {n}" in shown.inner_text()
        shown.get_by_label("oui").check()
        page.get_by_role("button", name=f"Vérifier la question {n}").click()
        if n < 3:
            forth.focus()
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.type") == "radio"
    assert forth.is_disabled()
    assert page.locator(".cw-summary").inner_text() == "3 réponses justes sur 3."
    back.click()
    assert shown.get_by_label("oui").is_checked() and "Bien vu." in shown.inner_text()


def test_a_broken_module_keeps_the_static_form(open_widget):
    broken = '<course-widget module="absent.js"><script type="application/json">{}</script>'
    broken += '<div class="cw-fallback">version figée</div></course-widget>'
    page = open_widget(SimpleNamespace(html=lambda: broken), expected=r"absent\.js|404")
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


def test_fallback_without_javascript(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator("table.cw-table").count() == 3
    assert not page.get_by_text("Voilà.").is_visible()
    page.get_by_text("Voir la réponse").click()
    assert page.get_by_text("Voilà.").is_visible()
