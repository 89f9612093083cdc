"""Les romans que le romancier a lus deux fois, et ceux de son jeu de test qu’il avait déjà lus.

    python -m course_experiments.romancier.repeats --novels DOSSIER

Les outils sont ceux du micro-web (`course_lib.cleaning`). « paires » : les romans que MinHash
rapproche, leur ressemblance estimée et la vraie ; une graine est un tirage des hachages.
« doubles » et « jeu de test » sont mesurés une fois. Les mesures vont dans
`results/romancier.repeats.json`.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from course_experiments.experiment import Experiment
from course_experiments.romancier.duplicates import duplicate_of, found_elsewhere
from course_experiments.romancier.novels import (
    CLEAN,
    SEEN,
    Novel,
    add_novels_option,
    read_novels,
    with_novels,
)
from course_lib.cleaning.exact import exact_duplicates
from course_lib.cleaning.minhash import (
    MIN_SIMILARITY,
    N_BANDS,
    N_ROWS,
    SHINGLE_SIZE,
    candidate_pairs,
    jaccard,
    signatures,
)

PAIRS, DOUBLES, TEST = "paires", "doubles", "jeu de test"


@dataclass(frozen=True)
class Quotation:
    """Un passage, tel que deux éditions d’un roman l’impriment."""

    title: str
    novels: tuple[str, str]
    passages: tuple[str, str]


QUOTATIONS = (
    Quotation(
        "Flaubert, L'Éducation sentimentale",
        ("FRA01301_Flaubert", "FRA40041"),
        (
            "La présence de Frédéric ne le dérangea pas. Il se tourna vers lui plusieurs fois, en "
            "l'interpellant par des clins d'œil ; ensuite il offrit des cigares à tous ceux qui "
            "l'entouraient.",
            "La présence de Frédéric ne le dérangea pas. Il se tourna vers lui plusieurs fois, en "
            "l'interpellant par des clins d'oeil ; ensuite il offrit des cigares à tous ceux qui "
            "l'entouraient.",
        ),
    ),
    Quotation(
        "Huysmans, Les Sœurs Vatard",
        ("FRA40382", "FRA40638"),
        (
            "Les gosiers des hommes, des gosiers saccagés par le trois-six, tonnèrent également, "
            "trouant de leur toux rauque les cris grêles des filles",
            "Les gosiers des hommes, gosiers saccagés par le trois-six, tonnèrent également, "
            "trouant de leur toux rauque les cris grêles des filles",
        ),
    ),
)


@dataclass(frozen=True)
class Settings:
    """Ce que cherche MinHash : suites de mots, bandes et lignes, ressemblance demandée."""

    shingle: int = SHINGLE_SIZE
    bands: int = N_BANDS
    rows: int = N_ROWS
    similarity: float = MIN_SIMILARITY


def close_pairs(novels: list[Novel], seed: int, settings: Settings) -> dict:
    """Les paires que MinHash propose : [noms, ressemblance estimée, ressemblance exacte]."""
    texts = [novel.text for novel in novels]
    signature = signatures(texts, settings.bands * settings.rows, settings.shingle, seed)
    return {
        "pairs": [
            [
                novels[a].name,
                novels[b].name,
                float((signature[a] == signature[b]).mean()),
                jaccard(texts[a], texts[b], settings.shingle),
            ]
            for a, b in candidate_pairs(signature, settings.bands, settings.rows).tolist()
        ]
    }


def count_doubles(novels: list[Novel], settings: Settings) -> dict:
    """Combien de romans répètent un autre, et comment : mot pour mot, à peu près, ou contenus."""
    texts = [novel.text for novel in novels]
    firsts, same = duplicate_of(texts), exact_duplicates(texts)
    kinds = Counter()
    for rank, first in enumerate(firsts):
        if first is None:
            continue
        if same[rank] != rank:
            kinds["exact"] += 1
        elif jaccard(texts[rank], texts[first], settings.shingle) >= settings.similarity:
            kinds["near"] += 1
        else:
            kinds["contained"] += 1
    lost = sum(len(text) for text, first in zip(texts, firsts, strict=True) if first is not None)
    return {
        "novels": len(novels),
        "characters": sum(map(len, texts)),
        "repeated_characters": lost,
        **kinds,
    }


def search_test_set(novels: list[Novel]) -> dict:
    """Pour chaque roman mis de côté, la part de ses suites de treize mots lue à l’entraînement."""
    texts = {novel.name: novel.text for novel in novels}
    titles = {novel.name: novel.author for novel in novels if novel.role in (CLEAN, SEEN)}
    shares = found_elsewhere(texts, list(titles))
    quoted = all(
        passage in texts[name]
        for quotation in QUOTATIONS
        for name, passage in zip(quotation.novels, quotation.passages, strict=True)
    )
    return {"shares": {titles[name]: share for name, share in shares.items()}, "quoted": quoted}


def measure(name: str, seed: int, settings: Settings, novels: Path) -> dict:
    """Une des trois mesures, sur tous les romans de la liste livrée."""
    read = list(read_novels(novels))
    if name == PAIRS:
        return close_pairs(read, seed, settings)
    return count_doubles(read, settings) if name == DOUBLES else search_test_set(read)


EXPERIMENT = Experiment(
    "romancier.repeats",
    "Cherche les romans lus deux fois, et ceux du jeu de test déjà lus.",
    Settings(),
    [PAIRS],
    measure,
    once=[DOUBLES, TEST],
    add_options=add_novels_option,
    adapt=with_novels,
)
load_results = EXPERIMENT.load


if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
