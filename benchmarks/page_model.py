"""Un GGUF dans la page, contre le décodeur en nombres flottants : vitesse, attente, mémoire.

    python benchmarks/page_model.py [fichier.gguf]

Dans Chromium, sans carte graphique : le composant charge le fichier (première visite, puis retour),
lit un début d’une vingtaine de jetons, écrit ; puis `llm_decoder.js` écrit avec les mêmes poids en
F32. Le tableau est aussi écrit dans benchmarks/resultats/page_model.md.
"""

import functools
import re
import shutil
import statistics
import tempfile
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from report import markdown_table, write_report
from widgets import ENDED, ROOT, QuietHandler, chromium_path, processor_time

from course_lib.arguments import FrenchArgumentParser
from course_lib.models import MODELS
from course_lib.pretrained import load_pretrained, save_folder
from course_lib.typography import format_number
from course_lib.widgets import LanguageModelWidget

SHIPPED = MODELS / "romancier" / "romancier.gguf"
RESULTS = Path(__file__).parent / "resultats" / "page_model.md"
PROMPT = "Le comte entra dans le salon ; la marquise, assise près du feu, ne leva pas les yeux."
SEEDS = (1, 2, 3)
WRITTEN, WRITTEN_F32 = 200, 20
START = """async (name) => {
  const { engine } = await import("/_static/widgets/language_model.js");
  const { fetchModel } = await import("/_static/widgets/llm_weights.js");
  const { patterns } = JSON.parse(document.querySelector("course-widget script").textContent);
  const folder = new URL("/_static/models/", location.href);
  const bytes = async () =>
    new Uint8Array(await (await fetch(new URL(name, folder))).arrayBuffer());
  window.engine = engine;
  window.session = name.endsWith(".gguf")
    ? await engine.openCompact(await bytes(), patterns)
    : new engine.Session(await fetchModel(new URL(`${name}/`, folder)), patterns);
  return session.decoder.memory?.end ?? 0;
}"""
READ = """(prompt) => {
  session.decoder.ids.length = session.decoder.scored = 0;
  session.ids = [];
  const started = performance.now();
  session.setText(prompt);
  engine.mostProbable(session.distribution({ minP: 0.1 }), 10);
  return [session.ids.length, performance.now() - started];
}"""
WRITE = """([seed, count]) => {
  const random = engine.createRandom(seed);
  const started = performance.now();
  for (let i = 0; i < count; i += 1) {
    session.append(engine.draw(session.distribution({ minP: 0.1 }), random));
  }
  return (performance.now() - started) / count;
}"""


def build_page(folder: Path, path: Path) -> None:
    """Écrit dans `folder` une page qui porte le composant, et les deux formes des poids."""
    static = folder / "_static"
    ignored = shutil.ignore_patterns("*.py", "__*")
    shutil.copytree(ROOT / "course_lib" / "widgets", static / "widgets", ignore=ignored)
    shutil.copy(ROOT / "book" / "static" / "widget-host.js", static)
    (static / "models").mkdir()
    shutil.copy(path, static / "models" / path.name)
    loaded = load_pretrained(path)
    save_folder(loaded.model, loaded.tokenizer, static / "models" / "f32", dtype="float16")
    widget = LanguageModelWidget.from_gguf(path, prompt=PROMPT, weights_url="models")
    script = '<script type="module" src="_static/widget-host.js"></script>'
    head = f'<meta charset="utf-8"><link rel="icon" href="data:,">{script}'
    text = f'<!doctype html><html lang="fr" data-theme="light"><head>{head}</head>'
    (folder / "page.html").write_text(f"{text}<body>{widget.html()}</body></html>", "utf-8")


def opened(page: Page, label: str) -> float:
    """Presse le bouton et attend les prédictions, en secondes."""
    page.wait_for_selector("course-widget[data-state=live]")
    button = page.get_by_role("button", name=label)
    button.wait_for()
    started = time.perf_counter()
    button.click()
    page.wait_for_selector(".cw-next li", state="attached")
    return time.perf_counter() - started


