"""S’arrêter sur un texte, quel que soit son découpage en jetons.

Un arrêt comme « Manon » peut tenir en un jeton, en plusieurs, commencer au milieu d’un jeton ou
finir au milieu d’un autre. On le cherche donc dans le texte écrit, et non parmi les ids.
"""

from collections.abc import Iterable, Sequence

from course_lib.generation.checks import check_list, check_stop_sequence
from course_lib.tokenization.base import check_text
from course_lib.tokenization.streaming import IncrementalDecoder


def split_stops(
    stop_sequences: Iterable[str | Sequence[int]], tokenizer, vocab_size: int
) -> tuple[list[str], list[list[int]]]:
    """Sépare les arrêts donnés en texte de ceux donnés en ids.

    Un jeton spécial n’apparaît jamais dans le texte : écrit seul, il devient son id. ValueError
    s’il est mêlé à autre chose, ou si un arrêt est vide.
    """
    texts, sequences = [], []
    for stop in check_list(stop_sequences):
        if not isinstance(stop, str):
            sequences.append(check_stop_sequence(stop, vocab_size))
            continue
        check_text(stop)
        if not stop:
            raise ValueError(
                "stop_sequences contient un texte vide, qui arrêterait tout de suite : retirez-le."
            )
        if stop in tokenizer.special_tokens:
            sequences.append([tokenizer.token_to_id[stop]])
            continue
        special = next((token for token in tokenizer.special_tokens if token in stop), None)
        if special is not None:
            raise ValueError(
                f"stop_sequences : {stop!r} contient le jeton spécial « {special} », que le texte "
                "ne montre jamais. Donnez les ids : tokenizer.encode de cet arrêt."
            )
        texts.append(stop)
    return texts, sequences


class WrittenText:
    """Le texte d’une suite, au fil des jetons : sans jetons spéciaux, coupé avant l’arrêt.

    `prompt` : les ids de l’amorce, dont dépend parfois l’espace du premier mot. `text` : ce qui
    est écrit jusqu’ici ; `stopped` : vrai si un arrêt donné en texte y est.
    """

    def __init__(
        self,
        tokenizer,
        prompt: Sequence[int],
        stops: Sequence[str] = (),
        sequences: Sequence[Sequence[int]] = (),
        drop_space: bool = False,
    ):
        # Un modèle peut avoir plus de jetons que le tokeniseur (table arrondie) : on les tait.
        self._n_known = tokenizer.vocab_size
        self._decoder = IncrementalDecoder(tokenizer, skip_special_tokens=True)
        known = [token_id for token_id in prompt if token_id < self._n_known]
        read = sum(len(self._decode(token_id)) for token_id in known)
        # Ce qu’un décodeur prudent garde encore de l’amorce, et rendra avec la suite.
        self._late = len(tokenizer.decode(known, skip_special_tokens=True)) - read
        self._stops, self._sequences = list(stops), [list(one) for one in sequences]
        self._drop_space = drop_space
        self._longest = max(map(len, self._stops), default=0)
        self._ids: list[int] = []  # les derniers jetons, et où commence le texte de chacun
        self._starts: list[int] = []
        self._n_ids = max(map(len, self._sequences), default=0)
        self.text, self.stopped, self._shown = "", False, 0

    def add(self, token_id: int) -> None:
        """Lit un jeton de plus."""
        self._ids = [*self._ids, token_id][-self._n_ids :] if self._n_ids else []
        self._starts = [*self._starts, len(self.text)][-self._n_ids :] if self._n_ids else []
        self._extend(self._decode(token_id))

    def cut(self, n_tokens: int) -> None:
        """Retire le texte des derniers jetons : ils forment une suite d’arrêt."""
        self.text, self.stopped = self.text[: self._starts[-n_tokens]], True

    def piece(self) -> str:
        """Ce qu’on peut montrer de plus sans risquer de montrer le début d’un arrêt."""
        end = len(self.text) if self.stopped else min(self._sure_text(), self._sure_ids())
        piece, self._shown = self.text[self._shown : end], max(end, self._shown)
        return piece

    def finish(self) -> None:
        """L’écriture est finie : plus rien n’attend, `text` est complet."""
        if not self.stopped:
            self._extend(self._decoder.finish())
        self.stopped = True

    def _decode(self, token_id: int) -> str:
        return self._decoder.feed(token_id) if token_id < self._n_known else ""

    def _extend(self, new: str) -> None:
        new, self._late = new[self._late :], max(0, self._late - len(new))
        if self._drop_space and new:
            new, self._drop_space = new.removeprefix(" "), False
        if not new:
            return
        searched_from = max(0, len(self.text) - self._longest + 1)
        self.text += new
        # L’arrêt qui finit le premier l’emporte, comme si le texte venait lettre à lettre.
        found = [
            (place + len(stop), place)
            for stop in self._stops
            if (place := self.text.find(stop, searched_from)) >= 0
        ]
        if found:
            self.text, self.stopped = self.text[: min(found)[1]], True

    def _sure_text(self) -> int:
        """Où finit le texte qui ne peut plus faire partie d’un arrêt."""
        for start in range(max(0, len(self.text) - self._longest + 1), len(self.text)):
            if any(stop.startswith(self.text[start:]) for stop in self._stops):
                return start
        return len(self.text)

    def _sure_ids(self) -> int:
        """De même, pour les arrêts donnés en ids."""
        for start in range(len(self._ids)):
            tail = self._ids[start:]
            if any(one[: len(tail)] == tail for one in self._sequences):
                return self._starts[start]
        return len(self.text)
