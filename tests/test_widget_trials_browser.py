"""L’explorateur d’essais dans un navigateur : au clavier, mêmes nombres qu’en Python."""

import re
from itertools import product
from pathlib import Path

import axe_playwright_python
import numpy as np
import pytest

from course_lib.widgets import Measure, Trial, TrialExplorer

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
AXES = {
    "Façon": ["complet", "LoRA (rang 8)", "dernières couches seulement", "tête", "amorce <b>"],
    "Exemples": ["30", "300", "3000"],
    "Taux": ["bas", "haut"],
}
MEASURES = [
    Measure("Réponses exactes", unit="%", decimals=1, higher_is_better=True),
    Measure("Gain de perte", decimals=3, higher_is_better=False),
    Measure("Paramètres entraînés"),
]
ABSENT = (("tête", "300", "bas"), ("complet", "3000", "haut"))


def draw_trials() -> list[Trial]:
    """Toutes les combinaisons sauf deux, en commençant par une du milieu ; une à trois graines."""
    draw = np.random.default_rng(5)
    done = [choices for choices in product(*AXES.values()) if choices not in ABSENT]
    trials = []
    for rank, choices in enumerate(done[7:] + done[:7]):
        seeds = 1 + (rank + 2) % 3
        values = {
            "Réponses exactes": draw.uniform(0, 100, seeds).tolist(),
            "Gain de perte": draw.normal(0, 1, seeds).tolist(),
        }
        if choices[0] != "tête":
            values["Paramètres entraînés"] = [int(draw.integers(1, 10**7))]
        trials.append(Trial(choices, values))
    return trials


TRIALS = draw_trials()
KNOWN = {trial.choices: trial.values for trial in TRIALS}


@pytest.fixture(scope="module")
def widget():
    return TrialExplorer(AXES, MEASURES, TRIALS, title="Trois axes")


def text_of(locator) -> str:
    """Le texte affiché, espaces insécables rendues simples."""
    return re.sub(r"\s+", " ", locator.inner_text()).strip()


def written(measure: Measure, value: float) -> str:
    return re.sub(r"\s", " ", measure.write(value))


def told(choices: tuple, measure: Measure) -> list[str]:
    """Médiane, étendue et graines attendues, calculées ici à part."""
    values = KNOWN.get(choices, {}).get(measure.name)
    if values is None:
        return ["pas mesuré", "–", "–"]
    low, high = (written(measure, end) for end in (min(values), max(values)))
    spread = f"de {low} à {high}" if len(values) > 1 else "–"
    return [written(measure, float(np.median(values))), spread, str(len(values))]


def expected_figures(choices: tuple) -> list[str]:
    lines = []
    for measure in MEASURES:
        middle, spread, seeds = told(choices, measure)
        more = "" if spread == "–" else f" {spread}, {seeds} graines"
        lines.append(f"{measure.name} {middle}{more}")
    return lines


def figures(page) -> list[str]:
    return [text_of(item) for item in page.locator("[aria-live] li").all()]


def menu(page, name: str):
    return page.get_by_role("combobox", name=name, exact=True)


def chosen(page) -> tuple:
    menus = page.locator(".cw-controls").first.locator("select").all()
    return tuple(menu.locator("option:checked").inner_text() for menu in menus)


def test_the_first_trial_is_shown_first(open_widget, widget):
    page = open_widget(widget)
    assert chosen(page) == TRIALS[0].choices != tuple(values[0] for values in AXES.values())
    assert figures(page) == expected_figures(TRIALS[0].choices)
    assert "graines" not in figures(page)[2] and "3 graines" in figures(page)[0]


def test_the_keyboard_reaches_every_combination(open_widget, widget):
    page = open_widget(widget)
    visited = set()
    for facon, exemples in product(range(5), range(3)):
        menu(page, "Façon").select_option(str(facon))
        menu(page, "Exemples").select_option(str(exemples))
        menu(page, "Taux").focus()
        for key in ("ArrowUp", "ArrowDown"):
            page.keyboard.press(key)
            choices = chosen(page)
            assert figures(page) == expected_figures(choices), choices
            visited.add(choices)
    assert visited == set(product(*AXES.values()))
    # Toute la page se parcourt à la touche de tabulation, et le focus s’y voit.
    menu(page, "Façon").focus()
    page.keyboard.press("ArrowUp")
    assert chosen(page)[0] == AXES["Façon"][3]
    reached = []
    for _ in range(6):
        seen = """() => { const e = document.activeElement;
          return [e.labels?.[0]?.firstChild.textContent ?? e.textContent,
                  getComputedStyle(e).outlineStyle !== "none"]; }"""
        reached.append(page.evaluate(seen))
        page.keyboard.press("Tab")
    names = ["Façon", "Exemples", "Taux", "Comparer", "Faire varier", "Ces nombres en tableau"]
    assert reached == [[name, True] for name in names]


def test_a_combination_never_tried_says_so(open_widget, widget):
    page = open_widget(widget)
    for label, value in zip(AXES, ABSENT[0], strict=True):
        menu(page, label).select_option(value)
    assert figures(page) == [f"{measure.name} pas mesuré" for measure in MEASURES]
    row = page.locator(".cw-trial-bars [data-current=true]")
    assert text_of(row) == "tête ← votre choix pas mesuré" and row.locator("svg").count() == 0


def geometry(row):
    """La barre et le trait fin d’une ligne, en pour cent de la largeur."""
    read = "(nodes, names) => nodes.map((n) => names.map((a) => +n.getAttribute(a)))"
    bar = row.locator("rect").evaluate_all(read, ["x", "width"])
    whisker = row.locator(".cw-trial-whisker").evaluate_all(read, ["x1", "x2"])
    return bar, whisker, row.locator(".cw-trial-zero").evaluate_all(read, ["x1"])


@pytest.mark.parametrize("rank", range(len(MEASURES)))
def test_bars_compare_along_one_axis(open_widget, widget, rank):
    page, measure = open_widget(widget), MEASURES[rank]
    menu(page, "Comparer").select_option(str(rank))
    everything = [v for values in KNOWN.values() for v in values.get(measure.name, [])]
    low, high = min(0, *everything), max(0, *everything)

    def place(value):
        return 100 * (value - low) / (high - low)

    page.get_by_text("Ces nombres en tableau").click()
    current, missing = chosen(page), 0
    for axis, (name, values) in enumerate(AXES.items()):
        menu(page, "Faire varier").select_option(name)
        rows = page.locator(".cw-trial-bars > li").all()
        lines = page.locator(".cw-table tbody tr").all()
        assert len(rows) == len(lines) == len(values)
        for value, row, line in zip(values, rows, lines, strict=True):
            choices = (*current[:axis], value, *current[axis + 1 :])
            middle, spread, seeds = told(choices, measure)
            cells = [text_of(cell) for cell in line.locator("th, td").all()]
            assert cells == [value, middle, spread, seeds]
            mark = " ← votre choix" if value == current[axis] else ""
            assert text_of(row) == f"{value}{mark} {middle}"
            numbers = KNOWN.get(choices, {}).get(measure.name)
            if numbers is None:
                assert row.locator("svg").count() == 0
                missing += 1
                continue
            bar, whisker, zero = geometry(row)
            ends = sorted((place(0), place(np.median(numbers))))
            np.testing.assert_allclose(bar, [[ends[0], ends[1] - ends[0]]], atol=1e-9)
            np.testing.assert_allclose(zero, [[place(0)]], atol=1e-9)
            assert (len(whisker) == 3) == (len(numbers) > 1)
            if whisker:
                wanted = [place(min(numbers)), place(max(numbers))]
                np.testing.assert_allclose(whisker[0], wanted, atol=1e-9)
        fixed = [f"{n} : {c}" for n, c in zip(AXES, current, strict=True) if n != name]
        title = f"{measure.name} selon l’axe « {name} » ({' ; '.join(fixed)})"
        assert text_of(page.locator(".cw-table caption")) == title
    assert missing == 1
    sense = ["Plus haut, c’est mieux.", "Plus bas, c’est mieux.", ""][rank]
    assert text_of(page.locator(".cw-panel .cw-help")) == sense


def test_a_single_axis_and_a_null_measure_are_drawn(open_widget):
    trial = Trial(("seule",), {"Écart": [0, 0]})
    page = open_widget(TrialExplorer({"Axe": ["seule"]}, [Measure("Écart", "ms")], [trial]))
    assert figures(page) == ["Écart 0 ms de 0 ms à 0 ms, 2 graines"]
    assert text_of(page.locator(".cw-panel-title").nth(1)) == "Écart selon l’axe « Axe »"
    assert geometry(page.locator(".cw-trial-bars li")) == ([[0, 0]], [[0, 0]] * 3, [[0]])


MOUNT = """async ([source, state]) => {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const el = document.createElement("div");
  document.querySelector("main").replaceChildren(el);
  widget.render({ model: { get: (name) => state[name], on() {}, off() {} }, el });
}"""


def test_it_lives_as_an_anywidget_does(open_widget, widget):
    page = open_widget(widget)
    page.evaluate(MOUNT, [str(widget._esm), widget.state()])
    menu(page, "Façon").select_option("tête")
    assert page.locator("section.cw").count() == 1
    assert figures(page) == expected_figures(("tête", *TRIALS[0].choices[1:]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible_and_narrow(open_widget, widget, theme):
    page = open_widget(widget, theme, viewport={"width": 390, "height": 800})
    page.get_by_text("Ces nombres en tableau").click()
    page.evaluate(AXE)
    for choice in ("LoRA (rang 8)", "tête"):
        menu(page, "Façon").select_option(choice)
        found = page.evaluate("async () => (await axe.run(document)).violations")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for part in page.locator(".cw-panel, .cw-table, .cw-trial-strip").all():
        box = part.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390


CONTRAST = """() => {
  const light = (text) => { const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3)
    .map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = getComputedStyle(document.querySelector(".cw-panel")).backgroundColor;
  const ratio = (colour) => { const [a, b] = [light(colour), light(paper)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05); };
  return ["bar", "whisker", "zero"].map((name) =>
    ratio(getComputedStyle(document.querySelector(`.cw-trial-${name}`)).stroke));
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_drawings_are_contrasted_enough(open_widget, widget, theme):
    assert min(open_widget(widget, theme).evaluate(CONTRAST)) >= 3


def test_the_static_version_reads_without_javascript(open_widget, widget):
    view = {"width": 390, "height": 800}
    page = open_widget(widget, java_script_enabled=False, viewport=view)
    assert page.locator("table tbody tr").count() == len(TRIALS)
    assert "Version figée" in page.locator(".cw-fallback").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
