"""Les figures : données fidèles, texte de remplacement, aucun texte hors du cadre, déterminisme."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from course_lib import figures
from course_lib.figures import style, themes
from course_lib.figures.sharing import pipeline_calendar

SENTENCE = "the animal did not cross the street because it was too tired"
WORDS = SENTENCE.split()


def build_all() -> dict[str, Figure]:
    """Une figure de chaque sorte, sur des données arbitraires."""
    draw = np.random.default_rng(7)
    weights = draw.dirichlet(np.ones(len(WORDS)), len(WORDS))
    curves = {"LSTM": draw.random((3, 11)) + 2, "Transformer": draw.random(11) + 1}
    return {
        "attention": figures.attention_heatmap(weights, WORDS, title="Couche 2"),
        "gaze": figures.gaze_rows(draw.random((2, len(WORDS))), ["a", "b"], WORDS),
        "skills": figures.skills_heatmap(draw.random((3, 2)), ["a", "b", "c"], ["objet", "lieu"]),
        "delta": figures.delta_map(draw.normal(size=(3, len(WORDS))), WORDS),
        "sinusoidal": figures.sinusoidal_positions(),
        "training": figures.training_curves(range(11), curves, reference=1.0),
        "log_training": figures.training_curves([10, 100], {"a": [1.0, 2.0]}, log_x=True),
        "models": figures.model_dots({"LSTM": [1.8, 1.9], "5-gramme": [2.1]}, x_label="bits"),
        "reach": figures.context_curve([1, 2, 4, 8, 16], {"romancier": [2.0, 1.7, 1.5, 1.4, 1.3]}),
        "descent": figures.descent_panels(
            [2.0, 1.0, 0.5], {"a": [0.2, 0.5, 0.6]}, {"a": 0.67}, 0.35, shares_title="après « b »"
        ),
        "intervals": figures.interval_points(
            {
                "enfant": {"modèle": [(0.8, 0.7, 0.9), (0.6, 0.5, 0.7)]},
                "expert": {"modèle": [(0.5, 0.4, 0.6)], "grammaire": [(1.0, 1.0, 1.0)]},
            },
            marks={"expert": 0.25},
            mark_label="hasard",
            x_label="textes corrects (%)",
        ),
        "intervention": figures.intervention_bars({"it → nom": 0.4}, {"it → nom": (0.3, 0.5)}),
        "transformer": figures.transformer_diagram(title="Le Transformer"),
        "context": figures.context_diagram(),
        "roofline": figures.roofline(28e9, 120e9, {"PyTorch": [(0.5, 4e9), (32, 85e9)]}),
        "timelines": figures.skill_timelines(
            [0, 50, 100],
            ["lieu", "rêve"],
            {"graine 0": draw.random((2, 3)), "graine 1": [[0] * 3] * 2},
        ),
        "ecosystem": figures.ecosystem_map(),
        "by_hand": figures.attention_by_hand(
            [1, 0], [[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 1], [1, 1]]
        ),
        "strips": figures.seed_strips({"0": [0.5, 1.0, 1.5], "1": [2.0]}, x_label="Δ"),
        "sharing": figures.sharing_scheme("matrices"),
        "pipeline": figures.pipeline_scheme(3, 5),
        "ladder": figures.tokenization_ladder(),
        "shares": figures.share_bars(
            {"petit": {"tête": 3, "corps": 7}, "grand": {"tête": 1, "corps": 99}}
        ),
        "sizes": figures.size_curve(
            {
                "ajustées": ([1e4, 1e5, 1e6], draw.random((3, 2)) + 1),
                "prédites": ([1e7], [[1.0, 1.1]]),
            },
            laws={"sans plancher": ([1e4, 1e7], [2, 1], [1.8, 0.8], [2.2, 1.2])},
            hollow=("prédites",),
        ),
        "two_sizes": figures.size_curve(
            {"court": ([1e4, 1e5], [[3, 4], [2, 3]]), "long": ([1e4, 1e5], [[3, 3], [1, 2]])},
            laws={"long": ([1e4, 1e5], [3, 1.5], [2.8, 1.2], [3.2, 1.8])},
            ceiling=("tout", 5),
        ),
        "map": figures.log_map(
            {"GPT-2": (1.2e8, 1e10), "Llama-3.1-405B": (4e11, 1.5e13)},
            ([1e8, 1e12], [2e9, 2e13]),
            line_label="20 jetons par paramètre",
            x_label="paramètres",
            y_label="jetons lus",
        ),
        "log_curves": figures.log_curves(
            {"a": ([1e9, 1e10, 1e11], [3e22, 1e22, 4e22])},
            mark_minimum=True,
            x_label="paramètres",
            y_label="opérations",
        ),
        "panels": figures.probability_panels(
            {"Il était une": [(" fois", 0.999), (" petite", 0.001)], "Léa": [(" dort", 1.0)]},
            columns=2,
        ),
        "lora": figures.lora_diagram(31, 17, 2),
        "costs": figures.cost_quality(
            {"tout": (5e5, [0.9, 0.95]), "normes": (640, [0.2])},
            x_label="paramètres",
            y_label="réponses exactes",
            reference=0.5,
            reference_label="hasard",
        ),
        "dots": figures.dot_rows(
            {"langue": {"précision": [0.7, 0.8], "rappel": [1.0]}, "qualité": {"rappel": [0.4]}},
            x_label="part",
            percent=True,
            reference=0.5,
            reference_label="hasard",
        ),
        "calibration": figures.calibration_diagram(
            {"connus": ([0.1, 0.9], [0.0, 1.0], [3, 40]), "inconnus": ([0.5], [0.1], [7])}
        ),
        "costs of settings": figures.paired_bars(
            {"gloutonne": (0.55, 0.0), "T = 1": (0.004, 0.006), "les romans": (0.005, 0.0007)},
            ("redites", "mots jamais lus"),
            reference="les romans",
        ),
        "quality": figures.quality_diversity(
            {"gloutonne": (0.1, 0.9, 0.85, 0.95), "T = 1": (0.5, 0.8, 0.7, 0.9)}, (0.6, 1.0)
        ),
    }


@pytest.fixture(scope="module")
def gallery() -> dict[str, Figure]:
    """Les figures, construites une fois."""
    return build_all()


def test_every_figure_has_an_alternative_text_and_a_stable_repr(gallery):
    for name, figure in gallery.items():
        assert isinstance(figure, Figure)
        assert len(figure.alt) > 30, name
        assert repr(figure) == f"Figure : {figure.alt}"


@pytest.mark.slow
def test_no_text_leaves_the_card_and_all_are_big_enough_for_a_phone(gallery):
    for name, figure in gallery.items():
        figure.draw_without_rendering()
        card = figure.bbox
        for text in figure.findobj(Text):
            if (
                not text.get_visible()
                or not text.get_text().strip()
                or not text.axes
                or not _is_drawn(text)
            ):
                continue
            box = text.get_window_extent()
            inside = box.x0 > -1 and box.y0 > -1 and box.x1 < card.x1 + 1 and box.y1 < card.y1 + 1
            assert inside, f"{name} : « {text.get_text()} » sort du cadre"
            assert text.get_fontsize() >= 10, f"{name} : « {text.get_text()} » est trop petit"


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Les textes droits qui se couvrent, graduations et légendes comprises."""
    figure.draw_without_rendering()
    texts = [text for legend in figure.legends for text in legend.texts]
    for axes in figure.axes:
        texts += [*axes.texts, axes.title, *(axes.legend_.texts if axes.legend_ else ())]
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            labels = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=False)
            texts += [axis.label, *(label for place, label in labels if low <= place <= high)]
    shown = [
        (text.get_text(), text.get_window_extent())
        for text in texts
        if text.get_visible() and text.get_text().strip() and text.get_rotation() % 90 == 0
    ]
    return [
        (one, other)
        for rank, (one, box) in enumerate(shown)
        for other, place in shown[rank + 1 :]
        if box.shrunk(0.9, 0.8).overlaps(place.shrunk(0.9, 0.8))
    ]


