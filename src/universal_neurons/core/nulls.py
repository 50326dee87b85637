# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Null models of correlation: rotated layers, rotated models, whitened models, permuted tokens.

Every rotation is a function of (kind, width, seed, draw, model, layer) alone, so no result depends on the order of
computation, and every partner, checkpoint and half uses the same rotations: differences between them are paired.

The rotation baseline needs no second pass over the tokens.  For a matrix R_l that acts on layer l of model y,

    corr(x_i, (R_l y_l)_j) = (C_l R_l^T)_ij / (sd_i sqrt((R_l S_l R_l^T)_jj)),

with C_l the comoment of x with layer l of y and S_l the layer's own comoment (sd_i the root of x's own).

Deviation: the published code draws one un-seeded rotation per run, rounds it to float16 and streams the tokens a
second time through it.  Here the baseline of a neuron is the mean of its maxima over many seeded draws in float32, from
the covariances of one pass; the spread of the share over single draws is in the details of every measurement.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from universal_neurons.core.moments import CrossMoments, NeuronMoments, layer_slices
from universal_neurons.core.tiling import ROTATED_ELEMENTS, STRIP_ELEMENTS
from universal_neurons.ids import Rotation


def rotation(
    kind: Rotation, width: int, *, seed: int, draw: int, model: str, layer: int, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "rotated width"]:
    """The random matrix of one draw for one layer of one model.

    ``gaussian``: independent standard normal entries, rows normalised; as published (Gurnee et al. 2024, code
    correlations_fast.py: one un-seeded draw per run, in float16).  Its rows are not orthogonal to each other.
    ``orthogonal``: uniform on the orthogonal group (Haar), the Q of a Gaussian's QR with the signs of R's diagonal
    moved into it (Mezzadri 2007): without that step the distribution depends on the QR implementation.
    """
    normal = torch.randn(width, width, generator=_generator(seed, draw, model, layer))
    match kind:
        case "gaussian":
            precise = normal.to(dtype)
            return torch.nn.functional.normalize(precise, dim=1, out=precise)
        case "orthogonal":
            factors = torch.linalg.qr(normal.to(dtype))
            signed: Tensor = factors.Q * factors.R.diagonal().sign()
            return signed
        case _:
            assert_never(kind)


def _generator(*parts: int | str) -> torch.Generator:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Rotations:
    """The rotations of one model, layer by layer, generated ahead by ``workers`` threads.

    Rotations are generated on the CPU, so that they are the same for every device.  That takes about as long as
    everything else takes on a GPU, so the next ones are generated meanwhile.  ``kept_bytes``: size of the draws of the
    current layer that are kept, from the first on, because the halves use them again.
    """

    def __init__(
        self, kind: Rotation, *, seed: int, model: str, draws: int, kept_bytes: int = 2**26, workers: int = 0
    ) -> None:
        self._kind: Rotation = kind
        self._seed, self._model, self._draws, self._kept_bytes = seed, model, draws, kept_bytes
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._layer = -1
        self._kept: dict[int, Tensor] = {}
        self._ahead: dict[int, Future[Tensor]] = {}

    def close(self) -> None:
        """Release all rotations, without waiting for those that are being generated."""
        self._kept.clear()
        self._ahead.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def __call__(self, layer: int, width: int, draw: int) -> Float[Tensor, "rotated width"]:
        """The rotation of one draw of one layer, in float32 on the CPU."""
        if layer != self._layer:
            self._layer = layer
            self._kept.clear()
            self._ahead.clear()
        if draw in self._kept:
            return self._kept[draw]
        if self._pool is not None:
            for number in range(draw, min(self._draws, draw + 1 + self._workers)):
                if number not in self._ahead and number not in self._kept:
                    self._ahead[number] = self._pool.submit(self._generated, layer, width, number)
        future = self._ahead.pop(draw, None)
        turn = self._generated(layer, width, draw) if future is None else future.result()
        if (len(self._kept) + 1) * turn.numel() * turn.element_size() <= self._kept_bytes:
            self._kept[draw] = turn
        return turn

    def _generated(self, layer: int, width: int, draw: int) -> Tensor:
        return rotation(self._kind, width, seed=self._seed, draw=draw, model=self._model, layer=layer)


# Variances of rotated directions by layer and draw.
DirectionVariances = dict[tuple[int, int], Tensor]


