"""Les octets échangés : ceux que l’on compte sont ceux que la formule annonce."""

import pytest
from parallel_workers import EVEN, PRIME, measure_steps, together

from course_lib.parallel import (
    Volume,
    data_parallel_volume,
    fully_sharded_volume,
    ring_turns,
    tensor_parallel_volume,
)
from course_lib.transformer import count_parameters, llama


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "tensor"])
def test_the_count_equals_the_formula(strategy):
    shape = EVEN if strategy == "tensor" else PRIME
    model = llama(shape)
    expected = {
        "ddp": lambda: data_parallel_volume(model, 2),
        "fsdp": lambda: fully_sharded_volume(model, 2),
        "tensor": lambda: tensor_parallel_volume(model, 4 * 11, 2),
    }[strategy]()
    for volume, start in together(measure_steps, strategy, shape, 3):
        assert volume == expected * 3
        assert start == 4 * count_parameters(model)  # au départ, une diffusion des poids


def test_the_formulas_by_hand():
    model = llama(PRIME)
    # 17 × 13 d’embeddings et 13 de norme ; par bloc, 4 × 130 d’attention, 3 × 247 de réseau, 26.
    rest, block = 17 * 13 + 13, 4 * 130 + 3 * 247 + 26
    assert count_parameters(model) == rest + 2 * block
    assert data_parallel_volume(model, 3).all_reduce == 4 * (rest + 2 * block) + 16 + 20 * 8 + 8
    # Coupés en 3 : 17 → 18 lignes, 13 → 15, 10 → 12, 19 → 21.
    rest, block = 18 * 13 + 15, 3 * 12 * 13 + 15 * 10 + 2 * 21 * 13 + 15 * 19 + 2 * 15
    volume = fully_sharded_volume(model, 3)
    assert volume == Volume(3, 32, 4 * (rest + 4 * block), 4 * (rest + 2 * block))
    assert tensor_parallel_volume(model, 44, 2).all_reduce == 2 * 4 * 44 * 13 * 4 + 16


@pytest.mark.parametrize("n", [2, 3, 7])
def test_a_ring_sends_what_the_formula_says(n):
    numbers = [[(7 * r + 3 * c) % 11 for c in range(n)] for r in range(n)]
    totals = [sum(column) for column in zip(*numbers, strict=True)]
    turns = list(ring_turns(numbers))
    assert numbers == [totals] * n
    assert all(len(sent) == n for sent in turns)  # à chaque tour, chacun envoie un nombre
    assert len(turns) == Volume(n, all_reduce=n).sent_bytes  # un nombre vaut ici un octet
    assert Volume(n, all_gather=n).sent_bytes == Volume(n, reduce_scatter=n).sent_bytes == n - 1


def test_a_ring_needs_as_many_pieces_as_processes():
    with pytest.raises(
        ValueError, match=r"3 processus, mais des tableaux de \[2\] morceaux : coupez"
    ):
        list(ring_turns([[1, 2]] * 3))


def test_two_steps_cost_twice():
    volume = Volume(4, 12, 8, 4)
    assert volume * 2 == Volume(4, 24, 16, 8)
    assert volume.sent_bytes == 0.75 * (2 * 12 + 8 + 4)
