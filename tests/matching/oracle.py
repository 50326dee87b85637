"""The same scores from hooks on the models as transformers builds them, text by text, in dense float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from universal_neurons.architectures import adapter_of

if TYPE_CHECKING:
    from universal_neurons.matching.alignment import AlignedText

Floats = npt.NDArray[np.float64]


@torch.no_grad()
def neurons(model: Any, ids: list[int]) -> Floats:
    """(token, neuron) what each output matrix reads, by a hook on each."""
    adapter = adapter_of(type(model).__name__)
    seen: list[torch.Tensor] = []
    hooks = [
        block.get_submodule(adapter.mlp_output).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
        for block in model.get_submodule(adapter.blocks)
    ]
    model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return torch.cat(seen, dim=1).double().numpy()


def span_values(model: Any, text: AlignedText, place: int, pooling: str = "last") -> Floats:
    """(span, neuron), one row of text at a time."""
    found = []
    for row in range(text.rows):
        values = neurons(model, text.tokens[place][row, : text.lengths[place][row]].tolist())
        for span in np.flatnonzero(text.row == row):
            first, last = text.first[place][span], text.last[place][span]
            found.append(values[last] if pooling == "last" else values[first : last + 1].mean(axis=0))
    return np.array(found)


def correlation(x: Floats, y: Floats) -> Floats:
    """(x, y); NaN where a neuron never varied."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((x.T @ y) / np.sqrt((x**2).sum(axis=0)[:, None] * (y**2).sum(axis=0)))
