"""Le modèle de langue dans un vrai navigateur : mêmes nombres qu’en Python, clavier, thèmes."""

import shutil
from pathlib import Path

import axe_playwright_python
import pytest
import torch
from anywidget_page import live_as_an_anywidget
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from course_lib.pretrained import load_pretrained, save_folder
from course_lib.tokenization import BPETokenizer
from course_lib.transformer import LlamaConfig, llama
from course_lib.widgets import MICRO_STORIES, LanguageModelWidget
from course_lib.widgets.page_models import LAST_SPACES

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parent.parent
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
SHIPPED = ROOT / "course_lib" / "models" / "petit_llm"
SENTENCES = [
    "Il était une fois un petit chat qui n’avait pas peur du tonnerre.",
    "Léa range l'écharpe rouge dans le coffre ; Hugo la cherche au jardin.",
    "« Où est passée la clé ? » demande-t-elle, étonnée…",
    "Le 14 juillet 2024, 1 234 ballons s'envolent : quel été !",
    "Ça alors ! L’ogre a mangé 3 pommes,\npuis il s'est endormi.\n\nFin.",
]
ODD = [
    "",
    " ",
    "   ",
    "\n",
    "\n\n\t ",
    "🐾👩‍👩‍👧‍👦 e\u0301te\u0301",
    "日本語 العربية ไทย Ω≈ç√",
    "don't we'll I'm 's <eos><pad> <eo",
    "deux\u00a0insécables\u202f!",
    "\ufeffX\u0085Y\x1cZ",
    "a" * 70,
    "0123456789 42 3,14",
    "l’été où j’ai vu l'œuvre",
    "ǅ \U0001e6c0 ᲀ",
]
PROMPT = "Il était une fois"


def texts(count: int) -> list[str]:
    """Des débuts de phrases de longueurs variées, puis les textes inhabituels."""
    cuts = [s[: 1 + 5 * i] for i in range(14) for s in SENTENCES]
    return list(dict.fromkeys([*ODD, *SENTENCES, *cuts]))[:count] + [
        f"Essai {i} : {SENTENCES[i % 5][i:]}" for i in range(max(0, count - 70))
    ]


