"""La qualité d’une page : des règles que l’on peut lire, chacune avec son nom et sa limite.

Elles viennent de C4 (Raffel et al., 2020, arXiv:1910.10683, § 2.2) et de Gopher (Rae et al., 2021,
arXiv:2112.11446, annexe A), avec des seuils choisis pour de petits textes en français. Une règle
n’explique rien : elle trie. Chacune se trompe sur des textes honnêtes : un poème répète ses vers,
un tableau n’a pas de phrases.

Le second outil de ce module ôte les lignes d’habillage : menus, bandeaux, pieds de page, qui
reviennent sur beaucoup de pages (dans l’esprit de CCNet, Wenzek et al., 2020, arXiv:1911.00359).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from course_lib.cleaning.exact import words_of

_WORDS = "le la les l un une des de du d et à au en dans que qui il elle était son sa pour sur"
STOP_WORDS = frozenset(words_of(_WORDS))
MAX_BOILERPLATE_WORDS = 20


@dataclass(frozen=True)
class Rule:
    """Une règle : la mesure d’une page doit rester entre `low` et `high`, bornes comprises."""

    name: str
    measure: Callable[[str], float]
    low: float = float("-inf")
    high: float = float("inf")

    def accepts(self, text: str) -> bool:
        """Vrai si la page respecte la règle."""
        return self.low <= self.measure(text) <= self.high


def word_count(text: str) -> int:
    """Nombre de mots."""
    return len(words_of(text))


def mean_word_length(text: str) -> float:
    """Longueur moyenne d’un mot, en caractères ; 0 pour un texte sans mot."""
    words = words_of(text)
    return sum(map(len, words)) / max(1, len(words))


def letter_share(text: str) -> float:
    """Part des lettres parmi les caractères qui ne sont pas des espaces."""
    visible = [char for char in text if not char.isspace()]
    return sum(map(str.isalpha, visible)) / max(1, len(visible))


def repeated_line_share(text: str) -> float:
    """Part des lignes qui redisent une ligne précédente."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def repeated_ngram_share(text: str, n: int = 5) -> float:
    """Part des suites de `n` mots qui ont déjà paru dans la page."""
    words = words_of(text)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def stop_word_share(text: str) -> float:
    """Part des mots qui sont des mots-outils du français : une liste de mots-clés n’en a guère."""
    words = words_of(text)
    return sum(word in STOP_WORDS for word in words) / max(1, len(words))


def sentence_ends(text: str) -> int:
    """Nombre de signes qui finissent une phrase."""
    return sum(text.count(mark) for mark in ".!?…")


def accent_share(text: str) -> float:
    """Part des lettres qui portent un accent ou une cédille ; voisine de 4 % en français."""
    letters = [char for char in unicodedata.normalize("NFC", text) if char.isalpha()]
    accented = sum(len(unicodedata.normalize("NFD", char)) > 1 for char in letters)
    return accented / max(1, len(letters))


def lorem_count(text: str) -> int:
    """Nombre de « lorem ipsum »."""
    return text.lower().count("lorem ipsum")


RULES = (
    Rule("longueur", word_count, 20, 2_000),
    Rule("mots", mean_word_length, 3, 8),
    Rule("lettres", letter_share, low=0.75),
    Rule("lignes répétées", repeated_line_share, high=0.3),
    Rule("suites répétées", repeated_ngram_share, high=0.15),
    Rule("mots-outils", stop_word_share, low=0.1),
    Rule("phrases", sentence_ends, low=2),
    Rule("accents", accent_share, low=0.005),
    Rule("faux texte", lorem_count, high=0),
)


def failed_rules(text: str, rules: Iterable[Rule] = RULES) -> list[str]:
    """Les noms des règles qu’une page enfreint ; liste vide si elle est acceptée."""
    return [rule.name for rule in rules if not rule.accepts(text)]


def normalize_line(line: str) -> str:
    """Une ligne en minuscules, chaque nombre remplacé par 0 : « Lu 12 fois » vaut « Lu 7 fois »."""
    return re.sub(r"\d+", "0", " ".join(line.lower().split()))


def common_lines(texts: Iterable[str], min_pages: int) -> frozenset[str]:
    """Les lignes courtes, normalisées, qui paraissent sur au moins `min_pages` pages.

    Une ligne de plus de `MAX_BOILERPLATE_WORDS` mots n’est pas de l’habillage : c’est un texte
    recopié, que l’on ne veut pas perdre avec ses copies. ValueError si `min_pages` < 2.
    """
    if min_pages < 2:
        raise ValueError(f"min_pages = {min_pages} : une ligne commune est sur au moins 2 pages.")
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({normalize_line(line) for line in text.splitlines() if line.strip()})
    return frozenset(
        line
        for line, count in counts.items()
        if count >= min_pages and len(words_of(line)) <= MAX_BOILERPLATE_WORDS
    )


def strip_lines(text: str, unwanted: frozenset[str]) -> str:
    """Le texte sans les lignes dont la forme normalisée est dans `unwanted`."""
    lines = text.splitlines()
    kept = [line for line in lines if normalize_line(line) not in unwanted]
    return text if len(kept) == len(lines) else "\n".join(kept)
