"""Ce que chaque façon de choisir fait à un vrai modèle : redites, boucles, vraisemblance.

    python -m course_experiments.romancier.degeneration --novels DOSSIER

Cent débuts, pris dans les romans que le romancier n’a pas lus : il en écrit la suite de plusieurs
façons, et l’on mesure aussi la vraie suite. Une graine est un tirage : le modèle n’a été entraîné
qu’une fois. Les mots qu’aucun roman d’entraînement n’écrit sont comptés : un juge partiel.
`--strategies` choisit les façons de tirer ; la même commande reprend où elle en était.
Les mesures vont dans `results/romancier.degeneration.json`.
"""

import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import nn

from course_experiments.experiment import Experiment
from course_experiments.romancier.novels import (
    CLEAN,
    add_novels_option,
    read_novels,
    with_novels,
)
from course_lib.arguments import FrenchArgumentParser
from course_lib.generation import SamplingConfig, beam_search, generate
from course_lib.generation.readers import reading
from course_lib.pretrained.loading import load_pretrained
from course_lib.tokenization import Tokenizer

NOVELS = "les romans"
BEAM = "faisceau de 4"
GREEDY = "gloutonne"
PENALIZED = "gloutonne, pénalité 1,2"
ALONE = (GREEDY, PENALIZED, BEAM)  # rien n’y est tiré au sort : une seule suite par début
DRAWN = ("T = 0,5", "T = 0,8", "T = 1", "T = 1,2", "top-k = 40", "top-p = 0,95", "min-p = 0,1")
STRATEGIES = {
    GREEDY: SamplingConfig(temperature=0),
    "T = 0,5": SamplingConfig(0.5),
    "T = 0,8": SamplingConfig(0.8),
    "T = 1": SamplingConfig(),
    "T = 1,2": SamplingConfig(1.2),
    "top-k = 5": SamplingConfig(top_k=5),
    "top-k = 40": SamplingConfig(top_k=40),
    "top-p = 0,8": SamplingConfig(top_p=0.8),
    "top-p = 0,95": SamplingConfig(top_p=0.95),
    "min-p = 0,05": SamplingConfig(min_p=0.05),
    "min-p = 0,1": SamplingConfig(min_p=0.1),
    "T = 0,8, top-p = 0,95": SamplingConfig(0.8, top_p=0.95),
    PENALIZED: SamplingConfig(temperature=0, repetition_penalty=1.2),
    "T = 1, pénalité 1,2": SamplingConfig(repetition_penalty=1.2),
}


@dataclass(frozen=True)
class Protocol:
    """Combien de débuts et de jetons ; une boucle compte au moins `min_loop` jetons."""

    n_beginnings: int = 100
    prompt_tokens: int = 48
    new_tokens: int = 200
    batch_size: int = 50
    min_loop: int = 24
    beam_width: int = 4
    n_beams: int = 20


