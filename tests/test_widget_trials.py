"""L’explorateur d’essais côté Python : médianes et étendues vraies, refus clairs, version figée."""

import json
import re

import numpy as np
import pytest

from course_lib.widgets import Measure, Trial, TrialExplorer
from course_lib.widgets.base import FOLDER

AXES = {"Façon": ["LoRA", "complet", "tête <b>"], "Exemples": ["30", "300"]}
MEASURES = [
    Measure("Réponses exactes", unit="%", decimals=1, higher_is_better=True),
    Measure("Paramètres entraînés"),
]
TRIALS = [
    Trial(
        ("LoRA", "300"), {"Réponses exactes": [91, 93.27, 90.1], "Paramètres entraînés": [17408]}
    ),
    Trial(("complet", "30"), {"Réponses exactes": [12.5, -3]}),
    Trial(("tête <b>", "300"), {"Paramètres entraînés": [2]}),
]


def build(**changes) -> TrialExplorer:
    return TrialExplorer(**{"axes": AXES, "measures": MEASURES, "trials": TRIALS, **changes})


def test_each_cell_is_the_lowest_the_median_and_the_highest():
    first, second, third = build().trials
    assert first["choices"] == [0, 1] and second["choices"] == [1, 0]
    exact, trained = first["cells"]
    assert exact == {
        "numbers": [90.1, 91.0, 93.27],
        "texts": ["90,1\u00a0%", "91,0\u00a0%", "93,3\u00a0%"],
        "seeds": 3,
    }
    assert trained == {"numbers": [17408.0] * 3, "texts": ["17\u202f408"] * 3, "seeds": 1}
    # Deux graines : la médiane est leur milieu. Une mesure absente le reste.
    assert second["cells"][0]["texts"] == ["−3,0\u00a0%", "4,8\u00a0%", "12,5\u00a0%"]
    assert second["cells"][1] is None and third["cells"][0] is None


def test_numbers_of_numpy_and_any_iterable_of_values_are_accepted():
    values = {"Réponses exactes": [np.float32(0.5), np.int64(2)]}
    axes = {"Façon": dict.fromkeys(["LoRA"]).keys()}
    widget = build(axes=axes, trials=[Trial(["LoRA"], values)])
    assert widget.trials[0]["cells"][0]["numbers"] == [0.5, 1.25, 2.0]
    assert json.loads(json.dumps(widget.state())) == widget.state()


def test_texts_are_spaced_in_french():
    widget = build(
        axes={"Taux d'apprentissage": ["bas : 1"]},
        measures=[Measure("Perte")],
        trials=[Trial(("bas : 1",), {"Perte": [1]})],
        title="Et alors ?",
    )
    assert widget.axes == [{"name": "Taux d’apprentissage", "values": ["bas\u00a0: 1"]}]
    assert widget.title == "Et alors\u202f?"


def test_html_is_stable_and_names_an_existing_module():
    first, second = build(title="Essais"), build(title="Essais")
    assert first.html() == second.html()
    assert repr(first) == repr(second) == "TrialExplorer(« Essais »)"
    found = re.search(r'<script type="application/json">(.*?)</script>', first.html(), re.DOTALL)
    assert json.loads(found[1]) == json.loads(json.dumps(first.state()))
    assert (FOLDER / TrialExplorer.module).stat().st_size < 8_000
    assert "import " not in str(first._esm)


def test_the_static_table_lists_every_trial_and_escapes_it():
    html = build().fallback_html()
    assert "<b>" not in html and " id=" not in html and "Version figée" in html
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)
    ]
    assert rows == [
        ["Façon", "Exemples", "Réponses exactes", "Paramètres entraînés"],
        ["LoRA", "300", "91,0\u00a0%", "17\u202f408"],
        ["complet", "30", "4,8\u00a0%", "pas mesuré"],
        ["tête &lt;b&gt;", "300", "pas mesuré", "2"],
    ]


def trial(choices=("LoRA", "30"), **values):
    return [*TRIALS, Trial(choices, values or {"Réponses exactes": [1.0]})]


def exact(values):
    return trial(**{"Réponses exactes": values})


FIVE = {name: ["a"] for name in "vwxyz"}
REFUSALS = [
    ({"trials": []}, ValueError, "Aucun essai"),
    ({"trials": trial(("LORA", "30"))}, ValueError, r"'LORA' n’est pas une valeur de .* « Façon »"),
    ({"trials": trial(("30", "LoRA"))}, ValueError, "parmi LoRA, complet, tête"),
    ({"trials": trial(("LoRA",))}, ValueError, r"1 choix pour 2 axes \(Façon, Exemples\)"),
    ({"trials": trial("LoRA")}, TypeError, "choices = « LoRA »"),
    ({"trials": trial(("LoRA", "300"))}, ValueError, "« LoRA, 300 » est donné deux fois"),
    ({"trials": trial(Perte=[1.0])}, ValueError, r"« Perte » n’est pas une mesure .* parmi Ré"),
    ({"trials": [Trial(("LoRA", "30"), {})]}, ValueError, "« LoRA, 30 » : aucune mesure"),
    ({"trials": exact([1.0, float("nan")])}, ValueError, r"exactes » : \[1.0, nan\] ; il faut des"),
    ({"trials": exact([float("-inf")])}, ValueError, "nombres finis"),
    ({"trials": exact([])}, ValueError, "« Réponses exactes » : aucun nombre"),
    ({"trials": exact(3.0)}, TypeError, "3.0 ; il faut une liste de nombres"),
    ({"trials": exact("91")}, TypeError, "'91' ; il faut une liste de nombres"),
    ({"axes": {}}, ValueError, "0 axes : il en faut de 1 à 4"),
    ({"axes": FIVE}, ValueError, "5 axes : il en faut de 1 à 4"),
    ({"axes": {"Façon": "LoRA"}}, TypeError, "Axe « Façon » : 'LoRA' ; il faut une liste"),
    ({"axes": {"Exemples": [30, 300]}}, TypeError, r"Axe « Exemples » : \[30, 300\]"),
    ({"axes": {"Façon": []}}, ValueError, r"Axe « Façon », valeurs \[\]"),
    ({"axes": {"Façon": ["LoRA", " "]}}, ValueError, "aucun texte vide"),
    ({"axes": {" ": ["LoRA"]}}, ValueError, "aucun texte vide"),
    ({"axes": {"Façon": ["a", "b", "a"]}}, ValueError, "« Façon », valeur « a » donnée deux fois"),
    ({"measures": []}, ValueError, "Aucune mesure"),
    ({"measures": [*MEASURES, *MEASURES]}, ValueError, "Mesure « Réponses exactes » donnée deux"),
]  # fmt: skip


@pytest.mark.parametrize("changes, error, message", REFUSALS)
def test_wrong_arguments_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        build(**changes)


@pytest.mark.parametrize("decimals", [-1, 10, 1.0, True])
def test_a_measure_that_cannot_be_written_is_refused(decimals):
    with pytest.raises(ValueError, match=f"« Perte » : decimals = {decimals} ; il faut un entier"):
        Measure("Perte", decimals=decimals)


def test_a_measure_without_a_name_is_refused():
    with pytest.raises(ValueError, match="un nom vide"):
        Measure(" ")
