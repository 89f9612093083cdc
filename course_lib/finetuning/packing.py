"""Ranger plusieurs exemples courts dans une même ligne, sans qu’aucun n’en voie un autre.

Un lot d’exemples inégaux est surtout du remplissage, que le modèle calcule pour rien. Ici, une
ligne en contient plusieurs ; chacun ne lit que lui-même et commence à la position 0 : perte et
gradients sont ceux des mêmes exemples, un par ligne.

    train(model, pack_examples(examples, 256, 8), config, loss=packed_loss)
"""

from collections.abc import Sequence

from torch import Tensor

from course_lib.finetuning.examples import Example, aligned_rows
from course_lib.training.data import IGNORE, RowBatches
from course_lib.training.losses import head_loss
from course_lib.transformer import Decoder

PackedBatch = tuple[Tensor, Tensor, Tensor]


class PackedExamples(RowBatches):
    """Des lignes de plusieurs exemples ; `batch(step)` rend (entrées, cibles, documents), (B, T).

    Les documents d’une ligne sont numérotés à partir de 1 ; 0 est le remplissage.
    """

    def __init__(self, columns: Sequence, batch_size: int, seed: int, pad_id: int):
        super().__init__(columns, batch_size, seed)
        self.pad_id = pad_id

    def _collate(self, indices) -> PackedBatch:
        paddings = (self.pad_id, IGNORE, 0)
        return tuple(self._column(i, indices, padding) for i, padding in enumerate(paddings))


def pack_examples(
    examples: Sequence[Example],
    context_length: int,
    batch_size: int,
    seed: int = 0,
    pad_id: int = 0,
) -> PackedExamples:
    """Range les exemples en lignes de `context_length` jetons au plus, `batch_size` lignes par pas.

    Les lignes sont faites une fois pour toutes ; seul leur ordre change à chaque passage. Un
    exemple occupe len(consigne) + len(réponse) − 1 positions, celles où il y a à prédire.
    ValueError si un exemple est vide d’un côté ou plus long que le contexte, ou s’il n’y en a
    aucun.
    """
    inputs, targets = aligned_rows(examples)
    for rank, row in enumerate(inputs):
        if len(row) > context_length:
            raise ValueError(
                f"L’exemple n° {rank} occupe {len(row)} positions et la ligne en a "
                f"{context_length} : raccourcissez-le, ou agrandissez context_length."
            )
    columns: tuple[list, list, list] = ([], [], [])
    for group in best_fit([len(row) for row in inputs], context_length):
        documents = [[number] * len(inputs[i]) for number, i in enumerate(group, start=1)]
        parts = ([inputs[i] for i in group], [targets[i] for i in group], documents)
        for column, rows in zip(columns, parts, strict=True):
            column.append([value for row in rows for value in row])
    return PackedExamples(columns, batch_size, seed, pad_id)


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Répartit des objets dans des boîtes de même taille : les indices de chaque boîte.

    Du plus long au plus court, chacun va dans la boîte où il laisse le moins de vide. Le nombre de
    boîtes dépasse le minimum de 22 % au plus, à quelques boîtes près (Johnson et al. 1974).
    """
    boxes: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]  # par place qui reste
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        needed = lengths[i]
        room = next((r for r in range(needed, capacity + 1) if with_room[r]), None)
        if room is None:
            room = capacity
            with_room[room].append(len(boxes))
            boxes.append([])
        box = with_room[room].pop()
        boxes[box].append(i)
        with_room[room - needed].append(box)
    return boxes


def packed_loss(model: Decoder, batch: PackedBatch) -> tuple[Tensor, int]:
    """Perte d’un lot d’exemples rangés : en moyenne sur les jetons des réponses."""
    inputs, targets, documents = batch
    return head_loss(model, model.hidden(inputs, document_ids=documents), targets)
