"""Dense float64 oracles: the same quantities from whole matrices, without streaming."""

from collections.abc import Sequence

import torch
from torch import Tensor

from universal_neurons.core.moments import layer_slices
from universal_neurons.core.nulls import rotation
from universal_neurons.ids import Rotation

X_WIDTHS, Y_WIDTHS = (6, 5), (4, 7, 5)


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson in float64 with NaN where a column is one value."""
    u, v = (_standardised(values.double()) for values in (x, y))
    return u.T @ v


def _standardised(values: Tensor) -> Tensor:
    centred = values - values.mean(0)
    norm = torch.linalg.vector_norm(centred, dim=0)
    return centred / torch.where((values == values[0]).all(0), torch.nan, norm)


def rotated_activations(
    values: Tensor, widths: Sequence[int], *, kind: Rotation, seed: int, draw: int, model: str
) -> Tensor:
    """The activations with every layer explicitly rotated, token by token."""
    parts = [
        values[:, part].double() @ rotation(kind, width, seed=seed, draw=draw, model=model, layer=layer).double().T
        for layer, (width, part) in enumerate(zip(widths, layer_slices(widths), strict=True))
    ]
    return torch.cat(parts, dim=1)


def activations(
    tokens: int, widths: Sequence[int], *, seed: int, offset: float = 0.0, shared: Tensor | None = None
) -> Tensor:
    """Correlated, skewed float32 activations of unequal spread, with planted columns if ``shared`` is given."""
    generator = torch.Generator().manual_seed(seed)
    neurons = sum(widths)
    mixing = torch.randn(neurons, neurons, generator=generator)
    values = torch.nn.functional.gelu(torch.randn(tokens, neurons, generator=generator) @ mixing)
    values = values / values.std(0, correction=0).clamp(min=1e-3) if tokens > 1 else values
    if shared is not None:
        values[:, : shared.shape[1]] = shared
    return values + offset