@pytest.mark.slow
def test_no_text_covers_another(gallery):
    assert {name: found for name, figure in gallery.items() if (found := overlaps(figure))} == {}


def test_close_sizes_and_long_sentences_keep_their_labels_apart():
    sizes, words = [13_608, 29_776, 69_792, 120_048, 180_544], ["corbeille", "la"] * 10
    curves = figures.training_curves(
        sizes, {"a": [1.0] * 5, "b": [2.0] * 5}, reference=2.0, log_x=True
    )
    assert overlaps(curves) == []
    assert [int(tick) for tick in curves.axes[0].get_xticks()] == [13_608, 29_776, 69_792, 180_544]
    legend, frame = curves.legends[0].get_window_extent(), curves.axes[0].get_window_extent()
    assert not legend.overlaps(frame)
    rows = ["probabilités et attention", "enseignant"]
    assert overlaps(figures.gaze_rows(np.zeros((2, 20)), rows, words)) == []


def test_a_narrow_logarithmic_axis_keeps_several_french_ticks():
    values = [[4.79, 4.61], [4.42, 4.4], [4.1, 4.12]]
    figure = figures.size_curve({"court": ([3e4, 3e5, 3e6], values)})
    figure.canvas.draw()
    axis = figure.axes[0].yaxis
    low, high = axis.get_view_interval()
    labels = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=False)
    shown = [label.get_text() for place, label in labels if low <= place <= high]
    assert len(shown) >= 3 and any("," in text for text in shown)


