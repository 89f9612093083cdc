"""Le modèle de langue, côté Python : demi-précision, forme figée, envoi des poids, assemblage."""

import importlib.util
import json
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load as parse

from course_lib.corpora import generate_stories
from course_lib.generation import SamplingConfig, next_token_distribution
from course_lib.pretrained import load_pretrained, save_folder, save_gguf
from course_lib.pretrained.describing import write_config
from course_lib.pretrained.gguf.reader import GGUFFile
from course_lib.pretrained.gguf.writer import write_gguf
from course_lib.pretrained.saving import llama_weights, save_beside
from course_lib.tokenization import BPETokenizer, CharTokenizer
from course_lib.tokenization.splits import LLAMA3, LLAMA_CPP_DEFAULT, QWEN2, SMOLLM
from course_lib.transformer import GPT2Config, LlamaConfig, gpt2, llama
from course_lib.widgets import MICRO_STORIES, LanguageModelWidget, romancier_widget
from course_lib.widgets.bundle import bundle
from course_lib.widgets.token_text import token_texts, visible

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ["Il était une fois un chat. Il dort, le chat <b>gris</b>."] * 5
TOKENIZER = BPETokenizer.train(TEXTS, vocab_size=283)
CONFIG = LlamaConfig(
    TOKENIZER.vocab_size, 53, 30, 3, 6, 2, head_dim=10, d_ff=37, rope_theta=500.0, norm_eps=1e-4
)


def widget(**options) -> LanguageModelWidget:
    """Le composant d’un petit modèle aux poids tirés."""
    return LanguageModelWidget(llama(CONFIG, seed=3), TOKENIZER, prompt="Il dort", **options)


@pytest.mark.parametrize("tied", [True, False])
def test_the_page_reads_the_very_file_of_a_saved_folder(tmp_path, tied):
    model = llama(replace(CONFIG, tie_weights=tied), seed=5)
    save_folder(model, TOKENIZER, tmp_path / "petit", dtype="float16")
    content = llama_weights(model)
    assert content == (tmp_path / "petit" / "model.safetensors").read_bytes()
    tensors = parse(content)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert ("lm_head.weight" in tensors) != tied  # des poids liés n’y figurent qu’une fois
    written = json.loads((tmp_path / "petit" / "config.json").read_text("utf-8"))
    assert write_config(replace(CONFIG, tie_weights=tied)).items() <= written.items()


def test_weights_too_large_for_the_page_are_refused():
    model = llama(CONFIG)
    with torch.no_grad():
        model.norm.weight[4] = 70_000
    with pytest.raises(ValueError, match=r"norm\.weight.*70000.*65504"):
        llama_weights(model)
    with torch.no_grad():
        model.norm.weight[4] = torch.nan
    with pytest.raises(ValueError, match="divergé"):
        LanguageModelWidget(model, TOKENIZER)


@pytest.mark.slow
def test_html_is_deterministic_light_and_holds_no_weight():
    first, second = (widget(weights_url="models/petit_llm") for _ in range(2))
    assert first.html() == second.html() and repr(first) == repr(second)
    assert len(first.html()) < 15_000 < first.weights_size
    assert first.weights == b"" and first.definition == ""
    assert " id=" not in first.html() and "models/petit_llm" in first.html()
    state = first.get_state()
    assert not state["weights"] and "definition" in state


def test_weights_go_to_the_page_only_when_asked():
    one = widget()
    one.requested = True
    assert one.weights == llama_weights(llama(CONFIG, seed=3))
    parts = json.loads(one.definition)
    assert parts["config"] == write_config(CONFIG)
    assert BPETokenizer.from_json(parts["tokenizer"]).encode("Il dort") == TOKENIZER.encode(
        "Il dort"
    )
    header = int.from_bytes(one.weights[:8], "little")
    assert one.checksum == zlib.crc32(one.weights[8 + header :])
    one.requested = False
    assert one.weights == b"" and one.definition == ""


@pytest.mark.slow
def test_the_static_form_tells_the_true_probabilities():
    model = llama(CONFIG, seed=3)
    with torch.no_grad():
        model.embedding.tokens.weight.mul_(60)
        model.train()
        one = LanguageModelWidget(model, TOKENIZER, prompt="Il <b>dort")
        assert model.training
        ids = torch.tensor([[TOKENIZER.bos_id, *TOKENIZER.encode("Il <b>dort")]])
        law = next_token_distribution(model.eval(), ids[0].tolist(), SamplingConfig(min_p=0.1))
    best = int(law.argmax())
    assert law[best] > 0.01
    shown = visible(token_texts([TOKENIZER.token_bytes[best]])[0])
    assert one.preview["rows"][0] == [shown, f"{round(100 * law[best].item())}\u00a0%"]
    assert 1 <= len(one.preview["rows"]) <= 10
    html = one.fallback_html()
    assert "Version figée" in html and "Il &lt;b&gt;dort" in html and "<b>" not in html
    flat = widget().preview["rows"]
    assert [row[1] for row in flat] == ["moins de 1\u00a0%"]


