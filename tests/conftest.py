"""Réglages communs : un navigateur et le site construit, pour les tests marqués `browser`."""

import functools
import importlib.util
import os
import re
import shutil
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hypothesis
import pytest
import shape_checks
from site_visit import PAGES, Visit
from xdist.scheduler import LoadScopeScheduling

# Une machine chargée ralentit un essai sans le rendre faux.
hypothesis.settings.register_profile("cours", deadline=None)
hypothesis.settings.load_profile("cours")


def pytest_runtest_setup():
    """Chaque essai vérifie les formes de ses premiers appels."""
    shape_checks.restart()


# Un seul fil, même là où le cahier en demande deux ; l’ordre des ensembles est celui du livre.
KERNEL = {"OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "PYTHONHASHSEED": "0"}


class Kernels:
    """Les cahiers rejoués par nbval : le noyau de chacun naît dans les mêmes réglages."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item):
        """La préparation de la première cellule lance le noyau, qui hérite des variables."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in KERNEL.items() if item.path.suffix == ".ipynb" else ():
                patch.setenv(name, value)
            return (yield)


def pytest_configure(config):
    """Ce fichier ne voit que les essais de son dossier ; une pièce ajoutée les voit tous."""
    config.pluginmanager.register(Kernels())


def pytest_collection_modifyitems(items):
    """Les cahiers, puis les fichiers par durée décroissante : les processus finissent ensemble."""
    seconds = Counter()
    for item in items:
        if mark := item.get_closest_marker("slow"):
            seconds[item.path] += mark.kwargs.get("seconds", 2)
    items.sort(key=lambda item: (item.path.suffix != ".ipynb", -seconds[item.path]))


class OneQueue(LoadScopeScheduling):
    """Une file pour tous les processus, dans l’ordre ci-dessus.

    Un cahier ou un fichier d’essais va tout entier au même ; une page du site aussi, qui n’est
    ainsi ouverte qu’une fois. Les essais des composants se prennent un à un. C’est le nom qui le
    dit : pytest 9.2 ne voit plus les groupes que xdist 3.8 y ajoute (`--dist loadgroup`).
    """

    def _split_scope(self, nodeid):
        path, _, name = nodeid.partition("::")
        page = PAGE.search(name)
        return page[1] if page else nodeid if path.endswith("_browser.py") else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """L’ordre de la file est le nôtre : xdist n’y touche pas."""
    config.option.loadscopereorder = False
    return OneQueue(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Sous CI, un test sauté est un test manqué, sauf si la machine l’explique."""
    report = yield
    excused = item.get_closest_marker("depends_on_machine") or hasattr(report, "wasxfail")
    if report.skipped and os.environ.get("CI") and not excused:
        report.outcome = "failed"
        report.longrepr = f"Test sauté alors que CI est définie : {call.excinfo.value}"
    return report


ROOT = Path(__file__).resolve().parent.parent
PAGE = re.compile(r"\[.*?([\w/]+\.html)\]$")
# Aucun nom ne se résout, hormis la machine elle-même : une ressource externe échoue à coup sûr.
NO_DNS = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"


def load_script(path: Path):
    """Importe un script du dépôt qui n’appartient à aucun paquet."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_chromium() -> str:
    """Trouve Chromium (variable CHROMIUM, puis PATH) ou explique comment l’installer."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found:
        return found
    message = (
        "Chromium est introuvable. Installez-le (sous Debian ou Ubuntu : "
        "« sudo apt-get install chromium »), ou donnez son chemin dans la variable CHROMIUM. "
        "Pour sauter ces tests en le sachant : COURS_SANS_NAVIGATEUR=1."
    )
    if os.environ.get("COURS_SANS_NAVIGATEUR") == "1":
        pytest.skip(message)
    pytest.fail(message, pytrace=False)


@pytest.fixture(scope="session")
def site_folder() -> Path:
    """Le dossier du site construit."""
    folder = ROOT / "_build" / "html"
    if not (folder / "index.html").exists():
        pytest.fail("Le site n'est pas construit : lancez « python cours.py site ».", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def site_url(site_folder):
    """Sert le site sur un port libre et donne son adresse."""
    server = load_script(ROOT / "book" / "serve.py").make_server(0, site_folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    """Un Chromium sans accès au reste du monde."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", NO_DNS]
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session", params=PAGES)
def visit(request, browser, site_url):
    """Une page du site, ouverte une fois pour tout ce que l’on en vérifie."""
    with Visit(browser, site_url + request.param) as visit:
        yield visit


WIDGET_SCREEN = {"width": 1280, "height": 720}


@pytest.fixture(scope="session")
def widget_page(browser):
    """La page où vivent, l’un après l’autre, les composants de tous les essais.

    Ouvrir une page neuve coûte quatre fois ce que coûte d’y lire un composant. Chaque essai a son
    serveur, donc sa mémoire locale et son cache : rien ne passe de l’un à l’autre.
    """
    page = browser.new_page(viewport=WIDGET_SCREEN)
    yield page
    page.close()


class QuietHandler(SimpleHTTPRequestHandler):
    """Sert les fichiers sans écrire de journal."""

    def log_message(self, *_):
        """Ne rien écrire."""


@pytest.fixture
def open_widget(browser, widget_page, tmp_path):
    """Ouvre une page d’un composant, servie comme le site ; une plainte de la console est fatale.

    Les fichiers que la page demande se rangent dans `tmp_path / "_static"`. La première page d’un
    essai est celle de tous, vidée ensuite ; les autres, ou sans JavaScript, sont neuves. Seul un
    `add_init_script` y resterait : un essai qui en a besoin ouvre la sienne.
    """
    static = tmp_path / "_static"
    ignored = shutil.ignore_patterns("*.py", "__*")
    shutil.copytree(ROOT / "course_lib" / "widgets", static / "widgets", ignore=ignored)
    shutil.copy(ROOT / "book" / "static" / "widget-host.js", static)
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    pages, problems = [], []

    def new_page(options):
        if pages or options.keys() - {"viewport"}:
            return browser.new_page(**options)
        widget_page.set_viewport_size(options.get("viewport", WIDGET_SCREEN))
        return widget_page

    def open_one(widget, theme="light", expected=None, **options):
        """Attend que le composant vive. `expected` : ce que la console a le droit de dire."""

        def complain(text):
            if not (expected and re.search(expected, text)):
                problems.append(text)

        listeners = {
            "pageerror": lambda error: complain(str(error)),
            "console": lambda m: complain(m.text) if m.type in ("error", "warning") else None,
        }
        paper, ink = ("#ffffff", "#111111") if theme == "light" else ("#0e1116", "#eeeeee")
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        head += '<link rel="icon" href="data:,"><title>Essai</title>'
        head += '<script type="module" src="_static/widget-host.js"></script>'
        body = f"<main><h1>Essai</h1>{widget.html()}</main>"
        text = f'<!doctype html><html lang="fr" data-theme="{theme}"><head>{head}</head>'
        text += f'<body style="background:{paper};color:{ink}">{body}</body></html>'
        (tmp_path / "page.html").write_text(text, "utf-8")
        page = new_page(options)
        pages.append((page, listeners))
        for event, listener in listeners.items():
            page.on(event, listener)
        page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
        if options.get("java_script_enabled", True):
            page.wait_for_function(
                "[...document.querySelectorAll('course-widget')].every(e => e.dataset.state)"
            )
        return page

    yield open_one
    for page, listeners in pages:
        if page is not widget_page:
            page.close()
            continue
        page.unroute_all(behavior="ignoreErrors")  # les réponses feintes s’en vont
        page.mouse.move(0, 0)
        page.goto("about:blank")
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
    server.shutdown()
    thread.join()
    server.server_close()
    assert problems == []
