"""Où mènent les renvois d’un cahier : au cahier voisin, au site, ou nulle part."""

import re
import unicodedata
from dataclasses import dataclass

from reader_notebook.myst import settings

GLOSSARY = "book/glossaire"


@dataclass(frozen=True)
class Links:
    """`site` : l’adresse du site ; "" : le dossier des cahiers ; None : on ne mène nulle part.

    Un renvoi sans adresse reste du texte : jamais de lien mort.
    """

    site: str | None = None

    def write(self, text: str, page: str, term: str = "") -> str:
        """`[texte](adresse)`, ou le texte seul ; `term` désigne une entrée du glossaire."""
        if self.site is None or (not self.site and not has_notebook(page)):
            return text
        if self.site:
            anchor = "#" + site_anchor(term) if term else ""
            return f"[{text}]({self.site}{page}.html{anchor})"
        anchor = "#cell-id=" + entry_id(term) if term else ""  # JupyterLab va à la cellule
        return f"[{text}]({notebook_name(page)}{anchor})"


def has_notebook(page: str) -> bool:
    """Vrai pour les pages qui ont un cahier : les chapitres et le glossaire."""
    return page.startswith("chapters/") or page == GLOSSARY


def notebook_name(page: str) -> str:
    """« chapters/03_generation » devient « 03_generation.ipynb »."""
    return page.rsplit("/", 1)[1] + ".ipynb"


def entry_id(term: str) -> str:
    """L’identifiant de la cellule d’un terme, dans le cahier du glossaire."""
    plain = unicodedata.normalize("NFKD", term.lower()).encode("ascii", "ignore").decode()
    return "terme-" + re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def site_anchor(term: str) -> str:
    """L’ancre que Sphinx donne à une entrée du glossaire."""
    from sphinx.util.nodes import _make_id

    return _make_id(f"term-{term}")


def repository() -> tuple[str, str]:
    """L’adresse publique du dépôt (vide si elle n’est pas posée) et sa branche."""
    found = settings().get("repository", {})
    return (found.get("url") or "").rstrip("/"), found.get("branch") or "main"


def site_address() -> str | None:
    """L’adresse publique du site : celle de `html_baseurl`, ou de GitHub Pages ; ou None."""
    base = settings()["sphinx"]["config"].get("html_baseurl")
    if base:
        return base.rstrip("/") + "/"
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", repository()[0])
    return f"https://{found[1].lower()}.github.io/{found[2]}/" if found else None
