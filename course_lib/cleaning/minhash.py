"""Les presque-doublons : MinHash estime la ressemblance, LSH évite de comparer toutes les paires.

La ressemblance de deux textes est celle de leurs ensembles de k mots consécutifs A et B :
J = |A ∩ B| / |A ∪ B| (Jaccard). Pour une fonction de hachage h tirée au hasard,

    P(min h(A) = min h(B)) = J,

donc la part des places où deux signatures de m minima coïncident estime J sans biais, avec
l’écart-type √(J (1 − J) / m) (Broder, 1997, doi:10.1109/SEQUEN.1997.666900).

On coupe la signature en b bandes de r lignes et l’on compare les seules pages qui partagent une
bande entière. Deux pages de ressemblance s se rencontrent avec la probabilité

    1 − (1 − s^r)^b,

une courbe en S dont le seuil est voisin de (1/b)^(1/r). Coût pour n pages de L mots : n·L·m
opérations pour les signatures et n·b·log n pour les bandes, au lieu de n²/2 comparaisons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np

from course_lib.cleaning.exact import words_of

N_BANDS, N_ROWS = 32, 4  # seuil voisin de 0,42 : les candidats sont ensuite vérifiés
SHINGLE_SIZE = 5
MIN_SIMILARITY = 0.5
_CHUNK = 2_000  # textes hachés ensemble : borne la mémoire
_MULTIPLIER = 0x9E3779B97F4A7C15


def _mix(values: np.ndarray) -> np.ndarray:
    """Brasse des entiers de 64 bits (finale de SplitMix64) : des voisins deviennent étrangers."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class ShingleHasher:
    """Transforme un texte en empreintes de ses suites de `size` mots ; retient les mots connus."""

    def __init__(self, size: int = SHINGLE_SIZE):
        if size < 1:
            raise ValueError(f"Taille reçue : {size}. Une suite compte au moins un mot.")
        self.size = size
        self._words: dict[str, int] = {}

    def _word(self, word: str) -> int:
        value = self._words.get(word)
        if value is None:
            digest = blake2b(word.encode("utf-8"), digest_size=8).digest()
            value = self._words[word] = int.from_bytes(digest, "big")
        return value

    def __call__(self, text: str) -> np.ndarray:
        """Empreintes (N − size + 1,) d’un texte de N mots ; une seule s’il est plus court."""
        words = np.array([self._word(word) for word in words_of(text)], dtype=np.uint64)
        n = max(1, len(words) - self.size + 1)
        total = np.zeros(n, dtype=np.uint64)
        for shift in range(min(self.size, len(words))):
            total = total * np.uint64(_MULTIPLIER) + words[shift : shift + n]
        return _mix(total)


def jaccard(first: str, second: str, size: int = SHINGLE_SIZE) -> float:
    """Ressemblance exacte de deux textes, entre 0 et 1."""
    hasher = ShingleHasher(size)
    a, b = set(hasher(first).tolist()), set(hasher(second).tolist())
    return len(a & b) / len(a | b)


def signatures(
    texts: Sequence[str], n_hashes: int = N_BANDS * N_ROWS, size: int = SHINGLE_SIZE, seed: int = 0
) -> np.ndarray:
    """Signatures MinHash (n_textes, n_hashes), uint32.

    La famille de hachage est (a·x + b) mod 2⁶⁴, dont on garde les 32 bits de tête, a impair.
    Erreur : ValueError si `n_hashes` ou `size` est inférieur à 1.
    """
    if n_hashes < 1:
        raise ValueError(f"n_hashes = {n_hashes} : une signature compte au moins un minimum.")
    hasher = ShingleHasher(size)
    factors, offsets = np.random.default_rng(seed).integers(
        2**64, size=(2, n_hashes), dtype=np.uint64
    )
    result = np.empty((len(texts), n_hashes), dtype=np.uint32)
    for start in range(0, len(texts), _CHUNK):
        shingles = [hasher(text) for text in texts[start : start + _CHUNK]]
        starts = np.cumsum([0] + [len(values) for values in shingles[:-1]])
        joined = np.concatenate(shingles)  # (somme des longueurs,)
        for i, (factor, offset) in enumerate(zip(factors | np.uint64(1), offsets, strict=True)):
            hashed = ((joined * factor + offset) >> np.uint64(32)).astype(np.uint32)
            result[start : start + _CHUNK, i] = np.minimum.reduceat(hashed, starts)
    return result


def collision_probability(similarity, n_bands: int = N_BANDS, n_rows: int = N_ROWS):
    """Probabilité 1 − (1 − s^r)^b que deux pages de ressemblance s partagent une bande."""
    return 1 - (1 - np.asarray(similarity, dtype=float) ** n_rows) ** n_bands


def candidate_pairs(
    signature: np.ndarray, n_bands: int = N_BANDS, n_rows: int = N_ROWS
) -> np.ndarray:
    """Paires (P, 2) de pages qui partagent une bande, chacune une fois, la première d’abord.

    Dans une bande, une page n’est reliée qu’à la précédente de même contenu : les groupes restent
    liés sans que mille copies fassent un demi-million de paires. ValueError si la signature ne
    compte pas n_bands · n_rows places.
    """
    n, width = signature.shape
    if width != n_bands * n_rows:
        raise ValueError(
            f"La signature compte {width} places : {n_bands} bandes de {n_rows} lignes en "
            f"demandent {n_bands * n_rows}."
        )
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for rows in np.split(signature.astype(np.uint64), n_bands, axis=1):  # (n, n_rows)
        keys = np.zeros(n, dtype=np.uint64)
        for column in rows.T:
            keys = _mix(keys * np.uint64(_MULTIPLIER) + column)
        order = np.argsort(keys, kind="stable")
        same = keys[order[1:]] == keys[order[:-1]]
        pairs.append(np.stack([order[:-1][same], order[1:][same]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def near_duplicates(
    texts: Sequence[str],
    min_similarity: float = MIN_SIMILARITY,
    n_bands: int = N_BANDS,
    n_rows: int = N_ROWS,
    seed: int = 0,
) -> list[int]:
    """Pour chaque texte, le rang du premier de ses presque-doublons, ou le sien s’il est seul.

    Un groupe réunit, de proche en proche, les candidats dont la ressemblance estimée atteint
    `min_similarity`. Erreur : ValueError si `min_similarity` n’est pas entre 0 et 1.
    """
    if not 0 <= min_similarity <= 1:
        raise ValueError(f"min_similarity = {min_similarity} : donnez un nombre entre 0 et 1.")
    signature = signatures(texts, n_bands * n_rows, seed=seed)
    pairs = candidate_pairs(signature, n_bands, n_rows)
    parents = list(range(len(texts)))
    for first, second in _similar(signature, pairs, min_similarity):
        a, b = _root(parents, first), _root(parents, second)
        parents[max(a, b)] = min(a, b)
    return [_root(parents, i) for i in range(len(texts))]


def _similar(
    signature: np.ndarray, pairs: np.ndarray, min_similarity: float
) -> Iterator[tuple[int, int]]:
    for start in range(0, len(pairs), 100_000):
        block = pairs[start : start + 100_000]
        agreement = (signature[block[:, 0]] == signature[block[:, 1]]).mean(axis=1)
        yield from block[agreement >= min_similarity].tolist()


def _root(parents: list[int], i: int) -> int:
    """La tête d’un groupe ; les chemins suivis sont raccourcis au passage."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i
