"""Le modèle vivant dans la page : ce que coûte un jeton à calculer, et à dessiner.

    python benchmarks/widgets.py

Le composant du petit LLM écrit trois histoires dans Chromium, sans carte graphique, un jeton par
image ; puis le moteur seul écrit les mêmes. On compte le temps de processeur du fil principal, et
le dessin est la différence. Le tableau est aussi écrit dans benchmarks/resultats/widgets.md.
"""

import functools
import os
import shutil
import statistics
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import CDPSession, Page, sync_playwright
from report import markdown_table, write_report

from course_lib.arguments import FrenchArgumentParser
from course_lib.models import shipped
from course_lib.pretrained import load_pretrained
from course_lib.typography import format_number
from course_lib.widgets import LanguageModelWidget

ROOT = Path(__file__).resolve().parent.parent
MODEL = Path(shipped.__file__).parent / "petit_llm"
RESULTS = Path(__file__).parent / "resultats" / "widgets.md"
PROMPT = "Il était une fois une souris"
SEEDS = (1, 2, 3)
ENDED = "document.querySelector('.cw-facts').textContent.includes('Fin de')"
WRITE = """([prompt, seed, settings]) => {
  session.setText(prompt);
  const random = engine.createRandom(seed);
  const before = session.ids.length;
  while (!session.full) {
    const id = engine.draw(session.distribution(settings), random);
    if (id === session.eos) break;
    session.append(id);
  }
  return session.ids.length - before;
}"""
START = """async () => {
  const { engine } = await import("/_static/widgets/language_model.js");
  const { fetchModel } = await import("/_static/widgets/llm_weights.js");
  const { patterns } = JSON.parse(document.querySelector("course-widget script").textContent);
  const folder = new URL("/_static/models/petit_llm/", location.href);
  window.engine = engine;
  window.session = new engine.Session(await fetchModel(folder), patterns);
}"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Sert les fichiers sans écrire de journal."""

    def log_message(self, *_):
        """Ne rien écrire."""


def build_page(folder: Path) -> None:
    """Écrit dans `folder` une page qui porte le composant, rangée comme le site."""
    static = folder / "_static"
    ignored = shutil.ignore_patterns("*.py", "__*")
    shutil.copytree(ROOT / "course_lib" / "widgets", static / "widgets", ignore=ignored)
    shutil.copy(ROOT / "book" / "static" / "widget-host.js", static)
    shutil.copytree(MODEL, static / "models" / "petit_llm")
    loaded = load_pretrained(MODEL)
    options = {"prompt": PROMPT, "weights_url": "models/petit_llm"}
    widget = LanguageModelWidget(loaded.model, loaded.tokenizer, **options)
    script = '<script type="module" src="_static/widget-host.js"></script>'
    head = f'<meta charset="utf-8"><link rel="icon" href="data:,">{script}'
    text = f'<!doctype html><html lang="fr" data-theme="light"><head>{head}</head>'
    (folder / "page.html").write_text(f"{text}<body>{widget.html()}</body></html>", "utf-8")


def processor_time(session: CDPSession) -> float:
    """Les millisecondes de processeur que le fil principal de la page a déjà prises."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def drawn(page: Page, session: CDPSession, seed: int) -> tuple[float, int]:
    """Écrit par le composant ; rend le temps et le nombre de jetons."""
    page.get_by_label("Votre texte").fill(PROMPT)
    page.get_by_label("Graine").fill(str(seed))
    page.wait_for_timeout(800)
    before, read = processor_time(session), page.locator(".cw-shaded > *").count()
    page.get_by_role("button", name="Continuer").click()
    page.wait_for_function(ENDED, polling=500)
    spent = processor_time(session) - before
    return spent, page.locator(".cw-shaded > *").count() - read


def computed(page: Page, session: CDPSession, seed: int) -> tuple[float, int]:
    """Écrit par le moteur seul ; rend le temps et le nombre de jetons."""
    before = processor_time(session)
    count = page.evaluate(WRITE, [PROMPT, seed, {"minP": 0.1}])
    return processor_time(session) - before, count


def measure(page: Page) -> list[tuple[int, float, float]]:
    """Pour chaque graine : les jetons, le calcul et le dessin d’un jeton, en millisecondes."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.get_by_label("Votre texte").fill(PROMPT)
    page.wait_for_selector(".cw-next")
    page.locator(".cw-llm details").evaluate("details => (details.open = true)")
    page.evaluate(START)
    rows = []
    for seed in SEEDS:
        (whole, count), (alone, same) = drawn(page, session, seed), computed(page, session, seed)
        assert count == same, f"{count} jetons dans la page, {same} pour le moteur seul"
        rows.append((count, alone / count, (whole - alone) / count))
    return rows


def chromium_path() -> str | None:
    """Le Chromium de la machine, ou celui de Playwright."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def main() -> None:
    FrenchArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        build_page(Path(name))
        handler = functools.partial(QuietHandler, directory=name)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=options)
        page = browser.new_page(viewport={"width": 1366, "height": 900})
        page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
        page.wait_for_selector("course-widget[data-state=live]")
        rows = measure(page)
        browser.close()
        server.shutdown()
    table = [[str(count), format_number(a, 1), format_number(b, 1)] for count, a, b in rows]
    middle = [format_number(statistics.median(row[i] for row in rows), 1) for i in (1, 2)]
    headers = ["jetons écrits", "calcul d’un jeton (ms)", "dessin d’un jeton (ms)"]
    note = (
        "Refaire : `python benchmarks/widgets.py`. Millisecondes de processeur du fil principal\n"
    )
    note += (
        f"de la page, le petit LLM écrivant un jeton par image. Médianes : {' et '.join(middle)}."
    )
    write_report(RESULTS, "Le modèle vivant", note, markdown_table(headers, table))


if __name__ == "__main__":
    main()
