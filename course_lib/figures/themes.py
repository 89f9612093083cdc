"""Une figure pour les deux thèmes : un SVG dont les couleurs suivent celui de la page.

Les couleurs claires restent dans le dessin, pour tout ce qui sait lire un SVG. Une règle par
couleur les remplace quand la page est sombre : l’encre s’éclaircit, le fond s’assombrit, et chaque
teinte garde son sens.
"""

import colorsys
import re

# Les couleurs du cours dans le thème sombre ; toute autre couleur suit `darkened`.
DARK = {
    "#1a2029": "#e4e8ea",
    "#4a5462": "#a9b6ba",
    "#fbfcfe": "#10191e",
    "#ffffff": "#10191e",
    "#d5dbe4": "#2d3f48",
    "#0b5cad": "#6cb2f2",
    "#c75b00": "#f2a35e",
    "#00795a": "#4cc39f",
    "#a0528b": "#d98fc6",
    "#2f9bd6": "#93d2f7",
    "#b98a00": "#e3bf52",
}
DARKEST, LIGHTEST = 0.12, 0.88
COLOR = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")
OUTLINE = re.compile(r' d="[^"]*"')
DECIMAL = re.compile(r"-?\d+\.\d{3,}")


def darkened(color: str) -> str:
    """La même teinte, claire si elle était foncée et foncée si elle était claire : « #rrggbb »."""
    if color in DARK:
        return DARK[color]
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, _ = colorsys.rgb_to_hls(red, green, blue)
    lightness = DARKEST + (LIGHTEST - DARKEST) * (1 - lightness)
    # Aussi vive qu’avant : un blanc bleuté devient un noir à peine bleuté.
    chroma = max(red, green, blue) - min(red, green, blue)
    saturation = min(1, chroma / (1 - abs(2 * lightness - 1)))
    changed = colorsys.hls_to_rgb(hue, lightness, saturation)
    return "#" + "".join(f"{round(255 * part):02x}" for part in changed)


def dark_rules(svg: str) -> str:
    """Les règles CSS du thème sombre : une par couleur employée, plus les images."""
    rules = [
        f'[style*="{use}: {color}"]{{{use}:{darkened(color)}!important}}'
        for use, color in sorted(set(COLOR.findall(svg)))
    ]
    if "<image" in svg:
        rules.append("image{filter:invert(.9) hue-rotate(180deg)}")
    return "@media (prefers-color-scheme:dark){" + "".join(rules) + "}"


def rounded(svg: str) -> str:
    """Les tracés au centième de point : moins d’octets, les mêmes d’un processeur à l’autre."""

    def shorten(outline: re.Match) -> str:
        found = DECIMAL.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0"), outline[0])
        return re.sub(r"\.(?!\d)", "", found).replace("\n", " ")

    return OUTLINE.sub(shorten, svg)


def themed(svg: str) -> str:
    """Un SVG de matplotlib, sans en-tête ni métadonnées, lisible sur papier clair et sombre."""
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r">\s+<", "><", rounded(svg))  # une ligne : le cahier reste court
    return svg.replace("</style>", dark_rules(svg) + "</style>", 1)
