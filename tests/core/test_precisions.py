"""Pairs by sums in fewer bits: oracle in numpy, and cases in which the bits decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.core.oracle import activations
from universal_neurons.core.moments import NonFiniteActivationError
from universal_neurons.core.precisions import EXACT, SUMS, PairCounts, pairs_by_sums, spread_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

WIDTHS = ((3, 5), (4, 2, 3))
WHOLE = (range(2),)


def models(tokens: int = 400, *, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    x = activations(tokens, list(WIDTHS[0]), seed=1, offset=offset)
    y = activations(tokens, list(WIDTHS[1]), seed=2, offset=offset)
    # Partners of every strength, so that some are mutual and most are not.
    for place, share in enumerate((0.9, 0.8, 0.6, 0.5, 0.3)):
        y[:, 2 * place % 9] += share * 4 * (x[:, place] - x[:, place].mean())
    return x, y


def counted(x: Tensor, y: Tensor, *, batch: int = 50, blocks: tuple[range, ...] = WHOLE) -> dict[str, PairCounts]:
    def passes() -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(x), batch):
            yield x[start : start + batch], y[start : start + batch]

    spreads = (spread_over(one for one, _ in passes()), spread_over(one for _, one in passes()))
    if x.shape[1] != 8:
        return pairs_by_sums(passes, spreads, x.shape[1:], (range(1),))
    return pairs_by_sums(passes, spreads, WIDTHS[0], blocks)


def correlations(x: Tensor, y: Tensor) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.corrcoef(x.double().numpy().T, y.double().numpy().T)[: x.shape[1], x.shape[1] :])


def mutual(correlation: np.ndarray) -> set[tuple[int, int]]:
    filled = np.where(np.isnan(correlation), -np.inf, correlation)
    there, back = filled.argmax(1), filled.argmax(0)
    return {(i, int(j)) for i, j in enumerate(there) if back[j] == i and np.isfinite(filled[i, j])}


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("blocks", [WHOLE, (range(1), range(1, 2))])
def test_exact_pairs_and_pairs_of_half_the_batches_are_those_of_numpy(offset: float, blocks: tuple[range, ...]) -> None:
    x, y = models(offset=offset)
    found = counted(x, y, blocks=blocks)
    first = (torch.arange(len(x)) // 50) % 2 == 0
    whole, half = correlations(x, y), correlations(x[first], y[first])
    pairs = mutual(whole)
    assert 2 < len(pairs) < 8
    rows, columns = np.array(sorted(pairs)).T
    assert (found[EXACT].pairs, found[EXACT].found, found[EXACT].kept, found[EXACT].error) == (*[len(pairs)] * 3, 0.0)
    assert found[EXACT].correlation == pytest.approx(whole[rows, columns].mean(), abs=1e-5)
    assert (found["half"].found, found["half"].kept) == (len(mutual(half)), len(mutual(half) & pairs))
    assert found["half"].correlation == pytest.approx(half[rows, columns].mean(), abs=1e-5)
    assert found["half"].error == pytest.approx(np.abs(half - whole).max(), abs=1e-5)


def test_sums_in_bfloat16_are_those_of_numpy_rounded_after_every_batch() -> None:
    x, y = models(3000)
    found = counted(x, y, batch=100)
    u, v = (
        torch.from_numpy((one - one.mean(0)) / one.std(0)).bfloat16().double().numpy()
        for one in (x.double().numpy(), y.double().numpy())
    )
    total = np.zeros((u.shape[1], v.shape[1]))
    for start in range(0, len(u), 100):
        added = (total + u[start : start + 100].T @ v[start : start + 100]).astype(np.float32)
        # Eight bits: the upper half of float32, to nearest, ties to even.
        bits = added.view(np.uint32)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        total = bits.view(np.float32).astype(np.float64)
    exact, rounded = correlations(x, y), total / len(u)
    assert found["bfloat16"].error == pytest.approx(np.abs(rounded - exact).max(), abs=2e-4)
    assert (found["bfloat16"].found, found["bfloat16"].kept) == (
        len(mutual(rounded)), len(mutual(rounded) & mutual(exact))
    )  # fmt: skip
    assert found["float32"].error < 1e-6 < found["operands"].error < 5e-3 < found["bfloat16"].error


def test_sums_in_bfloat16_stop_growing_and_others_do_not() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(200_000, 1, generator=generator)
    y = x + 0.3287 * torch.randn(200_000, 1, generator=generator)
    found = counted(x, y, batch=100)
    assert found[EXACT].correlation == pytest.approx(0.95, abs=0.002)
    assert found["operands"].correlation == pytest.approx(found[EXACT].correlation, abs=1e-3)
    # 100 of a batch are less than half of the last bit of 65,536: a third of 0.95 is left.
    assert found["bfloat16"].correlation < 0.4


def test_two_partners_that_differ_in_the_ninth_bit_are_confused_by_bfloat16_alone() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(20_000, 40, generator=generator)
    noise = torch.randn(20_000, 80, generator=generator)
    # Of each neuron of x two copies, the second with a hair less noise.
    y = x.repeat_interleave(2, 1) + torch.tensor([0.31, 0.3]).repeat(40) * noise
    found = counted(x, y, batch=100)
    assert found[EXACT].pairs == found["float32"].kept == 40
    assert found["bfloat16"].kept < 36


def test_neurons_that_never_vary_have_no_partner_and_spoil_no_other() -> None:
    x, y = models()
    x[:, 2], y[:, 5] = 0.25, -1.0
    found = counted(x, y)
    assert found[EXACT].pairs == len(mutual(correlations(x, y)))
    assert found["float32"].kept == found[EXACT].pairs
    assert all(one.error == one.error for one in found.values())


def test_nothing_varies_so_nothing_is_counted_and_nothing_is_called_zero() -> None:
    x, y = models()
    for one in counted(torch.ones_like(x), torch.ones_like(y)).values():
        assert (one.pairs, one.found, one.kept) == (0, 0, 0)
        assert np.isnan([one.correlation, one.error]).all()


def test_every_kind_is_counted_and_exact_comes_first() -> None:
    assert list(counted(*models())) == [EXACT, *SUMS]


def test_an_infinite_activation_is_refused() -> None:
    x, _ = models()
    x[77, 6] = torch.inf
    with pytest.raises(NonFiniteActivationError) as caught:
        spread_over(torch.split(x, 50))
    assert caught.value.column == 6


def test_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="got none"):
        spread_over(())