def random_models(folder: Path) -> None:
    """Deux modèles de la taille du modèle de base, aux poids tirés : à têtes égales, partagées."""
    words = [f"{a}{b}{c}" for a in "bcdfglmnprst" for b in "aeiouéèà" for c in "lmnrstvz"]
    corpus = [*SENTENCES, " ".join(words)] * 3
    tokenizer = BPETokenizer.train(corpus, vocab_size=1024)
    assert tokenizer.vocab_size == 1024
    for name, kv_heads, tied in (("dense", 4, True), ("partage", 2, False)):
        config = LlamaConfig(
            tokenizer.vocab_size, 256, 128, 2, 4, kv_heads, d_ff=320, tie_weights=tied
        )
        model = llama(config, seed=7)
        with torch.no_grad():  # des scores bien séparés, comme après un apprentissage
            model.embedding.tokens.weight.mul_(8)
        save_folder(model, tokenizer, folder / name, dtype="float16")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Le dossier des modèles à essayer ; celui du cours en fait partie s’il est livré."""
    folder = tmp_path_factory.mktemp("models")
    random_models(folder)
    if (SHIPPED / "model.safetensors").is_file():
        shutil.copytree(SHIPPED, folder / "petit_llm")
    return folder


def load(folder: Path):
    """Relit un modèle enregistré et son tokeniseur."""
    loaded = load_pretrained(folder)
    return loaded.model, loaded.tokenizer


@pytest.fixture(scope="module")
def widgets(models) -> dict:
    """Un composant par modèle, et ceux dont le modèle ne peut pas vivre dans la page."""
    found = {}
    for name in NAMES:
        model, tokenizer = load(models / name)
        options = {"prompt": PROMPT, "weights_url": f"models/{name}"}
        found[name] = LanguageModelWidget(model, tokenizer, **options)
    found["still"] = LanguageModelWidget(model, tokenizer, prompt=PROMPT)
    lost = {"prompt": PROMPT, "weights_url": "models/absent"}
    found["lost"] = LanguageModelWidget(model, tokenizer, **lost)
    stranger = llama(LlamaConfig(tokenizer.vocab_size, 64, 32, 1, 2))
    found["other"] = LanguageModelWidget(stranger, tokenizer, **options)
    return found


@pytest.fixture
def open_page(open_widget, widgets, models, tmp_path):
    """Ouvre la page d’un modèle, dont les poids sont servis comme le site les sert.

    Une frappe le fait venir, sauf s’il est figé ; on attend alors ses prédictions.
    """
    (tmp_path / "_static" / "models").symlink_to(models)

    def open_one(name="dense", theme="light", *, awaited=".cw-next", **options):
        page = open_widget(widgets[name], theme, **options)
        if awaited != ".cw-still":
            page.get_by_label("Votre texte").fill(PROMPT)
        page.wait_for_selector(awaited)
        page.evaluate("document.querySelectorAll('.cw-llm details').forEach(d => (d.open = true))")
        return page

    return open_one


# Le modèle du cours s’ajoute dès qu’il est livré.
NAMES = ["dense", "partage", *(["petit_llm"] if (SHIPPED / "model.safetensors").is_file() else [])]
ENGINE = """async () => {
  window.engine = (await import("/_static/widgets/language_model.js")).engine;
}"""
START = """async (name) => {
  const { engine } = await import("/_static/widgets/language_model.js");
  const { fetchModel } = await import("/_static/widgets/llm_weights.js");
  const folder = new URL(`/_static/models/${name}/`, location.href);
  const state = JSON.parse(document.querySelector("course-widget script").textContent);
  window.engine = engine;
  window.session = new engine.Session(await fetchModel(folder), state.patterns);
}"""


@pytest.fixture(params=NAMES)
def loaded(request, open_page, models):
    """Le même modèle des deux côtés : (page, modèle, tokeniseur)."""
    page = open_page(request.param)
    page.evaluate(START, request.param)
    return page, *load(models / request.param)


def read_ids(tokenizer, text: str, limit: int) -> list[int]:
    """Les jetons que lit le composant : le début, puis les derniers qui tiennent."""
    ids = tokenizer.encode(text.rstrip(LAST_SPACES))
    return [tokenizer.bos_id, *ids[max(0, len(ids) + 1 - limit) :]]


def test_ids_equal_python_and_decode_back(loaded):
    page, _, tokenizer = loaded
    samples = texts(110)
    assert len(samples) >= 100
    found = page.evaluate("texts => texts.map(t => session.tokenizer.encode(t))", samples)
    assert found == [tokenizer.encode(text) for text in samples]
    assert page.evaluate("all => all.map(ids => session.tokenizer.decode(ids))", found) == samples


def test_logits_equal_pytorch(loaded):
    page, model, tokenizer = loaded
    samples = [*texts(50), "Il pleut. " * 200]  # le dernier dépasse le contexte
    script = "texts => texts.map(t => { session.setText(t); return Array.from(session.logits); })"
    found = torch.tensor(page.evaluate(script, samples))
    limit = model.embedding.context_length
    with torch.no_grad():
        expected = torch.stack(
            [model(torch.tensor([read_ids(tokenizer, t, limit)]))[0, -1] for t in samples]
        )
    assert expected.std() > 0.5
    worst = (found - expected).abs().max().item()
    print(f"écart des scores : {worst:.2g} au pire sur {len(samples)} textes")
    assert worst < 1e-2


def test_a_shared_prefix_changes_nothing_but_the_work(loaded):
    page, *_ = loaded
    result = page.evaluate(
        """([long, other]) => {
      const fresh = (text) => { session.decoder.ids.length = 0; session.setText(text);
        return Array.from(session.logits); };
      const [a, b] = [fresh(long), fresh(other)];
      session.setText(long);
      const before = session.decoder.computed;
      session.setText(long + " !");
      const added = session.decoder.computed - before;
      session.setText(long);
      const again = Array.from(session.logits);
      session.setText(other);
      const far = (x, y) => Math.max(...x.map((v, i) => Math.abs(v - y[i])));
      return [added, far(a, again), far(b, Array.from(session.logits)), far(a, b)];
    }""",
        SENTENCES[:2],
    )
    assert 1 <= result[0] <= 2
    assert result[1] == result[2] == 0 and result[3] > 0


def test_attention_equals_pytorch(loaded):
    page, model, tokenizer = loaded
    page.evaluate("text => session.setText(text)", SENTENCES[0])
    found = page.evaluate("""() => session.decoder.attention.map(heads =>
        heads.map(map => Array.from(map.slice(0, session.read.length))))""")
    ids = torch.tensor([read_ids(tokenizer, SENTENCES[0], 10**6)])
    rope = model.rope(torch.arange(ids.shape[1]))
    x, expected = model.embedding.tokens(ids), []
    with torch.no_grad():
        for block in model.blocks:
            normed = block.self_attention_norm(x)
            _, weights = block.self_attention(
                normed, is_causal=True, rope=rope, return_weights=True
            )
            expected.append(weights[0, :, -1])  # (H, Tk), le dernier jeton
            x = block(x, is_causal=True, rope=rope)
    torch.testing.assert_close(torch.tensor(found), torch.stack(expected), atol=1e-4, rtol=0)
    mean = torch.tensor(page.evaluate("() => session.attention()"))
    torch.testing.assert_close(mean, torch.stack(expected).mean((0, 1)), atol=1e-4, rtol=0)


def test_greedy_generation_equals_pytorch(loaded):
    page, model, tokenizer = loaded
    for prompt in SENTENCES[:3]:
        written = page.evaluate(
            """text => { session.setText(text); const ids = [];
          const random = engine.createRandom(0);
          for (let i = 0; i < 30; i += 1) {
            const law = session.distribution({ temperature: 0 });
            ids.push(engine.draw(law, random)); session.append(ids.at(-1)); }
          return ids; }""",
            prompt,
        )
        ids = read_ids(tokenizer, prompt, 10**6)
        with torch.no_grad():
            logits = model(torch.tensor([ids + written]))[0, len(ids) - 1 : -1]
        chosen = logits.gather(1, torch.tensor(written)[:, None])[:, 0]
        # Deux jetons ex æquo à l’arrondi près se valent : on compare les scores, non les ids.
        assert (logits.max(1).values - chosen).max() < 1e-3


SETTINGS = [
    {},
    {"temperature": 0.7},
    {"temperature": 1.8, "topK": 13},
    {"topP": 0.83},
    {"temperature": 0.9, "topK": 40, "topP": 0.6},
    {"minP": 0.11},
    {"repetitionPenalty": 1.4},
    {"repetitionPenalty": 1.2, "temperature": 1.3, "topK": 50, "topP": 0.9, "minP": 0.05},
]


def reference(logits, settings: dict, previous: list[int]):
    """La loi selon `transformers`, dans son ordre."""
    kinds = {
        "repetitionPenalty": RepetitionPenaltyLogitsProcessor,
        "temperature": TemperatureLogitsWarper,
        "topK": TopKLogitsWarper,
        "topP": TopPLogitsWarper,
        "minP": MinPLogitsWarper,
    }
    scores = logits[None].clone()
    for name, kind in kinds.items():
        if name in settings:
            scores = kind(settings[name])(torch.tensor([previous]), scores)
    return scores.softmax(-1)[0]


def test_distributions_follow_their_definitions(open_page):
    page = open_page("still", awaited=".cw-still")
    page.evaluate(ENGINE)
    logits = torch.randn(211, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 3
    previous = [3, 7, 7, 101, 210]
    script = "([l, s, p]) => Array.from(engine.nextDistribution(l, s, p))"
    for settings in SETTINGS:
        found = page.evaluate(script, [logits.tolist(), settings, previous])
        expected = reference(logits, settings, previous)
        found = torch.tensor(found, dtype=torch.float64)
        torch.testing.assert_close(found, expected, msg=str(settings))


def test_draws_follow_the_distribution_and_the_seed(open_page):
    page = open_page("still", awaited=".cw-still")
    page.evaluate(ENGINE)
    script = """seed => { const random = engine.createRandom(seed);
      return Array.from({ length: 4000 }, () => engine.draw([0.5, 0, 0.3, 0.2], random)); }"""
    first, again, other = (page.evaluate(script, seed) for seed in (1, 1, 2))
    assert first == again != other
    shares = torch.bincount(torch.tensor(first), minlength=4) / 4000
    assert shares[1] == 0
    # Quatre écarts-types d’une fréquence sur 4 000 tirages font au plus 0,032.
    assert (shares - torch.tensor([0.5, 0, 0.3, 0.2])).abs().max() < 0.032


def test_latency_and_weight_are_measured(loaded):
    page, model, _ = loaded
    milliseconds = page.evaluate(
        """text => { session.setText(""); session.timings.length = 0;
      while (!session.full) session.append(session.eos + 1 + session.ids.length % 90);
      return session.millisecondsPerToken; }""",
        PROMPT,
    )
    size = page.evaluate("""() => performance.getEntriesByType("resource")
      .filter(e => /models|widgets/.test(e.name))
      .reduce((all, e) => all.set(e.name, e.encodedBodySize), new Map())
      .values().reduce((a, b) => a + b, 0)""")
    print(f"{milliseconds:.2f} ms par jeton ; {size / 1e6:.2f} Mo téléchargés")
    assert milliseconds > 0
    assert (
        0 < size <= (1_500_000 if model.head.weight is model.embedding.tokens.weight else 1_750_000)
    )


def test_typing_updates_predictions_attention_and_summary(open_page):
    page = open_page()
    assert page.get_by_label("Votre texte").input_value() == PROMPT
    assert page.get_by_label("Min-p").input_value() == "0.1"
    page.get_by_label("Min-p").fill("0")
    assert page.locator(".cw-next li").count() == 10
    before = page.locator(".cw-next").inner_text()
    page.get_by_label("Votre texte").fill("Le 14 juillet")
    assert page.locator(".cw-next").inner_text() != before
    shown = page.locator(".cw-shaded").inner_text()
    assert shown.startswith("début du texte") and "1" in shown and "␣" in shown
    page.wait_for_function("document.querySelector('.cw-llm [aria-live]').textContent")
    assert "Jeton suivant" in page.locator(".cw-llm [aria-live]").inner_text()
    assert "ms par jeton" in page.locator(".cw-facts").inner_text()
    mean = page.locator(".cw-most-read").inner_text()
    page.get_by_label("Bloc").select_option("1")
    page.get_by_label("Tête").select_option("2")
    assert page.locator(".cw-most-read").inner_text() != mean
    page.get_by_label("Top-k").fill("3")
    assert page.locator(".cw-next li").count() == 3
    page.get_by_label("Température").fill("0")
    assert page.locator(".cw-next .cw-value").all_inner_texts() == ["100,0\u00a0%"]


def test_keyboard_alone_goes_through_everything(open_page):
    page = open_page()
    page.evaluate("document.activeElement.blur()")
    page.get_by_label("Votre texte").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("Un chat")
    page.evaluate("""() => { const field = document.querySelector(".cw-number");
      field.value = 0; field.dispatchEvent(new Event("input")); }""")
    reached = []
    for _ in range(22):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("""() => { const e = document.activeElement;
          const outline = getComputedStyle(e).outlineStyle;
          return [e.getAttribute("aria-label") ?? e.closest("label")?.textContent ?? e.textContent,
                  outline !== "none"]; }""")
        )
    names = [name for name, _ in reached]
    assert names[:3] == ["Continuer", "Effacer", "Température"]
    fields = ("Top-k", "Top-p", "Min-p", "Pénalité de répétition", "Graine")
    for wanted in (*fields, "Bloc", "Tête"):
        assert any(wanted in name for name in names), wanted
    assert sum(name.startswith("Ajouter") for name in names) == 10
    inside = reached[: 3 + 1 + len(fields) + 10 + 2]
    assert all(visible for _, visible in inside)


def test_keyboard_adds_a_token_and_keeps_its_place(open_page):
    page = open_page()
    page.get_by_label("Min-p").fill("0")  # dix lignes, avant comme après
    page.locator(".cw-next button").nth(2).focus()
    shown = "document.activeElement.querySelector('.cw-text').textContent"
    expected = page.evaluate(shown).replace("␣", " ")
    page.keyboard.press("Enter")
    text = page.get_by_label("Votre texte").input_value()
    assert text.startswith(PROMPT) and len(text) > len(PROMPT)
    assert "⟨" in expected or text == PROMPT + expected.replace("⏎", "\n")
    assert page.evaluate("document.activeElement.matches('.cw-next li:nth-child(3) button')")


def test_every_setting_reaches_the_predictions(open_page):
    page = open_page()

    def shown() -> str:
        return page.locator(".cw-next").inner_text()

    plain = shown()
    for label, value in (("Min-p", "1"), ("Pénalité de répétition", "2"), ("Température", "3")):
        field = page.get_by_label(label)
        initial = field.input_value()
        field.fill(value)
        assert shown() != plain, label
        field.fill(initial)
        assert shown() == plain, label


def test_generation_is_seeded_stops_and_clears(open_page):
    page = open_page()
    area = page.get_by_label("Votre texte")

    def write(seed: str) -> str:
        area.fill(PROMPT)
        page.get_by_label("Graine").fill(seed)
        area.press("Control+Enter")
        page.wait_for_function(
            "document.querySelector('.cw-llm textarea').value.length > 150"
            " || document.querySelector('.cw-facts').textContent.includes('Fin de')"
        )
        if page.get_by_role("button", name="Arrêter").count():
            page.get_by_role("button", name="Arrêter").click()
        page.get_by_role("button", name="Continuer").wait_for()
        assert "Fin de l’écriture" in page.locator(".cw-facts").inner_text()
        page.wait_for_function(
            "document.querySelector('.cw-llm [aria-live]').textContent.includes('Fin de')"
        )
        return area.input_value()[:100]

    first, again, other = write("1"), write("1"), write("2")
    assert first.startswith(PROMPT) and len(first) > len(PROMPT)
    assert first == again != other
    page.get_by_role("button", name="Effacer").click()
    assert area.input_value() == "" and page.locator(".cw-next li").count() > 0


def test_a_full_context_ends_the_generation(open_page):
    page = open_page()
    page.get_by_label("Votre texte").fill("Il était " * 300)
    assert "ne lit que" in page.locator(".cw-facts").inner_text()
    page.get_by_role("button", name="Continuer").click()
    assert "contexte de 256" in page.locator(".cw-facts").inner_text()


def test_a_missing_or_foreign_model_keeps_the_static_form(open_page):
    for name in ("lost", "other"):
        page = open_page(name, awaited=".cw-llm .cw-error", expected="Modèle de langue|404")
        assert "n’a pas pu être chargé" in page.locator(".cw-error").inner_text()
        assert page.locator(".cw-still table").is_visible()
        assert page.get_by_role("button", name="Continuer").is_enabled()
    page = open_page("still", awaited=".cw-still")
    assert "dans le cahier" in page.locator(".cw-llm").inner_text()


def test_nothing_is_downloaded_before_the_first_gesture(open_widget, open_page, widgets):
    page = open_page(awaited=".cw-still")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload(wait_until="networkidle")
    assert page.locator(".cw-still").count() == 1
    page.locator(".cw-llm").scroll_into_view_if_needed()
    page.get_by_label("Votre texte").focus()
    page.wait_for_timeout(300)
    assert asked and not [url for url in asked if "models/" in url]
    page.get_by_role("button", name="Continuer").click()
    page.wait_for_selector(".cw-next")
    assert [url for url in asked if "models/" in url]
    site = page.url.removesuffix("page.html")
    assert all(url.startswith((site, "data:")) for url in asked)


def test_a_last_space_changes_nothing(open_page):
    page = open_page()
    area, shown = page.get_by_label("Votre texte"), page.locator(".cw-next")
    before = shown.inner_text()
    for spaces in (" ", "  ", "\u00a0"):
        area.fill(PROMPT + spaces)
        assert shown.inner_text() == before
    page.locator(".cw-next button").first.click()
    written = area.input_value()
    assert written.startswith(PROMPT) and len(written) > len(PROMPT)
    assert PROMPT + "  " not in written


def test_writing_reuses_every_node(open_page):
    page = open_page()
    page.get_by_label("Min-p").fill("0")  # dix lignes, avant comme après
    page.evaluate("""() => { window.made = 0;
      const make = document.createElement.bind(document);
      document.createElement = (...names) => { window.made += 1; return make(...names); };
      window.rows = [...document.querySelectorAll(".cw-next button")]; }""")
    read = page.locator(".cw-shaded .cw-chip-text").count()
    page.locator(".cw-next button").first.click()
    added = page.locator(".cw-shaded .cw-chip-text").count() - read
    assert added == 1
    # Un jeton de plus : sa pastille (trois éléments), et rien d’autre ne se refait.
    assert page.evaluate("made") == 3
    assert page.evaluate("rows.every(row => row.isConnected)")


def test_no_token_shows_its_raw_bytes(loaded):
    page, _, tokenizer = loaded
    texts = page.evaluate(
        "n => Array.from({length: n}, (_, id) => session.nextText(id))", tokenizer.vocab_size
    )
    assert not [text for text in texts if "\\x" in text or "\ufffd" in text]
    assert sum("⟨" in text for text in texts) >= 128  # les octets seuls, au moins, le disent


@pytest.mark.skipif("petit_llm" not in NAMES, reason="le modèle du cours n’est pas livré")
def test_the_page_says_when_the_text_leaves_what_was_read(open_page, widgets, models, monkeypatch):
    options = {"weights_url": "models/petit_llm", "reading": MICRO_STORIES}
    widget = LanguageModelWidget(*load(models / "petit_llm"), prompt=PROMPT, **options)
    monkeypatch.setitem(widgets, "petit_llm", widget)
    page = open_page("petit_llm")
    notice = page.locator(".cw-notice")
    assert not notice.is_visible()
    page.get_by_label("Votre texte").fill("Bonjour ! Comment vas-tu ?")
    assert "n’a lu que des micro-histoires" in notice.inner_text()
    page.get_by_label("Votre texte").fill("Il était une fois un chat")
    assert not notice.is_visible()
    # Le mot en cours ne compte pas ; il compte dès qu’on demande la suite, qui reste permise.
    page.get_by_label("Votre texte").fill("Il était une fois Napoléon")
    assert not notice.is_visible()
    page.get_by_role("button", name="Continuer").click()
    page.wait_for_function("document.querySelector('.cw-facts').textContent.includes('Fin de')")
    assert notice.is_visible()
    assert len(page.get_by_label("Votre texte").input_value()) > len("Il était une fois Napoléon")


def test_a_beginning_is_one_click_away(open_widget, open_page, widgets, models, monkeypatch):
    beginnings = ["Le chat", "Un oiseau"]
    options = {"weights_url": "models/dense", "beginnings": beginnings}
    widget = LanguageModelWidget(*load(models / "dense"), prompt=PROMPT, **options)
    monkeypatch.setitem(widgets, "dense", widget)
    page = open_page(awaited=".cw-still")
    page.get_by_role("button", name="Un oiseau").click()
    page.wait_for_function("document.querySelector('.cw-llm textarea').value.length > 20")
    assert page.get_by_label("Votre texte").input_value().startswith("Un oiseau")


def test_opened_as_a_file_the_page_keeps_its_notice(browser, open_page, tmp_path):
    open_page()
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator(".cw-fallback table").is_visible()
    assert "Version figée" in page.locator(".cw-fallback").inner_text()
    page.close()


def test_the_bundle_lives_as_an_anywidget_does(open_page, models):
    model, tokenizer = load(models / "dense")
    widget = LanguageModelWidget(model, tokenizer, prompt=PROMPT)
    page = open_page("still", awaited=".cw-still")
    live_as_an_anywidget(page, widget)
    page.get_by_label("Votre texte").fill(PROMPT)
    page.wait_for_selector(".cw-next")
    assert page.evaluate("asked()") is False  # les poids reçus, le noyau peut les reprendre
    assert 0 < page.locator(".cw-next li").count() <= 10


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_accessibility_fault_on_a_wide_or_narrow_screen(open_page, theme):
    page = open_page(theme=theme)
    page.evaluate(AXE)
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 900})
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in result["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
