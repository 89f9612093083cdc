"""Refuser tôt, avec le remède, ce qui ne peut pas être écrit."""

from collections.abc import Iterable, Sequence
from operator import index

from torch import nn


def check_ids(ids: Iterable[int], vocab_size: int, name: str) -> list[int]:
    """Une liste d’ids du vocabulaire, non vide. TypeError si ce ne sont pas des entiers."""
    try:
        checked = [index(token_id) for token_id in ids]
    except TypeError:
        raise TypeError(
            f"{name} : il faut une suite d’entiers, les ids d’un texte ; reçu {ids!r}. Découpez "
            "d’abord le texte avec tokenizer.encode."
        ) from None
    if not checked:
        raise ValueError(
            f"{name} : aucun jeton, le modèle n’a rien à lire. Donnez-en au moins un, par exemple "
            "celui du début de texte, tokenizer.bos_id."
        )
    for token_id in (min(checked), max(checked)):
        if not 0 <= token_id < vocab_size:
            raise ValueError(
                f"{name} : l’id {token_id} est hors du vocabulaire, qui va de 0 à "
                f"{vocab_size - 1}. Le texte a-t-il été découpé par le tokenizer du modèle ?"
            )
    return checked


def check_prompts(
    model: nn.Module, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> list[list[int]]:
    """Les amorces, vérifiées, et le nombre de jetons à écrire."""
    if not hasattr(model, "new_cache") or not hasattr(model, "hidden"):
        raise TypeError(
            f"Un modèle {type(model).__name__} n’écrit pas la suite d’un texte : il faut un "
            "décodeur, bâti par exemple par llama ou gpt2."
        )
    if type(max_new_tokens) is not int or max_new_tokens < 1:
        raise ValueError(
            f"max_new_tokens = {max_new_tokens} : il faut un entier d’au moins 1, le nombre de "
            "jetons à écrire."
        )
    if len(prompts) == 0:
        raise ValueError("Aucune amorce : donnez-en au moins une, par exemple [[1]].")
    vocab_size = model.embedding.tokens.num_embeddings
    context = model.embedding.context_length
    checked = []
    for i, prompt in enumerate(prompts):
        ids = check_ids(prompt, vocab_size, f"Amorce n° {i + 1}")
        if len(ids) > context:
            raise ValueError(
                f"L’amorce n° {i + 1} a {len(ids)} jetons et le contexte du modèle en tient "
                f"{context} : gardez-en la fin, prompt[-{context}:], ou moins pour laisser de la "
                "place à la suite."
            )
        checked.append(ids)
    return checked


def check_stops(
    stop_ids: Iterable[int], stop_sequences: Iterable[Sequence[int]]
) -> tuple[set[int], list[list[int]]]:
    """Les jetons et les suites d’arrêt. ValueError si une suite est vide : elle arrêterait tout."""
    sequences = [list(sequence) for sequence in stop_sequences]
    if [] in sequences:
        raise ValueError(
            "stop_sequences contient une suite vide, qui arrêterait tout de suite : retirez-la."
        )
    return set(stop_ids), sequences


def check_continuation(
    model: nn.Module, prompt_ids: Sequence[int], continuation_ids: Sequence[int]
) -> tuple[list[int], list[int]]:
    """L’amorce et la suite à juger : non vides, et lisibles d’un seul coup."""
    (prompt,) = check_prompts(model, [prompt_ids], 1)
    vocab_size = model.embedding.tokens.num_embeddings
    continuation = check_ids(continuation_ids, vocab_size, "Suite à juger")
    context = model.embedding.context_length
    total = len(prompt) + len(continuation) - 1
    if total > context:
        raise ValueError(
            f"Juger cette suite demande de lire {total} jetons et le contexte en tient {context} : "
            "raccourcissez l’amorce ou la suite."
        )
    return prompt, continuation
