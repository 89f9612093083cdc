"""Un GGUF dans la page : il vient sur demande, s’interrompt, reprend, reste ; puis il écrit."""

from pathlib import Path

import axe_playwright_python
import pytest
from anywidget_page import live_as_an_anywidget
from compact_models import convert, small_model
from test_language_model_browser import ODD, SENTENCES

from course_lib.widgets import LanguageModelWidget

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
PROMPT = "Il était une fois"
FAILURE = "Modèle de langue|Failed to load"


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """Un petit GGUF en Q4_K."""
    folder = tmp_path_factory.mktemp("compact")
    plain = small_model(folder, [*SENTENCES, *ODD] * 3)
    convert(plain, folder / "essai.gguf", lambda _: "Q4_K")
    return folder / "essai.gguf"


@pytest.fixture(scope="module")
def widget(path) -> LanguageModelWidget:
    """Son composant, où tout est proposé."""
    settings = {"prompt": PROMPT, "weights_url": "models", "continuations": 3}
    settings |= {"beginnings": ["Le chat"], "warning": "Il invente tout."}
    return LanguageModelWidget.from_gguf(path, **settings)


@pytest.fixture
def open_page(open_widget, widget, path, tmp_path):
    """Ouvre la page du composant, dont le fichier est servi comme le site le sert."""
    (tmp_path / "_static" / "models").symlink_to(path.parent)

    def open_one(theme="light", *, load=True, expected=None):
        page = open_widget(widget, theme, expected)
        if load:
            page.get_by_role("button", name="Charger le modèle").click()
            page.wait_for_selector(".cw-next li")
        return page

    return open_one


def serve(page, path, bodies) -> list[dict]:
    """Répond aux demandes du fichier, l’une après l’autre ; rend les en-têtes reçus.

    `bodies` : pour chaque demande, (code, premier octet, dernier octet exclu), ou None pour ne
    jamais répondre.
    """
    asked, content = [], path.read_bytes()

    def answer(route):
        asked.append(route.request.headers)
        body = bodies[len(asked) - 1]
        if body is None:
            return
        status, first, last = body
        headers = {"ETag": '"abc"', "Content-Type": "application/octet-stream"}
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{last - 1}/{len(content)}"
        route.fulfill(status=status, headers=headers, body=content[first:last])

    page.route("**/essai.gguf", answer)
    return asked


def test_nothing_comes_before_the_button_which_tells_the_weight(open_page, path):
    page = open_page(load=False)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Votre texte").fill("Le chat dort")
    assert page.get_by_role("button", name="Continuer").is_disabled()
    assert page.get_by_role("button", name="Le chat …").is_disabled()
    page.wait_for_timeout(300)
    assert not asked
    weight = f"{path.stat().st_size / 1e6:.1f}".replace(".", ",")
    page.get_by_role("button", name=f"Charger le modèle ({weight}\u00a0Mo)").click()
    page.wait_for_selector(".cw-next li")
    assert [url.rsplit("/", 1)[1] for url in asked] == ["essai.gguf"]
    assert page.get_by_role("button", name="Continuer").is_enabled()
    assert "chat" in page.locator(".cw-shaded").first.inner_text()
    assert page.locator(".cw-warning").inner_text() == "Il invente tout."


def test_the_next_visit_needs_no_network(open_page):
    page = open_page()
    shown = page.locator(".cw-next").inner_text()
    page.route("**/essai.gguf", lambda route: route.abort())
    page.reload()
    page.get_by_role("button", name="Ouvrir le modèle").click()
    page.wait_for_selector(".cw-next li")
    assert page.locator(".cw-next").inner_text() == shown


def test_a_damaged_copy_is_forgotten_and_fetched_again(open_page):
    page = open_page()
    page.evaluate("""async () => {
      const store = await caches.open("cours-modeles");
      const [key] = await store.keys();
      const bytes = new Uint8Array(await (await store.match(key)).arrayBuffer());
      bytes[bytes.length - 5] ^= 1;
      await store.put(key, new Response(bytes)); }""")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.get_by_role("button", name="Ouvrir le modèle").click()
    page.wait_for_selector(".cw-next li")
    assert [url for url in asked if url.endswith("essai.gguf")]


