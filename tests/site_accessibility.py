"""Ce qu’axe reproche à une page du site, sous chacune de ses apparences."""

from contextlib import suppress
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import TimeoutError as Late
from site_visit import DESKTOP, PHONE

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
# Toutes les façons de la lire ; de l’une à la suivante, une seule chose change.
APPEARANCES = [
    ("lecture", "light", DESKTOP),
    ("atelier", "light", DESKTOP),
    ("atelier", "dark", DESKTOP),
    ("lecture", "dark", DESKTOP),
    ("lecture", "dark", PHONE),
    ("atelier", "dark", PHONE),
    ("atelier", "light", PHONE),
    ("lecture", "light", PHONE),
]
# Ce qui ne dépend pas des couleurs se lit une fois par vue et par largeur ; les liens, que leur
# couleur distingue, le sont ainsi dans les deux thèmes. Ce sont, à chaque largeur, les premières
# apparences de chaque thème : presque tous les contrastes s’y mesurent par la même lecture.
STRUCTURES = {
    ("lecture", "light", DESKTOP),
    ("atelier", "dark", DESKTOP),
    ("lecture", "dark", PHONE),
    ("atelier", "light", PHONE),
}
# Un code coloré est fait de milliers de morceaux : on en garde un par sorte, les autres rendent
# leur texte. Sans autre attribut que sa classe, un morceau ne dit rien à un lecteur d’écran.
KEEP_ONE_SPAN_OF_EACH_KIND = """() => {
  const kinds = new Set();
  for (const span of document.querySelectorAll('pre span')) {
    if (span.children.length || [...span.attributes].some((one) => one.name !== 'class')) continue;
    let kind = '';
    for (let node = span; node; node = node.parentElement) kind += `${node.className}/`;
    if (kinds.has(kind)) span.replaceWith(...span.childNodes);
    else kinds.add(kind);
  }
  document.body.normalize();
}"""
# Un texte par façon de paraître : mêmes couleurs, mêmes fonds, même taille. Le contraste ne dépend
# de rien d’autre. Une façon déjà mesurée sur cette page ne l’est pas deux fois.
MARK_NEW_LOOKS = """() => {
  const seen = (window.seenLooks ??= new Set());
  for (const node of document.querySelectorAll('[data-look]')) node.removeAttribute('data-look');
  const before = seen.size;
  const carriesText = (node) => node.matches('input,textarea,select')
    || [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  for (const node of document.body.querySelectorAll('*')) {
    if (!carriesText(node) || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const look = [style.color, style.fontSize, style.fontWeight, style.textShadow];
    for (let under = node; under; under = under.parentElement) {
      const box = getComputedStyle(under);
      look.push(box.backgroundColor, box.backgroundImage, box.opacity, box.position);
      if (box.backgroundColor.startsWith('rgb(') && box.position === 'static') break;
    }
    const key = look.join('|');
    if (seen.has(key)) continue;
    seen.add(key);
    node.setAttribute('data-look', '');
  }
  return seen.size - before;
}"""
# Un tableau qui défile devient accessible au clavier un instant après un changement de largeur.
TABLES_ARE_READY = """() => [...document.querySelectorAll('.pst-scrollable-table-container')]
  .every((box) => box.tabIndex === 0 || box.scrollWidth <= box.clientWidth)"""
# Le contraste ne se mesure que sur les textes marqués.
MARKED_ONLY = "axe.configure({rules: [{id: 'color-contrast', selector: '[data-look]'}]})"
# `preload: false` : axe n’a pas à relire les feuilles de style.
CONTRAST = "{include: [['[data-look]']]}, {preload: false, runOnly: ['color-contrast']"
EVERYTHING = "document, {preload: false"


def axe_violations(visit, appearances=APPEARANCES) -> list[str]:
    """Ce qu’axe reproche à la page, sous chacune de ses apparences."""
    found, page = [], visit.page
    page.evaluate(KEEP_ONE_SPAN_OF_EACH_KIND)
    page.evaluate(AXE)
    page.evaluate(MARKED_ONLY)
    for appearance in appearances:
        view, theme, width = appearance
        visit.show(view=view, theme=theme, width=width)
        with suppress(Late):  # s’il ne le fait pas, axe le dira
            page.wait_for_function(TABLES_ARE_READY, timeout=3_000)
        new_looks = page.evaluate(MARK_NEW_LOOKS)
        run = EVERYTHING if appearance in STRUCTURES else CONTRAST if new_looks else None
        if run is None:
            continue
        result = page.evaluate(f"axe.run({run}, resultTypes: ['violations']}})")
        found += [
            f"{appearance} {violation['id']} : {node['target']} {node['html'][:120]}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]
    return found
