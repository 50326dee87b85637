from __future__ import annotations

import pytest

from universal_neurons.planning.efforts import Effort, Shape, together

SHAPE = Shape(layers=3, width=4, heads=2, mlp=10, vocabulary=50, context=16, row=8)


def test_efforts_add_up_and_nothing_is_left_out_of_them_but_nothing() -> None:
    forward, product = {Effort.FORWARD: 5.0}, {Effort.PRODUCT: 1.0, Effort.FORWARD: 2.0, Effort.SCORE: 0.0}
    assert together(forward, product, times=2) == {Effort.FORWARD: 14.0, Effort.PRODUCT: 2.0}
    assert together() == {}


def test_a_block_has_attention_and_both_matrices_of_the_mlp() -> None:
    # Four matrices of attention, two of the MLP, and a row's queries against its keys and weights against its values.
    assert SHAPE.block_operations == 2 * (4 * 16 + 2 * 40) + 2 * (2 * 8 * 4)
    assert SHAPE.neurons == 30
    assert SHAPE.parameters == 3 * (4 * 16 + 2 * 40) + (50 + 16) * 4


@pytest.mark.parametrize(
    ("effort", "operations"),
    [
        # Without the last down projection, and without the unembedding.
        (Effort.FORWARD, 3 * (2 * 144 + 128) - 2 * 40),
        (Effort.CLEAN, 3 * (2 * 144 + 128) + 2 * 2 * 50 * 4),
        (Effort.BLOCK, 2 * 144 + 128),
        (Effort.HEAD, 2 * 50 * 4),
        (Effort.PRODUCT, 1),
        (Effort.VOCABULARY, 8),
        (Effort.LOADING, 0),
    ],
)
def test_a_unit_has_so_many_operations(effort: Effort, operations: int) -> None:
    assert SHAPE.operations(effort) == operations


def test_the_operations_of_efforts_are_those_of_their_units() -> None:
    assert SHAPE.total_operations({Effort.HEAD: 10.0, Effort.LOADING: 99.0, Effort.TURN: 2.0}) == 10 * 400 + 2 * 2
    assert all(SHAPE.operations(effort) >= 0 for effort in Effort)