def test_an_interrupted_download_resumes_where_it_stopped(open_page, path):
    page, size = open_page(load=False, expected=FAILURE), path.stat().st_size
    half = size // 2
    asked = serve(page, path, [(200, 0, half), (206, half, size)])
    page.get_by_role("button", name="Charger le modèle").click()
    page.get_by_role("button", name="Reprendre").click()
    page.wait_for_selector(".cw-next li")
    assert "range" not in asked[0]
    assert asked[1]["range"] == f"bytes={half}-" and asked[1]["if-range"] == '"abc"'


def test_a_server_that_cannot_resume_starts_again(open_page, path):
    page, size = open_page(load=False, expected=FAILURE), path.stat().st_size
    asked = serve(page, path, [(200, 0, 1000), (200, 0, size)])
    page.get_by_role("button", name="Charger le modèle").click()
    page.get_by_role("button", name="Reprendre").click()
    page.wait_for_selector(".cw-next li")
    assert len(asked) == 2


def test_the_reader_can_cancel_and_change_their_mind(open_page, path):
    page = open_page(load=False)
    serve(page, path, [None, (200, 0, path.stat().st_size)])
    page.get_by_role("button", name="Charger le modèle").click()
    page.get_by_role("button", name="Annuler").click()
    assert "interrompu" in page.locator(".cw-offer [role=status]").inner_text()
    assert page.evaluate("document.activeElement.textContent").startswith("Charger le modèle")
    page.get_by_role("button", name="Charger le modèle").click()
    page.wait_for_selector(".cw-next li")


def test_other_weights_are_refused(open_page, path):
    page, size = open_page(load=False, expected=FAILURE), path.stat().st_size
    page.route(
        "**/essai.gguf",
        lambda route: route.fulfill(body=path.read_bytes()[: size - 1] + b"\x01"),
    )
    page.get_by_role("button", name="Charger le modèle").click()
    page.wait_for_selector(".cw-error")
    assert page.locator(".cw-still table").is_visible()
    assert (
        page.evaluate("async () => (await (await caches.open('cours-modeles')).keys()).length") == 0
    )


def test_a_file_longer_than_announced_is_refused_then_fetched_again(open_page, path):
    page, content = open_page(load=False, expected=FAILURE), path.read_bytes()
    bodies = iter([content + b"trop", content])
    page.route("**/essai.gguf", lambda route: route.fulfill(body=next(bodies)))
    for _ in range(2):
        page.get_by_role("button", name="Charger le modèle").click()
        page.wait_for_selector(".cw-offer .cw-error, .cw-next li")
    page.wait_for_selector(".cw-next li")


def test_a_browser_too_old_is_told_so(open_page):
    page = open_page(load=False, expected=FAILURE)
    page.evaluate("WebAssembly.validate = () => false")
    page.get_by_role("button", name="Charger le modèle").click()
    page.wait_for_selector(".cw-error")
    assert "mettez-le à jour" in page.locator(".cw-error").inner_text()


def test_it_writes_past_its_context_and_says_so(open_page):
    page = open_page()
    area = page.get_by_label("Votre texte")
    area.press("Control+Enter")
    page.wait_for_function("document.querySelector('.cw-facts').textContent.includes('dépasse')")
    facts = page.locator(".cw-facts").inner_text()
    assert "a oublié le début" in facts and "ms par jeton" in facts
    if page.get_by_role("button", name="Arrêter").count():
        page.get_by_role("button", name="Arrêter").click()
    page.get_by_role("button", name="Continuer").wait_for()
    assert area.input_value().startswith(PROMPT)
    mean = page.locator(".cw-most-read").inner_text()
    page.get_by_label("Bloc").select_option("1")
    page.get_by_label("Tête").select_option("2")
    assert page.locator(".cw-most-read").inner_text() != mean


