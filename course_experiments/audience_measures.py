"""Juger des textes écrits pour un public : lisibilité, correction, faits gardés.

Les textes sont ceux d’un modèle ou de la grammaire ; le lecteur strict de
`course_lib.corpora.microworld.audiences` dit à qui ils s’adressent et ce qu’ils affirment.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise

import numpy as np

from course_lib.corpora.microworld.audiences import AUDIENCES, Facts, read
from course_lib.evaluation.intervals import wilson_interval
from course_lib.evaluation.readability import readability, share_outside, words

READINGS = ("kandel_moles", "lix", "sentence_length", "syllables_per_word")


def shares_kept(text: str, expected: Facts) -> dict[str, bool]:
    """Pour chaque fait, s’il est dans le texte ; aucun ne l’est dans un texte illisible."""
    found = read(text)[1]
    names = [field.name for field in fields(Facts)]
    return {n: found is not None and getattr(found, n) == getattr(expected, n) for n in names}


def style(texts: Sequence[str], child_words: frozenset[str]) -> dict:
    """Moyenne et demi-largeur de l’intervalle à 95 % de chaque mesure de lisibilité."""
    measures = {name: [] for name in (*READINGS, "outside_child_words")}
    for text in texts:
        if not words(text):
            continue  # un texte sans mot n’a pas de lisibilité ; il compte comme mal formé
        counts = readability(text)
        for name in READINGS:
            measures[name].append(getattr(counts, name))
        measures["outside_child_words"].append(share_outside(text, child_words))
    return {name: mean_and_margin(values) for name, values in measures.items()}


def mean_and_margin(values: Sequence[float]) -> dict:
    """Moyenne, et 1,96 erreur type ; None s’il y a moins de deux valeurs."""
    if len(values) < 2:
        return {"mean": None, "margin": None}
    margin = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return {"mean": round(float(np.mean(values)), 4), "margin": round(margin, 4)}


def examine(
    texts: Sequence[str], facts: Sequence[Facts], child_words: frozenset[str], audience: str = ""
) -> dict:
    """Lisibilité, correction et fidélité ; sans `audience`, tout public convient."""
    readers = [read(text)[0] for text in texts]
    well_formed = sum(r is not None and (not audience or r == audience) for r in readers)
    kept = [shares_kept(text, each) for text, each in zip(texts, facts, strict=True)]
    n = len(texts)
    return {
        "style": style(texts, child_words),
        "well_formed": well_formed / n,
        "well_formed_interval": [round(x, 4) for x in wilson_interval(well_formed, n)],
        "audiences": dict(Counter(reader or "illisible" for reader in readers)),
        "facts": {name: sum(each[name] for each in kept) / n for name in kept[0]},
        "all_facts": sum(all(each.values()) for each in kept) / n,
    }


def swap_effect(texts: dict[str, list[str]]) -> dict:
    """La même fiche sous trois étiquettes : écarts de lisibilité appariés, faits identiques."""
    scores = {
        name: [readability(t).kandel_moles if words(t) else np.nan for t in each]
        for name, each in texts.items()
    }
    found = zip(*([read(text)[1] for text in each] for each in texts.values()), strict=True)
    result = {"same_facts": float(np.mean([f[0] is not None and len({*f}) == 1 for f in found]))}
    for easy, hard in pairwise(AUDIENCES):
        gaps = np.subtract(scores[easy], scores[hard])
        kept = gaps[~np.isnan(gaps)]
        ordered = round(float(np.mean(kept > 0)), 4)
        result[f"{easy}-{hard}"] = mean_and_margin(kept) | {"ordered": ordered}
    return result


def most_frequent(train_facts: Sequence[Facts], facts: Sequence[Facts]) -> dict[str, float]:
    """Réussite, fait par fait, de qui répond toujours la valeur la plus fréquente."""
    shares = {}
    for field in fields(Facts):
        counts = Counter(getattr(each, field.name) for each in train_facts)
        guess = counts.most_common(1)[0][0]
        shares[field.name] = float(np.mean([getattr(f, field.name) == guess for f in facts]))
    return shares


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
