"""Two models with related neurons, their moments, and equality of moments."""

import torch
from torch import Tensor

from tests.core.direct import standard_deviation
from tests.core.oracle import X_WIDTHS, Y_WIDTHS, activations
from universal_neurons.core.accumulator import PairwiseAccumulator, cross_moments
from universal_neurons.core.moments import CrossMoments

TOKENS = 700


def pair(offset: float = 0.0, tokens: int = TOKENS) -> tuple[Tensor, Tensor]:
    x = activations(tokens, X_WIDTHS, seed=1, offset=offset)
    y = activations(tokens, Y_WIDTHS, seed=2, offset=offset)
    y[:, 3] = x[:, 7] + 0.3 * y[:, 3]
    return x, y


def moments(x: Tensor, y: Tensor) -> CrossMoments:
    return cross_moments(x, y, x_widths=X_WIDTHS, y_widths=Y_WIDTHS)


def assert_same(a: CrossMoments, b: CrossMoments, tolerance: float = 1e-6) -> None:
    """Equal counts, and means and (co)moments equal in units of one standard deviation."""
    assert a.count == b.count
    torch.testing.assert_close(a.correlation(), b.correlation(), rtol=0, atol=tolerance, equal_nan=True)
    for left, right in ((a.x_moments, b.x_moments), (a.y, b.y)):
        assert left.widths == right.widths
        sd = standard_deviation(left)
        torch.testing.assert_close(left.mean / sd, right.mean / sd, rtol=1e-7, atol=tolerance, equal_nan=True)
        torch.testing.assert_close(left.m2, right.m2, rtol=tolerance, atol=0)
        for s, t in zip(left.layers, right.layers, strict=True):
            torch.testing.assert_close(s, t, rtol=tolerance, atol=tolerance * float(s.diagonal().max()))


def streamed(accumulator: PairwiseAccumulator, x: Tensor, y: Tensor, tokens: slice = slice(None)) -> None:
    block = torch.arange(TOKENS) * 7 // TOKENS
    for part in torch.split(torch.arange(TOKENS)[tokens], 90):
        accumulator.add([x[part], y[part]], block[part])
