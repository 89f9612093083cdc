"""Réglages communs : un navigateur et le site construit, pour les tests marqués `browser`."""

import importlib.util
import os
import shutil
import threading
from pathlib import Path

import hypothesis
import pytest

# Une machine chargée ralentit un essai sans le rendre faux.
hypothesis.settings.register_profile("cours", deadline=None)
hypothesis.settings.load_profile("cours")

ROOT = Path(__file__).resolve().parent.parent
# Aucun nom ne se résout, hormis la machine elle-même : une ressource externe échoue à coup sûr.
NO_DNS = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"


def load_script(path: Path):
    """Importe un script du dépôt qui n'appartient à aucun paquet."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_chromium() -> str:
    """Trouve Chromium (variable CHROMIUM, puis PATH) ou explique comment l'installer."""
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
        pytest.fail("Le site n'est pas construit : lancez « make site ».", pytrace=False)
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