def beginnings(
    novels: Path, tokenizer: Tokenizer, protocol: Protocol
) -> list[tuple[list[int], list[int]]]:
    """Des débuts répartis dans les romans jamais lus, et leur vraie suite : couples d’ids.

    Chacun commence avec un paragraphe ; l’alinéa qui le précède en est le premier jeton.
    ValueError si les romans sont trop courts pour en donner assez.
    """
    texts = [novel.text for novel in read_novels(novels, CLEAN)]
    length = protocol.prompt_tokens + protocol.new_tokens
    chosen: list[tuple[list[int], list[int]]] = []
    for rank, text in enumerate(texts):
        wanted = protocol.n_beginnings * (rank + 1) // len(texts) - len(chosen)
        for number in range(wanted):
            start = text.find("\n", len(text) * (2 * number + 1) // (2 * wanted))
            ids = tokenizer.encode(text[start : start + 12 * length])[:length]
            if start < 0 or len(ids) < length:
                raise ValueError(
                    f"Le roman n° {rank + 1} est trop court pour {wanted} débuts de {length} "
                    "jetons : demandez-en moins."
                )
            chosen.append((ids[: protocol.prompt_tokens], ids[protocol.prompt_tokens :]))
    return chosen


def continuations(
    model: nn.Module, prompts: Sequence[list[int]], name: str, seed: int, protocol: Protocol
) -> list[list[int]]:
    """Ce que le modèle écrit après chaque amorce, avec le réglage `name`."""
    if name == BEAM:
        step = max(1, len(prompts) // protocol.n_beams)
        width, n = protocol.beam_width, protocol.new_tokens
        return [beam_search(model, prompt, width, n)[0].ids for prompt in prompts[::step]]
    written = []
    for start in range(0, len(prompts), protocol.batch_size):
        batch = prompts[start : start + protocol.batch_size]
        texts = generate(
            model,
            batch,
            protocol.new_tokens,
            sampling=STRATEGIES[name],
            seed=1000 * seed + start,
        )
        written += [text.ids for text in texts]
    return written


def loop_length(ids: Sequence[int], min_loop: int) -> int:
    """Combien de jetons, à la fin, ne font que répéter ceux d’avant : 0 s’il n’y a pas de boucle.

    Une boucle de période p : chaque jeton y est celui d’il y a p rangs. Elle compte si elle dure
    au moins `min_loop` jetons et deux périodes ; on garde la plus longue.
    """
    best = 0
    for period in range(1, len(ids) // 2 + 1):
        length = 0
        while length < len(ids) - period and ids[-1 - length] == ids[-1 - length - period]:
            length += 1
        if length >= max(min_loop, period):
            best = max(best, length)
    return best


def repeated_4grams(ids: Sequence[int]) -> float:
    """Part des groupes de quatre jetons d’une suite qui y sont des redites, dans [0, 1[."""
    groups = [tuple(ids[k : k + 4]) for k in range(len(ids) - 3)]
    return 1 - len(set(groups)) / len(groups)


def common_words(text: str) -> list[str]:
    """Les mots sans majuscule, entiers ; un nom propre n’est pas une faute."""
    return re.findall(r"(?<!\w)[a-zà-öø-ÿœ]+(?!\w)", text)


@cache
def read_words(novels: Path) -> frozenset[str]:
    """Tous les mots sans majuscule que les romans d’entraînement écrivent."""
    words: set[str] = set()
    for novel in read_novels(novels, "training"):
        words.update(common_words(novel.text))
    return frozenset(words)


def unread_share(texts: Sequence[str], known: frozenset[str]) -> float:
    """Part des mots de ces textes qui ne sont pas dans `known` ; bords ôtés, s’ils sont coupés."""
    words = [word for text in texts for word in common_words(text)[1:-1]]
    return sum(word not in known for word in words) / len(words) if words else 0.0


@torch.no_grad()
def nats_per_token(model: nn.Module, prompt: Sequence[int], ids: Sequence[int]) -> float:
    """La surprise moyenne de cette suite pour le modèle, à T = 1, en nats par jeton."""
    read = torch.tensor([[*prompt, *ids]])
    with reading(model):
        log_probs = model(read[:, :-1])[0].log_softmax(-1)
    targets = read[0, len(prompt) :]
    return -float(log_probs[-len(ids) :].gather(1, targets[:, None]).mean())


def measures(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompts: Sequence[list[int]],
    written: Sequence[list[int]],
    protocol: Protocol,
    known: frozenset[str],
) -> dict:
    """Redites, variété des mots, boucles, mots jamais lus et surprise d’un lot de suites."""
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in written]
    words = [text.lower().split() for text in texts]
    loops = [loop_length(ids, protocol.min_loop) for ids in written]
    looping = [length for length in loops if length]
    step = max(1, len(prompts) // len(written))
    pairs = zip(prompts[::step], written, strict=False)
    return {
        "texts": len(texts),
        "repeated_4grams": sum(map(repeated_4grams, written)) / len(written),
        "distinct_words": sum(len(set(w)) / len(w) for w in words) / len(words),
        "looping_share": len(looping) / len(loops),
        "loop_tokens": sum(looping) / len(looping) if looping else 0.0,
        "unread_words": unread_share(texts, known),
        "nats_per_token": sum(nats_per_token(model, p, ids) for p, ids in pairs) / len(written),
        "first": texts[0],
    }


def measure(name: str, seed: int, protocol: Protocol, novels: Path | None = None) -> dict:
    """Les mesures d’un réglage : la suite véritable, ou celle que le modèle écrit."""
    loaded = load_pretrained("romancier")
    pairs = beginnings(novels, loaded.tokenizer, protocol)
    prompts = [prompt for prompt, _ in pairs]
    if name == NOVELS:
        written = [true for _, true in pairs]
    else:
        written = continuations(loaded.model, prompts, name, seed, protocol)
    return measures(loaded.model, loaded.tokenizer, prompts, written, protocol, read_words(novels))


def adapted(experiment: Experiment, options: Namespace) -> Experiment:
    """L’expérience, une fois connus le dossier des romans et les façons de tirer à essayer."""
    chosen = options.strategies
    return replace(
        with_novels(experiment, options),
        names=[name for name in chosen if name not in ALONE],
        once=[GREEDY, NOVELS, *(name for name in chosen if name in ALONE)],
    )


def add_options(parser: FrenchArgumentParser) -> None:
    """Où sont les romans, et ce que l’on essaie avec le choix glouton."""
    add_novels_option(parser)
    others = [*(name for name in STRATEGIES if name != GREEDY), BEAM]
    parser.add_argument(
        "--strategies",
        nargs="+",
        choices=others,
        default=[*DRAWN, PENALIZED, BEAM],
        metavar="NOM",
        help=f"façons de tirer à mesurer (une à trois minutes chacune), parmi {', '.join(others)}",
    )


EXPERIMENT = Experiment(
    name="romancier.degeneration",
    description="Mesure ce que chaque façon de choisir fait aux textes du romancier.",
    settings=Protocol(),
    names=DRAWN,
    once=(GREEDY, NOVELS, PENALIZED, BEAM),
    seeds=(0,),
    measure=measure,
    seeds_option=("--draws", "tirages"),
    add_options=add_options,
    adapt=adapted,
)

if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