def component(page: Page) -> tuple[float, float]:
    """Millisecondes par jeton du composant qui écrit : durée, et processeur du fil principal."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before, read = processor_time(session), page.locator(".cw-shaded > *").count()
    started = time.perf_counter()
    page.get_by_role("button", name="Continuer").click()
    page.wait_for_function(ENDED, polling=100)
    elapsed = 1000 * (time.perf_counter() - started)
    count = page.locator(".cw-shaded > *").count() - read
    return elapsed / count, (processor_time(session) - before) / count


def own_memory(page: Page) -> float:
    """Les mégaoctets que le processus de la page ne partage avec aucun autre ; 0 hors de Linux."""
    session = page.context.browser.new_browser_cdp_session()
    totals = [0]
    for one in session.send("SystemInfo.getProcessInfo")["processInfo"]:
        status = Path(f"/proc/{one['id']}/status")
        if one["type"] == "renderer" and status.is_file():
            found = re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", status.read_text("utf-8"), re.M)
            totals.append(sum(map(int, found)))
    return max(totals) * 1024 / 1e6


def engine_alone(page: Page, name: str, count: int) -> dict[str, float]:
    """Les médianes du moteur seul : début lu (ms), jeton écrit (ms, durée et processeur)."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    memory = page.evaluate(START, name)
    rows = []
    for seed in SEEDS:
        tokens, first = page.evaluate(READ, PROMPT)
        before = processor_time(session)
        each = page.evaluate(WRITE, [seed, count])
        rows.append((first, each, (processor_time(session) - before) / count))
    first, each, processor = map(statistics.median, zip(*rows, strict=True))
    return {
        "memory": memory, "tokens": tokens, "first": first, "each": each, "processor": processor,
    }  # fmt: skip


def table(loading: tuple, widget: tuple, compact: dict, floats: dict) -> list[list[str]]:
    """Les lignes du tableau : la mesure, le GGUF, les poids en F32."""

    def ms(value: float) -> str:
        return f"{format_number(value, 1)} ms"

    def pair(label: str, field: str) -> list[str]:
        return [label, ms(compact[field]), ms(floats[field])]

    cold, warm, memory = loading
    return [
        ["première visite : du bouton aux prédictions", f"{format_number(cold, 2)} s", "–"],
        ["visite suivante", f"{format_number(warm, 2)} s", "–"],
        pair(f"début de {compact['tokens']} jetons, jusqu’au premier choix", "first"),
        pair("jeton écrit, moteur et tirage", "each"),
        pair("le même, en temps de processeur", "processor"),
        ["jetons par seconde", *(format_number(1000 / d["each"], 1) for d in (compact, floats))],
        ["jeton écrit par le composant, dessin compris", ms(widget[0]), "–"],
        ["le même, en temps de processeur", ms(widget[1]), "–"],
        ["mémoire du moteur", f"{format_number(compact['memory'] / 1e6, 0)} Mo", "–"],
        ["mémoire propre à la page, après l’écriture", f"{format_number(memory, 0)} Mo", "–"],
    ]


def measure(page: Page, path: Path) -> list[list[str]]:
    """Toutes les mesures, dans la page ouverte."""
    cold = opened(page, "Charger le modèle")
    widget = component(page)
    memory = own_memory(page)
    page.reload()
    warm = opened(page, "Ouvrir le modèle")
    compact = engine_alone(page, path.name, WRITTEN)
    floats = engine_alone(page, "f32", WRITTEN_F32)
    return table((cold, warm, memory), widget, compact, floats)


def main() -> None:
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fichier", nargs="?", type=Path, default=SHIPPED)
    path = parser.parse_args().fichier
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        build_page(Path(name), path)
        handler = functools.partial(QuietHandler, directory=name)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=options)
        page = browser.new_page(viewport={"width": 1366, "height": 900})
        page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
        rows = measure(page, path)
        browser.close()
        server.shutdown()
    size = format_number(path.stat().st_size / 1e6, 1)
    note = (
        "Refaire : `python benchmarks/page_model.py`. Chromium sans carte graphique, un seul fil\n"
        f"de calcul ; « {path.name} », {size} Mo. Médianes de {len(SEEDS)} textes de {WRITTEN} "
        f"jetons\n({WRITTEN_F32} en F32, par `llm_decoder.js`), min-p 0,1."
    )
    headers = ["mesure", "GGUF, WebAssembly", "F32, JavaScript"]
    write_report(RESULTS, "Un GGUF dans la page", note, markdown_table(headers, rows))


if __name__ == "__main__":
    main()
