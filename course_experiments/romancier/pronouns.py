"""« Parce qu’il », « parce qu’elle » : où le romancier cherche-t-il le genre du pronom ?

    python -m course_experiments.romancier.pronouns

Quatre-vingts phrases, « Le roi ne put rejoindre la reine, parce qu' » : deux noms de genres
opposés, chacun à son tour sujet. On demande au romancier la part de chaque pronom, puis on lui
cache un nom à partir de « parce ». On relève ensuite, tête par tête, l’attention que le dernier
jeton porte au sujet ; enfin on coupe cette seule lecture. Les têtes se choisissent sur les premiers
cadres et se coupent sur les autres. Aucun hasard : une seule mesure, dans
`results/romancier.pronouns.json`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_experiments.experiment import Experiment
from course_lib.generation.readers import reading
from course_lib.interpretation import masked_edges, recorded_attention
from course_lib.models.shipped import load_romancier
from course_lib.tokenization import Tokenizer
from course_lib.transformer import Decoder

NOUNS = (
    ("roi", "reine"),
    ("père", "mère"),
    ("mari", "femme"),
    ("frère", "sœur"),
    ("vieillard", "jeune fille"),
    ("marquis", "marquise"),
    ("fils", "fille"),
    ("curé", "servante"),
    ("comte", "comtesse"),
    ("prince", "princesse"),
)
FRAMES = (
    "{} ne put rejoindre {}, parce qu'",
    "{} n'osa pas répondre à {}, parce qu'",
    "{} quitta {} sans un mot, parce qu'",
    "{} regardait {} avec inquiétude, parce qu'",
)
PRONOUNS = ("il", "elle")


@dataclass(frozen=True)
class Settings:
    """Les couples de noms, les cadres, et combien servent à choisir les têtes."""

    nouns: Sequence[tuple[str, str]] = NOUNS
    frames: Sequence[str] = FRAMES
    choosing_frames: int = 2


@dataclass(frozen=True)
class Sentences:
    """Des phrases en jetons, (B, T) calés à gauche, et les masques de leurs mots.

    `last` (B,) est le rang du dernier jeton ; `subject`, `other`, `after` (B, T) sont vrais sur le
    sujet, sur l’autre nom, à partir de « parce » ; `feminine` (B,) dit le genre du sujet.
    """

    texts: list[str]
    ids: Tensor
    last: Tensor
    subject: Tensor
    other: Tensor
    after: Tensor
    feminine: Tensor


def write(frame: str, subject: str, other: str) -> str:
    """La phrase d’un cadre ; « à le » s’y contracte."""
    return frame.format(subject.capitalize(), other).replace("à le ", "au ")


def prepare(
    frames: Iterable[str], nouns: Sequence[tuple[str, str]], tokenizer: Tokenizer
) -> Sentences:
    """Toutes les phrases de ces cadres : chaque couple deux fois, chacun des noms y étant sujet."""
    cases = [
        (frame, subject, other, feminine)
        for frame in frames
        for man, woman in nouns
        for subject, other, feminine in (
            (f"le {man}", f"la {woman}", False),
            (f"la {woman}", f"le {man}", True),
        )
    ]
    texts = [write(frame, subject, other) for frame, subject, other, _ in cases]
    encoded = [tokenizer.encode_with_spans(text) for text in texts]
    shape = (len(texts), max(len(ids) for ids, _ in encoded))
    ids = torch.zeros(shape, dtype=torch.long)
    masks = {name: torch.zeros(shape, dtype=torch.bool) for name in ("subject", "other", "after")}
    for row, (text, (tokens, spans), case) in enumerate(zip(texts, encoded, cases, strict=True)):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        reason = text.index("parce")
        noun = text.rindex(case[2].split(" ", 1)[1], 0, reason)
        article = text.rindex(" ", 0, noun - 1)
        places = {
            "subject": (0, len(case[1])),
            "other": (article + 1, noun + len(case[2]) - len("le ")),
            "after": (reason, len(text)),
        }
        for name, (first, end) in places.items():
            for rank, (a, b) in enumerate(spans):
                masks[name][row, rank] = a < end and b > first and b > a
    return Sentences(
        texts=texts,
        ids=ids,
        last=torch.tensor([len(tokens) - 1 for tokens, _ in encoded]),
        feminine=torch.tensor([feminine for *_, feminine in cases]),
        **masks,
    )


def agreement(
    model: Decoder,
    tokenizer: Tokenizer,
    sentences: Sentences,
    hidden: Tensor | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> Tensor:
    """Part du pronom qui s’accorde avec le sujet, entre « il » et « elle », (B,).

    `hidden` (B, T) : les mots que plus rien ne lit à partir de « parce » ; `layer`, `head` : dans
    cette seule tête.
    """
    hidden = torch.zeros_like(sentences.after) if hidden is None else hidden
    edges = sentences.after[:, :, None] & hidden[:, None, :]
    where = {} if layer is None else {"layers": [layer], "heads": [head]}
    with reading(model), masked_edges(model, edges, **where):
        vectors = model.hidden(sentences.ids)[torch.arange(len(sentences.ids)), sentences.last]
        scores = model.head(vectors)[:, _pronoun_ids(tokenizer)]  # (B, 2)
    feminine_share = scores.softmax(-1)[:, 1]
    return torch.where(sentences.feminine, feminine_share, 1 - feminine_share)


def _pronoun_ids(tokenizer: Tokenizer) -> list[int]:
    return [tokenizer.encode(f"parce qu'{pronoun}")[-1] for pronoun in PRONOUNS]


def attention_to(model: Decoder, sentences: Sentences, words: Tensor) -> Tensor:
    """Attention du dernier jeton à ces mots (B, T), bloc par bloc et tête par tête, (B, L, H)."""
    with reading(model), recorded_attention(model) as maps:
        model.hidden(sentences.ids)
    weights = torch.stack(maps["decoder"], dim=1)  # (B, L, H, T, T)
    read = weights[torch.arange(len(weights)), :, :, sentences.last]  # (B, L, H, T)
    return (read * words[:, None, None, :]).sum(-1)


def measure(name: str, seed: int, settings: Settings) -> dict:
    """Part accordée au sujet, noms cachés ou non ; attention au sujet ; chaque tête coupée."""
    model, tokenizer = load_romancier()
    n_chosen = settings.choosing_frames
    every = prepare(settings.frames, settings.nouns, tokenizer)
    choosing = prepare(settings.frames[:n_chosen], settings.nouns, tokenizer)
    measuring = prepare(settings.frames[n_chosen:], settings.nouns, tokenizer)
    whole = agreement(model, tokenizer, measuring).mean()
    n_layers, n_heads = len(model.blocks), model.blocks[0].self_attention.n_heads
    return {
        "agreement": agreement(model, tokenizer, every).tolist(),
        "subject_hidden": agreement(model, tokenizer, every, every.subject).tolist(),
        "other_hidden": agreement(model, tokenizer, every, every.other).tolist(),
        "attention": attention_to(model, choosing, choosing.subject).mean(0).tolist(),
        "loss": [
            [
                float(
                    whole
                    - agreement(model, tokenizer, measuring, measuring.subject, layer, head).mean()
                )
                for head in range(n_heads)
            ]
            for layer in range(n_layers)
        ],
    }


EXPERIMENT = Experiment(
    "romancier.pronouns",
    "Cherche où le romancier lit le genre du pronom qu’il va écrire.",
    Settings(),
    ["romancier"],
    measure,
    seeds=(0,),
)


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
