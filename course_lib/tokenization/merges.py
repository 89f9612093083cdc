"""Le cœur du codage par paires d'octets (BPE) : apprendre les fusions, puis les appliquer.

Sennrich, Haddow et Birch (2016), « Neural Machine Translation of Rare Words with Subword
Units », arXiv:1508.07909. On fusionne la paire de jetons voisins la plus fréquente, encore et
encore. Recompter toutes les paires à chaque fusion coûterait des heures : on ne met à jour que
les mots qui contiennent la paire fusionnée, et un tas garde la plus fréquente à portée de main.
"""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from tqdm import tqdm

Pair = tuple[int, int]
Symbol = int | str  # l'id d'un jeton, ou son texte
Find = Callable[[tuple[Symbol, Symbol]], tuple[float, Symbol] | None]


def learn_merges(
    words: list[list[int]],
    counts: Sequence[int],
    vocabulary: list[str],
    vocab_size: int | None,
    min_frequency: int = 2,
    progress: bool = False,
) -> list[Pair]:
    """Apprend les fusions et complète `vocabulary` sur place ; `words` est modifié.

    `words[i]` est la suite des ids du mot i, présent `counts[i]` fois. À fréquence égale, la
    paire de plus petits ids l'emporte. S'arrête à `vocab_size` jetons, ou quand plus aucune
    paire ne revient `min_frequency` fois.
    """
    token_ids = {token: i for i, token in enumerate(vocabulary)}
    pair_counts, words_with = _count_pairs(words, counts)
    heap = [(-count, pair) for pair, count in pair_counts.items()]
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
            if -count != pair_counts[pair]:
                continue  # compte périmé : le compte à jour est plus loin dans le tas
            if -count < min_frequency:
                break
            token = vocabulary[pair[0]] + vocabulary[pair[1]]
            new_id = token_ids.setdefault(token, len(vocabulary))
            if new_id == len(vocabulary):
                vocabulary.append(token)
            merges.append(pair)
            changed = _merge_everywhere(pair, new_id, words, counts, pair_counts, words_with)
            for touched in changed:
                if pair_counts[touched] > 0:
                    heapq.heappush(heap, (-pair_counts[touched], touched))
            bar.update()
    return merges


def _count_pairs(
    words: list[list[int]], counts: Sequence[int]
) -> tuple[Counter[Pair], defaultdict[Pair, set[int]]]:
    """Compte les paires voisines et retient, pour chacune, les mots qui la contiennent."""
    pair_counts: Counter[Pair] = Counter()
    words_with: defaultdict[Pair, set[int]] = defaultdict(set)
    for i, (word, count) in enumerate(zip(words, counts, strict=True)):
        for pair in itertools.pairwise(word):
            pair_counts[pair] += count
            words_with[pair].add(i)
    return pair_counts, words_with


def _merge_everywhere(
    pair: Pair,
    new_id: int,
    words: list[list[int]],
    counts: Sequence[int],
    pair_counts: Counter[Pair],
    words_with: defaultdict[Pair, set[int]],
) -> set[Pair]:
    """Fusionne la paire dans les mots concernés ; renvoie les paires dont le compte a changé."""
    changed: set[Pair] = set()
    for i in words_with.pop(pair):
        old, count = words[i], counts[i]
        new = _merge_pair(old, pair, new_id)
        if len(new) == len(old):
            continue  # la paire a disparu de ce mot lors d'une fusion précédente
        for before in itertools.pairwise(old):
            pair_counts[before] -= count
            changed.add(before)
        for after in itertools.pairwise(new):
            pair_counts[after] += count
            words_with[after].add(i)
            changed.add(after)
        words[i] = new
    return changed


def _merge_pair(word: list[int], pair: Pair, new_id: int) -> list[int]:
    """Remplace dans le mot, de gauche à droite, chaque occurrence de la paire par `new_id`."""
    left, right = pair
    merged, i, last = [], 0, len(word) - 1
    while i <= last:
        if i < last and word[i] == left and word[i + 1] == right:
            merged.append(new_id)
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return merged


def apply_merges(word: list[Symbol], find: Find) -> list[Symbol]:
    """Applique les fusions à un mot, celle de plus petit rang d'abord, puis la plus à gauche.

    `find` rend d'une paire (rang de la fusion, résultat), ou None si elle ne fusionne pas. Un tas
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
            continue  # l'un des deux jetons a été fusionné entre-temps
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
