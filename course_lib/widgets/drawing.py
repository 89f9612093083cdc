"""Dessiner un schéma en SVG : des boîtes, des flèches, des barres, aux couleurs du thème.

Rien n’y fixe une couleur : chaque forme dit son rôle (« new », « kept »…), et la feuille de style
des composants le colore, en clair comme en sombre. L’unité est le point du dessin, large de 480.
"""

import html
from dataclasses import dataclass, field

from course_lib.typography import french_spaces

WIDTH = 480
TONES = ("plain", "new", "kept", "chosen", "faded")


@dataclass
class Drawing:
    """Un dessin de `height` points ; `alt` le décrit à qui ne le voit pas.

    Les rôles (`tone`) : « plain » un objet, « new » ce qu’on calcule, « kept » ce qu’on garde,
    « chosen » ce qu’on choisit, « faded » ce qu’on laisse. ValueError si le rôle est inconnu.
    """

    height: float
    alt: str
    shapes: list[str] = field(default_factory=list)

    def box(
        self,
        x: float,
        y: float,
        text: str,
        *,
        width: float = 62,
        height: float = 30,
        tone: str = "plain",
    ) -> None:
        """Une boîte de coin haut gauche (x, y) et son texte, centré."""
        label = _text(x + width / 2, y + height / 2, text, "middle")
        size = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self.shapes.append(f'<g class="cw-tone-{_tone(tone)}"><rect {size} rx="5"/>{label}</g>')

    def bar(
        self, x: float, y: float, length: float, *, height: float = 16, tone: str = "plain"
    ) -> None:
        """Une barre horizontale de `length` points."""
        self.shapes.append(
            f'<g class="cw-tone-{_tone(tone)}"><rect x="{x:g}" y="{y:g}" '
            f'width="{max(length, 1):.1f}" height="{height:g}" rx="2"/></g>'
        )

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", tone: str = "plain"
    ) -> None:
        """Un texte ; `anchor` : « start », « middle » ou « end »."""
        self.shapes.append(f'<g class="cw-tone-{_tone(tone)}">{_text(x, y, text, anchor)}</g>')

    def arrow(self, *points: tuple[float, float], tone: str = "plain") -> None:
        """Une flèche le long de ces points ; la pointe est au dernier."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        (x0, y0), (x, y) = points[-2:]
        norm = max(((x - x0) ** 2 + (y - y0) ** 2) ** 0.5, 1e-9)
        ux, uy = (x - x0) / norm, (y - y0) / norm
        head = " ".join(
            f"{a:.1f},{b:.1f}"
            for a, b in (
                (x, y),
                (x - 8 * ux - 4 * uy, y - 8 * uy + 4 * ux),
                (x - 8 * ux + 4 * uy, y - 8 * uy - 4 * ux),
            )
        )
        self.shapes.append(
            f'<g class="cw-tone-{_tone(tone)}"><polyline points="{path}"/>'
            f'<polygon points="{head}"/></g>'
        )

    def svg(self) -> str:
        """Le dessin, prêt à mettre dans une page."""
        return (
            f'<svg class="cw-drawing" viewBox="0 0 {WIDTH} {self.height:g}" role="img" fill="none" '
            f'stroke="currentColor" aria-label="{html.escape(french_spaces(self.alt))}">'
            f"{''.join(self.shapes)}</svg>"
        )


def _tone(tone: str) -> str:
    if tone not in TONES:
        raise ValueError(f"tone = {tone!r} : les rôles connus sont {', '.join(TONES)}.")
    return tone


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" dominant-baseline="central" '
        f'fill="currentColor" stroke="none" font-size="15">'
        f"{html.escape(french_spaces(text))}</text>"
    )