def test_a_last_space_is_not_read():
    model = llama(CONFIG, seed=3)
    plain, spaced = (
        LanguageModelWidget(model, TOKENIZER, prompt=p) for p in ("Il dort", "Il dort  ")
    )
    assert spaced.preview["rows"] == plain.preview["rows"]
    assert spaced.preview["continuation"] == plain.preview["continuation"]


def test_beginnings_come_from_what_was_read_unless_given():
    assert widget().beginnings == [] and widget().reading is None
    one = widget(reading=MICRO_STORIES)
    assert tuple(one.beginnings) == MICRO_STORIES.beginnings
    assert one.reading["most_bits"] == MICRO_STORIES.most_bits and one.min_p == 0.1
    assert widget(reading=MICRO_STORIES, beginnings=["Il dort"]).beginnings == ["Il dort"]
    with pytest.raises(TypeError, match="beginnings = « Il dort »"):
        widget(beginnings="Il dort")


OUTSIDE = [
    "Bonjour ! Comment vas-tu ?",
    "Quelle est la capitale de la France ?",
    "Longtemps, je me suis couché de bonne heure.",
    "Le conseil municipal a voté hier le budget de la ville.",
    "Il était une fois un roi très riche qui possédait mille chevaux",
    "Question : qui a volé la clé ? Réponse :",
    "Once upon a time there was a little girl",
    "def f(x): return x + 1",
]


@pytest.mark.slow
def test_the_threshold_separates_what_was_read_from_the_rest():
    loaded = load_pretrained(ROOT / "course_lib" / "models" / "petit_llm")
    model, tokenizer = loaded.model.eval(), loaded.tokenizer

    def surprise(text: str) -> float:
        """Les huit derniers jetons du texte, en bits par jeton : la règle de la page."""
        ids = tokenizer.encode(text)
        with torch.no_grad():
            scores = model(torch.tensor([[tokenizer.bos_id, *ids]]))[0]
        bits = -scores.log_softmax(-1)[torch.arange(len(ids)), ids] / torch.tensor(2.0).log()
        return bits[-8:].mean().item()

    words = [story.text.split(" ") for story in generate_stories(60, "test")]
    read = [" ".join(w[: 2 + 7 * i % len(w)]) for i, w in enumerate(words)]
    assert max(map(surprise, [*read, *MICRO_STORIES.beginnings])) < MICRO_STORIES.most_bits / 1.5
    assert min(map(surprise, OUTSIDE)) > 1.5 * MICRO_STORIES.most_bits


def test_the_widget_refuses_what_it_cannot_run():
    model = llama(CONFIG)
    with pytest.raises(TypeError, match="CharTokenizer"):
        LanguageModelWidget(model, CharTokenizer.train(TEXTS))
    with pytest.raises(ValueError, match="283 jetons et le tokeniseur 270"):
        LanguageModelWidget(model, BPETokenizer.train(TEXTS, vocab_size=270))
    with pytest.raises(ValueError, match="de 1 à 52"):
        LanguageModelWidget(model, TOKENIZER, prompt="0123456789 " * 9)
    with pytest.raises(ValueError, match=r"attention_bias = True, qk_norm = False, rope_sc"):
        LanguageModelWidget(llama(replace(CONFIG, attention_bias=True)), TOKENIZER)
    with pytest.raises(ValueError, match=r"qk_norm = True, rope_scaling = None"):
        LanguageModelWidget(llama(replace(CONFIG, qk_norm=True)), TOKENIZER)
    with pytest.raises(ValueError, match="type Llama"):
        LanguageModelWidget(gpt2(GPT2Config(283, 16, 12, 1, 2)), TOKENIZER)


def test_a_gguf_is_sent_as_it_is(tmp_path):
    path = tmp_path / "essai.gguf"
    model = llama(replace(CONFIG, d_model=32, head_dim=8, d_ff=32), seed=3)
    save_gguf(model, TOKENIZER, path, kind="Q8_0")
    one = LanguageModelWidget.from_gguf(path, prompt="Il dort", continuations=3, warning="Gare !")
    assert one.gguf == "essai.gguf" and one.weights_size == path.stat().st_size
    assert one.checksum == zlib.crc32(path.read_bytes())
    assert one.weights == b"" and "Gare\u202f!" in one.fallback_html()
    one.requested = True
    assert one.weights == path.read_bytes() and json.loads(one.definition) == {}
    assert one.preview == LanguageModelWidget.from_gguf(path, prompt="Il dort").preview


