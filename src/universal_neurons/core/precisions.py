# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Mutual best pairs of two models' neurons, from sums of products that are kept in fewer bits.

Activations are standardised in float64 and multiplied batch by batch.  Every kind of sums sees the same batches:

- ``exact``: products in float32, added up in float64;
- ``float32``: the same products, added up in float32;
- ``operands``: activations rounded to bfloat16, products and sums in float32;
- ``bfloat16``: the same products, and the sums rounded to bfloat16 after every batch, as a GPU does that adds a product
  to a matrix in bfloat16: inside a product it adds in float32 (avdravid/rosetta-neuron-scaling, arXiv 2606.03990);
- ``half``: as ``exact``, of every second batch alone: what fewer tokens change, in the same unit.

A sum in bfloat16 has eight bits.  What a batch adds is lost where it is less than half of the last of them, so sums
stop growing: a correlation comes out smaller the more tokens there are.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from universal_neurons.core.comoments import add_to
from universal_neurons.core.moments import NeuronSpread, NonFiniteActivationError, column_means, layer_slices

EXACT = "exact"
SUMS = ("float32", "operands", "bfloat16", "half")
# The activations of both models at the same tokens, batch by batch.
PairedBatches = Iterable[tuple[Tensor, Tensor]]
# The mean and the spread of every neuron of both models over all tokens.
Spreads = tuple[NeuronSpread, NeuronSpread]


@dataclass(frozen=True, slots=True)
class PairCounts:
    """The mutual best pairs by one kind of sums, beside the ones by the exact sums.

    ``found``: pairs by this kind; ``kept``: exact pairs among them; ``pairs``: exact pairs.  ``correlation``: mean over
    the exact pairs of their correlation by this kind; ``error``: the largest distance of any correlation from the exact
    one.  Both are NaN where there is none.
    """

    pairs: int
    found: int
    kept: int
    correlation: float
    error: float


@torch.no_grad()
def pairs_by_sums(
    passes: Callable[[], PairedBatches], spreads: Spreads, widths: Sequence[int], blocks: Sequence[range]
) -> dict[str, PairCounts]:
    """The pairs by every kind of sums, ``exact`` first; ``widths``: neurons per layer of x.

    ``passes`` begins a pass over the same batches for each of ``blocks``, some layers of x; ``spreads`` are over them.
    """
    device, columns = spreads[0].mean.device, layer_slices(widths)
    best = {kind: _Best(*(len(one.mean) for one in spreads), device=device) for kind in (EXACT, *SUMS)}
    for layers in blocks:
        rows = slice(columns[layers[0]].start, columns[layers[-1]].stop)
        sums = RoundedSums(spreads[0][rows], spreads[1])
        for x, y in passes():
            sums.add(x[:, rows], y)
            # A batch that still has a name stays in memory while the next one is computed.
            del x, y
        exact = sums.correlations(EXACT)
        partner = best[EXACT].take(rows, exact, exact)
        for kind in SUMS:
            best[kind].take(rows, sums.correlations(kind), exact, partner)
    pairs = best[EXACT].mutual()
    return {kind: one.counts(pairs, best[EXACT].forward) for kind, one in best.items()}


class RoundedSums:
    """The sums of every kind over batches of two models; ``x`` and ``y`` are means and spreads over all of them."""

    def __init__(self, x: NeuronSpread, y: NeuronSpread) -> None:
        self._sides: Spreads = (x, y)
        shape, device = (len(x.mean), len(y.mean)), x.mean.device
        types = {EXACT: torch.float64, "half": torch.float64, "bfloat16": torch.bfloat16}
        self._sums = {
            kind: torch.zeros(shape, dtype=types.get(kind, torch.float32), device=device) for kind in (EXACT, *SUMS)
        }
        self._batches = 0
        self._half: Spreads | None = None

    def add(self, x: Float[Tensor, "token x"], y: Float[Tensor, "token y"]) -> None:
        """Add a batch of activations."""
        u, v = (_standardised(values, side) for values, side in zip((x, y), self._sides, strict=True))
        product = u.T @ v
        add_to(self._sums[EXACT], product)
        self._sums["float32"].add_(product)
        if self._batches % 2 == 0:
            add_to(self._sums["half"], product)
            spreads = (_spread_of(u), _spread_of(v))
            old = self._half
            self._half = spreads if old is None else (old[0] + spreads[0], old[1] + spreads[1])
        del product
        rounded = u.bfloat16().float().T @ v.bfloat16().float()
        self._sums["operands"].add_(rounded)
        self._sums["bfloat16"].copy_(rounded.add_(self._sums["bfloat16"]))
        self._batches += 1

    def correlations(self, kind: str) -> Float64[Tensor, "x y"]:
        """The correlations by one kind of sums; NaN where a neuron never varied, or not in its half of the batches."""
        if kind != "half":
            return self._sums[kind].double() / self._sides[0].count
        if self._half is None:
            raise ValueError("no batch was added")
        x, y = self._half
        comoment = self._sums["half"] - x.count * torch.outer(x.mean, y.mean)
        return comoment.mul_(x.inverse_norm[:, None]).mul_(y.inverse_norm)


