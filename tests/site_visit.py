"""Une page du site, ouverte une fois et montrée de toutes les façons de la lire."""

from pathlib import Path
from urllib.parse import urlparse

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "chapters").glob("*.md"))
PAGES = [
    *(f"chapters/{path.stem}.html" for path in SOURCES),
    *(
        f"book/{name}.html"
        for name in ("index", "glossaire", "guide_enseignant", "api", "bibliographie")
    ),
    "search.html",
    "genindex.html",
]

CHAPTERS = PAGES[: len(SOURCES)]

# La page est prête : ses icônes sont dessinées, ses polices lues, ses composants vivants ou figés.
READY = """() => document.readyState === 'complete' && document.fonts.status === 'loaded'
  && document.documentElement.classList.contains('fontawesome-i2svg-complete')
  && [...document.querySelectorAll('course-widget')].every((widget) => widget.dataset.state)"""
# Le thème rend au clavier ce qui défile, un instant après un changement de largeur. Ce qu’un repli
# fermé cache ne défile pas.
REACHABLE = """() => [...document.querySelectorAll('pre, div.math')].every((box) =>
  box.scrollWidth <= box.clientWidth || box.tabIndex === 0
  || box.closest('details:not([open])'))"""
# Comme la bascule : l’aspect, et les replis.
SHOW = """(view) => {
  document.documentElement.dataset.view = view;
  for (const fold of document.querySelectorAll('details.role')) fold.open = view === 'atelier';
}"""
DESKTOP, PHONE = 1300, 390


class Visit:
    """Une page ouverte, avec ce qu’elle a demandé et ce qu’elle a dit à la console."""

    def __init__(self, browser, url: str, *, ready: str = READY):
        self.context = browser.new_context(
            viewport={"width": DESKTOP, "height": 900}, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._listen)
        self.name = Path(urlparse(url).path).stem
        self.response = self.page.goto(url)
        self.page.wait_for_function(ready)
        images = self.page.evaluate("[...document.images].map((image) => image.src)")
        self.loaded = [*self.requests, *images]  # les figures viennent à l’approche du lecteur

    def _listen(self, message) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def show(
        self,
        *,
        view: str = "lecture",
        theme: str = "light",
        width: int = DESKTOP,
        height: int = 900,
    ) -> None:
        """La même page, autrement : lecture ou atelier, claire ou sombre, large ou étroite."""
        self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.evaluate(SHOW, view)
        self.page.wait_for_selector(f"html[data-theme={theme}]")
        self.page.wait_for_function(REACHABLE)

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        self.context.close()