def rotated_maxima(
    crosses: Sequence[CrossMoments],
    *,
    draws: int,
    rotations: Rotations,
    first_layer: int = 0,
    variances: DirectionVariances | None = None,
) -> tuple[Float[Tensor, "draw _"], ...]:
    """Each neuron's largest correlation with any direction of any rotated layer of y, per draw.

    ``crosses``: of any number of models x with one y and over the same tokens; its layers are rotated once for all of
    them, by ``rotations``.  One result (draw, neurons of x) per cross.  The variance of a rotated direction is computed
    in float64, because it can be far below the variance of its layer.  A rotated direction that never varied is
    skipped; NaN for a neuron of x that never varied, and for all of them if no direction of y varied.

    If y has only some consecutive layers of a model, ``first_layer`` is the index of the first; the maxima over all
    layers are the maxima (:func:`torch.fmax`) over the parts.  ``variances``: kept variances of rotated directions, of
    earlier parts of x against the same moments of y; new ones are added.
    """
    y = crosses[0].y
    known: DirectionVariances = {} if variances is None else variances
    neurons = sum(len(cross.x.mean) for cross in crosses)
    best = torch.full((draws, neurons), -torch.inf, device=y.mean.device)
    for layer, (columns, spread) in enumerate(zip(layer_slices(y.widths), y.layers, strict=True), start=first_layer):
        scale = float(spread.double().trace() / max(len(spread), 1)) ** 0.5
        if scale == 0:
            continue
        scaled = _scaled(crosses, columns, scale)
        missing = [draw for draw in range(draws) if (layer, draw) not in known]
        covariance = spread.double() / scale**2 if missing else None
        for draw in range(draws):
            turn = rotations(layer, len(spread), draw).to(spread.device)
            if covariance is not None and draw in missing:
                known[layer, draw] = _direction_variances(turn, covariance)
            for largest in _largest(scaled, turn, known[layer, draw]):
                best[draw] = torch.maximum(best[draw], largest)
    # A neuron that never varied has brought NaN with it; minus infinity is where no direction of y varied.
    maxima = torch.where(best == -torch.inf, torch.nan, best).clamp_(-1, 1)
    return tuple(maxima[:, part] for part in layer_slices([len(cross.x.mean) for cross in crosses]))


def _scaled(crosses: Sequence[CrossMoments], columns: slice, scale: float) -> Tensor:
    """The comoments of all x with one layer of y, stacked, in units of one standard deviation of either neuron.

    In these units float32 neither underflows nor overflows.  Strip by strip, so that little is float64 at a time.
    """
    width = columns.stop - columns.start
    whole = crosses[0].comoment.new_empty(sum(len(cross.comoment) for cross in crosses), width, dtype=torch.float32)
    start = 0
    for cross in crosses:
        inverse_norm = cross.x.inverse_norm
        for strip in strips(len(cross.comoment), width, STRIP_ELEMENTS):
            part = cross.comoment[strip, columns] * (inverse_norm[strip] / scale)[:, None]
            whole[start + strip.start : start + strip.stop] = part
        start += len(cross.comoment)
    return whole


def _direction_variances(
    turn: Float[Tensor, "rotated width"], covariance: Float[Tensor, "width width"]
) -> Float[Tensor, " rotated"]:
    """The variance of every rotated direction, in float64: as much work as a product with a whole layer."""
    parts = (turn[rows].double() for rows in strips(len(turn), turn.shape[1], STRIP_ELEMENTS))
    return torch.cat([torch.einsum("rw,rw->r", part @ covariance, part) for part in parts])


def _largest(
    scaled: Float[Tensor, "x width"], turn: Float[Tensor, "rotated width"], variance: Float[Tensor, " rotated"]
) -> Iterator[Float[Tensor, " x"]]:
    """Yield each row's largest correlation with the rotated directions, some directions at a time."""
    for rows in strips(len(turn), turn.shape[1], STRIP_ELEMENTS):
        directions = _unit_variance(turn[rows], variance[rows]).to(scaled.dtype)
        if len(directions):
            parts = strips(len(scaled), len(directions), ROTATED_ELEMENTS)
            yield torch.cat([(scaled[part] @ directions.T).amax(1) for part in parts])


def strips(rows: int, columns: int, elements: int) -> Iterator[slice]:
    """Split ``rows`` into strips of at most ``elements`` elements over ``columns`` columns, at least one row each."""
    step = max(1, elements // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def _unit_variance(
    turn: Float[Tensor, "rotated width"], variance: Float[Tensor, " rotated"]
) -> Float[Tensor, "varied width"]:
    # The rows of the rotation scaled to directions of unit variance, without those that never varied.
    varied = variance > 0
    return turn.double()[varied] * variance[varied].rsqrt()[:, None]


