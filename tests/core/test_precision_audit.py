"""The largest error is measured on sampled neurons against float64."""

import pytest
import torch

from tests.core.direct import crosses
from tests.core.oracle import X_WIDTHS, Y_WIDTHS, correlation
from tests.core.pairs import TOKENS, pair, streamed
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.matmul import PrecisionMode


@pytest.mark.parametrize(
    ("mode", "accumulate", "least", "most"),
    [
        ("float32", torch.float64, 1e-9, 5e-7),
        ("float32", torch.float32, 1e-8, 2e-6),
        ("bfloat16", torch.float64, 1e-5, 4e-3),
    ],
)
def test_the_largest_error_is_that_of_the_sampled_neurons_against_float64(
    mode: PrecisionMode, accumulate: torch.dtype, least: float, most: float
) -> None:
    x, y = pair(1e3)
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=64, mode=mode, accumulate=accumulate)
    streamed(accumulator, x, y)
    found = accumulator.largest_error([(0,), (1,)])
    assert least < found < most
    # Layers this narrow are sampled whole, so it is the largest of all.
    even = torch.arange(TOKENS) * 7 // TOKENS % 2 == 0
    errors = [
        float((half.correlation() - correlation(x[which], y[which])).abs().max())
        for half, which in zip(crosses(accumulator, 0, 1), (even, ~even), strict=True)
    ]
    assert found == pytest.approx(max(errors), rel=1e-3, abs=1e-9)


def test_an_error_counts_as_much_as_its_tokens_weigh_in_what_is_scored() -> None:
    x, y = pair(1e3)
    # Tokens of group 0 hardly differ, as the first ones of all rows do; those of group 1 lie elsewhere.
    few = slice(0, 100)
    x[few], y[few] = 1e-4 * x[few] + 7, 1e-4 * y[few] - 3
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=64)
    accumulator.add([x, y], (torch.arange(TOKENS) >= few.stop).long())
    accumulator.finish()
    accumulator._groups[0].sums[0] += 1e-3 * accumulator._groups[0].squares.max()
    assert accumulator.largest_error([(0,), (1,)]) > 5e-4
    assert accumulator.largest_error([(1,)]) < 5e-6
    assert accumulator.largest_error([(0, 1)]) < 5e-6
    whole = sum(crosses(accumulator, 0, 1)[1:], crosses(accumulator, 0, 1)[0])
    # Layers this narrow are sampled whole.
    error = float((whole.correlation() - correlation(x, y)).abs().max())
    assert accumulator.largest_error([(0, 1)]) == pytest.approx(error, rel=1e-3, abs=1e-9)


def test_an_error_is_infinite_where_only_one_of_the_two_is_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pair()
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=64)
    streamed(accumulator, x, y)
    accumulator.finish()
    accumulator._groups[0].squares[3] = 0.0
    assert accumulator.largest_error([(0,), (1,)]) == float("inf")
