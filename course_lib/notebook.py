"""Ce que chaque cahier emploie : citer un nombre, montrer un code, un texte, un tableau.

from course_lib.notebook import keep, show_source, show_text, table
"""

import html
import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence

from course_lib.typography import NO_BREAK, format_number, format_percent


def keep(name: str, value: float | str, digits: int | None = None) -> None:
    """Garde un nombre, écrit à la française avec `digits` décimales, pour le citer dans le texte.

    Le texte le cite par {glue:text}`name`. Hors du livre (sans myst-nb), il n’y a rien à garder.
    """
    try:
        from myst_nb import glue
    except ImportError:
        return
    glue(name, value if isinstance(value, str) else format_number(value, digits), display=False)


def keep_range(
    name: str, values: Iterable[float], write: Callable[[float], str] = format_percent
) -> None:
    """Garde sous « name-bas » et « name-haut » le plus petit et le plus grand de ces nombres."""
    values = list(values)
    keep(f"{name}-bas", write(min(values)))
    keep(f"{name}-haut", write(max(values)))


def span(values: Iterable[float], digits: int = 1) -> str:
    """« 44,8 à 46,1 » : de la plus petite à la plus grande mesure, si elles diffèrent."""
    values = list(values)
    low, high = format_number(min(values), digits), format_number(max(values), digits)
    return low if low == high else f"{low} à {high}"


def span_percent(ratios: Iterable[float], digits: int = 0) -> str:
    """« 23 à 28 % »."""
    return span([100 * ratio for ratio in ratios], digits) + NO_BREAK + "%"


def show_source(*objects: object):
    """Montre le code de la bibliothèque, tel qu’il s’exécute (fonctions, classes ou méthodes)."""
    from IPython.display import Markdown

    code = "\n\n".join(textwrap.dedent(inspect.getsource(thing)).rstrip() for thing in objects)
    return Markdown(f"```python\n{code}\n```")


def show_text(text: str, width: int = 76, summary: str = "") -> None:
    """Affiche un texte, replié à la largeur de la page ; hors d’un cahier, à `width` signes.

    `summary` : ce que dit la ligne qui l’ouvre, s’il est trop long pour se montrer d’abord.
    """
    plain = textwrap.fill(text, width)
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        print(plain)
        return
    page = f'<pre class="shown-text" style="white-space: pre-wrap">{html.escape(text)}</pre>'
    if summary:
        page = f"<details><summary>{html.escape(summary)}</summary>{page}</details>"
    display({"text/plain": plain, "text/html": page}, raw=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]):
    """Un tableau ; les colonnes qui suivent la première sont calées à droite.

    ValueError si une ligne n’a pas autant de cases que l’en-tête.
    """
    from IPython.display import Markdown

    rows = list(rows)
    for number, row in enumerate(rows, 1):
        if len(row) != len(headers):
            raise ValueError(
                f"Ligne {number} : {len(row)} case(s) pour {len(headers)} colonnes. Complétez-la."
            )
    ruler = ["---", *["--:"] * (len(headers) - 1)]
    return Markdown("\n".join("| " + " | ".join(row) + " |" for row in (headers, ruler, *rows)))
