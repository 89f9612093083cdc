"""Les romans en double, et ceux que l’on met de côté sans qu’il en reste trace ailleurs.

Trois regards, du plus strict au plus large : les mêmes mots (`cleaning.exact`), presque les mêmes
suites de mots (`cleaning.minhash`), et les mêmes longs paragraphes, qui trouvent un roman republié
dans un recueil. Un auteur se reconnaît aux mots de son nom : réunir deux auteurs ne coûte rien, en
couper un en deux fausse toute la mesure.
"""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from tqdm.auto import tqdm

from course_lib.cleaning.contamination import ContaminationIndex
from course_lib.cleaning.exact import exact_duplicates, fingerprint
from course_lib.cleaning.minhash import near_duplicates

LONG_PARAGRAPH = 200  # caractères : un plus court peut se redire par hasard
SHARED_PARAGRAPHS = 0.5  # part des longs paragraphes déjà lus à partir de laquelle c’est un double
MAX_COVERAGE = 0.01  # part des suites de treize mots qu’un roman réservé peut partager
_PARTICLES = {"de", "du", "des", "le", "la", "comte", "comtesse", "baron", "vicomte", "mme", "m"}


def name_words(author: str) -> tuple[str, ...]:
    """Les mots d’un nom, sans accents, majuscules, dates ni particules."""
    flat = unicodedata.normalize("NFKD", author).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z]+", flat)
    return tuple(word for word in words if word not in _PARTICLES) or tuple(words)


def same_author(first: str, second: str) -> bool:
    """Deux graphies d’un même auteur : même premier mot, ou les mots de l’une tous dans l’autre.

    « Huysmans, Joris-Karl (1848-1907) » et « Karl Huysmans, Joris » sont le même. Deux auteurs d’un
    même nom de famille sont pris pour un seul.
    """
    a, b = name_words(first), name_words(second)
    if not a or not b:
        return a == b
    return a[0] == b[0] or set(a) <= set(b) or set(b) <= set(a)


def duplicate_of(texts: Sequence[str]) -> list[int | None]:
    """Pour chaque roman, le rang de celui qu’il répète, ou None s’il apporte du neuf.

    Le premier d’un groupe est gardé. On lit ensuite les romans du plus long au plus court : celui
    dont la moitié des longs paragraphes ont déjà été lus est un double de celui qui en a le plus.
    """
    firsts = exact_duplicates(texts)
    distinct = [rank for rank, first in enumerate(firsts) if first == rank]
    for place, first in enumerate(near_duplicates([texts[rank] for rank in distinct])):
        firsts[distinct[place]] = distinct[first]
    firsts = [firsts[first] for first in firsts]  # le double d’un double a la même tête
    owners: dict[bytes, int] = {}
    longest_first = sorted(set(firsts), key=lambda rank: -len(texts[rank]))
    for rank in tqdm(longest_first, desc="Paragraphes", unit=" roman", leave=False):
        text = texts[rank]
        marks = [fingerprint(p) for p in text.split("\n") if len(p) >= LONG_PARAGRAPH]
        seen = Counter(owners[mark] for mark in marks if mark in owners)
        if marks and sum(seen.values()) >= SHARED_PARAGRAPHS * len(marks):
            firsts[rank] = seen.most_common(1)[0][0]
        else:
            for mark in marks:
                owners.setdefault(mark, rank)
    firsts = [firsts[first] for first in firsts]
    return [None if first == rank else first for rank, first in enumerate(firsts)]


def held_out(
    texts: Mapping[str, str],
    authors: Mapping[str, str],
    n_novels: int,
    lengths: tuple[int, int] = (250_000, 700_000),
    seed: int = 0,
) -> tuple[list[str], dict[str, float]]:
    """Des romans à mettre de côté : (noms, {nom écarté: part retrouvée ailleurs}).

    Un roman par auteur qui n’en a pas d’autre, de longueur moyenne (en caractères), et dont aucun
    autre roman ne partage plus d’un centième des suites de treize mots : sans quoi il est écarté,
    et l’on en tire un autre. ValueError s’il n’y en a pas assez.
    """
    alone = sorted(
        name
        for name, author in authors.items()
        if lengths[0] < len(texts[name]) < lengths[1]
        and sum(same_author(author, other) for other in authors.values()) == 1
    )
    random.Random(seed).shuffle(alone)
    kept, refused = [], {}
    while len(kept) < n_novels:
        trial, alone = alone[: n_novels - len(kept)], alone[n_novels - len(kept) :]
        if not trial:
            raise ValueError(
                f"{len(kept)} roman(s) d’un auteur absent du reste, pour {n_novels} demandés : "
                "réduisez --held-out."
            )
        for name, share in found_elsewhere(texts, trial).items():
            if share > MAX_COVERAGE:
                refused[name] = share
            else:
                kept.append(name)
    return sorted(kept), refused


def found_elsewhere(texts: Mapping[str, str], names: Sequence[str]) -> dict[str, float]:
    """Pour chaque roman, la plus grande part de ses suites de treize mots lue dans un autre."""
    shares = {}
    index = ContaminationIndex([texts[name] for name in names])
    for other, text in tqdm(texts.items(), desc="Contamination", unit=" roman", leave=False):
        if other not in names:
            rank, share = index.coverage(text)
            if rank is not None:
                shares[names[rank]] = max(share, shares.get(names[rank], 0.0))
    return {name: shares.get(name, 0.0) for name in names}


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