class _Best:
    """The best partners of both models' neurons by one kind of sums, as far as blocks of x were taken."""

    def __init__(self, x: int, y: int, *, device: torch.device) -> None:
        self.forward: Int64[Tensor, " x"] = torch.full((x,), -1, device=device)
        self._backward: Int64[Tensor, " y"] = torch.full((y,), -1, device=device)
        self._highest: Float64[Tensor, " y"] = torch.full((y,), -torch.inf, dtype=torch.float64, device=device)
        # The correlation with the partner by the exact sums.
        self._there: Float64[Tensor, " x"] = torch.full((x,), torch.nan, dtype=torch.float64, device=device)
        self._error = math.nan

    def take(
        self,
        rows: slice,
        correlation: Float64[Tensor, "row y"],
        exact: Float64[Tensor, "row y"],
        partner: Int64[Tensor, " row"] | None = None,
    ) -> Int64[Tensor, " row"]:
        """Update with the neurons ``rows`` of x, whose ``partner`` by the exact sums is by default the one found here.

        Returns the best partners, -1 for none.
        """
        defined = correlation.nan_to_num(nan=-torch.inf)
        value, column = defined.max(1)
        found = torch.where(value.isinf(), -1, column)
        self.forward[rows] = found
        value, row = defined.max(0)
        higher = value > self._highest
        self._backward[higher] = row[higher] + rows.start
        self._highest[higher] = value[higher]
        chosen = found if partner is None else partner
        there = correlation.gather(1, chosen.clamp(min=0)[:, None])[:, 0]
        self._there[rows] = there.masked_fill(chosen < 0, torch.nan)
        distance = (correlation - exact).abs_()
        if bool((known := ~distance.isnan()).any()):
            self._error = max(float(distance[known].max()), 0.0 if math.isnan(self._error) else self._error)
        return found

    def mutual(self) -> Bool[Tensor, " x"]:
        """Whether the best partner of each neuron of x has it as its own."""
        own = torch.arange(len(self.forward), device=self.forward.device)
        return (self.forward >= 0) & (self._backward[self.forward.clamp(min=0)] == own)

    def counts(self, pairs: Bool[Tensor, " x"], partner: Int64[Tensor, " x"]) -> PairCounts:
        """Counts beside the exact ``pairs``, neurons of x with their ``partner``."""
        own = self.mutual()
        kept = own & pairs & (self.forward == partner)
        return PairCounts(
            pairs=int(pairs.sum()),
            found=int(own.sum()),
            kept=int(kept.sum()),
            correlation=float(self._there[pairs].mean()),
            error=self._error,
        )


@torch.no_grad()
def spread_over(batches: Iterable[Float[Tensor, "token neuron"]]) -> NeuronSpread:
    """The mean and the spread of every neuron over all tokens; raises :class:`NonFiniteActivationError`."""
    found: NeuronSpread | None = None
    for values in batches:
        one = _spread_of(values)
        if not bool(one.mean.isfinite().all()):
            raise NonFiniteActivationError(int((~one.mean.isfinite()).nonzero()[0]))
        found = one if found is None else found + one
        del values
    if found is None:
        raise ValueError("expected at least one batch of tokens, got none")
    return found


def _spread_of(values: Float[Tensor, "token neuron"]) -> NeuronSpread:
    mean = column_means(values)
    return NeuronSpread(len(values), mean, (values - mean).square().sum(0, dtype=torch.float64))


def _standardised(values: Float[Tensor, "token neuron"], spread: NeuronSpread) -> Float[Tensor, "token neuron"]:
    """Activations with mean 0 and variance 1 over all tokens, in float32; NaN of a neuron that never varied."""
    inverse_sd = spread.inverse_norm * spread.count**0.5
    return (values - spread.mean).mul_(inverse_sd).float()
