"""Le partage des textes : une empreinte stable du texte décide de son jeu, une fois pour toutes."""

from __future__ import annotations

from hashlib import blake2b

SPLITS = ("train", "validation", "test")
TEST_PERCENT = 10
VALIDATION_PERCENT = 10


def split_of(text: str) -> str:
    """Jeu auquel appartient un texte : « train » (80 %), « validation » (10 %) ou « test » (10 %).

    L’empreinte BLAKE2b ne dépend ni de la machine ni de la session Python. Deux jeux ne peuvent
    pas partager un texte : il n’a qu’une empreinte. Et l’empreinte ne ressemble à rien que le
    texte dise : savoir qu’un texte est dans « train » n’apprend rien sur son contenu.
    """
    digest = blake2b(text.encode("utf-8"), digest_size=8).digest()
    rank = int.from_bytes(digest, "big") % 100
    if rank < TEST_PERCENT:
        return "test"
    return "validation" if rank < TEST_PERCENT + VALIDATION_PERCENT else "train"


def check_split(split: str, allowed: tuple[str, ...] = SPLITS) -> None:
    """Refuse un nom de jeu inconnu (ValueError)."""
    if split not in allowed:
        names = ", ".join(f"« {name} »" for name in allowed)
        raise ValueError(f"Jeu reçu : {split!r}. Choisissez parmi {names}.")


def check_count(n: int) -> None:
    """Refuse un nombre de textes négatif (ValueError)."""
    if n < 0:
        raise ValueError(f"Nombre de textes reçu : {n}. Donnez un entier positif ou nul.")
