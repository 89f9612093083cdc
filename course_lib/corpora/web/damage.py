"""Abîmer un texte, comme le web le fait : retouches, paraphrases, encodages perdus.

Le hasard est un `random.Random` donné en premier, quand il en faut.
"""

from __future__ import annotations

import random
import re
import unicodedata

SENTENCE_END = re.compile(r"(?<=[.!?]) ")
WORD = re.compile(r"[^\W\d_]{3,}")
FILLERS = ("vraiment", "alors", "pourtant", "bientôt", "encore", "soudain", "presque", "enfin")
TITLES = (
    "Le conte de {name}",
    "L'histoire de {name}",
    "{name} et le trésor perdu",
    "Une soirée avec {name}",
    "Ce que trouva {name}",
)
# Pour une paraphrase : des tours de même sens, que les histoires emploient.
SYNONYMS = (
    ("Il était une fois", "Autrefois vivait"),
    ("Il y avait autrefois", "On raconte qu'il y eut"),
    ("qui s'appelait", "du nom de"),
    ("habitait dans", "avait pour demeure"),
    ("vivait dans", "logeait dans"),
    ("rêvait d", "songeait sans cesse à l'idée d"),
    ("avait envie d", "avait le désir d"),
    (" trouva ", " vit par terre "),
    (" découvrit ", " aperçut "),
    (" ramassa ", " prit au sol "),
    ("à côté d", "non loin d"),
    ("Pendant ce temps", "Au même moment"),
    ("Un peu plus tard", "Peu après"),
    (" était dans ", " se trouvait dans "),
    (" avait disparu", " n'était plus là"),
    ("était très", "se sentait bien"),
    ("pouvait enfin", "allait désormais"),
    ("ne pouvait plus", "devait renoncer à"),
    ("rentra dans", "regagna"),
    ("Le soir,", "À la nuit tombée,"),
    ("Avant de dormir,", "Au coucher,"),
)


def split_sentences(text: str) -> list[str]:
    """Découpe un texte après chaque point suivi d’une espace."""
    return SENTENCE_END.split(text)


def retouch(rng: random.Random, text: str) -> str:
    """Une presque-copie : quelques mots changés et, une fois sur deux, deux phrases échangées."""
    sentences = split_sentences(text)
    if len(sentences) > 3 and rng.random() < 0.5:
        i = rng.randrange(1, len(sentences) - 1)
        sentences[i], sentences[i + 1] = sentences[i + 1], sentences[i]
    text = " ".join(sentences)
    matches = list(WORD.finditer(text))
    chosen = rng.sample(matches, min(rng.randint(2, 5), len(matches)))
    for match in sorted(chosen, key=lambda m: -m.start()):
        text = text[: match.start()] + rng.choice(FILLERS) + text[match.end() :]
    return text


def paraphrase(text: str, name: str, new_name: str) -> str:
    """Redit une histoire : un autre prénom, et chaque tour connu remplacé par un synonyme."""
    text = re.sub(rf"\b{re.escape(name)}\b", new_name, text)
    for known, other in SYNONYMS:
        text = text.replace(known, other)
    return text


def excerpt(rng: random.Random, text: str) -> str:
    """Un extrait : des phrases qui se suivent, environ la moitié du texte."""
    sentences = split_sentences(text)
    size = max(1, len(sentences) // 2)
    start = rng.randrange(len(sentences) - size + 1)
    return " ".join(sentences[start : start + size])


def disguise_copy(rng: random.Random, text: str) -> str:
    """Une copie à la casse ou aux espaces près : le sens d’un doublon exact."""
    form = rng.randrange(8)  # au-delà de 3 : la copie est littérale
    if form == 1:
        return text.replace(". ", ".  ")
    if form == 2:
        return text.upper()
    return text.replace("'", "’") if form == 3 else text


def misread(text: str) -> str:
    """Lit en cp1252 des octets UTF-8 : « é » devient « Ã© ».

    Les cinq octets que cp1252 ne définit pas sont lus en latin-1, comme font les navigateurs.
    """
    return "".join(_one_byte(byte) for byte in text.encode("utf-8"))


def _one_byte(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


def misread_latin1(text: str) -> str:
    """Lit en latin-1 des octets UTF-8 : « ’ » devient « â » et deux caractères invisibles."""
    return text.encode("utf-8").decode("latin-1")


def replace_unreadable(text: str) -> str:
    """Lit en UTF-8 des octets cp1252 : chaque accent devient « � », et rien ne le rendra."""
    return text.encode("cp1252", "replace").decode("utf-8", "replace")


def drop_accents(text: str) -> str:
    """Perd les accents : « fée » devient « fee »."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).replace("œ", "oe")


ENCODING_DAMAGES = {
    "mojibake": misread,
    "mojibake_latin1": misread_latin1,
    "double_mojibake": lambda text: misread(misread(text)),
    "replacement": replace_unreadable,
    "lost_accents": drop_accents,
}
DAMAGE_WEIGHTS = (40, 20, 10, 15, 15)


def damage_encoding(rng: random.Random, text: str) -> tuple[str, str]:
    """Abîme l’encodage d’un texte : (texte, nom du dégât)."""
    (name,) = rng.choices(list(ENCODING_DAMAGES), DAMAGE_WEIGHTS)
    return ENCODING_DAMAGES[name](text), name


def add_title(rng: random.Random, text: str, name: str) -> str:
    """Ajoute une ligne de titre où paraît le prénom du héros."""
    return rng.choice(TITLES).format(name=name) + "\n" + text