def _is_drawn(text) -> bool:
    """Dit si l’étiquette est tracée : matplotlib garde des graduations hors des axes."""
    axis = text.axes
    if axis is None or not text.get_visible():
        return False
    ticks = [*axis.xaxis.get_ticklabels(), *axis.yaxis.get_ticklabels()]
    return axis.axison and text not in ticks


def test_svg_is_reproducible():
    first, second = (figures.model_dots({"a": [2.0, 2.5]}, x_label="x").to_svg() for _ in range(2))
    assert first == second and first.startswith("<svg")


@pytest.mark.slow
def test_every_color_of_a_figure_has_its_counterpart_in_the_dark(gallery):
    for name, figure in gallery.items():
        svg = figure.to_svg()
        light = {color for _, color in themes.COLOR.findall(svg)}
        assert light and all(f": {color}" in themes.dark_rules(svg) for color in light), name
        assert len(svg) < 120_000, f"{name} pèse {len(svg)} octets"


@pytest.mark.parametrize("paper", ["#fbfcfe", "#ffffff"])
def test_the_palette_is_legible_on_both_papers(paper):
    for color in (style.INK, style.MUTED, *style.CYCLE):
        wanted = 4.5 if color in (style.INK, style.MUTED) else 3
        assert contrast(color, paper) >= (wanted if color in style.CYCLE[:4] else 2.4), color
        assert contrast(themes.darkened(color), themes.darkened(paper)) >= wanted, color


@pytest.mark.parametrize("fill", ["#fde3c4", "#f5d5e9", "#cfe5f8", "#d3efe2", "#e4ddf7", "#eceff3"])
def test_a_box_and_its_text_trade_places_in_the_dark(fill):
    assert contrast(themes.darkened(style.INK), themes.darkened(fill)) >= 7


