"""Écrire avec des mots : le modèle et son tokeniseur réunis."""

import warnings
from collections.abc import Iterator
from inspect import signature

from torch import nn

from course_lib.generation.checks import check_decoder, n_writable
from course_lib.generation.decoding import (
    continuation_log_probs,
    generate,
    next_token_distribution,
)
from course_lib.generation.sampling import SamplingConfig
from course_lib.generation.stopping import WrittenText, split_stops
from course_lib.generation.writer import Generation, Writer
from course_lib.tokenization import Tokenizer

_SETTINGS = tuple(signature(generate).parameters)[3:]


class TextGenerator:
    """Complète des textes : après le jeton de début s’il a été appris, jusqu’à `<eos>`.

    Le tokeniseur sait si le modèle a appris avec un début (`bos_id`, que son fichier précise).
    `settings` désigne partout les réglages de `generate`. `stop_ids` vaut par défaut `eos_id` ;
    `stop_sequences` accepte aussi des textes, cherchés dans la suite (jamais dans le début donné)
    quel que soit leur découpage en jetons. Le texte rendu ne montre ni l’arrêt, quelle qu’en soit
    la forme, ni les jetons spéciaux ; `Generation.ids` garde tout ce qui a été écrit. Quand la
    fenêtre glisse, le jeton de début reste en tête.
    ValueError si le tokeniseur connaît des jetons que le modèle ignore, TypeError si le modèle
    n’écrit pas.
    """

    def __init__(self, model: nn.Module, tokenizer: Tokenizer):
        check_decoder(model)
        if not hasattr(tokenizer, "encode") or not hasattr(tokenizer, "special_tokens"):
            raise TypeError(
                f"Le tokeniseur est un {type(tokenizer).__name__} : donnez d’abord le modèle, puis "
                "son tokeniseur, lu par exemple par load_tokenizer."
            )
        vocab_size = n_writable(model)
        if tokenizer.vocab_size > vocab_size:
            raise ValueError(
                f"Le tokeniseur a {tokenizer.vocab_size} jetons et le modèle en connaît "
                f"{vocab_size} : prenez celui avec lequel le modèle a été entraîné."
            )
        self.model = model
        self.tokenizer = tokenizer
        self.tokens = tokenizer.tokens

    def complete(self, text: str, max_new_tokens: int = 200, **settings) -> str:
        """Le texte, tel qu’il est donné, et sa suite."""
        (result,) = self.generate([text], max_new_tokens, **settings)
        return text + result.text

    def generate(self, texts: list[str], max_new_tokens: int = 200, **settings) -> list[Generation]:
        """Les suites de plusieurs débuts, écrites ensemble ; `text` est celle qui se montre."""
        if isinstance(texts, str):
            raise TypeError(
                "Il faut une liste de débuts ; reçu une seule chaîne. Mettez-la entre crochets, ou "
                "appelez complete."
            )
        writer = self._writer(list(texts), max_new_tokens, settings)
        for _ in writer.steps():
            pass
        return writer.results

    def stream(self, text: str, max_new_tokens: int = 200, **settings) -> Iterator[str]:
        """La suite, morceau par morceau, sans jamais montrer le début d’un arrêt.

        Un caractère en plusieurs jetons attend d’être entier. Les réglages impossibles sont refusés
        dès l’appel.
        """
        return _pieces(self._writer([text], max_new_tokens, settings))

    def _writer(self, texts: list[str], max_new_tokens: int, settings: dict) -> Writer:
        _check_names(settings)
        stops, sequences = split_stops(
            settings.pop("stop_sequences", ()), self.tokenizer, n_writable(self.model)
        )
        eos_id = self.tokenizer.eos_id
        settings.setdefault("stop_ids", () if eos_id is None else (eos_id,))
        settings.setdefault("n_kept", self._n_kept())
        prompts = [self._fitting(text) for text in texts]
        written = [
            WrittenText(
                self.tokenizer, prompt, stops, sequences, self._gives_back_space(text, prompt)
            )
            for text, prompt in zip(texts, prompts, strict=True)
        ]
        return Writer(
            self.model,
            prompts,
            max_new_tokens,
            stop_sequences=sequences,
            written=written,
            **settings,
        )

    def _fitting(self, text: str) -> list[int]:
        """Les ids d’un début. ValueError s’il ne tient pas dans le contexte."""
        ids, context = self.encode(text), self.model.embedding.context_length
        if len(ids) > context:
            raise ValueError(
                f"Le début a {len(text)} caractères, soit {len(ids)} jetons, et le contexte du "
                f"modèle en tient {context} : donnez-en la fin, à peu près "
                f"text[-{len(text) * context // len(ids)}:], ou moins encore."
            )
        return ids

    def _warn_of_unknown(self, text: str, ids: list[int], spans: list[tuple[int, int]]) -> None:
        unknown = self.tokenizer.unk_id
        if unknown is None or unknown not in ids:
            return
        name = self.tokens[unknown]
        pairs = zip(ids, spans, strict=True)
        pieces = dict.fromkeys(text[a:b] for token_id, (a, b) in pairs if token_id == unknown)
        pieces.pop(name, None)  # écrit exprès
        if pieces:
            shown = ", ".join(f"« {piece} »" for piece in list(pieces)[:5])
            warnings.warn(
                f"Hors du vocabulaire : {shown}{'…' if len(pieces) > 5 else ''}. Le modèle lit "
                f"{name} à la place, et ne sait pas ce que vous avez écrit.",
                stacklevel=3,
            )

    def _n_kept(self) -> int:
        """Les jetons de début, que la fenêtre garde en tête si le contexte a la place."""
        return min(len(self._start()), self.model.embedding.context_length - 1)

    def _gives_back_space(self, text: str, prompt: list[int]) -> bool:
        """Vrai si le tokeniseur a oublié l’espace finale, que son premier mot remettrait."""
        if not text.endswith(" "):
            return False
        return not self.tokenizer.decode(prompt, skip_special_tokens=True).endswith(" ")

    def next_tokens(
        self, text: str, n: int = 10, sampling: SamplingConfig | None = None
    ) -> list[tuple[str, float]]:
        """Les n jetons suivants les plus probables, lisibles, avec leur probabilité."""
        if type(n) is not int or n < 1:
            raise ValueError(f"n = {n!r} : il faut un entier d’au moins 1, le nombre de jetons.")
        probabilities = next_token_distribution(self.model, self.encode(text), sampling)
        best = probabilities[: len(self.tokens)].topk(min(n, len(self.tokens)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(self.tokens[token_id], probability) for token_id, probability in pairs]

    def log_prob(self, text: str, ended: bool = False) -> float:
        """Log-probabilité du texte, en nats ; `ended` y ajoute celle de s’arrêter là.

        Sans jeton de début appris, le premier jeton est donné et ne compte pas.
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
        """Les ids du texte, précédés du jeton de début s’il a été appris. ValueError s’il est vide.

        Le texte est pris tel quel : un jeton spécial qui y est écrit est lu comme tel. Avertit
        (UserWarning) de ce qui est hors du vocabulaire : le modèle lit « inconnu » à la place.
        """
        ids, spans = self.tokenizer.encode_with_spans(text)
        self._warn_of_unknown(text, ids, spans)
        ids = [*self._start(), *ids]
        if not ids:
            raise ValueError(
                "Le texte est vide et le modèle n’a pas appris de jeton <bos> : donnez au moins un "
                "mot pour commencer."
            )
        return ids

    def _start(self) -> list[int]:
        """Le début de tout texte : `bos_id`, ou à défaut celui que demande le tokeniseur."""
        bos_id = self.tokenizer.bos_id
        return list(self.tokenizer.frame[0]) if bos_id is None else [bos_id]


def _pieces(writer: Writer) -> Iterator[str]:
    (written,) = writer.written
    for _ in writer.steps():
        piece = written.piece()
        if piece:
            yield piece


def _check_names(settings: dict) -> None:
    """TypeError, avec le bon réglage, si un nom n’est pas l’un de ceux de `generate`."""
    unknown = sorted(set(settings) - set(_SETTINGS))
    if not unknown:
        return
    remedy = f"Les réglages sont : {', '.join(_SETTINGS)}."
    if unknown[0] in SamplingConfig.__dataclass_fields__:
        remedy = f"Écrivez sampling=SamplingConfig({unknown[0]}=…)."
    raise TypeError(f"Réglage inconnu : {unknown[0]}. {remedy}")
