"""Ne garde de Font Awesome que les icônes employées : 1,5 Mo de script deviennent 0,1 Mo."""

import re
from pathlib import Path

SCRIPT = "_static/scripts/fontawesome.js"
NAME = re.compile(r"\bfa-([a-z0-9-]+)")
# Une icône du script : "nom":[largeur,hauteur,[alias],"code","tracé" ou ["tracé","tracé"]]
ENTRY = re.compile(
    r'"?([a-z0-9-]+)"?:\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?'
)


def used_icons(folder: Path) -> set[str]:
    """Relève les icônes nommées dans les pages et les scripts du site."""
    files = [*folder.rglob("*.html"), *folder.glob("_static/*.js")]
    files += [folder / "_static/scripts" / name for name in ("pydata-sphinx-theme.js",)]
    return {n for file in files if file.exists() for n in NAME.findall(file.read_text("utf-8"))}


def keep_icons(script: str, used: set[str]) -> str:
    """Retire du script les icônes dont ni le nom ni un alias n'est employé."""

    def keep(match: re.Match) -> str:
        aliases = set(re.findall(r'"([a-z0-9-]+)"', match[2]))
        return match[0] if used & {match[1], *aliases} else ""

    return ENTRY.sub(keep, script)


def shrink(app, exception):
    """Réécrit le script d'icônes une fois toutes les pages construites."""
    if exception or app.builder.format != "html":
        return
    script = Path(app.outdir, SCRIPT)
    if script.exists():
        text = keep_icons(script.read_text("utf-8"), used_icons(Path(app.outdir)))
        script.write_text(text, "utf-8")


def setup(app):
    """Inscrit la réduction."""
    app.connect("build-finished", shrink, priority=910)