def contrast(first: str, second: str) -> float:
    """Le rapport de contraste des WCAG."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_display_publishes_the_image_with_its_alternative_text(monkeypatch):
    published = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, **options: published.append((data, options))
    )
    figure = figures.tokenization_ladder(alt="Une échelle de jetons")
    figure._ipython_display_()
    data, options = published[0]
    assert data["text/plain"] == "Figure : Une échelle de jetons"
    assert options["metadata"]["image/svg+xml"]["alt"] == "Une échelle de jetons"


def test_attention_by_hand_computes_what_it_writes():
    query, keys = np.array([1.0, 2.0]), np.array([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    figure = figures.attention_by_hand(query, keys, keys)
    scores = keys @ query / np.sqrt(2)
    weights = np.exp(scores) / np.exp(scores).sum()
    written = {text.get_text() for text in figure.axes[0].texts}
    for value in (*scores, *np.exp(scores), *weights):
        assert f"{value:.2f}".replace(".", ",") in written
    assert {"1", "6", "3"} <= written  # les produits
    assert f"somme\u00a0: {np.exp(scores).sum():.2f}".replace(".", ",") in written


def test_dots_show_each_seed_the_median_and_the_color_of_the_model():
    figure = figures.model_dots({"petit Transformer": [1.8, 1.9, 2.6]}, x_label="x", digits=2)
    axes = figure.axes[0]
    seeds = axes.lines[2]
    assert sorted(seeds.get_xdata()) == [1.8, 1.9, 2.6]
    assert seeds.get_color() == style.MODEL_COLORS["Transformer"]
    assert "1,90" in [text.get_text() for text in axes.texts]


def test_a_model_keeps_its_color_and_its_second_curve_is_dashed():
    runs = {"autre": [1.0, 2.0], "GRU": [1.0, 2.0], "GRU à 4 jetons": [2.0, 3.0]}
    lines = figures.training_curves([0, 1], runs).axes[0].lines
    assert [line.get_color() for line in lines[1:3]] == [style.MODEL_COLORS["GRU"]] * 2
    assert [line.get_linestyle() for line in lines[:3]] == ["-", "-", "--"]
    assert style.model_color("7-gramme", 3) == style.MODEL_COLORS["n-gramme"]
    assert style.model_color("sans cache", 1) == style.color_of(1)


def test_the_reach_of_a_model_is_written_at_each_width():
    axes = figures.context_curve([1, 4], {"romancier": [2.0, 1.5]}).axes[0]
    assert list(axes.lines[0].get_ydata()) == [2.0, 1.5]
    assert [text.get_text() for text in axes.texts] == ["2,00", "1,50"]


def test_intervals_are_drawn_one_by_one_and_marks_name_a_group():
    groups = {"a": {"x": [(2.0, 1.0, 3.0), (5.0, 4.0, 6.0)]}, "b": {"x": [(7.0, 7.0, 7.0)]}}
    figure = figures.interval_points(groups, marks={"b": 8.0}, mark_label="hasard", x_label="x")
    lines = [list(line.get_xdata()) for line in figure.axes[0].lines]
    assert lines == [[1.0, 3.0], [4.0, 6.0], [2.0, 5.0], [7.0, 7.0], [7.0], [8.0, 8.0]]
    with pytest.raises(ValueError, match="absents des groupes"):
        figures.interval_points(groups, marks={"c": 1.0}, x_label="x")


def test_band_covers_the_seeds():
    runs = np.array([[3.0, 2.0], [5.0, 1.0], [4.0, 1.5]])
    axes = figures.training_curves([0, 1], {"x": runs}).axes[0]
    assert list(axes.lines[0].get_ydata()) == [4.0, 1.5]
    band = axes.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (1.0, 5.0)


def test_strips_show_each_example_and_the_median():
    axes = figures.seed_strips({"graine 0": [1.0, 2.0, 6.0]}, x_label="Δ").axes[0]
    points, median = axes.lines[0], axes.lines[1]
    assert list(points.get_xdata()) == [1.0, 2.0, 6.0]
    assert list(median.get_xdata()) == [2.0, 2.0]


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"weights a la forme \(2, 3\) ; il faut \(2, 2\)"):
        figures.attention_heatmap(np.zeros((2, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="même longueur"):
        figures.training_curves([0, 1, 2], {"x": [1.0, 2.0]})
    with pytest.raises(ValueError, match="même longueur"):
        figures.attention_by_hand([1], [[1], [2]], [[1], [2]], ["un"])


@pytest.mark.parametrize(("n_stages", "n_parts"), [(2, 1), (4, 4), (3, 8)])
def test_a_pipeline_does_each_part_once_and_in_order(n_stages, n_parts):
    """L’aller descend les processus, le retour les remonte ; personne ne fait deux choses."""
    calendar, waiting = pipeline_calendar(n_stages, n_parts)
    for part in range(1, n_parts + 1):
        forward = [row.index(part) for row in calendar]
        backward = [row.index(-part) for row in calendar]
        assert forward == sorted(forward) and backward == sorted(backward, reverse=True)
        assert forward[-1] < backward[-1]
        assert all(row.count(part) == 1 and row.count(-part) == 2 for row in calendar)
    assert waiting == pytest.approx((n_stages - 1) / (n_stages + n_parts - 1))  # GPipe, § 2.3


def test_an_unknown_sharing_is_refused():
    with pytest.raises(ValueError, match=r"Façon reçue : 'tout'\. Choisissez parmi données, poids"):
        figures.sharing_scheme("tout")
