"""Ne garde de Font Awesome que les icônes employées : 1,8 Mo deviennent moins de 0,1 Mo."""

import re
from pathlib import Path

from fontTools import subset

SCRIPT = "_static/scripts/fontawesome.js"
NAME = re.compile(r"\bfa-([a-z0-9-]+)")
# Une icône du script : "nom":[largeur,hauteur,[alias],"code","tracé" ou ["tracé","tracé"]]
ENTRY = re.compile(
    r'"?([a-z0-9-]+)"?:\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?'
)
FONT = "_static/vendor/fontawesome/webfonts/fa-solid-900.woff2"
# Dans les feuilles de style : « .fa-nom:before,.fa-alias:before{content:"\\f482"} », ou un code
# hors de ces règles.
NAMED_CODE = re.compile(r'((?:\.fa-[a-z0-9-]+:before,?)+)\{content:"\\([0-9a-f]{4})"\}')
CODE = re.compile(r'"\\([ef][0-9a-f]{3})"')
# Le thème écrit aussi le signe lui-même : « --pst-icon-lightbulb:"\uf0eb" ».
SIGN = re.compile("[\ue000-\uf8ff]")


def used_icons(folder: Path) -> set[str]:
    """Relève les icônes nommées dans les pages et les scripts du site."""
    files = [*folder.rglob("*.html"), *folder.glob("_static/*.js")]
    files += [folder / "_static/scripts" / name for name in ("pydata-sphinx-theme.js",)]
    return {n for file in files if file.exists() for n in NAME.findall(file.read_text("utf-8"))}


def keep_icons(script: str, used: set[str]) -> str:
    """Retire du script les icônes dont ni le nom ni un alias n’est employé."""

    def keep(match: re.Match) -> str:
        aliases = set(re.findall(r'"([a-z0-9-]+)"', match[2]))
        return match[0] if used & {match[1], *aliases} else ""

    return ENTRY.sub(keep, script)


def used_codes(styles: str, used: set[str]) -> set[int]:
    """Points de code à garder : ceux des noms employés, et ceux que les styles posent eux-mêmes."""
    named = {code for names, code in NAMED_CODE.findall(styles) if used & set(NAME.findall(names))}
    others = NAMED_CODE.sub("", styles)
    codes = {int(code, 16) for code in named | set(CODE.findall(others))}
    return codes | {ord(sign) for sign in SIGN.findall(others)}


def keep_glyphs(font: Path, codes: set[int]) -> None:
    """Réduit la police aux points de code donnés."""
    options = subset.Options(flavor="woff2", notdef_outline=True, layout_features=["*"])
    loaded = subset.load_font(str(font), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=codes)
    subsetter.subset(loaded)
    subset.save_font(loaded, str(font), options)


def shrink(app, exception):
    """Réécrit le script et la police d’icônes une fois toutes les pages construites."""
    if exception or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    script, font, used = folder / SCRIPT, folder / FONT, used_icons(folder)
    if script.exists():
        script.write_text(keep_icons(script.read_text("utf-8"), used), "utf-8")
    if font.exists():
        styles = "".join(css.read_text("utf-8") for css in folder.glob("_static/**/*.css"))
        keep_glyphs(font, used_codes(styles, used))


def setup(app):
    """Inscrit la réduction."""
    app.connect("build-finished", shrink, priority=910)
