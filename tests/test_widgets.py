"""Les composants côté Python : HTML déterministe et sûr, version figée, erreurs claires."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from course_lib.tokenization import BPETokenizer, CharTokenizer, WordTokenizer
from course_lib.widgets import AttentionExplorer, Choice, Question, Quiz, TokenizerExplorer
from course_lib.widgets.base import FOLDER, CourseWidget, json_for_script

TEXTS = ["Le chat dort. L’animal n’a pas traversé la rue, il était fatigué."] * 5
WORDS = ["it", "was", "too"]


def tokenizers() -> dict:
    """Trois petits tokeniseurs."""
    kinds = {"Mots": WordTokenizer, "Caractères": CharTokenizer}
    trained = {name: kind.train(TEXTS) for name, kind in kinds.items()}
    return {**trained, "BPE": BPETokenizer.train(TEXTS, vocab_size=300)}


def attention_explorer(**options) -> AttentionExplorer:
    """Deux phrases de trois mots, deux blocs, cinq têtes."""
    weights = np.random.default_rng(3).dirichlet(np.ones(3), (2, 2, 5, 3))
    return AttentionExplorer(weights, [WORDS, [*WORDS[:2], "so"]], **options)


def quiz() -> Quiz:
    """Une question dont le texte cherche à sortir de son élément."""
    wrong = Choice("</script><b>non</b>", "Relisez `a < b`.")
    return Quiz([Question("Que vaut `1 + 1` ?", [wrong, Choice("2", "Oui.", correct=True)])])


def state_of(widget) -> dict:
    """Relit l’état comme le ferait la page."""
    found = re.search(r'<script type="application/json">(.*?)</script>', widget.html(), re.DOTALL)
    return json.loads(found[1])


@pytest.mark.parametrize(
    "build", [lambda: TokenizerExplorer(tokenizers()), attention_explorer, quiz]
)
def test_html_is_deterministic_complete_and_names_an_existing_module(build):
    first, second = build(), build()
    assert first.html() == second.html() and repr(first) == repr(second)
    assert state_of(first) == json.loads(json.dumps(first.state()))
    module = re.match(r'<course-widget module="([^"]+)">', first.html())[1]
    assert (FOLDER / module).is_file()
    assert " id=" not in first.html()


@pytest.mark.parametrize(
    "build", [lambda: TokenizerExplorer(tokenizers()), attention_explorer, quiz]
)
def test_mime_bundle_has_both_homes(build):
    widget = build()
    data, _ = widget._repr_mimebundle_()
    assert data["text/html"] == widget.html()
    assert data["text/plain"] == repr(widget)
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id


def test_a_widget_without_a_static_form_is_refused_when_defined():
    with pytest.raises(TypeError, match=r"La classe Nu ne définit pas fallback_html\(\)"):
        type("Nu", (CourseWidget,), {})
    with pytest.raises(TypeError, match=r"La classe Vide ne définit pas fallback_html\(\)"):
        type("Vide", (CourseWidget,), {"fallback_html": "<p>figée</p>"})

    class Base(CourseWidget):
        def fallback_html(self):
            return "<p>figée</p>"

    class Heir(Base):
        title = "héritière"

    assert "<p>figée</p>" in Heir().html()


def test_no_text_can_leave_the_script_element():
    html = quiz().html()
    assert html.count("</script>") == 1
    assert "<b>non</b>" not in html
    assert json.loads(json_for_script("<!--\u2028\ud83d")) == "<!--\u2028\ud83d"
    assert json_for_script("<!--\u2028\ud83d").isascii()


def test_tokenizer_fallback_shows_the_true_counts():
    trained = tokenizers()
    widget = TokenizerExplorer(trained, "Le chat dort.")
    for tokenizer in trained.values():
        assert f"<td>{len(tokenizer.encode('Le chat dort.'))}</td>" in widget.fallback_html()
    assert "Le␣chat␣dort" in widget.fallback_html().replace(" | ", "")


def test_tokenizer_state_stays_light():
    words = [f"{a}{b}{c}" for a in "bcdfglmnprst" for b in "aeiouéè" for c in "lmnrstvz"]
    bpe = BPETokenizer.train([" ".join(words * 3)], vocab_size=2048)
    assert len(TokenizerExplorer({"BPE": bpe}).html().encode()) < 60_000


def test_tokenizer_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="au moins un tokeniseur"):
        TokenizerExplorer({})
    huge = CharTokenizer({chr(0x4E00 + i): i for i in range(4097)})
    with pytest.raises(ValueError, match="4097 jetons"):
        TokenizerExplorer({"Caractères": huge})
    with pytest.raises(TypeError, match="WordTokenizer"):
        TokenizerExplorer({"?": SimpleNamespace(vocab_size=5, special_tokens=[])})


def test_attention_accepts_maps_per_layer():
    weights = torch.rand(2, 1, 5, 3, 3).softmax(-1)
    widget = AttentionExplorer([list(weights)], [WORDS])
    expected = weights[:, 0].numpy().round(3)
    np.testing.assert_allclose(widget.sentences[0]["weights"], expected, atol=1e-6)


def test_attention_fallback_gives_the_chosen_row():
    widget = attention_explorer(query="too", layer=2, head=4)
    weight = widget.sentences[1]["weights"][1][3][2][0]
    assert f"<td>{weight:.2f}</td>".replace(".", ",") in widget.fallback_html()
    assert "Ce que regarde «\u00a0so\u00a0»" in widget.fallback_html()


def test_attention_refuses_inconsistent_data():
    square = np.zeros((1, 1, 3, 3))
    with pytest.raises(ValueError, match="le nombre de mots"):
        AttentionExplorer([square], [WORDS[:2]])
    with pytest.raises(ValueError, match="blocs, têtes, Tq, Tk"):
        AttentionExplorer([square[0]], [WORDS])
    with pytest.raises(ValueError, match="autant de tableaux"):
        AttentionExplorer([square], [WORDS, WORDS])
    with pytest.raises(ValueError, match="même nombre de blocs"):
        AttentionExplorer([square, np.zeros((2, 1, 3, 3))], [WORDS, WORDS])
    with pytest.raises(ValueError, match="n’est pas dans la phrase"):
        attention_explorer(query="street")
    with pytest.raises(ValueError, match="layer vaut 3 ; il faut 1 à 2"):
        attention_explorer(layer=3)
    with pytest.raises(ValueError, match="view vaut"):
        attention_explorer(view="both")


def test_quiz_fallback_folds_the_answer():
    html = quiz().fallback_html()
    answer = html[html.index("<details>") :]
    assert "<strong>2</strong>" in answer and "<code>1 + 1</code>" in html


def test_quiz_refuses_ambiguous_questions():
    with pytest.raises(ValueError, match="2 choix dont 0"):
        Question("?", [Choice("a", ""), Choice("b", "")])
    with pytest.raises(ValueError, match="au moins une question"):
        Quiz([])


def test_quiz_refuses_an_unexplained_choice():
    with pytest.raises(ValueError, match="« b » n’est pas expliqué"):
        Question("?", [Choice("a", "Oui.", correct=True), Choice("b", " ")])
