"""Les explorateurs des vrais modèles dans un navigateur : au clavier, mêmes nombres qu’ailleurs."""

import re
from pathlib import Path

import axe_playwright_python
import numpy as np
import pytest
import torch

from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig, llama
from course_lib.typography import format_number, format_percent
from course_lib.widgets import ContinuationExplorer, EmbeddingExplorer

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
N, D = 13, 7


def text_of(locator) -> str:
    """Le texte affiché, espaces insécables rendues simples."""
    return re.sub(r"\s+", " ", locator.inner_text())


def visible(text: str) -> str:
    """Un jeton tel que la page l’écrit."""
    return text.translate({ord(" "): "␣", ord("\n"): "⏎", ord("\t"): "⇥"})


def plain(text: str) -> str:
    return re.sub(r"\s", " ", text)


@pytest.fixture(scope="module")
def continuations():
    """Un modèle tiré au hasard ; le premier texte commence par deux jetons, dont l’un attendu."""
    torch.manual_seed(5)
    tokenizer = BPETokenizer.train(["le chat dort sur le lit"] * 3, 283)
    model = llama(LlamaConfig(tokenizer.vocab_size, 80, 30, 2, 3)).eval()
    firsts = torch.tensor([[0, i] for i in range(1, tokenizer.vocab_size)])
    with torch.no_grad():
        likely = model(firsts)[:, -1].topk(8).indices.tolist()
    pairs = [[first, second] for (_, first), row in zip(firsts.tolist(), likely, strict=True)
             for second in row]  # fmt: skip
    starts = ((tokenizer.decode(pair), pair) for pair in pairs)
    start = next(s for s, pair in starts if s.isalpha() and tokenizer.encode(s) == pair)
    texts = [f"{start}, le chat dort, à l’aube\nfin", "Un long\ttexte " + "très " * 9, "le"]
    return ContinuationExplorer.from_model(model, tokenizer, texts, start_id=0)


@pytest.fixture(scope="module")
def vectors():
    drawn = np.random.default_rng(1).standard_normal((N, D))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def embeddings(vectors):
    kinds = ("phrase", "paraphrase", "piège", "bruit")
    groups = [kinds[i % 4] for i in range(N)]
    return EmbeddingExplorer([f"La phrase n° {i} <b>" for i in range(N)], vectors, groups)


def test_every_token_tells_its_surprise_rank_and_remainder(open_widget, continuations):
    page = open_widget(continuations)
    tokens = continuations.texts[0]["tokens"]
    page.get_by_role("listbox").focus()
    page.keyboard.press("Home")
    ranks = set()
    for place, token in enumerate(tokens):
        assert page.locator("[aria-selected=true]").inner_text() == visible(token["text"])
        panel = text_of(page.locator(".cw-panel"))
        order = "la première" if token["rank"] == 1 else f"la {token['rank']}ᵉ"
        assert f"{order} suite attendue" in panel, place
        bits = re.search(r"soit ([\d,]+) bits? de surprise", panel)[1]
        assert float(bits.replace(",", ".")) == pytest.approx(token["bits"], abs=0.051), place
        told = re.search(r"Ces 8 suites réunissent ([\d,]+) % .* Le reste \(([\d,]+) %\)", panel)
        held, rest = (float(one.replace(",", ".")) for one in told.groups())
        assert held == pytest.approx(100 * sum(p for _, p in token["top"]), abs=0.051), place
        assert held + rest == pytest.approx(100, abs=1e-9), place
        written = page.locator(".cw-panel li").filter(has_text="← écrit")
        assert written.count() == (token["rank"] <= 8), place
        ranks.add(token["rank"] <= 8)
        page.keyboard.press("ArrowRight")
    assert ranks == {True, False}
    # Une flèche de plus, à la fin, ne mène nulle part.
    chosen = page.locator("[aria-selected=true]")
    assert chosen.count() == 1
    assert chosen.get_attribute("id").endswith(f"-{len(tokens) - 1}")
    active = page.get_by_role("listbox").get_attribute("aria-activedescendant")
    assert active == chosen.get_attribute("id")
    page.locator("[role=option]").nth(4).click()
    assert chosen.count() == 1 and chosen.inner_text() == visible(tokens[4]["text"])
    assert f"soit {format_number(tokens[4]['bits'], 1)} bit" in text_of(page.locator(".cw-panel"))


