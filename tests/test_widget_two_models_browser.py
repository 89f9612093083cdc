"""Enseignant et élève dans un vrai navigateur : mêmes textes qu’en Python, vitesses, clavier."""

import re
from pathlib import Path

import axe_playwright_python
import pytest
import torch
from anywidget_page import live_as_an_anywidget

from course_lib.generation import SamplingConfig, TextGenerator
from course_lib.pretrained import load_pretrained, save_folder
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig, llama
from course_lib.widgets import TwoModelsWidget

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
PROMPT = "Il était une fois"
COUNT = 23
SHAPES = {
    "Enseignant": {"context_length": 61, "d_model": 84, "n_layers": 3, "n_heads": 6, "d_ff": 101},
    "Élève": {"context_length": 53, "d_model": 20, "n_layers": 2, "n_heads": 5, "d_ff": 31},
}
FOLDERS = {"Enseignant": "grand", "Élève": "petit"}
NUMBERS = re.compile(
    r"(\d+) jetons? ; ([\d ,]+) ms par jeton ; ([\d ]+) jetons? par seconde \((.+)\)\."
)
COMPARED = re.compile(r"L’(élève|enseignant) a écrit (\d+,\d) fois plus vite\.|à la même vitesse")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Les poids des deux modèles, rangés comme le site les range."""
    words = [f"{a}{b}{c}" for a in "bcdfglm" for b in "aeiouéè" for c in "lmnrst"]
    tokenizer = BPETokenizer.train([f"{PROMPT} {' '.join(words)}"] * 3, vocab_size=521)
    assert tokenizer.vocab_size == 521
    path = tmp_path_factory.mktemp("models")
    for seed, (name, shape) in enumerate(SHAPES.items()):
        model = llama(LlamaConfig(521, **shape), seed=seed)
        with torch.no_grad():  # des scores bien séparés, comme après un apprentissage
            model.embedding.tokens.weight.mul_(8)
        save_folder(model, tokenizer, path / FOLDERS[name], dtype="float16")
    return path


@pytest.fixture(scope="module")
def models(folder) -> dict:
    """Les deux modèles tels que la page les lit : leurs poids sont arrondis."""
    loaded = {name: load_pretrained(folder / place) for name, place in FOLDERS.items()}
    return {name: (one.model, one.tokenizer) for name, one in loaded.items()}


@pytest.fixture
def open_page(open_widget, models, folder, tmp_path):
    """Ouvre la page ; une frappe fait venir les deux modèles, que l’on attend."""
    (tmp_path / "_static" / "models").symlink_to(folder)

    def open_one(theme="light", *, urls=None, count=COUNT, awaited=".cw-written", **options):
        page_options = {key: options.pop(key) for key in ("viewport", "expected") if key in options}
        options = {"prompt": PROMPT, "max_new_tokens": count, "weights_urls": urls, **options}
        page = open_widget(TwoModelsWidget(models, **options), theme, **page_options)
        page.get_by_label("Votre début").fill(PROMPT)
        page.locator(f".cw-two {awaited}").first.wait_for(state="attached")
        return page

    return open_one


def plain(text: str) -> str:
    """Un texte affiché, espaces insécables rendues simples."""
    return re.sub(r"[\u00a0\u202f]", " ", text)


def texts(page) -> list[str]:
    """Les deux textes ; la page n’écrit pas un dernier caractère inachevé (« � »)."""
    found = page.locator(".cw-written").evaluate_all("all => all.map(e => e.textContent)")
    return [text.rstrip("\ufffd") for text in found]


def speeds(page) -> list[str]:
    return [plain(text) for text in page.locator(".cw-speed").all_text_contents()]


def at_zero(page):
    """Règle la température à zéro, au clavier."""
    page.get_by_label("Température").first.focus()
    page.keyboard.press("Home")


def ended(page):
    page.wait_for_function(
        "document.querySelector('.cw-two [aria-live]').textContent.includes('Fin de')"
    )


def write(page, button="Écrire"):
    page.get_by_role("button", name=button).click()
    ended(page)


def greedy(models, prompt, count) -> list[str]:
    sampling = SamplingConfig(temperature=0)
    return [
        TextGenerator(*pair).complete(prompt, count, sampling=sampling).rstrip("\ufffd")
        for pair in models.values()
    ]


def test_at_zero_each_model_writes_what_python_writes(open_page, models):
    page = open_page()
    at_zero(page)
    assert page.locator(".cw-slider output").inner_text() == "0,0"
    for prompt in (PROMPT, "bal colé", "Il était\nune « fois »"):
        page.get_by_label("Votre début").fill(prompt)
        write(page)
        expected = greedy(models, prompt, COUNT)
        assert expected[0] != expected[1] and all(len(text) > len(prompt) for text in expected)
        assert texts(page) == expected


def test_the_slider_starts_where_it_is_told(open_page):
    page = open_page(temperature=0.6)
    assert page.locator(".cw-slider output").inner_text() == "0,6"
    assert page.get_by_label("Température").first.input_value() == "0.6"


def test_speeds_are_positive_and_compared(open_page):
    page = open_page()
    assert speeds(page) == ["", ""]
    at_zero(page)  # sans <eos> en vue, chacun va au bout
    write(page)
    measured = []
    for text in speeds(page):
        found = NUMBERS.match(text)
        assert found, text
        assert int(found[1]) == COUNT and found[4] == "longueur demandée atteinte"
        measured.append(float(found[2].replace(",", ".")))
        per_second = int(found[3].replace(" ", ""))
        assert measured[-1] > 0 and per_second > 0
        # Deux décimales affichées : l’inverse de l’une donne l’autre, à l’arrondi près.
        assert abs(1000 / per_second - measured[-1]) < 0.006 + 0.05 * measured[-1]
    told = plain(page.locator(".cw-summary").inner_text())
    assert COMPARED.search(told)
    heard = plain(page.locator(".cw-two [aria-live]").inner_text())
    assert heard.startswith("Fin de l’écriture. Enseignant : 23 jetons") and told in heard


def test_the_comparison_needs_twenty_tokens_each(open_page):
    page = open_page(count=19)
    at_zero(page)
    write(page)
    assert all(NUMBERS.match(text)[1] == "19" for text in speeds(page))
    assert page.locator(".cw-summary").inner_text() == ""


COMPARE = """async (pairs) => {
  const { comparison, median } = await import("/_static/widgets/two_models.js");
  const writer = ([name, time, count]) => ({ name, durations: Array(count).fill(time) });
  return [median([]), median([3]), median([9, 1, 2]), median([9, 1, 2, 4]),
    ...pairs.map((pair) => comparison(pair.map(writer)))];
}"""


def test_the_sentence_follows_the_medians(open_page):
    pairs = [
        [["Enseignant", 0.9, 20], ["Élève", 0.2, 31]],
        [["Enseignant", 0.2, 20], ["Élève", 0.5, 20]],
        [["Enseignant", 0.2, 20], ["Élève", 0.201, 20]],
        [["Grand", 2000, 20], ["Mini", 1, 20]],
        [["Enseignant", 0.9, 19], ["Élève", 0.2, 160]],
        [["Enseignant", 0.9, 160], ["Élève", 0.2, 0]],
    ]
    none, alone, odd, even, *sentences = open_page().evaluate(COMPARE, pairs)
    assert (none, alone, odd, even) == (None, 3, 2, 3)
    assert [plain(one) for one in sentences] == [
        "L’élève a écrit 4,5 fois plus vite.",
        "L’enseignant a écrit 2,5 fois plus vite.",
        "Les deux modèles ont écrit à la même vitesse.",
        "« Mini » a écrit 2 000,0 fois plus vite.",
        "",
        "",
    ]


TIMED = """async (tick) => {
  const { stepDuration } = await import("/_static/widgets/two_models.js");
  let [time, reads] = [0.3, 0];  // une horloge qui n’avance que tous les `tick`, un pas de 0,25 ms
  performance.now = () => { time += 0.001; return Math.floor(time / tick) * tick; };
  const decoder = { read: () => { time += 0.25; reads += 1; } };
  return [stepDuration(decoder, [1]), reads];
}"""


@pytest.mark.parametrize("tick", [0.005, 0.1, 1, 16])
def test_a_coarse_clock_does_not_spoil_the_measure(open_page, tick):
    duration, reads = open_page().evaluate(TIMED, tick)
    assert duration == pytest.approx(0.251, rel=0.05)
    assert reads >= 19


def test_they_take_turns_and_the_page_stays_responsive(open_page):
    page = open_page(count=30)
    page.evaluate("""() => { window.seen = []; window.beats = 0;
      const spans = [...document.querySelectorAll(".cw-written")];
      spans.forEach((span, index) =>
        new MutationObserver(() => seen.push(index)).observe(span, { childList: true }));
      const beat = () => { window.beats += 1; setTimeout(beat); };
      beat(); }""")
    at_zero(page)
    write(page)
    seen = page.evaluate("seen")
    # Les deux débuts s’affichent, le premier avec le jeton qui le suit ; puis chacun son tour.
    assert seen == [0, 1, 1] + [0, 1] * 29
    assert page.evaluate("beats") >= 30


def test_draws_are_seeded(open_page):
    page = open_page()
    write(page)
    first = texts(page)
    assert first[0] != first[1] and all(text.startswith(PROMPT) for text in first)
    write(page)
    assert texts(page) == first and "Tirage n° 1" in plain(page.locator(".cw-actions").inner_text())
    write(page, "Autre tirage")
    assert all(a != b for a, b in zip(texts(page), first, strict=True))
    assert "Tirage n° 2" in plain(page.locator(".cw-actions").inner_text())


def test_stop_stops_and_the_keyboard_keeps_its_place(open_page):
    page = open_page(count=200)
    stop = page.get_by_role("button", name="Arrêter")
    assert stop.is_disabled()
    at_zero(page)
    # Un dixième de seconde entre deux jetons : le temps d’arrêter, même sur une machine chargée.
    page.evaluate("window.requestAnimationFrame = (draw) => setTimeout(draw, 100)")
    page.get_by_label("Votre début").focus()
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        "document.querySelector('.cw-written').textContent.length > 40 && "
        "!document.querySelector('.cw-actions button:nth-child(2)').disabled"
    )
    stop.focus()
    page.keyboard.press("Enter")
    ended(page)
    found = [NUMBERS.match(text) for text in speeds(page)]
    assert [one[4] for one in found] == ["arrêté", "arrêté"]
    counts = [int(one[1]) for one in found]
    assert 0 <= counts[0] - counts[1] <= 1
    written = texts(page)
    assert stop.is_disabled()
    assert page.evaluate("document.activeElement.textContent") == "Écrire"
    page.wait_for_timeout(200)
    assert texts(page) == written


def test_writing_again_replaces_the_text_being_written(open_page, models):
    page = open_page()
    at_zero(page)
    page.get_by_role("button", name="Écrire").click()
    page.get_by_label("Votre début").fill("bal colé")
    write(page)
    assert texts(page) == greedy(models, "bal colé", COUNT)


def test_a_full_context_ends_each_text_in_its_own_time(open_page, models):
    page = open_page(count=200)
    at_zero(page)
    write(page)
    found = [NUMBERS.match(text) for text in speeds(page)]
    used = 1 + len(models["Élève"][1].encode(PROMPT))
    assert [int(one[1]) for one in found] == [61 - used, 53 - used]
    assert [one[4] for one in found] == [f"contexte de {n} jetons plein" for n in (61, 53)]
    page.get_by_label("Votre début").fill("Il était " * 60)
    write(page)
    assert speeds(page) == [f"0 jeton (contexte de {n} jetons plein)." for n in (61, 53)]
    assert page.locator(".cw-summary").inner_text() == ""


def test_weights_come_from_a_folder_of_the_site(open_page, models):
    for urls in (
        {"Enseignant": "models/grand"},
        {"Enseignant": "models/grand", "Élève": "models/petit"},
    ):
        page = open_page(urls=urls)
        names = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
        assert sum("safetensors" in name for name in names) == len(urls)
        at_zero(page)
        write(page)
        assert texts(page) == greedy(models, PROMPT, COUNT)


def test_weights_of_another_model_keep_the_static_form(open_page):
    for url in ("models/absent", "models/grand"):
        page = open_page(urls={"Élève": url}, awaited=".cw-error", expected="Modèle de langue|404")
        assert "n’a pas pu être chargé" in page.locator(".cw-error").inner_text()
        assert page.locator(".cw-still tbody tr").count() == 2
        assert page.get_by_role("button", name="Écrire").is_enabled()


def test_the_bundle_lives_as_an_anywidget_does(open_page, models):
    widget = TwoModelsWidget(models, prompt=PROMPT, max_new_tokens=COUNT)
    page = open_page()
    live_as_an_anywidget(page, widget)
    page.get_by_label("Votre début").fill(PROMPT)
    page.locator(".cw-written").first.wait_for(state="attached")
    assert page.evaluate("asked()") is False  # les poids reçus, le noyau peut les reprendre
    at_zero(page)
    write(page)
    assert texts(page) == greedy(models, PROMPT, COUNT)


def test_the_keyboard_reaches_everything_in_order(open_page):
    page = open_page()
    page.locator("h1").click()
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("""() => { const e = document.activeElement;
              const name = e.getAttribute("aria-label") ?? (e.closest("label") ?? e).textContent;
              return [name, getComputedStyle(e).outlineStyle !== "none"]; }""")
        )
    assert [name for name, _ in reached[:4]] == [
        "Votre début", "Écrire", "Autre tirage", "Température",
    ]  # fmt: skip
    assert all(visible for _, visible in reached[:4])


def test_without_javascript_the_table_and_both_texts_are_there(open_widget, models):
    widget = TwoModelsWidget(models, prompt=PROMPT, max_new_tokens=COUNT)
    page = open_widget(widget, java_script_enabled=False)
    assert page.locator(".cw-fallback tbody tr").count() == 2
    shown = " ".join(page.locator(".cw-fallback").inner_text().split())
    for text in greedy(models, PROMPT, COUNT):
        assert " ".join(text.split()) in shown


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_accessibility_fault_on_a_wide_or_narrow_screen(open_page, theme):
    page = open_page(theme)
    at_zero(page)
    write(page)
    page.evaluate(AXE)
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 900})
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in result["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [page.locator(".cw-two .cw-panel").nth(i).bounding_box() for i in (0, 1)]
        assert (boxes[0]["y"] == boxes[1]["y"]) == (width == 1200)
