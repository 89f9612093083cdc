"""Du texte d’un lecteur aux jetons d’un modèle : lire, découper, réserver la validation."""

from dataclasses import dataclass

from course_lib.corpora import read_text
from course_lib.tokenization import BPETokenizer, CharTokenizer, WordTokenizer
from course_lib.training.data import TokenStream

VALIDATION_SHARE = 0.1
_LARGE = 5_000_000  # caractères : au-delà, les morceaux de mots valent mieux que les lettres
_DEFAULT_VOCABULARY = {"bpe": 2048, "word": 8000}


@dataclass(frozen=True)
class PreparedText:
    """Un texte prêt à apprendre : son découpage, la partie apprise, la partie réservée."""

    tokenizer: object
    kind: str
    training: TokenStream
    validation: TokenStream
    n_validation_characters: int
    unknown_share: float  # part des jetons de validation hors du vocabulaire

    @property
    def validation_sample(self) -> TokenStream:
        """Au plus 200 000 jetons de validation : de quoi suivre l’entraînement sans le ralentir."""
        stream = self.validation
        return TokenStream(stream.ids[:200_001], stream.context_length, stream.batch_size)


def prepare_text(
    path, kind: str | None, vocab_size: int | None, context_length: int, batch_size: int, seed: int
) -> PreparedText:
    """Lit le texte, entraîne le découpage et sépare les derniers 10 % pour la validation.

    Les morceaux et les mots ne sont appris que sur la partie d’entraînement. L’alphabet, lui, est
    celui du texte entier : connaître les lettres n’est pas connaître le texte. Lève ce que lève
    `read_text`, et ValueError si le texte est trop court pour le contexte.
    """
    text = read_text(path, min_length=10 * (context_length + 1))
    kind = kind or ("char" if len(text) <= _LARGE else "bpe")
    cut = round(len(text) * (1 - VALIDATION_SHARE))
    tokenizer = _train_tokenizer(kind, text, cut, vocab_size)
    tokenizer.declare_no_start()  # le texte appris est d’un seul tenant : aucun <bos> n’y est mis
    training, validation = tokenizer.encode(text[:cut]), tokenizer.encode(text[cut:])
    if len(training) <= context_length:
        raise ValueError(
            f"Le texte ne donne que {len(training)} jetons d’entraînement : il en faut plus de "
            f"{context_length}, la longueur du contexte. Donnez un texte plus long ou réduisez "
            "--context-length."
        )
    unknown = validation.count(tokenizer.unk_id) / len(validation) if kind != "bpe" else 0.0
    # Le dernier jeton appris sert de contexte au premier jeton de validation.
    held_out = TokenStream([training[-1], *validation], context_length, 4 * batch_size)
    return PreparedText(
        tokenizer,
        kind,
        TokenStream(training, context_length, batch_size, seed),
        held_out,
        len(text) - cut,
        unknown,
    )


def _train_tokenizer(kind: str, text: str, cut: int, vocab_size: int | None):
    if kind == "char":
        return CharTokenizer.train([text])
    tokenizer = {"bpe": BPETokenizer, "word": WordTokenizer}[kind]
    return tokenizer.train([text[:cut]], vocab_size=vocab_size or _DEFAULT_VOCABULARY[kind])
