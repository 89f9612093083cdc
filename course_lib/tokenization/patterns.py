"""Les expressions régulières qui découpent un texte avant la tokenisation.

Deux bibliothèques ne connaissent pas toujours la même version d’Unicode : `regex` range
parmi les lettres quelques centaines de signes que le moteur de `tokenizers` ignore encore.
Nous écartons ces signes récents (`RECENT`) des classes « lettre » et « chiffre » : les deux
découpages coïncident alors sur les 1 112 064 caractères possibles, ce qu’un test vérifie.

Les expressions des modèles publiés sont écrites comme dans leurs fichiers (`*_EXPRESSION`) ;
`compile_shared` en donne la version qui coupe de même ici.
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


def character_class(ranges: str) -> str:
    """Transforme « 41-5A 5F » en la classe d’expression régulière correspondante."""
    pieces = []
    for interval in ranges.split():
        first, _, last = interval.partition("-")
        pieces.append(f"\\U{int(first, 16):08X}-\\U{int(last or first, 16):08X}")
    return f"[{''.join(pieces)}]"


RECENT = character_class(_RECENT_RANGES)
LETTER = rf"[\p{{L}}--{RECENT}]"
DIGIT = rf"[\p{{N}}--{RECENT}]"
WORD_CHARACTER = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--{RECENT}]"

# La classe « ponctuation », dont quelques signes récents ne sont ni des lettres ni des chiffres.
PUNCTUATION = rf"[\p{{P}}--[{RECENT}\U00002E60-\U00002E63\U00010ED0]]"


def compile_shared(expression: str) -> regex.Pattern:
    """Compile une expression écrite pour `tokenizers` : les mêmes signes y sont des lettres."""
    for theirs, ours in ((r"\p{L}", LETTER), (r"\p{N}", DIGIT), (r"\p{P}", PUNCTUATION)):
        expression = expression.replace(theirs, ours)
    return regex.compile(expression, regex.V1)


# Le découpage de GPT-2 (Radford et al., 2019) : l’espace reste collée au mot qui la suit.
GPT2_EXPRESSION = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
GPT2_PATTERN = compile_shared(GPT2_EXPRESSION)

# Celui de Qwen2 : un mot peut commencer par n’importe quel signe, un chiffre est toujours seul.
QWEN2_EXPRESSION = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Celui de Llama 3 : le même, avec les chiffres par trois.
LLAMA3_EXPRESSION = QWEN2_EXPRESSION.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

# L’étape « Digits » de `tokenizers` suit un Unicode plus récent que ses expressions.
SINGLE_DIGIT = regex.compile(rf"[{DIGIT}\U00011DE0-\U00011DE9\U00016FF4-\U00016FF6]", regex.V1)

# Mots séparés par des espaces, rien d’autre : « l' animal . » donne « l' », « animal », « . ».
WHITESPACE_PATTERN = regex.compile(r"\P{White_Space}+")

# Mots et ponctuation : l’élision reste avec son article (« l’ », « qu' »), chaque signe est seul.
PUNCTUATION_PATTERN = regex.compile(
    rf"{WORD_CHARACTER}+['’]?|[^{WORD_CHARACTER}\s]",
    regex.V1,
)
# La même expression pour le moteur de `tokenizers`, qui ignore déjà les signes récents.
PUNCTUATION_PATTERN_SHARED = r"[\p{L}\p{M}\p{N}_]+['’]?|[^\p{L}\p{M}\p{N}_\p{White_Space}]"

CHARACTER_PATTERN = regex.compile(r"[\s\S]")
CHARACTER_PATTERN_SHARED = r"[\s\S]"


def special_pattern(special_tokens: list[str]) -> regex.Pattern | None:
    """Expression qui reconnaît les jetons spéciaux, le plus long d’abord ; None s’ils manquent."""
    if not special_tokens:
        return None
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return regex.compile("|".join(regex.escape(token) for token in longest_first))
