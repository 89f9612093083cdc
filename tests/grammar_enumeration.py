"""Parcourir toutes les dérivations d’une petite grammaire, en odomètre de ses tirages."""

from collections.abc import Callable, Iterator

from course_lib.corpora.microworld.kernel import Draw


class _Script(Draw):
    """Un tirage qui suit un scénario, puis prend partout la première option."""

    def __init__(self, script: list[int]):
        super().__init__(0)
        self.script, self.taken, self.arities = script, [], []

    def _index(self, n_options):
        rank = len(self.taken)
        self.taken.append(self.script[rank] if rank < len(self.script) else 0)
        self.arities.append(n_options)
        return self.taken[-1]

    def _coin(self, probability):
        return self._index(2) == 0


def enumerate_derivations(write: Callable[[Draw], object]) -> Iterator[object]:
    """Tout ce que `write(draw)` peut écrire, une dérivation après l’autre."""
    script = []
    while script is not None:
        draw = _Script(script)
        yield write(draw)
        taken, arities, script = draw.taken, draw.arities, None
        for rank in reversed(range(len(taken))):
            if taken[rank] + 1 < arities[rank]:
                script = [*taken[:rank], taken[rank] + 1]
                break
