"""La diversité d’un lot de textes : à quel point ils se répètent les uns les autres."""

from collections.abc import Iterable


def distinct_ngrams(texts: Iterable[str], n: int = 4) -> float:
    """Part des n-grammes de mots qui ne sont pas des redites, tous textes réunis, dans ]0, 1].

    Vaut 1 si aucun groupe de n mots ne revient, et tend vers 0 si les textes se ressemblent. Elle
    baisse avec la quantité de texte : on ne compare que des lots de même taille.
    Source : Li et al. 2016, « distinct-n ». ValueError si aucun texte n’a n mots.
    """
    if type(n) is not int or n < 1:
        raise ValueError(f"n = {n} : il faut un entier d’au moins 1, le nombre de mots du groupe.")
    seen, total = set(), 0
    for text in texts:
        words = text.split()
        groups = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        seen.update(groups)
        total += len(groups)
    if not total:
        raise ValueError(f"Aucun texte n’a {n} mots : donnez des textes plus longs, ou un n < {n}.")
    return len(seen) / total