def test_a_gguf_that_the_page_cannot_read_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="GGUF"):
        LanguageModelWidget.from_gguf(tmp_path / "absent.gguf")
    path = tmp_path / "essai.gguf"
    save_gguf(llama(CONFIG, seed=3), TOKENIZER, path, kind="F32")
    with pytest.raises(ValueError, match=r"lignes de (30|37|60) nombres .* quatre par quatre"):
        LanguageModelWidget.from_gguf(path, prompt="Il dort")
    with GGUFFile(path) as file:
        tensors = [(name, file.tensor(name), "F32") for name in file.tensors]
        settings = dict(file.metadata)
    rows = [(name, array[..., :28], "F16") for name, array, _ in tensors]
    write_gguf(path, settings, rows)
    with pytest.raises(ValueError, match=r"est en F16 ; la page lit F32 pour une norme"):
        LanguageModelWidget.from_gguf(path, prompt="Il dort")


def test_the_romancier_comes_with_its_beginnings_and_its_warning(tmp_path):
    path = tmp_path / "romancier" / "essai.gguf"
    path.parent.mkdir()
    model = llama(replace(CONFIG, d_model=32, head_dim=8, d_ff=32), seed=3)
    save_gguf(model, TOKENIZER, path, kind="Q8_0")
    one = romancier_widget(path, prompt="Il dort", title="Essai")
    assert (one.title, one.prompt, one.continuations) == ("Essai", "Il dort", 3)
    assert one.weights_url == "models/romancier" and len(one.beginnings) == 3
    assert "préjugés" in one.warning and "préjugés" in one.fallback_html()


def test_too_many_continuations_are_refused():
    with pytest.raises(ValueError, match="continuations = 6 : la page compare de 0 à 5"):
        widget(continuations=6)


def split_by(split) -> BPETokenizer:
    """Les mêmes fusions, d’autres mots."""
    return BPETokenizer(TOKENIZER.token_to_id, TOKENIZER.merges, TOKENIZER.special_tokens, split)


@pytest.mark.parametrize("split", [QWEN2, LLAMA3, LLAMA_CPP_DEFAULT], ids=str)
def test_a_tokenizer_that_the_page_would_cut_otherwise_is_refused(split):
    assert split_by(split).vocab_size == CONFIG.vocab_size
    with pytest.raises(ValueError, match=r"coupe les mots autrement .* il faut ici le découpage"):
        LanguageModelWidget(llama(CONFIG), split_by(split), prompt="Il dort")


def test_isolated_digits_are_accepted():
    digits = split_by(SMOLLM)
    one = LanguageModelWidget(llama(CONFIG), digits, prompt="En 2024")
    one.requested = True
    assert BPETokenizer.from_json(json.loads(one.definition)["tokenizer"]).isolate_digits


def test_bundle_orders_modules_and_keeps_the_default(tmp_path):
    (tmp_path / "a.js").write_text("export const one = 1;\n", "utf-8")
    (tmp_path / "b.js").write_text(
        'import { one } from "./a.js";\nexport default { one };\n', "utf-8"
    )
    text = bundle(tmp_path / "b.js")
    assert text.index("module_a = ") < text.index("module_b = ")
    assert "import " not in text and text.endswith("export default module_b.default_;\n")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ('import { x } from "./b.js";\n', ValueError, "b.js → b.js"),
        ('import { x } from "./z.js";\n', FileNotFoundError, "« z.js », importé par « b.js »"),
        ('import * as x from "./a.js";\n', ValueError, r"import \* as x"),
        ("const x = 1;\nexport { x };\n", ValueError, "export { x }"),
    ],
)
def test_bundle_refuses_other_forms(tmp_path, source, error, message):
    (tmp_path / "b.js").write_text(source, "utf-8")
    with pytest.raises(error, match=message):
        bundle(tmp_path / "b.js")


def test_the_site_receives_each_complete_model(tmp_path, monkeypatch):
    path = ROOT / "book" / "ext" / "course_site" / "models.py"
    spec = importlib.util.spec_from_file_location("site_models", path)
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    monkeypatch.setattr(models, "MODELS", tmp_path / "results")
    for name in ("complet", "incomplet"):
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        save_beside(llama(CONFIG), TOKENIZER, folder)
    (tmp_path / "results" / "complet" / "training.json").write_text("{}", "utf-8")
    (tmp_path / "results" / "seul").mkdir()
    (tmp_path / "results" / "seul" / "seul.gguf").write_bytes(b"GGUF")
    (tmp_path / "results" / "incomplet" / "config.json").unlink()
    site = SimpleNamespace(outdir=tmp_path / "html", builder=SimpleNamespace(format="html"))
    models.copy_models(site, ValueError("construction interrompue"))
    assert not (tmp_path / "html").exists()
    models.copy_models(site, None)
    copied = sorted(p.relative_to(site.outdir).as_posix() for p in site.outdir.rglob("*.*"))
    folder = "_static/models/complet"
    names = ("config.json", "model.safetensors", "tokenizer.json")
    alone = "_static/models/seul/seul.gguf"
    assert copied == [*(f"{folder}/{name}" for name in names), alone]
