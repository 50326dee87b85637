# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Post-GELU activations of every MLP neuron at the scored tokens, as a stream.

This module decides which values a neuron's activations are; in core only it and ablation see the model backend.
It refuses to know which tokens count: the mask comes with the rows.

Activations come through the hook point ``blocks.{l}.mlp.hook_post``.  The forward pass ends at the last of them: no
neuron sees the last down projection, the final layer norm or the unembedding.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.exceptions import StopAtLayerException


@dataclass(frozen=True, eq=False)
class ActivationBatch:
    """Activations (token neuron) at scored tokens, neurons layer by layer, and the row in which each token stands."""

    values: Float32[Tensor, "token neuron"]
    row: Int64[Tensor, " token"]

    def __len__(self) -> int:
        return len(self.row)


def layer_widths(bridge: TransformerBridge) -> tuple[int, ...]:
    """MLP neurons per layer of a model; raises ValueError for a model without MLPs."""
    width = bridge.cfg.d_mlp
    if not width:
        raise ValueError("the model has no MLP layers, so it has no neurons")
    return (int(width),) * int(bridge.cfg.n_layers)


@torch.no_grad()
def mlp_activations(
    bridge: TransformerBridge, rows: Int[Tensor, "row position"], *, layers: Sequence[int] | None = None
) -> Float[Tensor, "row position neuron"]:
    """Post-GELU activations of MLP layers at every position of ``rows``, neurons layer by layer, in float32.

    ``layers``: those that are wanted, ascending; all by default.  The pass ends at the last of them.
    """
    chosen = range(int(bridge.cfg.n_layers)) if layers is None else layers
    last = chosen[-1]
    caught: dict[int, Tensor] = {}

    def keep(values: Tensor, hook: HookPoint, *, layer: int) -> None:  # noqa: ARG001  (the backend passes it by name)
        caught[layer] = values
        # The backend's own stop_at_layer stops before a block: there is none after the last, and it runs to the end.
        if layer == last:
            raise StopAtLayerException(values)

    hooks: list[tuple[str | Callable[..., Any], Callable[..., Any]]] = [
        (f"blocks.{layer}.mlp.hook_post", partial(keep, layer=layer)) for layer in chosen
    ]
    bridge.run_with_hooks(rows.long(), fwd_hooks=hooks, return_type=None)
    return torch.cat([caught[layer].float() for layer in chosen], dim=-1)


def stream(
    bridge: TransformerBridge,
    rows: Any,
    mask: Any,
    *,
    batch_rows: int = 32,
    layers: Sequence[int] | None = None,
    skip: int = 0,
) -> Iterator[ActivationBatch]:
    """The activations at the tokens of ``rows`` where ``mask`` is true (row position; tensors or arrays), in order.

    Streams of several models over the same rows with the same ``batch_rows`` bring the same tokens batch by batch.
    A batch without a scored token is left out.  ``layers``: only these; where there are none, no forward pass is run
    and the values have no columns.  ``skip``: how many batches at the beginning are left out, because somebody has had
    them before.  Raises ValueError if shapes differ or no token is scored.
    """
    tokens, scored = torch.as_tensor(rows), torch.as_tensor(mask)
    if tokens.shape != scored.shape or tokens.ndim != 2 or not bool(scored.any()):
        raise ValueError(
            f"rows {tuple(tokens.shape)}, mask {tuple(scored.shape)}: no token is scored, or shapes differ"
        )
    device = next(bridge.parameters()).device
    for start in range(0, len(tokens), batch_rows):
        # Found on the CPU: a GPU would have to be waited for.
        places = scored[start : start + batch_rows].cpu().nonzero()
        if not len(places):
            continue
        if skip:
            skip -= 1
            continue
        row, position = places[:, 0], places[:, 1]
        if layers is not None and not len(layers):
            values = torch.empty(len(row), 0, device=device)
        else:
            every = mlp_activations(bridge, tokens[start : start + batch_rows].to(device, torch.int64), layers=layers)
            values = every[row.to(device), position.to(device)]
        yield ActivationBatch(values, (row + start).to(device))


def row_blocks(row: Int[Tensor, " token"], *, rows: int, blocks: int) -> Int64[Tensor, " token"]:
    """The block of each token: ``rows`` rows cut into ``blocks`` contiguous groups whose sizes differ by at most one.

    Raises ValueError if there are fewer rows than blocks: an empty block would be a resampling unit without data.
    """
    if not 1 <= blocks <= rows:
        raise ValueError(f"{rows} rows cannot be cut into {blocks} blocks")
    return row.long() * blocks // rows
