"""Préparer un texte avant de le découper : forme composée (NFC), ou appauvrissement de BERT.

« é » s’écrit en un caractère, ou en deux (« e », puis un accent). La forme composée choisit le
premier ; BERT « uncased », lui, ôte l’accent, et met tout en minuscules.

Pour cela, `tokenizers` consulte un Unicode ancien (8 pour les catégories, 9 pour les accents) : un
signe plus récent n’y est ni accent, ni ponctuation. Nous l’imitons, pour que les ids soient les
mêmes sur tout texte. Source : Unicode, annexe 15 ; Devlin et al. 2018.
"""

import itertools
import unicodedata

import regex

from course_lib.tokenization.patterns import character_class

Span = tuple[int, int]
Letter = tuple[str, int]  # un caractère préparé, et sa place dans le texte d’origine

# Marques et lettres composées venues après Unicode 9 : rien ne s’y compose, rien ne les traverse.
_INERT = character_class("""
5C8-5C9 7FD 897-8D3 9FE C3C D3B-D3C EBA 1715 1ABF-1AF0 1DF6-1DFA A82C 105C9-105E4 10D24-10F85
11070 1133B 11382-113D0 1145E 11839-11A99 11D42-16128 1612F 16D63-16FF1 1D127-1D128 1D250-1D281
1E08F-1E6F5
""")
# Accents, ponctuation et caractères invisibles venus après Unicode 8, ou reclassés depuis.
_SINCE_8 = character_class("""
5C8-5C9 61D 7FD 890-8E2 9FD-9FE A76 AFA-AFF B53-B55 C04-C3C C77 C84 D00 D3B-D3C D81 EBA ECE
180F-1886 1ABF-1AF0 1B4E-1B4F 1B7D-1B7F 1DF6-1DFB 2E43-2E63 A82C A8C5 A8FF A9BD 10D24-10F89
11070-11074 110C2-110CD 111C9 111CF 1123E-11241 1133B 113BB-1145E 11660-1166C 116B9 1182F-11FFF
12FF1-1612F 16D6D-16F4F 16FE2-16FE4 1CF00-1D128 1D25B-1D25C 1E000-1E6F5 1E944-1E95F
""")
# Les majuscules, elles, suivent un Unicode plus récent que celui de Python.
_LOWER = {
    0x1C89: 0x1C8A, 0xA7CB: 0x264, 0xA7CC: 0xA7CD, 0xA7CE: 0xA7CF, 0xA7D2: 0xA7D3, 0xA7D4: 0xA7D5,
    0xA7DA: 0xA7DB, 0xA7DC: 0x19B,
    **{code: code + 0x20 for code in range(0x10D50, 0x10D66)},
    **{code: code + 0x1B for code in range(0x16EA0, 0x16EB9)},
}  # fmt: skip
_IDEOGRAMS = """
3400-4DBF 4E00-9FFF F900-FAFF 20000-2A6DF 2A700-2B81F 2B920-2CEAF 2F800-2FA1F
"""


def _compile(pattern: str) -> regex.Pattern:
    return regex.compile(pattern, regex.V1)


_INERT_SIGN = _compile(f"({_INERT})")
# Un caractère et ce qui peut s’y composer ou y changer de place.
_UNIT = _compile(r"[\s\S][\P{ccc=0}\p{NFC_QC=M}\u0F73\u0F75\u0F81]*+")
_REMOVED = _compile(rf"[[\p{{Cc}}\p{{Cf}}\p{{Co}}\uFFFD]--[\t\n\r{_SINCE_8}]]")
_SPACE = _compile(r"\p{White_Space}")
_IDEOGRAM = _compile(character_class(_IDEOGRAMS))
_ACCENT = _compile(rf"[[\p{{Mn}}--{_SINCE_8}]\u1734\U0001171E]")
_PUNCTUATION = _compile(rf"[[[\p{{P}}!-/:-@\[-`\{{-~]--{_SINCE_8}]\u166D\U000111C9]")
# Les marques que BERT garde peuvent changer de place entre elles : 18 intervalles, très rares.
_MOVING = _compile(character_class("""
8D4-8E1 1B44 1BAA 1BF2-1BF3 1DFB 302E-302F A953 A9C0 111C0 11235 1134D 11442-11446 116B6 11C3F
1D15E-1D166 1D16D-1D172 1D1BB-1D1C0 1E000-1E02A 1E944-1E94A
"""))  # fmt: skip


