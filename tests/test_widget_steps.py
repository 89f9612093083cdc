"""Les schémas qui avancent pas à pas : dessin, états, version figée, nombres."""

import re
from xml.etree import ElementTree

import pytest
import torch

from course_lib.generation import SamplingConfig, next_distribution
from course_lib.scaling import count_by_formula, parameter_breakdown, training_memory
from course_lib.transformer import LlamaConfig
from course_lib.widgets import StepDiagram
from course_lib.widgets.counting_steps import byte_frames, counting_frames
from course_lib.widgets.drawing import Drawing
from course_lib.widgets.generation_steps import (
    TREE,
    beam_frames,
    cache_frames,
    loop_frames,
    temperature_frames,
    window_frames,
)

CANDIDATES = [("prit", 5.6, 0.27), ("vola", 4.2, 0.07), ("<eos>", 1.0, 0.003)]


def texts(drawing: Drawing) -> list[str]:
    """Les textes d’un dessin, lus comme du XML : un signe mal échappé échouerait ici."""
    root = ElementTree.fromstring(drawing.svg())
    return [node.text or "" for node in root.iter() if node.tag == "text"]


def test_a_drawing_escapes_its_texts_and_says_what_it_shows():
    drawing = Drawing(40, "a < b & « c »")
    drawing.box(0, 0, '<eos> & "x"')
    root = ElementTree.fromstring(drawing.svg())
    assert root.get("aria-label") == "a < b & «\u00a0c\u00a0»"
    assert texts(drawing) == ['<eos> & "x"']


def test_an_unknown_tone_is_refused():
    with pytest.raises(ValueError, match="tone = 'rouge' : les rôles connus sont plain, new"):
        Drawing(40, "un dessin").box(0, 0, "a", tone="rouge")


def test_the_loop_shows_scores_then_probabilities_then_the_choice():
    frames = loop_frames(["sa", "voisine"], CANDIDATES, 1)
    seen = [texts(drawing) for drawing, _ in frames]
    assert "4,2" not in seen[0] and "4,2" in seen[1]
    assert "7\u00a0%" not in seen[1] and "7\u00a0%" in seen[2]
    assert [shown.count("vola") for shown in seen] == [1, 1, 1, 1, 2]  # ajouté au texte à la fin
    assert any(re.fullmatch(r"<\s1\s%", text) for text in seen[2])


def cells(drawing: Drawing, *tones: str) -> int:
    """Les cases dessinées de ces rôles."""
    return sum(f'cw-tone-{tone}"><rect' in shape for shape in drawing.shapes for tone in tones)


@pytest.mark.parametrize("sizes", [(5, 2, 3), (7, 4, 6)])
def test_every_cell_of_the_count_is_a_parameter(sizes):
    vocab, d, f = sizes
    config = LlamaConfig(vocab, context_length=8, d_model=d, n_layers=1, n_heads=1, d_ff=f)
    frames = counting_frames(config)
    parts = parameter_breakdown(config)
    expected = [parts[name] for name in ("embeddings", "attention", "feed_forward", "norms")]
    assert [cells(drawing, "new") for drawing, _ in frames] == expected
    last, caption = frames[-1]
    assert cells(last, "new", "kept") == sum(parts.values())
    assert caption.endswith(f"= {sum(parts.values())}.")


def test_a_model_too_big_to_draw_is_refused():
    big = LlamaConfig(100, context_length=8, d_model=4, n_layers=1, n_heads=1, d_ff=8)
    with pytest.raises(ValueError, match=r"200 paramètres au plus\. Prenez une plus petite"):
        counting_frames(big)


def test_a_parameter_that_learns_takes_sixteen_bytes():
    config = LlamaConfig(100, context_length=8, d_model=4, n_layers=1, n_heads=1, d_ff=8)
    n = count_by_formula(config)
    frames = byte_frames(training_memory(config, dtype="bfloat16"), n)
    assert [cells(drawing, "new", "kept") for drawing, _ in frames] == [2, 4, 12, 16]
    assert frames[-1][1].endswith("2 + 2 + 8 + 4 = 16 octets.")
    with pytest.raises(ValueError, match=r"4 \+ 4 \+ 8 octets .* dtype='bfloat16'"):
        byte_frames(training_memory(config), n)


def test_the_temperature_frames_are_those_of_the_library():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    (_, _), (drawing, caption) = temperature_frames(logits, {0: "a", 1: "b"}, (1, 0.5))
    expected = next_distribution(logits, SamplingConfig(temperature=0.5))
    shown = [int(text.split("\u00a0")[0]) for text in texts(drawing) if text.endswith("%")]
    assert shown == [round(100 * float(p)) for p in expected[:2]]
    assert f"{round(100 * float(expected[2:].sum()))}\u00a0%" in caption.replace("\u202f", "\u00a0")


def test_the_beam_finds_what_the_greedy_choice_misses():
    products = {(a, b): p * q for a, (p, after) in TREE.items() for b, q in after.items()}
    assert sum(products.values()) == pytest.approx(1)
    best = max(products, key=products.get)
    frames = beam_frames()
    assert " ".join(best) in frames[-1][1] and " ".join(best) not in frames[0][1]
    assert "0,36" in frames[-1][1] and "0,20" in frames[0][1]


@pytest.mark.parametrize("n_prompt", [1, 2, 3])
def test_the_cache_counts_its_readings(n_prompt):
    words = ["Il", "était", "une", "fois", "un", "chat", "gris"]
    frames = cache_frames(words, n_prompt)
    totals = [[int(t.split()[-1]) for t in texts(d) if "lus en tout" in t] for d, _ in frames]
    n_steps = len(words) - n_prompt
    assert len(frames) == n_steps
    assert totals[-1] == [sum(range(n_prompt, len(words))), n_prompt + n_steps - 1]


def test_the_window_never_holds_more_than_the_context():
    frames = window_frames(["a", "b", "c", "d", "e", "f", "g"], 4)
    read = [drawing.svg().count("cw-tone-kept") + 1 for drawing, _ in frames]
    assert read == [3, 4, 2, 3, 4]  # la moitié récente, puis elle se remplit de nouveau
    assert [text.startswith("La fenêtre") for _, text in frames] == [False, True, True, False, True]


def test_the_frozen_version_keeps_the_last_drawing_and_every_caption():
    diagram = StepDiagram(beam_frames(), title="Le faisceau")
    html = diagram.fallback_html()
    assert html.count("<svg") == 1 and html.count("<li>") == len(diagram.frames)
    assert re.search(r"module=\"step_diagram.js\"", diagram.html())


def test_frames_of_several_heights_or_alone_are_refused():
    with pytest.raises(ValueError, match="1 dessin : il en faut au moins deux"):
        StepDiagram([(Drawing(40, "a"), "a")], title="Seul")
    with pytest.raises(ValueError, match=r"2 hauteurs, \[40, 50\] : donnez-leur la même"):
        StepDiagram([(Drawing(40, "a"), "a"), (Drawing(50, "b"), "b")], title="Deux")
