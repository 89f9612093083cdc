"""Le planificateur côté Python : état léger et complet, version figée vraie, refus clairs."""

import json
import re

import pytest

from course_lib.scaling import (
    MACHINES,
    MODELS,
    PART_LABELS,
    count_by_formula,
    training_cost,
)
from course_lib.scaling.anatomy import anatomy
from course_lib.transformer import OriginalTransformerConfig, SwitchConfig
from course_lib.typography import format_number, large_number
from course_lib.widgets import ScalingPlanner
from course_lib.widgets.base import FOLDER
from course_lib.widgets.planner import describe

MODULES = ("planner", "arithmetic", "form", "numbers")


def test_html_is_deterministic_and_names_an_existing_module():
    first, second = ScalingPlanner(), ScalingPlanner()
    assert first.html() == second.html()
    assert repr(first) == "ScalingPlanner(« Planificateur d’échelle »)"
    assert (FOLDER / first.module).is_file() and " id=" not in first.html()
    found = re.search(r'<script type="application/json">(.*?)</script>', first.html(), re.DOTALL)
    assert json.loads(found[1]) == json.loads(json.dumps(first.state()))


def test_state_and_modules_stay_light():
    modules = sum((FOLDER / f"scaling_{name}.js").stat().st_size for name in MODULES)
    assert modules + len(json.dumps(ScalingPlanner().state())) < 60_000


def test_every_published_model_is_there_with_its_sizes():
    data = ScalingPlanner().data
    assert [preset["name"] for preset in data["presets"]] == list(MODELS)
    assert [machine["name"] for machine in data["machines"]] == list(MACHINES)
    assert data["parts"] == PART_LABELS
    presets = {preset["name"]: preset for preset in data["presets"]}
    assert presets["GPT-2"]["sizes"] == {
        "layers": 12,
        "width": 768,
        "heads": 12,
        "kvHeads": 12,
        "headSize": 64,
        "innerWidth": 3072,
        "vocabulary": 50257,
        "context": 1024,
        "experts": 0,
        "active": 0,
        "tied": True,
    }
    assert presets["Llama-3-8B"]["tokens"] == 15e12 and presets["Llama-3-8B"]["published"]
    # 20 × 124 439 808 = 2,489 milliards, à deux chiffres.
    assert presets["GPT-2"]["tokens"] == 2.5e9 and not presets["GPT-2"]["published"]


def test_shapes_tell_the_architectures_apart():
    shapes = {name: describe(MODELS[name].config)["shape"] for name in MODELS}
    assert shapes["GPT-2"]["learnedPositions"] and not shapes["Llama-3-8B"]["learnedPositions"]
    assert shapes["BERT-base"]["denseHead"] and shapes["BERT-base"]["segments"] == 2
    assert not shapes["BERT-base"]["decoder"] and not shapes["GPT-2"]["encoder"]
    assert (shapes["Transformer (base)"]["tables"], shapes["Switch-C"]["tables"]) == (2, 1)
    assert shapes["GPT-2"]["editable"] == []
    assert shapes["Llama-3-8B"]["editable"] == ["kvHeads", "experts", "active", "tied"]
    assert shapes["Switch-C"]["editable"] == ["headSize", "experts"]
    assert shapes["Transformer (base)"]["editable"] == ["tied"]


@pytest.mark.parametrize("preset", ["GPT-2", "BERT-large", "Switch-C"])
def test_the_static_table_gives_the_true_counts(preset):
    widget = ScalingPlanner(preset, "H100 80 Go")
    html = widget.fallback_html()
    rows = re.findall(r'<tr><th scope="row">(.*?) \(\d+\)</th>(.*?)</tr>', html)
    assert rows[0][0] == preset and 6 <= len(rows) <= 7
    assert len({name for name, _ in rows}) == len(rows)
    for name, cells in rows:
        config = MODELS[name].config
        assert format_number(count_by_formula(config)) in cells
        if MODELS[name].training_tokens is not None:
            length = min(anatomy(config).context_length, 8192)
            tokens, machine = MODELS[name].training_tokens, MACHINES["H100 80 Go"]
            cost = training_cost(config, tokens, machine, context_length=length)
            hours = cost.machine_hours
            assert large_number(cost.flops) in cells
            assert ("moins d’une heure" if hours < 1 else large_number(hours)) in cells
        assert ("*" in cells) == (MODELS[name].training_tokens is None)
    assert "Heures (H100 80 Go)" in html and "Version figée" in html


def test_gpt3_in_the_static_table():
    (cells,) = re.findall(r"<tr>(<th[^>]*>GPT-3 175B.*?)</tr>", ScalingPlanner().fallback_html())
    text = re.sub(r"<[^>]+>", "|", cells).replace("\u00a0", " ").replace("\u202f", " ")
    # Avec d = 12 288 : (50 257 + 2 048) d + 96 (12 d² + 13 d) + 2 d paramètres. Par jeton appris :
    # 6 (96 × 12 d² + 50 257 d) + 12 × 2 048 × 96 d = 1,0764 × 10¹² opérations, trois cents
    # milliards de fois ; à 0,4 × 312 × 10¹² par seconde, 718 732 heures.
    for expected in ("174 604 259 328", "300 milliards", "2,9 To", "3,2 × 10²³", "718 732"):
        assert expected in text


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"Modèle inconnu\s: 'GPT-9'.*GPT-2"):
        ScalingPlanner("GPT-9")
    with pytest.raises(ValueError, match=r"Machine inconnue\s: 'Z80'.*A100"):
        ScalingPlanner(machine="Z80")
    widget = ScalingPlanner()
    with pytest.raises(ValueError, match="Modèle inconnu"):
        widget.preset = "GPT-9"
    widget.preset = "BERT-base"
    assert widget.state()["preset"] == "BERT-base"


def test_stacks_of_different_heights_are_refused():
    with pytest.raises(ValueError, match=r"6 et 4 blocs.*même nombre"):
        describe(OriginalTransformerConfig(97, 97, n_decoder_layers=4))
    with pytest.raises(TypeError, match="str n’est pas une architecture"):
        describe("GPT-2")
    assert describe(SwitchConfig(97))["sizes"]["headSize"] == 64
