"""Lisibilité et calibration dans un vrai navigateur : mêmes nombres qu’en Python, clavier."""

import random
import re
from pathlib import Path

import axe_playwright_python
import numpy as np
import pytest

from course_lib.corpora import generate_stories
from course_lib.evaluation.calibration import calibration_error
from course_lib.evaluation.readability import readability
from course_lib.widgets import CalibrationExplorer, ReadabilityExplorer

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
STORY = "Il était une fois une bergère. Elle chantait souvent, car l’oiseau riait !"


def text_of(locator) -> str:
    """Le texte affiché, espaces insécables rendues simples."""
    return re.sub(r"\s+", " ", locator.inner_text())


def readability_widget():
    return ReadabilityExplorer(
        {"enfant": STORY, "expert": "Une épistémologie."}, {"enfant": 105, "expert": 22}
    )


def calibration_widget():
    draw = np.random.default_rng(0)
    rows = draw.dirichlet([0.4] * 7, 60).tolist()
    return CalibrationExplorer({"tirées": (rows, draw.integers(0, 7, 60).tolist())})


WIDGETS = {
    "lisibilité": readability_widget,
    "calibration": calibration_widget,
}


def odd_texts():
    """Des textes ordinaires et d’autres qui ne le sont pas."""
    rng = random.Random(0)
    alphabet = "aeiouyéèêëàâîïôûùüÿœæçñAÉÎŒ bcdfghjklmnpqrstvwxz'’-.!?…,;:«»0123\n\tſKßΣ日😀İı"
    letters = "aeiouyéèêœîtntrlsgqumil"
    texts = ["", " ", "123", "…", "y", "l'", "'", "-", "a-", "QU’", "août", "paysans", "ments"]
    texts += ["".join(rng.choice(alphabet) for _ in range(rng.randrange(60))) for _ in range(150)]
    texts += [" ".join("".join(rng.choice(letters) for _ in range(rng.randrange(1, 12)))
              for _ in range(9)) for _ in range(150)]  # fmt: skip
    return texts + [story.text for story in generate_stories(40, "test")]


COUNT = """async (texts) => {
  const { reader } = await import("/_static/widgets/readability_explorer.js");
  const { rules } = JSON.parse(document.querySelector("course-widget script").textContent);
  const read = reader(rules);
  return texts.map((text) => {
    const found = read(text);
    return found && [found.sentences, found.words, found.syllables, found.index];
  });
}"""


def test_the_page_counts_like_python(open_widget):
    page, texts = open_widget(readability_widget()), odd_texts()
    found, empty = page.evaluate(COUNT, texts), 0
    for text, counts in zip(texts, found, strict=True):
        try:
            expected = readability(text)
        except ValueError:
            assert counts is None, text
            empty += 1
            continue
        assert counts[:3] == [expected.sentences, expected.words, expected.syllables], text
        assert counts[3] == pytest.approx(expected.kandel_moles, abs=1e-9)
    assert len(texts) > 300 and 5 < empty < 60


def test_editing_a_text_moves_its_index(open_widget):
    page = open_widget(readability_widget())
    panel = page.locator(".cw-panel")
    assert f"{readability(STORY).kandel_moles:.1f}".replace(".", ",") in text_of(panel)
    assert "Public le plus proche enfant" in text_of(panel)
    page.get_by_label("Texte écrit pour").select_option("expert")
    assert "Public le plus proche expert" in text_of(panel)
    page.get_by_label("Texte à compter").fill("Il dort.")
    assert "Mots par phrase 2,0" in text_of(panel)
    page.get_by_label("Texte à compter").fill("42 !")
    assert "Aucun mot à compter" in text_of(panel)


MEASURE = """async (temperatures) => {
  const { measure } = await import("/_static/widgets/calibration_explorer.js");
  const { groups } = JSON.parse(document.querySelector("course-widget script").textContent);
  const [{ rows, truths }] = Object.values(groups);
  return temperatures.map((t) => measure(rows, truths, t));
}"""


def test_calibration_equals_python_at_every_temperature(open_widget):
    widget, temperatures = calibration_widget(), [0.2, 0.7, 1.0, 1.9, 3.0]
    page = open_widget(widget)
    group = widget.groups["tirées"]
    for temperature, found in zip(temperatures, page.evaluate(MEASURE, temperatures), strict=True):
        powers = np.array(group["rows"]) ** (1 / temperature)
        parts = powers / powers.sum(axis=1, keepdims=True)
        correct = parts.argmax(axis=1) == np.array(group["truths"])
        expected = calibration_error(parts.max(axis=1), correct)
        assert found["error"] == pytest.approx(expected, abs=1e-9)
        assert found["accuracy"] == pytest.approx(correct.mean(), abs=1e-12)
        assert sum(one["count"] for one in found["bins"]) == 60


def test_the_slider_changes_confidence_and_not_accuracy(open_widget):
    page = open_widget(calibration_widget())
    numbers = page.locator("[aria-live]")
    before = text_of(numbers)
    slider = page.get_by_label("Température").first
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    after = text_of(numbers)
    accuracy = re.compile(r"Justesse ([\d,]+)")
    assert accuracy.search(before)[1] == accuracy.search(after)[1]
    confidence = re.compile(r"Confiance moyenne ([\d,]+)")
    assert confidence.search(before)[1] < confidence.search(after)[1]
    assert page.locator(".cw-column-bar").count() > 2


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", WIDGETS)
def test_accessible_and_narrow(open_widget, name, theme):
    page = open_widget(WIDGETS[name](), theme, viewport={"width": 390, "height": 800})
    page.evaluate(AXE)
    results = page.evaluate(
        "async () => (await axe.run(document.querySelector('section.cw'))).violations"
    )
    assert [v["id"] + str([n["target"] for n in v["nodes"]]) for v in results] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
