"""Lire le texte de l’utilisateur : encodage reconnu ou refusé, fins de ligne et accents normalisés.

Le fichier n’est ouvert qu’en lecture : rien n’y est jamais écrit.
"""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

from charset_normalizer import from_bytes

# Les lettres accentuées et signes qu’un texte français emploie : de quoi reconnaître une
# lecture fautive, qui fait surgir « Ž » ou « Ð » à la place de « é ».
FRENCH_SIGNS = frozenset(
    "àâäæçéèêëîïôöœùûüÿñáíóúÀÂÄÆÇÉÈÊËÎÏÔÖŒÙÛÜŸÑ«»“”‘’…–—€°§·¡¿ºª²³½¼¾×÷±™©®\u00a0\u00ad"
)
CONTROLS = frozenset(chr(code) for code in range(32)) - frozenset("\t\n\r\f\x0b\x1a") | {"\x7f"}


def read_text(path: str | Path, min_length: int = 1) -> str:
    """Lit un fichier texte et rend son contenu en Unicode NFC, une seule fin de ligne : « \\n ».

    `min_length` : nombre minimal de caractères, par exemple le contexte du modèle plus un.
    Encodages reconnus : UTF-8, UTF-16 et UTF-32 avec marque d’ordre, cp1252 et latin-1 pour un
    texte français. Erreurs : FileNotFoundError si le fichier manque ; IsADirectoryError pour un
    dossier ; ValueError s’il est vide, binaire, d’encodage inconnu ou trop court.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"« {path} » est un dossier. Donnez le chemin d’un fichier texte.")
    if not path.exists():
        raise FileNotFoundError(f"Fichier introuvable : « {path} ». Vérifiez le chemin et le nom.")
    text = _decode(path.read_bytes(), path)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = unicodedata.normalize("NFC", text)
    if not text.strip():
        raise ValueError(f"Le fichier « {path} » est vide. Donnez un fichier non vide.")
    if len(text) < min_length:
        raise ValueError(
            f"Le texte de « {path} » compte {len(text)} caractères ; il en faut au moins "
            f"{min_length} pour remplir le contexte. Donnez un texte plus long ou réduisez le "
            "contexte."
        )
    return text


def _decode(data: bytes, path: Path) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),  # avant UTF-16, dont la marque est un préfixe
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _decode_marked(data, encoding, path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = _decode_western(data, path)
    return _refuse_binary(text, path)


def _decode_marked(data: bytes, encoding: str, path: Path) -> str:
    try:
        return _refuse_binary(data.decode(encoding), path)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Le fichier « {path} » s’annonce en {encoding} mais n’en est pas : octet "
            f"{error.start} illisible. Réenregistrez-le en UTF-8."
        ) from error


def _refuse_binary(text: str, path: Path) -> str:
    if not CONTROLS.isdisjoint(text):
        raise ValueError(
            f"Le fichier « {path} » est binaire (il contient des caractères de commande). "
            "Donnez un fichier texte, réenregistré au besoin en UTF-8."
        )
    return text


def _decode_western(data: bytes, path: Path) -> str:
    """cp1252 ou latin-1, si la lecture donne du français vraisemblable ; sinon un refus."""
    if any(bytes([ord(control)]) in data for control in CONTROLS):
        return _refuse_binary(data.decode("latin-1"), path)
    best = from_bytes(data, cp_isolation=["cp1252", "latin_1"]).best()
    candidates = ([best.encoding] if best else []) + ["cp1252", "latin_1"]
    for encoding in candidates:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _looks_french(text):
            return text
    raise ValueError(
        f"Encodage de « {path} » non reconnu : ni UTF-8, ni UTF-16 avec marque, ni français en "
        "cp1252 ou latin-1. Réenregistrez le fichier en UTF-8."
    )


def _looks_french(text: str) -> bool:
    """Des lettres ordinaires, des accents français, au plus 5 % de signes plus rares."""
    beyond_ascii = [char for char in text if ord(char) > 127]
    if any(unicodedata.category(char) == "Cc" for char in beyond_ascii):
        return False
    rare = sum(char not in FRENCH_SIGNS for char in beyond_ascii)
    plain = sum(char.isascii() and (char.isalpha() or char.isspace()) for char in text)
    return 20 * rare <= len(beyond_ascii) and 3 * plain >= len(text)
