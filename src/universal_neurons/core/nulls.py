# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""What correlation chance gives: rotated layers, rotated models, permuted tokens.

This module decides what a null model is and how it is drawn.  Every rotation is a function of (kind, width, seed, draw,
model, layer) alone, so no result depends on the order in which results are computed, and the same rotations serve every
partner, checkpoint and half: differences between them are paired.

The rotation baseline needs no second pass over the tokens.  For a matrix R_l that acts on layer l of model y,

    corr(x_i, (R_l y_l)_j) = (C_l R_l^T)_ij / (sd_i sqrt((R_l S_l R_l^T)_jj)),

with C_l the comoment of x with layer l of y and S_l the layer's own comoment (sd_i the root of x's own).

Deviation: the published code draws one un-seeded rotation per run, rounds it to float16 and streams the tokens a
second time through it.  Here the baseline of a neuron is the mean of its maxima over many seeded draws in float32, from
the covariances of one pass; the spread of the share over single draws is in the details of every measurement.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal, assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from universal_neurons.core.moments import CrossMoments, NeuronMoments, layer_slices

Rotation = Literal["gaussian", "orthogonal"]


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
            return torch.nn.functional.normalize(normal.to(dtype), dim=1)
        case "orthogonal":
            factors = torch.linalg.qr(normal.to(dtype))
            signed: Tensor = factors.Q * factors.R.diagonal().sign()
            return signed
        case _:
            assert_never(kind)


def _generator(*parts: int | str) -> torch.Generator:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def rotated_maxima(
    crosses: Sequence[CrossMoments],
    *,
    draws: int,
    kind: Rotation,
    seed: int,
    model: str,
    dtype: torch.dtype = torch.float32,
) -> tuple[Float[Tensor, "draw _"], ...]:
    """Per draw, each neuron's largest correlation with any direction of any rotated layer of y (all layers of y).

    ``crosses`` are of any number of models x with one y, called ``model``: its layers are rotated once for all of them.
    One result (draw, neurons of x) per cross.  The variance of a rotated direction is taken in float64: it can be far
    below that of its layer.  A rotated direction that never varied is skipped; NaN for a neuron of x that never varied,
    and for all of them where no direction of y varied.

    Raises ValueError if there is no cross or the moments of y are not the same in all of them.
    """
    y = _shared_y(crosses)
    inverse_norm = torch.cat([cross.x.inverse_norm for cross in crosses])
    best = torch.full((draws, len(inverse_norm)), -torch.inf, dtype=dtype, device=y.mean.device)
    for layer, (columns, spread) in enumerate(zip(layer_slices(y.widths), y.layers, strict=True)):
        scale = float(spread.double().trace() / max(len(spread), 1)) ** 0.5
        if scale == 0:
            continue
        # Both in units of one standard deviation, so that float32 neither underflows nor overflows.
        comoment = torch.cat([cross.comoment[:, columns] for cross in crosses])
        scaled = (comoment * (inverse_norm / scale)[:, None]).to(dtype)
        variance = spread.double() / scale**2
        for draw in range(draws):
            turn = rotation(kind, len(spread), seed=seed, draw=draw, model=model, layer=layer).to(variance.device)
            directions = _unit_variance(turn, variance).to(dtype)
            if len(directions):
                best[draw] = torch.maximum(best[draw], (scaled @ directions.T).amax(1))
    # A neuron that never varied has brought NaN with it; minus infinity is where no direction of y varied.
    maxima = torch.where(best == -torch.inf, torch.nan, best).clamp_(-1, 1)
    return tuple(maxima[:, part] for part in layer_slices([len(cross.x.mean) for cross in crosses]))


def _shared_y(crosses: Sequence[CrossMoments]) -> NeuronMoments:
    if not crosses:
        raise ValueError("no cross moments, so nothing to compare with rotated layers")
    y = crosses[0].y
    for cross in crosses:
        if cross.y.widths != y.widths or cross.count != crosses[0].count or not torch.equal(cross.y.mean, y.mean):
            raise ValueError("the cross moments have different models y; only one can be rotated at a time")
    return y


def _unit_variance(
    turn: Float[Tensor, "rotated width"], variance: Float[Tensor, "width width"]
) -> Float[Tensor, "varied width"]:
    # The rows of the rotation, scaled to read off the layer with unit spread; rows that read a constant go.
    precise = turn.double()
    spread = torch.einsum("rw,rw->r", precise @ variance, precise)
    varied = spread > 0
    return precise[varied] * spread[varied].rsqrt()[:, None]


