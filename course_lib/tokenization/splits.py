"""Comment un modèle coupe un texte en mots, avant que ses fusions n’en fassent des jetons.

Deux modèles aux mêmes fusions donnent d’autres jetons si leurs mots diffèrent : le découpage fait
partie du tokeniseur. C’est une suite d’étapes ; chacune recoupe les morceaux de la précédente, et
met à part ce que son expression reconnaît.
"""

from dataclasses import dataclass
from typing import Self

import regex

from course_lib.tokenization.normalization import compose, compose_with_places
from course_lib.tokenization.patterns import (
    GPT2_EXPRESSION,
    GPT2_PATTERN,
    LLAMA3_EXPRESSION,
    QWEN2_EXPRESSION,
    SINGLE_DIGIT,
    compile_shared,
)

Span = tuple[int, int]
_DIGITS = {"type": "Digits", "individual_digits": True}
_SIGNS = r"[\p{P}\$\+<=>\^~\|]+"
# Nom de l’étape → son expression, telle que les fichiers l’écrivent.
_EXPRESSIONS = {
    "gpt2": GPT2_EXPRESSION,
    "qwen2": QWEN2_EXPRESSION,
    "llama3": LLAMA3_EXPRESSION,
    "signs": _SIGNS,
    "numbers": r"\p{N}+",
    "hundreds": "[0-9][0-9][0-9]",
}
# Nom de l’étape → l’expression qui rend tous les morceaux : ceux qu’elle met à part, et le reste.
_PATTERNS = {
    "digits": regex.compile(f"{SINGLE_DIGIT.pattern}|[^{SINGLE_DIGIT.pattern}]+", regex.V1),
    "gpt2": GPT2_PATTERN,
    "qwen2": compile_shared(QWEN2_EXPRESSION),
    "llama3": compile_shared(LLAMA3_EXPRESSION),
    "signs": compile_shared(rf"{_SIGNS}|[^\p{{P}}\$\+<=>\^~\|]+"),
    "numbers": compile_shared(r"\p{N}+|[^\p{N}]+"),
    "hundreds": regex.compile(r"[0-9][0-9][0-9]|(?:(?![0-9][0-9][0-9])[\s\S])+"),
}


def byte_level(use_regex: bool = True) -> dict:
    """L’étape qui écrit les mots en octets, dans les fichiers de `tokenizers`."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


@dataclass(frozen=True)
class Split:
    """Un découpage : ses étapes, par leur nom ; `nfc` compose d’abord le texte (« e´ » → « é »).

    Étapes : `digits` (chaque chiffre à part), `gpt2`, `qwen2`, `llama3` (les expressions de ces
    modèles), `signs`, `numbers` et `hundreds` (celles de llama.cpp quand un fichier ne dit rien).
    ValueError si une étape est inconnue.
    """

    steps: tuple[str, ...]
    nfc: bool = False

    def __post_init__(self):
        unknown = [step for step in self.steps if step not in _PATTERNS]
        if unknown:
            raise ValueError(
                f"Étape de découpage inconnue : {unknown[0]!r}. Choisissez parmi "
                f"{', '.join(_PATTERNS)}."
            )

    def prepare(self, text: str) -> str:
        """Le texte à découper : composé si `nfc`, sinon inchangé."""
        return compose(text) if self.nfc else text

    def prepare_with_places(self, text: str) -> tuple[str, list[Span] | None]:
        """Comme `prepare`, et l’intervalle d’origine de chaque caractère ; None : inchangé."""
        prepared = self.prepare(text)
        return (text, None) if prepared == text else compose_with_places(text)

    def words(self, prepared: str) -> list[str]:
        """Les mots d’un texte préparé ; mis bout à bout, ils le redonnent."""
        pieces = [prepared] if prepared else []
        for step in self.steps:
            cut = _PATTERNS[step].findall
            pieces = [word for piece in pieces for word in cut(piece)]
        return pieces

    def to_json(self) -> dict:
        """Ce qu’en disent les clés `normalizer` et `pre_tokenizer` d’un fichier."""
        *first, last = self.steps or (None,)
        regex_is_last = last == "gpt2"
        steps = [_step_to_json(step) for step in (first if regex_is_last else self.steps)]
        steps.append(byte_level(regex_is_last))
        return {
            "normalizer": {"type": "NFC"} if self.nfc else None,
            "pre_tokenizer": steps[0]
            if len(steps) == 1
            else {"type": "Sequence", "pretokenizers": steps},
        }

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Le découpage d’un fichier. ValueError s’il en fait un que l’on ne sait pas refaire."""
        found = content.get("pre_tokenizer")
        whole = isinstance(found, dict) and found.get("type") == "Sequence"
        parts = found.get("pretokenizers") if whole else [found]
        if not isinstance(parts, list) or not parts or not _is_byte_level(parts[-1]):
            raise _unknown(found)
        steps = [_step_from_json(part) for part in parts[:-1]]
        if parts[-1].get("use_regex", True):
            steps.append("gpt2")
        if None in steps:
            raise _unknown(parts[steps.index(None)])
        return cls(tuple(steps), _reads_nfc(content.get("normalizer")))


GPT2 = Split(("gpt2",))
SMOLLM = Split(("digits", "gpt2"))
QWEN2 = Split(("qwen2",), nfc=True)
LLAMA3 = Split(("llama3",))
LLAMA_CPP_DEFAULT = Split(("signs", "gpt2", "numbers", "hundreds"))


def _unknown(found: object) -> ValueError:
    return ValueError(
        f"Découpage non pris en charge : {found}. Attendu : « ByteLevel » (sans espace ajoutée), "
        "seul ou précédé de « Digits » ou de l’expression de GPT-2, de Qwen2 ou de Llama 3."
    )


def _is_byte_level(part: object) -> bool:
    return (
        isinstance(part, dict)
        and part.get("type") == "ByteLevel"
        and part.get("add_prefix_space") is False
    )


def _step_to_json(step: str) -> dict:
    if step == "digits":
        return _DIGITS
    pattern = {"Regex": _EXPRESSIONS[step]}
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


def _step_from_json(part: object) -> str | None:
    """Le nom de l’étape, None si elle est inconnue."""
    return next((step for step in _PATTERNS if _step_to_json(step) == part), None)


def _reads_nfc(normalizer: object) -> bool:
    """Vrai si le fichier compose le texte, faux s’il n’y touche pas."""
    if normalizer is None:
        return False
    parts = [normalizer]
    if isinstance(normalizer, dict) and normalizer.get("type") == "Sequence":
        parts = normalizer.get("normalizers")
    if not isinstance(parts, list) or any(part != {"type": "NFC"} for part in parts):
        raise ValueError(
            f"Ce fichier normalise le texte avant de le découper ({normalizer}) : on ne sait "
            "refaire que la composition (NFC)."
        )
    return bool(parts)