def rotated(
    cross: CrossMoments,
    *,
    kind: Rotation,
    seed: int,
    models: tuple[str, str],
    first_layers: tuple[int, int] = (0, 0),
) -> CrossMoments:
    """The moments that ``cross`` would have if every layer of both models had been rotated before streaming.

    The scores of this pair are the null "rotated against rotated": none of its directions is a neuron, so an excess
    over its own, independently rotated baseline is a false positive.  The draws are not the ones of
    :func:`rotated_maxima` (another model name enters the generator), because a baseline must not undo the rotation that
    it is compared with.  ``first_layers``: indices of the first layers of x and y in ``cross``.
    """
    x = cross.x_moments
    turns_x = _turns(x, kind=kind, seed=seed, model=f"{models[0]} rotated", first=first_layers[0])
    turns_y = _turns(cross.y, kind=kind, seed=seed, model=f"{models[1]} rotated", first=first_layers[1])
    rows = [turn @ cross.comoment[part].double() for turn, part in zip(turns_x, layer_slices(x.widths), strict=True)]
    half = torch.cat(rows)
    columns = [half[:, part] @ turn.T for turn, part in zip(turns_y, layer_slices(cross.y.widths), strict=True)]
    return CrossMoments(_turned(x, turns_x), _turned(cross.y, turns_y), torch.cat(columns, dim=1))


def _turns(neurons: NeuronMoments, *, kind: Rotation, seed: int, model: str, first: int) -> list[Tensor]:
    device = neurons.mean.device
    return [
        rotation(kind, width, seed=seed, draw=0, model=model, layer=layer, dtype=torch.float64).to(device)
        for layer, width in enumerate(neurons.widths, start=first)
    ]


def _turned(neurons: NeuronMoments, turns: list[Tensor]) -> NeuronMoments:
    parts = zip(turns, layer_slices(neurons.widths), strict=True)
    mean = torch.cat([turn @ neurons.mean[part].double() for turn, part in parts])
    layers = tuple(turn @ s.double() @ turn.T for turn, s in zip(turns, neurons.layers, strict=True))
    return NeuronMoments(neurons.count, mean, layers)


def whitening(neurons: NeuronMoments) -> list[Float[Tensor, "_ _"]]:
    """The map that whitens each layer; see :func:`whitened`."""
    return [_whitening(spread.double() / max(neurons.count, 1)) for spread in neurons.layers]


def whitened(cross: CrossMoments, *, roots: Sequence[Tensor] | None = None) -> CrossMoments:
    """The moments that ``cross`` would have if every layer of y had been whitened before streaming.

    With S_l the comoment of layer l of y, n tokens, D_l the diagonal of S_l / n and R_l the correlations of the layer's
    neurons, the layer becomes z = (y_l - mean) W_l with W_l = D_l^(-1/2) R_l^(-1/2), so that its directions have unit
    variance and no correlation, and

        comoment of x with z = C_l W_l,  comoment of z = n I.

    A random direction of y leans towards the neurons with the largest variance; a random direction of z does not, so
    the baseline of :func:`rotated_maxima` on it keeps nothing of the basis but the span of the layer.  Directions that
    never varied, or whose variance is rounding beside the largest (below 2^-14 of it), become 0: dividing by them would
    turn noise into neurons.  ``roots``: the :func:`whitening` of y, if known.
    """
    maps = whitening(cross.y) if roots is None else roots
    parts = layer_slices(cross.y.widths)
    columns = [cross.comoment[:, part].double() @ root for root, part in zip(maps, parts, strict=True)]
    layers = tuple(root.T @ spread.double() @ root for root, spread in zip(maps, cross.y.layers, strict=True))
    return CrossMoments(cross.x, NeuronMoments(cross.count, cross.y.mean, layers), torch.cat(columns, dim=1))


# Least variance of a direction that is whitened, as a share of the largest.  Float32 sums are off by 2e-7 of the
# largest, so they know this one within half a per cent, and the baseline is the same on every processor.
_LEAST_VARIANCE = 2.0**-14


def _whitening(covariance: Float[Tensor, "width width"]) -> Float[Tensor, "width width"]:
    # Of correlations: neurons that hardly fire span directions of tiny variance, which in a covariance drown in the
    # rounding of products in float32 (1e-13 of the largest, rounding 1e-7, in a layer of mini).
    variances = covariance.diagonal()
    unit = torch.where(variances > 0, variances.rsqrt(), 0.0)
    values, vectors = torch.linalg.eigh(unit[:, None] * covariance * unit)
    smallest = values.amax() * _LEAST_VARIANCE
    scale = torch.where((values > smallest) & (values > 0), values.clamp(min=0).rsqrt(), 0.0)
    found: Tensor = unit[:, None] * (vectors * scale) @ vectors.T
    return found


def permuted(values: Float[Tensor, "token neuron"], *, seed: int, model: str, batch: int) -> Tensor:
    """Shuffle the tokens of one model within a batch, so that they no longer match its partner's.

    Every neuron keeps its distribution and its relations to the other neurons of its model.  The order is a function of
    (seed, model, batch).
    """
    order = torch.randperm(len(values), generator=_generator(seed, batch, model, "permuted"))
    return values[order.to(values.device)]
