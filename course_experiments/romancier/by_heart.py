"""Ce que le romancier sait par cœur : un passage lu une fois, deux fois, trois fois ou jamais.

    python -m course_experiments.romancier.by_heart --novels DOSSIER

Le corpus contient des romans en double : un paragraphe y est donc présent une, deux ou trois fois,
sans que personne l’ait voulu. Après ses premiers jetons, le modèle retrouve-t-il les suivants ? Les
phrases d’ouverture que tout lecteur connaît sont mesurées à part, contre les phrases qui les
suivent. Les mesures vont dans `results/romancier.by_heart.json`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from course_experiments.experiment import Experiment
from course_experiments.romancier.novels import CLEAN, add_novels_option, read_novels, with_novels
from course_lib.generation.readers import reading
from course_lib.pretrained.loading import Pretrained, load_pretrained

COPIES = ("0 copie", "1 copie", "2 copies", "3 copies ou plus")
OPENINGS = "phrases d'ouverture"
FAMOUS = {
    "Du côté de chez Swann": "Longtemps, je me suis couché de bonne heure.",
    "Salammbô": "C'était à Mégara, faubourg de Carthage, dans les jardins d'Hamilcar.",
    "L'Éducation sentimentale": "Le 15 septembre 1840, vers six heures du matin",
    "Les Misérables": "En 1815, M. Charles-François-Bienvenu Myriel était évêque de Digne.",
    "Germinal": "Dans la plaine rase, sous la nuit sans étoiles",
    "Vingt mille lieues sous les mers": "L'année 1866 fut marquée par un événement bizarre",
    "Nana": "À neuf heures, la salle du théâtre des Variétés était vide encore.",
    "Bel-Ami": "Quand la caissière lui eut rendu la monnaie",
    "Une vie": "Jeanne, ayant fini ses malles, s'approcha de la fenêtre",
}
SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")


@dataclass(frozen=True)
class Protocol:
    """Passages par nombre de copies, jetons donnés puis attendus, phrases voisines comparées."""

    n_passages: int = 100
    given: int = 32
    expected: int = 16
    batch_size: int = 25
    n_neighbours: int = 20


def paragraph_copies(texts: Iterable[str], min_length: int) -> Counter:
    """Combien de fois chaque long paragraphe paraît, espaces mises à part."""
    counts: Counter = Counter()
    for text in texts:
        counts.update(" ".join(p.split()) for p in text.split("\n") if len(p) >= min_length)
    return counts


def passages(novels: Path, copies: str, protocol: Protocol) -> list[str]:
    """Des paragraphes présents ce nombre de fois à l’entraînement, répartis dans le corpus."""
    min_length = 8 * (protocol.given + protocol.expected)
    role = CLEAN if copies == COPIES[0] else "training"
    counts = paragraph_copies((n.text for n in read_novels(novels, role)), min_length)
    wanted = {COPIES[0]: (1,), COPIES[1]: (1,), COPIES[2]: (2,)}.get(copies)
    kept = [p for p, n in counts.items() if (n in wanted if wanted else n >= 3)]
    step = max(1, len(kept) // protocol.n_passages)
    return kept[::step][: protocol.n_passages]


@torch.no_grad()
def log_probs_after(model: nn.Module, ids: Tensor) -> Tensor:
    """log P de chaque jeton après le premier, (B, T - 1, V), pour des suites (B, T)."""
    with reading(model):
        return model(ids[:, :-1]).log_softmax(-1)


def measure_passages(loaded: Pretrained, texts: Sequence[str], protocol: Protocol) -> dict:
    """Jetons retrouvés, suites récitées et surprise, sur les `expected` jetons attendus."""
    length = protocol.given + protocol.expected
    rows = [ids[:length] for t in texts if len(ids := loaded.tokenizer.encode("\n" + t)) >= length]
    first, right, recited, nats = 0, 0, 0, 0.0
    for start in range(0, len(rows), protocol.batch_size):
        ids = torch.tensor(rows[start : start + protocol.batch_size])
        scores = log_probs_after(loaded.model, ids)[:, -protocol.expected :]
        targets = ids[:, -protocol.expected :]
        found = scores.argmax(-1) == targets
        first += int(found[:, 0].sum())
        right += int(found.sum())
        recited += int(found.all(1).sum())  # chaque jeton étant le premier choix : suite gloutonne
        nats -= float(scores.gather(2, targets[..., None]).double().sum())
    return {
        "passages": len(rows),
        "recited": recited,
        "first_right": first,
        "tokens_right": right / (len(rows) * protocol.expected),
        "nats_per_token": nats / (len(rows) * protocol.expected),
    }


def sentence_nats(loaded: Pretrained, sentence: str, before: str = "") -> float:
    """Surprise moyenne d’une phrase après ce qui la précède, hors de ses trois premiers jetons."""
    prefix = len(loaded.tokenizer.encode(before)) if before else 0
    ids = loaded.tokenizer.encode(before + sentence)
    ids, start = ids[-1000:], max(prefix - max(0, len(ids) - 1000), 0) + 3
    read = torch.tensor([ids])
    scores = log_probs_after(loaded.model, read)[0, start - 1 :]
    return -float(scores.gather(1, read[0, start:, None]).mean())


def measure_openings(loaded: Pretrained, novels: Path, protocol: Protocol) -> dict:
    """Chaque phrase connue : ses copies, sa surprise, et son rang parmi les phrases voisines.

    Toutes sont lues seules, derrière un alinéa : le contexte n’aide ni l’une ni les autres.
    """
    texts = [novel.text for novel in read_novels(novels, "training")]
    found = {}
    for title, opening in FAMOUS.items():
        holders = [text for text in texts if opening in text]
        if not holders:
            continue
        after = holders[0][holders[0].index(opening) :][:20_000]
        known, *others = SENTENCE_END.split(after)
        alike = [s for s in others if len(s) >= len(opening)][: protocol.n_neighbours]
        nats = sentence_nats(loaded, known, "\n")
        around = [sentence_nats(loaded, other[: len(known) + 40], "\n") for other in alike]
        found[title] = {
            "copies": len(holders),
            "nats_per_token": nats,
            "neighbours": around,
            "rank": 1 + sum(other < nats for other in around),
        }
    return found


def measure(name: str, seed: int, protocol: Protocol, novels: Path | None = None) -> dict:
    """Les passages de ce nombre de copies, ou les phrases d’ouverture."""
    loaded = load_pretrained("romancier")
    if name == OPENINGS:
        return measure_openings(loaded, novels, protocol)
    return measure_passages(loaded, passages(novels, name, protocol), protocol)


EXPERIMENT = Experiment(
    name="romancier.by_heart",
    description="Mesure ce que le romancier récite, selon le nombre de copies lues.",
    settings=Protocol(),
    names=(*COPIES, OPENINGS),
    seeds=(0,),
    measure=measure,
    n_threads=2,
    add_options=add_novels_option,
    adapt=with_novels,
)

if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
