"""Écrire avec des mots : le modèle et son tokeniseur réunis."""

from collections.abc import Iterator

from torch import nn

from course_lib.generation.decoding import (
    Generation,
    continuation_log_probs,
    generate,
    next_token_distribution,
    stream,
)
from course_lib.generation.sampling import SamplingConfig
from course_lib.tokenization import Tokenizer

UNFINISHED = "\ufffd"  # ce qu’affiche un caractère dont il manque des octets


class TextGenerator:
    """Complète des textes. Ils commencent par `<bos>` et s’arrêtent à `<eos>`, s’ils existent.

    ValueError si le tokeniseur connaît des jetons que le modèle ignore.
    """

    def __init__(self, model: nn.Module, tokenizer: Tokenizer):
        vocab_size = model.embedding.tokens.num_embeddings
        if tokenizer.vocab_size > vocab_size:
            raise ValueError(
                f"Le tokeniseur a {tokenizer.vocab_size} jetons et le modèle en connaît "
                f"{vocab_size} : prenez celui avec lequel le modèle a été entraîné."
            )
        self.model = model
        self.tokenizer = tokenizer
        self.tokens = tokenizer.tokens

    def complete(self, text: str, max_new_tokens: int = 200, **settings) -> str:
        """Le texte et sa suite. `settings` : ceux de `generate` (sampling, seed, backend…)."""
        (result,) = self.generate([text], max_new_tokens, **settings)
        return self._decode(self.encode(text) + result.ids)

    def generate(self, texts: list[str], max_new_tokens: int = 200, **settings) -> list[Generation]:
        """Les suites de plusieurs débuts, écrites ensemble ; voir `generate`."""
        settings.setdefault("stop_ids", self._stop_ids())
        prompts = [self.encode(text) for text in texts]
        return generate(self.model, prompts, max_new_tokens, **settings)

    def stream(self, text: str, max_new_tokens: int = 200, **settings) -> Iterator[str]:
        """La suite, morceau par morceau ; un caractère en plusieurs jetons attend d’être entier."""
        settings.setdefault("stop_ids", self._stop_ids())
        prompt = self.encode(text)
        return self._pieces(prompt, stream(self.model, prompt, max_new_tokens, **settings))

    def _pieces(self, prompt: list[int], steps: Iterator) -> Iterator[str]:
        ids = list(prompt)
        shown = written = self._decode(ids)
        for step in steps:
            ids.append(step.token_id)
            written = self._decode(ids)
            if len(written) > len(shown) and not written.endswith(UNFINISHED):
                yield written[len(shown) :]
                shown = written
        if len(written) > len(shown):
            yield written[len(shown) :]

    def next_tokens(
        self, text: str, n: int = 10, sampling: SamplingConfig | None = None
    ) -> list[tuple[str, float]]:
        """Les n jetons suivants les plus probables, lisibles, avec leur probabilité."""
        if type(n) is not int or n < 1:
            raise ValueError(f"n = {n} : il faut un entier d’au moins 1, le nombre de jetons.")
        probabilities = next_token_distribution(self.model, self.encode(text), sampling)
        best = probabilities[: len(self.tokens)].topk(min(n, len(self.tokens)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(self.tokens[token_id], probability) for token_id, probability in pairs]

    def log_prob(self, text: str, ended: bool = False) -> float:
        """Log-probabilité du texte, en nats ; `ended` y ajoute celle de s’arrêter là.

        Sans `<bos>` au vocabulaire, le premier jeton est donné et ne compte pas.
        """
        ids = self.encode(text)
        if ended:
            if self.tokenizer.eos_id is None:
                raise ValueError(
                    "Ce tokeniseur n’a pas de jeton <eos> : laissez ended=False, ou entraînez-le "
                    "avec ce jeton spécial."
                )
            ids.append(self.tokenizer.eos_id)
        if len(ids) == 1:
            return 0.0
        return float(continuation_log_probs(self.model, ids[:1], ids[1:]).double().sum())

    def encode(self, text: str) -> list[int]:
        """Les ids du texte, précédés de `<bos>`. ValueError s’il n’y en a aucun."""
        bos_id = self.tokenizer.bos_id
        ids = ([] if bos_id is None else [bos_id]) + self.tokenizer.encode(text)
        if not ids:
            raise ValueError(
                "Le texte est vide et le tokeniseur n’a pas de jeton <bos> : donnez au moins un "
                "mot pour commencer."
            )
        return ids

    def _stop_ids(self) -> tuple[int, ...]:
        return () if self.tokenizer.eos_id is None else (self.tokenizer.eos_id,)

    def _decode(self, ids: list[int]) -> str:
        # Un modèle peut avoir plus de jetons que le tokeniseur (table arrondie) : on les tait.
        known = [token_id for token_id in ids if token_id < self.tokenizer.vocab_size]
        return self.tokenizer.decode(known, skip_special_tokens=True)
