"""Le cœur du codage par paires d’octets (BPE) : apprendre les fusions, puis les appliquer.

Sennrich, Haddow et Birch (2016), « Neural Machine Translation of Rare Words with Subword
Units », arXiv:1508.07909. On fusionne la paire de jetons voisins la plus fréquente, encore et
encore. Recompter toutes les paires à chaque fusion coûterait des heures : on ne met à jour que
les voisins de la paire fusionnée, et un tas garde la plus fréquente à portée de main.
"""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from tqdm import tqdm

_END, _GONE = -1, -2  # la fin d’un mot, la place d’un jeton fusionné
Pair = tuple[int, int]
Symbol = int | str  # l’id d’un jeton, ou son texte
Find = Callable[[tuple[Symbol, Symbol]], tuple[float, Symbol] | None]


def learn_merges(
    words: Sequence[Sequence[int]],
    counts: Sequence[int],
    vocabulary: list[str],
    vocab_size: int | None,
    min_frequency: int = 2,
    progress: bool = False,
) -> list[Pair]:
    """Apprend les fusions et complète `vocabulary` sur place.

    `words[i]` est la suite des ids du mot i, présent `counts[i]` fois. À fréquence égale, la
    paire de plus petits ids l’emporte. S’arrête à `vocab_size` jetons, ou quand plus aucune
    paire ne revient `min_frequency` fois.
    """
    token_ids = {token: i for i, token in enumerate(vocabulary)}
    chain = _Chain(words, counts)
    heap = [(-count, pair) for pair, count in chain.pair_counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    bar = tqdm(
        total=None if vocab_size is None else max(0, vocab_size - len(vocabulary)),
        desc="Fusions apprises",
        unit=" fusion",
        disable=not progress,
    )
    with bar:
        while heap and (vocab_size is None or len(vocabulary) < vocab_size):
            count, pair = heapq.heappop(heap)
            if -count != chain.pair_counts[pair]:
                continue  # compte périmé : le compte à jour est plus loin dans le tas
            if -count < min_frequency:
                break
            token = vocabulary[pair[0]] + vocabulary[pair[1]]
            new_id = token_ids.setdefault(token, len(vocabulary))
            if new_id == len(vocabulary):
                vocabulary.append(token)
            merges.append(pair)
            for touched in chain.merge(pair, new_id):
                if chain.pair_counts[touched] > 0:
                    heapq.heappush(heap, (-chain.pair_counts[touched], touched))
            bar.update()
    return merges


class _Chain:
    """Tous les mots bout à bout, en une liste chaînée, et les places de chaque paire.

    Une fusion ne visite que les places de sa paire : son coût ne dépend pas de la longueur des
    mots, même si le texte n’a pas une espace.
    """

    def __init__(self, words: Iterable[Sequence[int]], counts: Sequence[int]):
        self.ids: list[int] = []
        self.weights: list[int] = []  # combien de fois revient le mot de chaque place
        self.pair_counts: Counter[Pair] = Counter()
        self._places: defaultdict[Pair, list[int]] = defaultdict(list)
        for word, count in zip(words, counts, strict=True):
            start = len(self.ids)
            for i, pair in enumerate(itertools.pairwise(word), start):
                self.pair_counts[pair] += count
                self._places[pair].append(i)
            self.ids += [*word, _END]
            self.weights += [count] * (len(word) + 1)
        self._following = list(range(1, len(self.ids) + 1))
        self._preceding = list(range(-1, len(self.ids) - 1))

    def merge(self, pair: Pair, new_id: int) -> set[Pair]:
        """Fusionne la paire partout ; renvoie les paires dont le compte a changé."""
        ids, following = self.ids, self._following
        changed = {pair}
        # De gauche à droite : dans « aaa », la première paire l’emporte.
        for i in sorted(self._places.pop(pair)):
            j = following[i]
            if ids[i] != pair[0] or ids[j] != pair[1]:
                continue  # l’un des deux a fusionné depuis avec un autre voisin
            before, after = self._preceding[i], following[j]
            weight = self.weights[i]
            self.pair_counts[pair] -= weight
            ids[i], ids[j] = new_id, _GONE
            following[i], self._preceding[after] = after, i
            if before >= 0 and ids[before] != _END:
                old = (ids[before], pair[0])
                changed |= self._replace(old, (ids[before], new_id), before, weight)
            if ids[after] != _END:
                changed |= self._replace((pair[1], ids[after]), (new_id, ids[after]), i, weight)
        return changed

    def _replace(self, old: Pair, new: Pair, place: int, weight: int) -> set[Pair]:
        self.pair_counts[old] -= weight
        self.pair_counts[new] += weight
        self._places[new].append(place)
        return {old, new}


def apply_merges(word: list[Symbol], find: Find) -> list[Symbol]:
    """Applique les fusions à un mot, celle de plus petit rang d’abord, puis la plus à gauche.

    `find` rend d’une paire (rang de la fusion, résultat), ou None si elle ne fusionne pas. Un tas
    et une liste chaînée rendent le coût presque linéaire, même pour un « mot » de cent mille
    caractères.
    """
    ids: list[Symbol | None] = list(word)
    following = list(range(1, len(ids) + 1))
    preceding = list(range(-1, len(ids) - 1))
    found = map(find, itertools.pairwise(ids))
    heap = [(one[0], i, one[1]) for i, one in enumerate(found) if one is not None]
    heapq.heapify(heap)
    while heap:
        rank, i, new = heapq.heappop(heap)
        j = following[i]
        if ids[i] is None or j >= len(ids) or find((ids[i], ids[j])) != (rank, new):
            continue  # l’un des deux jetons a été fusionné entre-temps
        ids[i], ids[j] = new, None
        following[i] = following[j]
        if following[j] < len(ids):
            preceding[following[j]] = i
        for k in (preceding[i], i):
            if k >= 0 and following[k] < len(ids):
                entry = find((ids[k], ids[following[k]]))
                if entry is not None:
                    heapq.heappush(heap, (entry[0], k, entry[1]))
    return [symbol for symbol in ids if symbol is not None]