@pytest.mark.parametrize(
    "key, presses, temperature", [("ArrowLeft", 0, 1.0), ("ArrowLeft", 5, 0.5), ("End", 1, 3.0)]
)
def test_the_temperature_shares_the_eight_bars(
    open_widget, continuations, key, presses, temperature
):
    page = open_widget(continuations)
    tokens = continuations.texts[0]["tokens"]
    page.get_by_label("Température").first.focus()
    for _ in range(presses):
        page.keyboard.press(key)
    page.get_by_role("listbox").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    powers = np.array([p for _, p in tokens[1]["top"]]) ** (1 / temperature)
    expected = powers / powers.sum()
    shown = [text_of(one) for one in page.locator(".cw-panel .cw-value").all()]
    parts = [float(one.replace(" %", "").replace(",", ".").replace("<", "")) for one in shown]
    np.testing.assert_allclose(parts, 100 * expected, atol=0.1)
    assert shown[0] == plain(format_percent(expected[0], 1))
    assert sum(parts) == pytest.approx(100, abs=0.5)
    scale = f"Parts parmi les 8 premières, à la température {format_number(temperature, 1)}"
    assert scale in text_of(page.locator(".cw-panel"))
    parts_of_bars = page.locator(".cw-panel .cw-bar").evaluate_all(
        "bars => bars.map(e => parseFloat(getComputedStyle(e).getPropertyValue('--part')))"
    )
    np.testing.assert_allclose(parts_of_bars, expected, atol=0.01)


def test_a_sure_model_is_told_in_the_singular(open_widget):
    """Une seule suite gardée, presque certaine : ni pluriel, ni « 0,0 % »."""
    token = {"text": " a", "bits": 0.0, "rank": 1, "probability": 1.0, "top": [[" a", 1.0]]}
    rare = {**token, "text": "z", "bits": 14.29, "rank": 1234, "probability": 5e-5}
    text = {"name": "deux", "tokens": [token, rare], "bitsPerByte": 1.99}
    page = open_widget(ContinuationExplorer([text]))
    panel = page.locator(".cw-panel")  # le texte est court : son dernier jeton est montré d’abord
    assert "la 1 234ᵉ suite attendue, < 0,1 %, soit 14,3 bits de surprise." in text_of(panel)
    page.get_by_role("listbox").press("ArrowLeft")
    shown = text_of(panel)
    assert "« ␣a » : la première suite attendue, 100,0 %, soit 0,0 bit de surprise." in shown
    assert "Part de la première suite, à la température 1,0" in shown
    assert "Cette suite réunit 100,0 % de la probabilité. Le reste (presque rien)" in shown
    assert text_of(page.locator(".cw-summary")) == "2 jetons, 1,99 bit par octet."


def test_colours_follow_the_legend(open_widget, continuations):
    page = open_widget(continuations)
    legend = page.locator(".cw-legend")
    assert text_of(legend) == "0 bit 3 bits 6 bits 9 bits 12 bits et plus"
    shares = page.locator("[role=option]").evaluate_all(
        "nodes => nodes.map((n) => parseFloat(n.style.getPropertyValue('--share')))"
    )
    tokens = continuations.texts[0]["tokens"]
    expected = [min(100, 100 * token["bits"] / 12) for token in tokens]
    np.testing.assert_allclose(shares, expected, atol=0.51)
    colour = "nodes => nodes.map((n) => getComputedStyle(n).backgroundColor)"
    assert len(set(legend.locator(".cw-swatch").evaluate_all(colour))) == 5


def test_choosing_a_text_shows_its_tokens_and_its_cost(open_widget, continuations):
    page = open_widget(continuations)
    menu = page.get_by_role("combobox")
    menu.focus()
    for index, text in enumerate(continuations.texts):
        assert menu.input_value() == str(index)
        chips = page.locator("[role=option]").all_inner_texts()
        assert len(chips) == len(text["tokens"])
        assert not any(re.search(r"\s", chip) for chip in chips)
        count = len(text["tokens"])
        cost, unit = text["bitsPerByte"], "bit" if text["bitsPerByte"] < 2 else "bits"
        words = f"{count} jeton{'s' if count > 1 else ''}, {format_number(cost, 2)} {unit}"
        assert f"{words} par octet." in text_of(page.locator(".cw-summary"))
        page.keyboard.press("ArrowDown")


def read_neighbours(page) -> list[tuple[str, str]]:
    items = page.locator(".cw-panel ol li").all()
    return [(text_of(i.locator(".cw-text")), text_of(i.locator(".cw-value"))) for i in items]


def test_the_keyboard_walks_every_sentence_and_its_neighbours(open_widget, embeddings, vectors):
    page = open_widget(embeddings)
    cosines = np.round(vectors @ vectors.T, 3)
    page.get_by_label("Phrase").focus()
    negative = False
    for chosen in range(N):
        assert page.get_by_label("Phrase").input_value() == str(chosen)
        others = [i for i in range(N) if i != chosen]
        order = sorted(others, key=lambda i: (-cosines[chosen, i], i))[:5]
        names = [f"{embeddings.sentences[i]} ({embeddings.groups[i]})" for i in order]
        values = [format_number(cosines[chosen, i], 3) for i in order]
        assert read_neighbours(page) == list(zip(names, values, strict=True))
        negative |= any(value.startswith("−") for value in values)
        heard = text_of(page.locator("[aria-live]"))
        assert f"« {embeddings.sentences[order[0]]} »" in heard and values[0] in heard
        page.keyboard.press("ArrowDown")
    assert negative