def test_continuations_are_compared_with_their_probabilities(open_page):
    page = open_page()
    page.get_by_role("button", name="Comparer 3 suites").click()
    page.wait_for_function(
        "document.querySelectorAll('.cw-candidate button:not([hidden])').length === 3"
    )
    rows = page.locator(".cw-candidate")
    texts = rows.locator(".cw-shaded").all_inner_texts()
    assert len(set(texts)) == 3
    for row in rows.all():
        shares = row.locator("[title]").evaluate_all("nodes => nodes.map(n => n.title)")
        assert 1 <= len(shares) <= 24 and all("%" in share for share in shares)
        assert "Probabilité" in row.locator(".cw-value").inner_text()
    assert page.get_by_label("Votre texte").input_value() == PROMPT
    rows.nth(1).get_by_role("button").click()
    page.wait_for_function("document.querySelector('.cw-candidates').offsetParent === null")
    written = page.get_by_label("Votre texte").input_value()
    assert written.startswith(PROMPT) and len(written) > len(PROMPT)


def test_a_continuation_has_the_probability_that_the_model_gives_it(open_page):
    page = open_page()
    result = page.evaluate("""async () => {
      const { writeCandidate, tiny } = await import("/_static/widgets/llm_candidates.js");
      const { engine } = await import("/_static/widgets/language_model.js");
      const bytes = new Uint8Array(await (await fetch("/_static/models/essai.gguf")).arrayBuffer());
      const state = JSON.parse(document.querySelector("course-widget script").textContent);
      const session = await engine.openCompact(bytes, state.patterns, true);
      session.setText("Il était");
      const start = session.ids.length;
      const settings = { temperature: 0.5, minP: 0.2 };
      const { ids, logs } = await writeCandidate(session, settings, 3, async () => true, () => {});
      session.decoder.ids.length = session.decoder.scored = 0;
      session.decoder.read(session.ids);
      const bits = Array.from(session.decoder.bits.subarray(start, session.ids.length));
      return [ids.length, logs.slice(0, bits.length).map((log) => -log / Math.LN2), bits,
              [tiny(Math.log(0.25)), tiny(-19 * Math.LN10 + Math.log(3.2))]];
    }""")
    count, told, bits, shown = result
    assert count >= len(bits) > 3
    assert told == pytest.approx(bits, abs=2e-2)
    assert shown == ["25,0\u00a0%", "3,2\u00a0×\u00a010⁻¹⁹"]


def test_a_long_text_is_read_without_freezing_the_page(open_page):
    page = open_page()
    page.evaluate("""() => { window.told = [];
      const facts = document.querySelector(".cw-facts");
      const note = () => told.push(facts.textContent);
      const all = { childList: true, characterData: true, subtree: true };
      new MutationObserver(note).observe(facts, all); }""")
    page.get_by_label("Votre texte").fill("Le chat dort. " * 200)
    page.wait_for_function("document.querySelector('.cw-facts').textContent.includes('dépasse')")
    # Entre deux paquets, la page a eu la main : elle l’a dit.
    assert "Lecture du texte…" in page.evaluate("told")


def test_the_bundle_lives_as_an_anywidget_does(open_page, path):
    widget = LanguageModelWidget.from_gguf(path, prompt=PROMPT)
    page = open_page(load=False)
    live_as_an_anywidget(page, widget)
    page.get_by_role("button", name="Charger le modèle").click()
    page.wait_for_selector(".cw-next li")
    assert page.evaluate("asked()") is False


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_accessibility_fault_on_a_wide_or_narrow_screen(open_page, theme):
    page = open_page(theme)
    page.get_by_role("button", name="Comparer 3 suites").click()
    page.wait_for_function(
        "document.querySelectorAll('.cw-candidate button:not([hidden])').length === 3"
    )
    page.evaluate(AXE)
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 900})
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in result["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
