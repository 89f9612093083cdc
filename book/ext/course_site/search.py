"""Recherche insensible aux accents : « modele » trouve « modèle », et réciproquement.

L’index et la page appliquent la même clé : accents ôtés, puis racinisation française.
"""

import unicodedata
from pathlib import Path

import sphinx.search
from sphinx.search.fr import SearchFrench

STEMMERS = Path(sphinx.search.__file__).parent / "non-minified-js"
FOLD_JS = """
const foldAccents = (word) =>
  word.toLowerCase().replace(/œ/g, "oe").replace(/æ/g, "ae")
    .normalize("NFD").replace(/\\p{Mn}/gu, "");
var Stemmer = function () {
  const french = new FrenchStemmer();
  this.stemWord = (word) => french.stemWord(foldAccents(word));
};
"""


def fold_accents(word: str) -> str:
    """Ôte accents et ligatures : « Modèle » devient « modele », « cœur » « coeur »."""
    word = word.lower().replace("œ", "oe").replace("æ", "ae")
    return "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")


class FoldedFrench(SearchFrench):
    """Le français de Sphinx, précédé de `fold_accents` à l’index comme à la question."""

    js_stemmer_rawcode = ""
    js_stemmer_code = "\n".join(
        [
            *(
                (STEMMERS / name).read_text("utf-8")
                for name in ("base-stemmer.js", "french-stemmer.js")
            ),
            FOLD_JS,
        ]
    )

    def stem(self, word: str) -> str:
        return super().stem(fold_accents(word))


def add_sections(app, pagename, templatename, context, doctree):
    """Sur la page de recherche, des résultats qui mènent à la section."""
    if pagename == "search":
        app.add_js_file("search-sections.js", type="module")


def setup(app):
    """Remplace la langue de recherche."""
    app.add_search_language(FoldedFrench)
    app.connect("html-page-context", add_sections)