def compose(text: str) -> str:
    """La forme composée (NFC) du texte : « e » suivi d’un accent aigu devient « é »."""
    if text.isascii():
        return text
    return "".join(unicodedata.normalize("NFC", part) for part in _INERT_SIGN.split(text))


def compose_with_places(text: str) -> tuple[str, list[Span]]:
    """La forme composée et, pour chacun de ses caractères, l’intervalle d’origine."""
    parts, places = [], []
    for unit in _UNIT.finditer(text):
        parts.append(compose(unit.group()))
        places += [unit.span()] * len(parts[-1])
    return "".join(parts), places


class BertPreparation:
    """Le texte appauvri de BERT, coupé aux espaces et à chaque signe de ponctuation.

    Les caractères de contrôle disparaissent, chaque idéogramme est un mot. `uncased` ôte en plus
    les accents et les majuscules.
    """

    def __init__(self, uncased: bool = True):
        self.uncased = uncased
        self._table = _Table(self)

    def words(self, text: str) -> list[str]:
        """Les mots préparés."""
        if self.uncased and _MOVING.search(text):
            return [word for word, _ in self.words_with_places(text)]
        return text.translate(self._table).split()

    def words_with_places(self, text: str) -> list[tuple[str, list[int]]]:
        """Les mots préparés et, pour chacun de leurs caractères, sa place dans le texte."""
        letters = [(one, i) for i, character in enumerate(text) for one in self.opened(character)]
        if self.uncased:
            letters = _reordered(letters)
        letters = [(kept, i) for one, i in letters for kept in self.simplified(one)]
        words = []
        for key, group in itertools.groupby(letters, _word_key):
            if key != " ":
                found, places = zip(*group, strict=True)
                words.append(("".join(found), list(places)))
        return words

    def opened(self, character: str) -> str:
        """Un caractère sans ce que BERT retire d’abord, l’accent détaché de sa lettre."""
        if _REMOVED.match(character):
            return ""
        if _SPACE.match(character):
            return " "
        decomposed = character
        if self.uncased and not _INERT_SIGN.match(character):
            decomposed = unicodedata.normalize("NFD", character)
        return f" {decomposed} " if _IDEOGRAM.match(character) else decomposed

    def simplified(self, letter: str) -> str:
        """Une lettre décomposée, en minuscule ; rien si c’est un accent."""
        if not self.uncased:
            return letter
        return "" if _ACCENT.match(letter) else letter.translate(_LOWER).lower()


class _Table(dict):
    """Ce que devient chaque caractère, pour `str.translate` ; calculé à la première rencontre."""

    def __init__(self, preparation: BertPreparation):
        super().__init__()
        self._preparation = preparation

    def __missing__(self, code: int) -> str:
        letters = map(self._preparation.simplified, self._preparation.opened(chr(code)))
        rewritten = "".join(f" {x} " if _PUNCTUATION.match(x) else x for x in "".join(letters))
        self[code] = rewritten
        return rewritten


def _word_key(letter: Letter) -> object:
    """Les lettres d’un mot ont la même clé ; un signe de ponctuation n’a que la sienne."""
    character, place = letter
    if character == " ":
        return " "
    return place if _PUNCTUATION.match(character) else "mot"


def _reordered(letters: list[Letter]) -> list[Letter]:
    """Les marques qui suivent une lettre, dans l’ordre d’Unicode (annexe 15, D109)."""
    if not _MOVING.search("".join(character for character, _ in letters)):
        return letters
    ordered = []
    for _, run in itertools.groupby(letters, lambda letter: _mark_class(letter) > 0):
        ordered += sorted(run, key=_mark_class)
    return ordered


def _mark_class(letter: Letter) -> int:
    """La classe de combinaison d’une marque ; 0 pour une lettre."""
    character, _ = letter
    return 0 if _INERT_SIGN.match(character) else unicodedata.combining(character)
