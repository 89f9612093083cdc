"""La lisibilité d’un texte français : ce que longueur des phrases et des mots en disent.

Indice de Kandel et Moles (1958, « Application de l’indice de Flesch à la langue française »,
Cahiers d’études de radio-télévision, 19) :

    207 − 1,015 · mots / phrases − 0,736 · 100 · syllabes / mots

Plus il est haut, plus le texte est facile : vers 100, un album ; vers 30, un article savant. LIX
(Björnsson, 1968) compte sans syllabes : mots / phrases + 100 · mots de plus de 6 lettres / mots.
Ces indices mesurent une surface : ils ne savent pas si le texte a du sens.

Conventions. Un mot porte son élision (« l’auberge » est un mot de deux syllabes). On compte comme
on parle : le e muet final ne compte pas, « lion » a une syllabe, « crier » deux. Le e muet
intérieur compte (« seulement » : trois). Une phrase finit par « . », « ! », « ? » ou « … ».
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

_LETTERS = "a-zàâäæçéèêëîïôöœùûüÿñ"
_WORD = re.compile(rf"[{_LETTERS}]+(?:['’\-][{_LETTERS}]+)*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?…]+")
_VOWELS = "aàâäæeéèêëiîïoôöœuùûüyÿ"
_CORE = r"(?:eau|oeu|œu|ai|aî|au|ei|eu|eû|oi|oî|ou|où|oû|ay|ey|oy|[aàâäæeéèêëiîïoôöœuùûüyÿ])"
# Une semi-voyelle s’appuie sur la voyelle qui la suit, sauf après « br », « cl »… : cri-er.
_NUCLEUS = re.compile(rf"(?:(?<![bcdfgptv][lr])(?:ou|[iu])(?=[{_VOWELS}])|(?<=[lr])u(?=i))?{_CORE}")
_FINAL_E = re.compile(r"(?<=.)e(?:s)?$")
_REWRITES = (
    (r"qu", "k"),
    (r"gu(?=[eéèêëiîy])", "g"),
    (r"ge(?=[aàâoôu])", "j"),
    (rf"(?<=[aeouœ])ill(?=[{_VOWELS}])", "j"),  # bataille, oreiller
    (r"(?<=[aeuœ])il(?=s?$)", "j"),  # soleil, écureuil
    (rf"(?<![{_VOWELS}])y(?=[{_VOWELS}])|(?<=[{_VOWELS}])y(?=[{_VOWELS}])", "j"),
    (r"(?<=[iuéo])e(?=ments?$)", ""),  # remerciement
)
# « -ent » se prononce dans ces mots ; ailleurs, c’est le pluriel muet d’un verbe.
_SOUNDED_TEXT = (
    "absent accent accident adolescent agent ardent argent arpent astringent cent client "
    "coefficient conscient conséquent content contingent couvent dent décent différent "
    "divergent document efficient éloquent équivalent escient évent évident excellent expédient "
    "fréquent impatient imprudent incident inconscient indécent indulgent ingrédient innocent "
    "insolent intelligent lent négligent occident opulent orient parent patient permanent "
    "pertinent présent président prudent quotient récent récipient régent réticent sergent "
    "serpent souvent strident talent tangent torrent transparent trident urgent vent violent "
    "virulent vient tient devient revient retient obtient appartient maintient contient "
    "soutient parvient convient intervient prévient détient entretient provient"
)
_SOUNDED_ENT = frozenset(_SOUNDED_TEXT.split())
# En « -ment », c’est l’inverse : presque tous se prononcent, sauf ces verbes.
_MUTE_TEXT = (
    "aiment allument animent arment calment chôment confirment consument déforment dorment "
    "endorment enferment enfument entament estiment expriment ferment forment fument impriment "
    "informent nomment priment rallument raniment réclament transforment"
)
_MUTE_MENT = frozenset(_MUTE_TEXT.split())
_SPECIAL = {
    "août": 1,
    "paon": 1,
    "faon": 1,
    "pays": 2,
    "paysan": 3,
    "paysage": 3,
    "abbaye": 3,
    "y": 1,
    "moyen": 2,
    "femme": 1,
    "yaourt": 2,
    "ment": 1,
}


@dataclass(frozen=True, slots=True)
class Readability:
    """Comptes d’un texte et indices ; `long_words` : mots de plus de six lettres."""

    sentences: int
    words: int
    syllables: int
    long_words: int

    @property
    def sentence_length(self) -> float:
        """Mots par phrase."""
        return self.words / self.sentences

    @property
    def syllables_per_word(self) -> float:
        return self.syllables / self.words

    @property
    def kandel_moles(self) -> float:
        """Indice de Kandel et Moles ; haut pour un texte facile."""
        return 207 - 1.015 * self.sentence_length - 73.6 * self.syllables_per_word

    @property
    def lix(self) -> float:
        """Indice LIX ; haut pour un texte difficile."""
        return self.sentence_length + 100 * self.long_words / self.words


def readability(text: str) -> Readability:
    """Compte phrases, mots, syllabes et mots longs d’un texte français.

    Un texte sans ponctuation finale compte pour une phrase. Erreurs : TypeError si ce n’est pas du
    texte, ValueError s’il ne contient aucun mot.
    """
    found = words(text)
    if not found:
        raise ValueError(
            f"Texte reçu : {text[:40]!r}. Il ne contient aucun mot français à compter."
        )
    sentences = [part for part in _SENTENCE_END.split(text) if _WORD.search(part)]
    return Readability(
        sentences=len(sentences),
        words=len(found),
        syllables=sum(_word_syllables(word) for word in found),
        long_words=sum(sum(map(str.isalpha, word)) > 6 for word in found),
    )


def words(text: str) -> list[str]:
    """Les mots d’un texte, en minuscules, élisions et traits d’union compris.

    Erreur : TypeError si ce n’est pas du texte.
    """
    if not isinstance(text, str):
        raise TypeError(f"Le texte doit être une chaîne (str) ; reçu {type(text).__name__}.")
    return [match.group().lower() for match in _WORD.finditer(text)]


def count_syllables(word: str) -> int:
    """Nombre de syllabes d’un mot français ; « l’auberge » en a deux, « l’ » n’en ajoute aucune.

    Erreur : ValueError si ce n’est pas un mot.
    """
    if not _WORD.fullmatch(word):
        raise ValueError(f"Mot reçu : {word!r}. Donnez un seul mot, en lettres françaises.")
    return _word_syllables(word.lower())


def counting_rules() -> dict[str, object]:
    """Les règles du compte, en données : la page web qui compte à son tour les lit ici."""
    letters = "".join(c for c in map(chr, range(0x2200)) if _WORD.fullmatch(c))
    return {
        "word": rf"[{letters}]+(?:['’\-][{letters}]+)*",
        "sentenceEnd": _SENTENCE_END.pattern,
        "nucleus": _NUCLEUS.pattern,
        "finalE": _FINAL_E.pattern,
        "vowels": _VOWELS,
        "rewrites": [list(pair) for pair in _REWRITES],
        "special": _SPECIAL,
        "soundedEnt": sorted(_SOUNDED_ENT),
        "muteMent": sorted(_MUTE_MENT),
    }


def vocabulary(texts: Iterable[str]) -> frozenset[str]:
    """Les mots de plusieurs textes, sans élision : un lexique de référence."""
    return frozenset(_bare(word) for text in texts for word in words(text))


def share_outside(text: str, lexicon: Collection[str]) -> float:
    """Part des mots du texte absents d’un lexique ; ValueError si le texte n’a aucun mot."""
    found = words(text)
    if not found:
        raise ValueError(
            f"Texte reçu : {text[:40]!r}. Il ne contient aucun mot français à compter."
        )
    return sum(_bare(word) not in lexicon for word in found) / len(found)


def _bare(word: str) -> str:
    """Le mot sans son élision : « l’auberge » → « auberge »."""
    return re.sub(r"^(?:[cdjlmnst]|qu|jusqu|puisqu|lorsqu)['’]", "", word)


@lru_cache(maxsize=10_000)
def _word_syllables(word: str) -> int:
    parts = re.split(r"['’\-]", word)
    return max(1, sum(_part_syllables(part) for part in parts))


def _part_syllables(part: str) -> int:
    if part in _SPECIAL:
        return _SPECIAL[part]
    if part.removesuffix("s") in _SPECIAL:
        return _SPECIAL[part.removesuffix("s")]
    text = _without_mute_ending(part)
    for pattern, replacement in _REWRITES:
        text = re.sub(pattern, replacement, text)
    n = len(_NUCLEUS.findall(text))
    if _FINAL_E.search(text) and n > 1:
        # Le e final est muet, qu’il suive une consonne (porte) ou une voyelle (rue, fée).
        n = len(_NUCLEUS.findall(_FINAL_E.sub("", text)))
    return n


def _without_mute_ending(part: str) -> str:
    """Retire le « -ent » des verbes : « chantent » → « chant », « riaient » → « riai »."""
    if not part.endswith("ent") or part.removesuffix("s") in _SOUNDED_ENT:
        return part
    if part.endswith("ment") and part not in _MUTE_MENT:
        return part
    stem = part.removesuffix("ent")
    return stem if re.search(rf"[{_VOWELS}]", stem) else part
