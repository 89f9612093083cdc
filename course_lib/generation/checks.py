"""Refuser tôt, avec le remède, ce qui ne peut pas être écrit."""

from collections.abc import Iterable, Sequence
from operator import index

from torch import Tensor, nn


def check_ids(ids: Iterable[int], vocab_size: int, name: str) -> list[int]:
    """Une liste d’ids du vocabulaire, non vide. TypeError si ce ne sont pas des entiers."""
    checked = _integers(
        ids,
        f"{name} : il faut une suite d’entiers, les ids d’un texte ; reçu {ids!r}. Découpez "
        "d’abord le texte avec tokenizer.encode.",
    )
    if not checked:
        raise ValueError(
            f"{name} : aucun jeton, le modèle n’a rien à lire. Donnez-en au moins un, par exemple "
            "celui du début de texte, tokenizer.bos_id."
        )
    _check_known(checked, vocab_size, name)
    return checked


def _integers(ids: Iterable[int], message: str) -> list[int]:
    """Les entiers d’une suite, booléens exclus ; TypeError(message) si elle a autre chose."""
    try:
        values = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        if any(isinstance(value, bool) for value in values):
            raise TypeError
        return [index(value) for value in values]
    except TypeError:
        raise TypeError(message) from None


def _check_known(ids: Sequence[int], vocab_size: int, name: str) -> None:
    for token_id in (min(ids), max(ids)):
        if not 0 <= token_id < vocab_size:
            raise ValueError(
                f"{name} : l’id {token_id} est hors du vocabulaire, qui va de 0 à "
                f"{vocab_size - 1}. Le texte a-t-il été découpé par le tokenizer du modèle ?"
            )


def check_decoder(model: nn.Module) -> None:
    """TypeError si ce n’est pas un modèle qui écrit."""
    if not hasattr(model, "new_cache") or not hasattr(model, "hidden"):
        raise TypeError(
            f"Un modèle {type(model).__name__} n’écrit pas la suite d’un texte : il faut un "
            "décodeur, bâti par exemple par llama ou gpt2."
        )


def check_window(model: nn.Module, when_full: str, n_kept: int) -> None:
    """Que faire quand le contexte est plein. ValueError si ce n’est pas possible."""
    if when_full not in ("slide", "stop"):
        raise ValueError(
            f"when_full = {when_full!r} est inconnu : choisissez « slide », qui relit la fin du "
            "texte et continue, ou « stop », qui s’arrête."
        )
    context = model.embedding.context_length
    if type(n_kept) is not int or not 0 <= n_kept < context:
        raise ValueError(
            f"n_kept = {n_kept!r} : il faut un entier de 0 à {context - 1}, le nombre de jetons du "
            "début que l’on relit toujours ; le contexte doit garder une place pour la suite."
        )


def check_prompts(
    model: nn.Module, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> list[list[int]]:
    """Les amorces, vérifiées, et le nombre de jetons à écrire."""
    check_decoder(model)
    if type(max_new_tokens) is not int or max_new_tokens < 1:
        raise ValueError(
            f"max_new_tokens = {max_new_tokens!r} : il faut un entier d’au moins 1, le nombre de "
            "jetons à écrire."
        )
    if isinstance(prompts, str) or not isinstance(prompts, Iterable):
        raise TypeError(
            f"Les amorces : il faut une liste de suites d’ids, par exemple [[1, 2]] ; reçu "
            f"{prompts!r}. Pour un texte, prenez TextGenerator."
        )
    prompts = list(prompts)
    if not prompts:
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


def n_writable(model: nn.Module) -> int:
    """Combien de jetons ont un score : une amorce apprise se lit, mais ne s’écrit pas."""
    return len(model.embedding.tokens.weight)


def check_stops(
    stop_ids: Iterable[int], stop_sequences: Iterable[Sequence[int]], vocab_size: int
) -> tuple[set[int], list[list[int]]]:
    """Les jetons et les suites d’arrêt, en ids. ValueError ou TypeError s’ils n’arrêtent rien.

    Une suite vide arrêterait tout ; un id hors du vocabulaire n’arrêterait jamais.
    """
    ids = _integers(
        stop_ids,
        f"stop_ids = {stop_ids!r} : il faut une liste d’ids, par exemple [tokenizer.eos_id], où "
        "eos_id n’est pas None. Pour un texte, prenez TextGenerator et stop_sequences.",
    )
    if ids:
        _check_known(ids, vocab_size, "stop_ids")
    return set(ids), [
        check_stop_sequence(sequence, vocab_size) for sequence in check_list(stop_sequences)
    ]


def check_list(stop_sequences: Iterable) -> list:
    """La liste des arrêts. TypeError si c’est un texte seul, ou pas une liste."""
    if isinstance(stop_sequences, str) or not isinstance(stop_sequences, Iterable):
        raise TypeError(
            f"stop_sequences = {stop_sequences!r} : il faut une liste d’arrêts ; mettez-le entre "
            "crochets."
        )
    return list(stop_sequences)


def check_stop_sequence(sequence: Sequence[int], vocab_size: int) -> list[int]:
    """Une suite d’arrêt en ids."""
    ids = _integers(
        sequence if not isinstance(sequence, str) else [sequence],
        f"stop_sequences : {sequence!r} n’est pas une suite d’ids. Un arrêt donné en texte demande "
        "un tokeniseur : passez par TextGenerator(model, tokenizer), qui l’accepte.",
    )
    if not ids:
        raise ValueError(
            "stop_sequences contient une suite vide, qui arrêterait tout de suite : retirez-la."
        )
    _check_known(ids, vocab_size, "stop_sequences")
    return ids


def check_continuation(
    model: nn.Module, prompt_ids: Sequence[int], continuation_ids: Sequence[int]
) -> tuple[list[int], list[int]]:
    """L’amorce et la suite à juger : non vides, et lisibles d’un seul coup."""
    (prompt,) = check_prompts(model, [prompt_ids], 1)
    continuation = check_ids(continuation_ids, n_writable(model), "Suite à juger")
    context = model.embedding.context_length
    total = len(prompt) + len(continuation) - 1
    if total > context:
        raise ValueError(
            f"Juger cette suite demande de lire {total} jetons et le contexte en tient {context} : "
            "raccourcissez l’amorce ou la suite."
        )
    return prompt, continuation
