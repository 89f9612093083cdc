"""Lecture et Atelier, sur le site construit : au clavier, mémorisés, sans JavaScript, imprimés."""

import pytest
from playwright.sync_api import expect
from site_visit import CHAPTERS, PHONE, READY

pytestmark = pytest.mark.browser

PAGE = "chapters/00_jetons_et_modeles.html"
SHORT = "chapters/10_du_texte_a_la_distillation.html"
OPEN = "[...document.querySelectorAll('details.role')].map((fold) => fold.open)"
# À chaque image dessinée : les replis encore fermés.
WATCH_FRAMES = """
  localStorage.setItem('cours-vue', 'atelier');
  window.frames = 0;
  window.closed = 0;
  const look = () => {
    window.frames += 1;
    window.closed += document.querySelectorAll('details.role:not([open])').length;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
"""


@pytest.fixture
def context(browser):
    """Un lecteur qui arrive pour la première fois."""
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    yield context
    context.close()


@pytest.fixture
def studio(context):
    """Le même lecteur, qui a choisi l’Atelier."""
    context.add_init_script("localStorage.setItem('cours-vue', 'atelier')")
    return context


def arrive(context, url):
    page = context.new_page()
    page.goto(url)
    page.wait_for_function(READY)
    return page


def click(page, name):
    """Un clic de souris là où paraît le choix, sans que Playwright ne fasse défiler la page."""
    box = page.locator(".view-switch label", has_text=name).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_a_first_visit_is_lecture(context, site_url):
    page = arrive(context, site_url + SHORT)
    assert page.get_attribute("html", "data-view") == "lecture"
    expect(page.get_by_role("radio", name="Lecture")).to_be_checked()
    folds = page.evaluate(OPEN)
    assert len(folds) > 5 and not any(folds)


def test_the_switch_is_for_the_keyboard_and_is_remembered(context, site_url):
    page = arrive(context, site_url + SHORT)
    page.get_by_role("radio", name="Lecture").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("html", "data-view") == "atelier"
    expect(page.get_by_role("radio", name="Atelier")).to_be_focused()
    assert all(page.evaluate(OPEN))
    page.reload()
    page.wait_for_function(READY)
    assert page.get_attribute("html", "data-view") == "atelier"
    expect(page.get_by_role("radio", name="Atelier")).to_be_checked()
    assert all(page.evaluate(OPEN))
    page.goto(site_url + PAGE)
    page.wait_for_function(READY)
    folds = page.evaluate(OPEN)
    assert len(folds) > 30 and all(folds)
    page.get_by_role("radio", name="Atelier").focus()
    page.keyboard.press("ArrowLeft")
    assert not any(page.evaluate(OPEN))


def test_a_fold_opens_with_a_key_and_says_its_name(context, site_url):
    page = arrive(context, site_url + SHORT)
    names = page.eval_on_selector_all(
        "details.role > summary", "(all) => all.map((summary) => summary.innerText.trim())"
    )
    assert all(names)
    fold = page.locator("details.role-plumbing").first
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(fold).to_have_attribute("open", "")
    expect(fold.locator("pre").first).to_be_visible()


def test_the_passage_being_read_stays_in_place(context, site_url):
    page = arrive(context, site_url + PAGE)
    heading = page.locator("#trois-facons-de-se-souvenir > h2")
    page.evaluate("(h) => h.scrollIntoView({behavior: 'instant'})", heading.element_handle())
    before = heading.bounding_box()["y"]
    page.get_by_role("radio", name="Lecture").focus()
    page.keyboard.press("ArrowRight")
    assert all(page.evaluate(OPEN))
    assert abs(heading.bounding_box()["y"] - before) <= 2
    click(page, "Lecture")
    assert abs(heading.bounding_box()["y"] - before) <= 2


def test_atelier_is_there_before_the_page_is_drawn(context, site_url, site_folder):
    """Aucun repli n’est dessiné fermé : rien ne clignote, rien ne se déplace."""
    head = (site_folder / PAGE).read_text("utf-8").split("<body")[0]
    assert "cours-vue" in head
    context.add_init_script(WATCH_FRAMES)
    page = arrive(context, site_url + PAGE)
    assert page.evaluate("window.frames") > 5
    assert page.evaluate("window.closed") == 0


def test_without_javascript_the_page_is_lecture(browser, site_url):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site_url + SHORT)
    expect(page.locator(".view-switch")).to_be_hidden()
    expect(page.locator(".tag_teaching .cell_input").first).to_be_visible()
    expect(page.locator(".tag_check").first).to_be_hidden()
    page.locator("details.role-check > summary").first.click()
    expect(page.locator(".tag_check").first).to_be_visible()
    context.close()


def test_paper_is_lecture_whatever_the_screen(studio, site_url):
    page = arrive(studio, site_url + SHORT)
    page.emulate_media(media="print")
    for hidden in (".view-switch", ".tag_plumbing", ".tag_result .cell_input", ".tag_check"):
        expect(page.locator(hidden).first).to_be_hidden()
    for shown in (".tag_teaching .cell_input", ".tag_result .cell_output"):
        expect(page.locator(shown).first).to_be_visible()
    expect(page.locator("details.role-check > summary").first).to_be_visible()


def test_only_chapters_have_the_switch(context, site_url):
    page = arrive(context, site_url + "book/index.html")
    assert page.locator(".view-switch").count() == 0
    assert page.get_attribute("html", "data-view") is None


@pytest.mark.parametrize("visit", CHAPTERS, indirect=True)
def test_no_line_of_code_leaves_a_phone(visit):
    visit.show(view="atelier", width=PHONE)
    wide = visit.page.eval_on_selector_all(
        ".bd-article div.highlight pre",
        "(all) => all.filter((p) => p.scrollWidth > p.clientWidth + 1).map((p) => p.innerText)",
    )
    assert wide == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE
