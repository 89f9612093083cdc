"""Le texte lisible d’un jeton, même quand il ne porte qu’un morceau de caractère.

Un jeton BPE est une suite d’octets. « ’(1/3) » est le premier des trois octets de « ’ » ; ⟨E2⟩ un
octet dont le caractère reste inconnu. La page emploie les mêmes règles (`token_text.js`).
"""

from collections.abc import Sequence

_SIGNS = {" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥", "\u00a0": "⍽", "\u202f": "⍽"}


def visible(text: str) -> str:
    """Rend le texte où espaces et fins de ligne ont un signe."""
    return "".join(_SIGNS.get(character, character) for character in text)


def token_texts(tokens: Sequence[bytes]) -> list[str]:
    """Rend le texte de chacun de ces jetons, qui se suivent."""
    content = b"".join(tokens)
    places: list[tuple[int, str, int]] = []  # par octet : début, texte et longueur du caractère
    while (start := len(places)) < len(content):
        text, length = _character(content, start)
        places += [(start, text, length)] * max(length, 1)
    texts, end = [], 0
    for token in tokens:
        start, end = end, end + len(token)
        texts.append(_text(content, places, start, end))
    return texts


def unfinished(content: bytes) -> bytes:
    """Rend les derniers octets, s’ils commencent un caractère sans le finir ; sinon rien."""
    for count in range(1, min(3, len(content)) + 1):
        length = _span(content[-count])
        if length:
            return content[-count:] if length > count else b""
    return b""


def _span(lead: int) -> int:
    """Combien d’octets prend le caractère que commence celui-ci ; 0 s’il n’en commence aucun."""
    if lead < 0x80:
        return 1
    if not 0xC2 <= lead <= 0xF4:
        return 0
    return 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


def _character(content: bytes, start: int) -> tuple[str, int]:
    """Le caractère écrit en `content[start:]` et sa longueur ; ("", 0) si ce n’en est pas un."""
    length = _span(content[start])
    try:
        text = content[start : start + length].decode()
    except UnicodeDecodeError:
        return "", 0
    return (text, length) if text else ("", 0)


def _text(content: bytes, places: list[tuple[int, str, int]], start: int, end: int) -> str:
    """Le texte des octets de `start` à `end`."""
    text, i = "", start
    while i < end:
        begin, character, length = places[i]
        stop = i + 1
        while stop < end and (places[stop][0] == begin if length else not places[stop][2]):
            stop += 1
        if not length:
            text += f"⟨{content[i:stop].hex(' ').upper()}⟩"
        elif stop - i == length:
            text += character
        else:
            first, last = i - begin + 1, stop - begin
            ranks = f"{first}" if first == last else f"{first}–{last}"
            text += f"{character}({ranks}/{length})"
        i = stop
    return text
