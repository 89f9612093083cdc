"""Un composant interactif, deux maisons : le cahier (anywidget) et le site (élément HTML).

Chaque composant est un module ES qui suit la convention d’anywidget,
`export default { render({ model, el }) }`. Dans un cahier, anywidget le fait vivre. Sur le site,
sans noyau, `text/html` donne `<course-widget module="…">` avec l’état en JSON ;
`book/static/widget-host.js` y fournit au même module un `model` minimal. Sans JavaScript, le
lecteur voit la version figée.
"""

import html
import json
from pathlib import Path
from typing import Any, ClassVar

from course_lib.extras import needed_by

with needed_by("widgets"):
    import anywidget
    import traitlets

from course_lib.typography import french_spaces

FOLDER = Path(__file__).parent
STYLE = FOLDER / "course-widgets.css"


class CourseWidget(anywidget.AnyWidget):
    """Base des composants : état synchronisé, forme HTML déterministe, version figée.

    Une sous-classe nomme son module (`module`, `_esm`), les champs de son état (`state_fields`) et
    définit `fallback_html()`, qui rend la version figée, utile sans JavaScript (HTML, sans
    identifiants) ; TypeError sinon, dès sa définition.
    """

    module: ClassVar[str] = ""
    state_fields: ClassVar[tuple[str, ...]] = ()
    _css = STYLE
    title = traitlets.Unicode().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse une classe sans version figée : le site ne montrerait rien sans JavaScript."""
        super().__init_subclass__(**kwargs)
        if not callable(getattr(cls, "fallback_html", None)):
            raise TypeError(
                f"La classe {cls.__name__} ne définit pas fallback_html() : écrivez cette méthode, "
                "qui rend en HTML la version lue sans JavaScript."
            )

    def state(self) -> dict[str, Any]:
        """Rend l’état que le module JavaScript lit, prêt pour JSON."""
        return {name: getattr(self, name) for name in ("title", *self.state_fields)}

    def html(self) -> str:
        """Rend l’élément `<course-widget>` complet, identique d’une exécution à l’autre."""
        return (
            f'<course-widget module="{html.escape(self.module)}">'
            f'<script type="application/json">{json_for_script(self.state())}</script>'
            f'<div class="cw-fallback">{self.fallback_html()}</div>'
            "</course-widget>"
        )

    def __repr__(self) -> str:
        """Rend un texte stable : nbval le compare d’une exécution à l’autre."""
        return f"{type(self).__name__}(« {self.title} »)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Ajoute `text/html` au paquet d’anywidget : le site préfère cette forme."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if bundle is not None else ({"text/plain": repr(self)}, {})
        return {**data, "text/html": self.html()}, metadata


def json_for_script(value: Any) -> str:
    """Écrit du JSON qu’aucun contenu ne peut faire sortir de son élément `<script>`.

    `<` devient `\\u003c` : ni `</script>` ni `<!--` ne subsistent.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    escapes = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    for character, escape in escapes.items():
        text = text.replace(character, escape)
    # Une chaîne Python peut porter une moitié de paire UTF-16, qu’un fichier UTF-8 ne peut écrire.
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)


def html_table(headers: list[str], rows: list[list[str]], caption: str) -> str:
    """Compose un tableau HTML accessible ; la première colonne sert d’en-tête de ligne."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in headers)
    body = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<table class="cw-table"><caption>{html.escape(french_spaces(caption))}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def scrolling(content: str, label: str) -> str:
    """Entoure un tableau large : il défile au doigt et au clavier, et son bord ombré le montre."""
    return (
        '<div class="cw-scroll" style="overflow-x:auto" tabindex="0" role="region" '
        f'aria-label="{html.escape(label)}">{content}</div>'
    )