def rotated(cross: CrossMoments, *, kind: Rotation, seed: int, draw: int, models: tuple[str, str]) -> CrossMoments:
    """The moments that ``cross`` would have if every layer of both models had been rotated before streaming.

    The scores of this pair are the null "rotated against rotated": nothing in them is a neuron, so what exceeds their
    own, independently rotated baseline is false.  The draws are apart from those of :func:`rotated_maxima` (another
    model name enters the generator): a baseline must not undo the rotation that it is compared with.
    """
    turns_x = _turns(cross.x, kind=kind, seed=seed, draw=draw, model=f"{models[0]} rotated")
    turns_y = _turns(cross.y, kind=kind, seed=seed, draw=draw, model=f"{models[1]} rotated")
    rows = [
        turn @ cross.comoment[part].double() for turn, part in zip(turns_x, layer_slices(cross.x.widths), strict=True)
    ]
    half = torch.cat(rows)
    columns = [half[:, part] @ turn.T for turn, part in zip(turns_y, layer_slices(cross.y.widths), strict=True)]
    return CrossMoments(_turned(cross.x, turns_x), _turned(cross.y, turns_y), torch.cat(columns, dim=1))


def _turns(neurons: NeuronMoments, *, kind: Rotation, seed: int, draw: int, model: str) -> list[Tensor]:
    device = neurons.mean.device
    return [
        rotation(kind, width, seed=seed, draw=draw, model=model, layer=layer, dtype=torch.float64).to(device)
        for layer, width in enumerate(neurons.widths)
    ]


def _turned(neurons: NeuronMoments, turns: list[Tensor]) -> NeuronMoments:
    parts = zip(turns, layer_slices(neurons.widths), strict=True)
    mean = torch.cat([turn @ neurons.mean[part].double() for turn, part in parts])
    layers = tuple(turn @ s.double() @ turn.T for turn, s in zip(turns, neurons.layers, strict=True))
    return NeuronMoments(neurons.count, mean, layers)


def whitened(cross: CrossMoments) -> CrossMoments:
    """The moments that ``cross`` would have if every layer of y had been whitened before streaming.

    With S_l the comoment of layer l of y and n tokens, the layer becomes z = (S_l / n)^(-1/2) (y_l - mean), so that
    its directions have unit variance and no correlation, and

        comoment of x with z = C_l (S_l / n)^(-1/2),  comoment of z = n I.

    A random direction of z is then no longer drawn towards the neurons with the largest variance, as one of y is: the
    baseline of :func:`rotated_maxima` on it is that of a basis of which nothing but the layer's span is kept.
    Directions that never varied, or whose variance is rounding beside the largest (below width x 2^-52 of it), become
    0: dividing by them would make neurons out of noise.
    """
    maps = [_inverse_root(spread.double() / max(cross.count, 1)) for spread in cross.y.layers]
    parts = layer_slices(cross.y.widths)
    columns = [cross.comoment[:, part].double() @ root for root, part in zip(maps, parts, strict=True)]
    layers = tuple(root @ spread.double() @ root for root, spread in zip(maps, cross.y.layers, strict=True))
    return CrossMoments(cross.x, NeuronMoments(cross.count, cross.y.mean, layers), torch.cat(columns, dim=1))


def _inverse_root(covariance: Float[Tensor, "width width"]) -> Float[Tensor, "width width"]:
    values, vectors = torch.linalg.eigh(covariance)
    smallest = values.amax() * len(values) * torch.finfo(values.dtype).eps
    scale = torch.where((values > smallest) & (values > 0), values.clamp(min=0).rsqrt(), 0.0)
    root: Tensor = (vectors * scale) @ vectors.T
    return root


def permuted(values: Float[Tensor, "token neuron"], *, seed: int, model: str, batch: int) -> Tensor:
    """The rows of one model's activations in a random order, so that its tokens no longer are those of its partner.

    Every neuron keeps its distribution and its relations to the other neurons of its model.  The order is a function of
    (seed, model, batch).  Tokens move within the batch only.
    """
    order = torch.randperm(len(values), generator=_generator(seed, batch, model, "permuted"))
    return values[order.to(values.device)]
