"""Refuser un identifiant que le modèle ne connaît pas, avant qu’il ne le lise."""

from torch import Tensor


def check_ids(ids: Tensor, vocab_size: int) -> None:
    """ValueError si un identifiant est hors du vocabulaire.

    À faire tant que les ids sont sur le processeur : lire un nombre d’un accélérateur attend la fin
    de son calcul.
    """
    if ids.numel() and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise ValueError(
            f"Les identifiants vont de {ids.min()} à {ids.max()} ; le modèle connaît ceux de 0 "
            f"à {vocab_size - 1}. Le texte a-t-il été découpé par le tokenizer du modèle ?"
        )
