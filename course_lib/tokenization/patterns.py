"""Les expressions régulières qui découpent un texte avant la tokenisation.

Deux bibliothèques ne connaissent pas toujours la même version d'Unicode : `regex` range
parmi les lettres quelques centaines de signes que le moteur de `tokenizers` ignore encore.
Nous écartons ces signes récents (`RECENT`) des classes « lettre » et « chiffre » : les deux
découpages coïncident alors sur les 1 112 064 caractères possibles, ce qu'un test vérifie.
"""

import regex

_RECENT_RANGES = """
558 58B-58C 5C8-5C9 88F B53-B54 C5C CDC 1ACF-1AF0 208F 209D-209F A7CE-A7CF A7D2 A7D4 A7DD A7E2
A7F1 AB6C-AB6D 107BB-107BF 10940-10959 10EC5-10EC7 10ECB-10ECF 10ED9-10EEE 10EF0-10EFB 11B0A
11B60-11B67 11DB0-11DDB 11DE0-11DE9 11DF0-11DF1 1246F 12475-1247F 12550-12686 16EA0-16EB8
16EBB-16ED3 16FF2-16FF6 187F8-187FF 18CD6-18CDA 18D09-18D20 18D80-18DF2 18E00-19191 191A0-191D2
1B123-1B128 1B168 1D127-1D128 1D250-1D252 1D25B-1D25C 1D25F 1D280-1D281 1D6A6 1DF1F-1DF24
1DF2B-1DF81 1DF90-1DF96 1DFCD-1DFFF 1E6C0-1E6DE 1E6E0-1E6F5 1E6FE-1E6FF 2B73A-2B73F 2B81E
2CEA2-2CEAD 323B0-33479 3D000-3FC3F
"""


def _character_class(ranges: str) -> str:
    """Transforme « 41-5A 5F » en la classe d'expression régulière correspondante."""
    pieces = []
    for interval in ranges.split():
        first, _, last = interval.partition("-")
        pieces.append(f"\\U{int(first, 16):08X}-\\U{int(last or first, 16):08X}")
    return f"[{''.join(pieces)}]"


RECENT = _character_class(_RECENT_RANGES)
LETTER = rf"[\p{{L}}--{RECENT}]"
DIGIT = rf"[\p{{N}}--{RECENT}]"
WORD_CHARACTER = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--{RECENT}]"

# Le découpage de GPT-2 (Radford et al., 2019) : l'espace reste collée au mot qui la suit.
GPT2_PATTERN = regex.compile(
    rf"'s|'t|'re|'ve|'m|'ll|'d| ?{LETTER}+| ?{DIGIT}+| ?[^\s{LETTER}{DIGIT}]+|\s+(?!\S)|\s+",
    regex.V1,
)
SINGLE_DIGIT = regex.compile(DIGIT, regex.V1)

# Mots séparés par des espaces, rien d'autre : « l' animal . » donne « l' », « animal », « . ».
WHITESPACE_PATTERN = regex.compile(r"\P{White_Space}+")

# Mots et ponctuation : l'élision reste avec son article (« l’ », « qu' »), chaque signe est seul.
PUNCTUATION_PATTERN = regex.compile(
    rf"{WORD_CHARACTER}+['’]?|[^{WORD_CHARACTER}\s]",
    regex.V1,
)
# La même expression pour le moteur de `tokenizers`, qui ignore déjà les signes récents.
PUNCTUATION_PATTERN_SHARED = r"[\p{L}\p{M}\p{N}_]+['’]?|[^\p{L}\p{M}\p{N}_\p{White_Space}]"

CHARACTER_PATTERN = regex.compile(r"[\s\S]")
CHARACTER_PATTERN_SHARED = r"[\s\S]"


def special_pattern(special_tokens: list[str]) -> regex.Pattern | None:
    """Expression qui reconnaît les jetons spéciaux, le plus long d'abord ; None s'ils manquent."""
    if not special_tokens:
        return None
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return regex.compile("|".join(regex.escape(token) for token in longest_first))