def test_lines_join_the_chosen_point_to_its_neighbours(open_widget, embeddings):
    page = open_widget(embeddings)
    page.get_by_label("Phrase").select_option("6")
    read = "(nodes) => nodes.map((n) => ['x1','y1','x2','y2'].map((a) => +n.getAttribute(a)))"
    lines = np.array(page.locator(".cw-links line").evaluate_all(read))
    assert lines.shape == (5, 4) and np.ptp(lines[:, :2], axis=0).max() == 0
    names = [name.split(" (")[0] for name, _ in read_neighbours(page)]
    points = np.array(embeddings.points)
    ends = points[[embeddings.sentences.index(name) for name in names]] - points[6]
    drawn = lines[:, 2:] - lines[:, :2]
    # Même échelle sur les deux axes, l’ordonnée vers le bas.
    scale = np.linalg.norm(drawn) / np.linalg.norm(ends)
    np.testing.assert_allclose(drawn, scale * ends * [1, -1], atol=0.01)


def test_clicking_near_a_point_chooses_it(open_widget, embeddings):
    page = open_widget(embeddings)
    for index in range(N):
        page.locator(".cw-point").nth(index).click()
        assert page.get_by_label("Phrase").input_value() == str(index)
    box = page.locator(".cw-point").nth(2).bounding_box()
    centre = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(centre[0] + 2, centre[1] + 2)
    assert page.get_by_label("Phrase").input_value() == "2"


def test_groups_differ_by_shape_and_colour(open_widget, embeddings):
    page = open_widget(embeddings)
    assert page.locator(".cw-legend li").count() == 4
    look = """nodes => nodes.map((n) => [getComputedStyle(n).fill,
      n.getAttribute('d').replace(/[\\d.]+/g, '').replace(/-/g, '')])"""
    legend = page.locator(".cw-legend path").evaluate_all(look)
    assert len({colour for colour, _ in legend}) == 4 and len({path for _, path in legend}) == 4
    points = page.locator(".cw-point path").evaluate_all(look)
    kinds = list(dict.fromkeys(embeddings.groups))
    assert points == [legend[kinds.index(group)] for group in embeddings.groups]


KEPT = """async () => {
  const { keptShare } = await import("/_static/widgets/embedding_explorer.js");
  const state = JSON.parse(document.querySelector("course-widget script").textContent);
  return [keptShare(state.points, state.similarities),
          keptShare([[0, 0], [0, 0], [0, 0]], [1000, 1000, 1000])];
}"""


def test_the_map_says_how_much_it_keeps(open_widget, embeddings, vectors):
    page = open_widget(embeddings)
    variances = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    share = variances[:2].sum() / variances.sum()
    found, identical = page.evaluate(KEPT)
    assert found == pytest.approx(share, abs=2e-3) and identical == 1
    assert f"{plain(format_percent(found))} de ce qui les distingue" in text_of(
        page.locator(".cw-help").first
    )


MOUNT = """async ([source, state]) => {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const el = document.createElement("div");
  document.querySelector("main").replaceChildren(el);
  widget.render({ model: { get: (name) => state[name], on() {}, off() {} }, el });
}"""


def test_they_live_as_an_anywidget_does(open_widget, continuations, embeddings):
    page = open_widget(continuations)
    for widget in (continuations, embeddings):
        page.evaluate(MOUNT, [str(widget._esm), widget.state()])
        page.get_by_role("combobox").select_option("1")
        assert page.locator("section.cw").count() == 1
        assert page.locator(".cw-key").count() == (8 if widget is continuations else 5)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["continuations", "embeddings"])
def test_accessible_visible_at_the_keyboard_and_narrow(open_widget, request, name, theme):
    widget = request.getfixturevalue(name)
    page = open_widget(widget, theme, viewport={"width": 390, "height": 800})
    page.evaluate(AXE)
    for choice in ("0", "1"):
        page.get_by_role("combobox").select_option(choice)
        found = page.evaluate("async () => (await axe.run(document)).violations")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("combobox").focus()
    reached = []
    for _ in range(3 if name == "continuations" else 1):
        style = page.evaluate("""() => { const e = document.activeElement;
          return [e.getAttribute("role") ?? e.localName, getComputedStyle(e).outlineStyle]; }""")
        reached.append(style)
        page.keyboard.press("Tab")
    wanted = ["select", "listbox", "input"] if name == "continuations" else ["select"]
    assert [tag for tag, _ in reached] == wanted
    assert all(outline != "none" for _, outline in reached)


@pytest.mark.parametrize("name", ["continuations", "embeddings"])
def test_the_static_version_reads_without_javascript(browser, tmp_path, request, name):
    widget = request.getfixturevalue(name)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    (tmp_path / "page.html").write_text(f"<!doctype html>{head}{widget.html()}", "utf-8")
    page = browser.new_page(java_script_enabled=False, viewport={"width": 390, "height": 800})
    page.goto((tmp_path / "page.html").as_uri())
    rows = N if name == "embeddings" else 3 + len(widget.texts[0]["tokens"])
    assert page.locator("table tbody tr").count() == rows
    assert "Version figée" in page.locator(".cw-fallback").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
