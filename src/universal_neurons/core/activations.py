# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Activations of every MLP neuron at the scored tokens, as a stream.

Activations are the values at the hook point ``blocks.{l}.mlp.hook_post``, after GELU, or ``hook_pre``, before it.  The
forward pass ends at the last of them, before the last output matrix, the final layer norm and the unembedding.

A stream reads them from the modules that the bridge wraps (:mod:`universal_neurons.core.unwrapped`), which takes less
time, if these agree with the bridge on the first row.  A bridge that hooks or processed weights have changed, or whose
attention is eager, is read through its hooks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.exceptions import StopAtLayerException

from universal_neurons.core.unwrapped import UnsuitableAttentionError, UnwrappedModel

# Accepted difference between two ways to the same activation, as a share of the layer's largest.
AGREEMENT = 1e-4
Place = Literal["hook_pre", "hook_post"]


@dataclass(frozen=True, eq=False)
class ActivationBatch:
    """Activations (token neuron) at scored tokens, neurons layer by layer, and the row of each token."""

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


def mlp_activations(
    bridge: TransformerBridge, rows: Int[Tensor, "row position"], *, layers: Sequence[int] | None = None
) -> Float[Tensor, "row position neuron"]:
    """Post-GELU activations of MLP layers at every position of ``rows``, neurons layer by layer, in float32.

    ``layers``: ascending, by default all.  The pass ends at the last of them.
    """
    chosen = range(int(bridge.cfg.n_layers)) if layers is None else layers
    return torch.cat([values.float() for values in _hooked(bridge, rows, chosen)], dim=-1)


@torch.no_grad()
def _hooked(
    bridge: TransformerBridge, rows: Int[Tensor, "row position"], layers: Sequence[int], place: Place = "hook_post"
) -> list[Float[Tensor, "row position _"]]:
    """The activations of each of ``layers``, through the bridge's hooks."""
    last = layers[-1]
    captured: dict[int, Tensor] = {}

    def keep(values: Tensor, hook: HookPoint, *, layer: int) -> None:  # noqa: ARG001  (the backend passes it by name)
        captured[layer] = values
        # The backend's own stop_at_layer stops before a block: there is none after the last, and it runs to the end.
        if layer == last:
            raise StopAtLayerException(values)

    hooks: list[tuple[str | Callable[..., Any], Callable[..., Any]]] = [
        (f"blocks.{layer}.mlp.{place}", partial(keep, layer=layer)) for layer in layers
    ]
    bridge.run_with_hooks(rows.long(), fwd_hooks=hooks, return_type=None)
    return [captured[layer] for layer in layers]


class _LastLayer(Exception):
    """The last of the chosen layers has been captured."""


@torch.no_grad()
def _captured(
    model: UnwrappedModel, rows: Int[Tensor, "row position"], layers: Sequence[int], place: Place = "hook_post"
) -> list[Float[Tensor, "row position _"]]:
    """The same, in the unwrapped model: what its input matrices put out, or its output matrices read."""
    captured: list[Tensor] = []

    def keep(_: Any, inputs: tuple[Tensor, ...], output: Tensor | None = None) -> None:
        captured.append(inputs[0] if output is None else output)
        if len(captured) == len(layers):
            raise _LastLayer

    with ExitStack() as hooks, suppress(_LastLayer):
        for layer in layers:
            if place == "hook_pre":
                hooks.callback(model.mlp_inputs[layer].register_forward_hook(keep).remove)
            else:
                hooks.callback(model.mlp_outputs[layer].register_forward_pre_hook(keep).remove)
        model.model(rows, use_cache=False)
    return captured


def _fastest(
    bridge: TransformerBridge, row: Int[Tensor, "1 position"], layers: Sequence[int], place: Place
) -> "NeuronReader":
    """A reader of activations: the modules behind the bridge if they agree with it at ``row``, otherwise its hooks."""
    through_hooks = partial(_hooked, bridge, place=place)
    try:
        model = UnwrappedModel.runnable(bridge, fused=place == "hook_post")
    except UnsuitableAttentionError:
        return through_hooks
    unwrapped = partial(_captured, model, place=place)
    return unwrapped if _agree(unwrapped(row, layers), through_hooks(row, layers)) else through_hooks


# Reads the activations of some layers, ascending, at all positions of some rows.
NeuronReader = Callable[[Int[Tensor, "row position"], Sequence[int]], list[Float[Tensor, "row position _"]]]


def neuron_reader(model: nn.Module, row: Int[Tensor, "1 position"]) -> NeuronReader:
    """A reader of the neurons of a transformers model: of what the output matrices of its MLPs read.

    The faster copy of its modules if they agree with the model itself at ``row``, otherwise the model.  Raises
    ``UnknownArchitecture`` for a model without an adapter.
    """
    itself, copied = (partial(_captured, modules(model)) for modules in (UnwrappedModel.around, UnwrappedModel.copied))
    layers = range(len(UnwrappedModel.around(model).mlp_outputs))
    return copied if _agree(copied(row, layers), itself(row, layers)) else itself


def _agree(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(float((a - b).abs().max()) <= AGREEMENT * float(b.abs().max()) for a, b in pairs)


def stream(
    bridge: TransformerBridge,
    rows: Any,
    mask: Any,
    *,
    batch_rows: int = 32,
    layers: Sequence[int] | None = None,
    skip: int = 0,
    place: Place = "hook_post",
) -> Iterator[ActivationBatch]:
    """The activations at the tokens of ``rows`` where ``mask`` is true (row position; tensors or arrays), in order.

    Streams of several models over the same rows with the same ``batch_rows`` have the same tokens in each batch.
    Batches without a scored token are omitted.  ``layers``: only these; for none, no forward pass is run and the values
    have no columns.  ``skip``: number of batches to omit at the beginning, to resume.  ``place``: after GELU or before
    it.  Raises ValueError if shapes differ or no token is scored.
    """
    tokens, scored = torch.as_tensor(rows), torch.as_tensor(mask)
    if tokens.shape != scored.shape or tokens.ndim != 2 or not bool(scored.any()):
        raise ValueError(
            f"rows {tuple(tokens.shape)}, mask {tuple(scored.shape)}: no token is scored, or shapes differ"
        )
    device = next(bridge.parameters()).device
    chosen = range(int(bridge.cfg.n_layers)) if layers is None else layers
    read = _fastest(bridge, tokens[:1].to(device, torch.int64), chosen, place) if len(chosen) else None
    for start in range(0, len(tokens), batch_rows):
        # On the CPU: a GPU would have to finish its queue first.
        indices = scored[start : start + batch_rows].cpu().nonzero()
        if not len(indices):
            continue
        if skip:
            skip -= 1
            continue
        row, position = indices[:, 0], indices[:, 1]
        token = (row * tokens.shape[1] + position).to(device)
        # No name for the activations: it would keep them in memory while the next batch is computed.
        yield ActivationBatch(
            torch.empty(len(row), 0, device=device)
            if read is None
            else _joined(read(tokens[start : start + batch_rows].to(device, torch.int64), chosen), token),
            (row + start).to(device),
        )


def _joined(
    layers: list[Float[Tensor, "row position _"]], token: Int64[Tensor, " token"]
) -> Float32[Tensor, "token neuron"]:
    """The activations of all layers at the tokens ``token``, in float32; ``layers`` is emptied."""
    values = torch.empty(len(token), sum(layer.shape[-1] for layer in layers), dtype=torch.float32, device=token.device)
    column = 0
    while layers:
        layer = layers.pop(0).flatten(0, 1).index_select(0, token)
        values[:, column : column + layer.shape[1]] = layer
        column += layer.shape[1]
    return values


def row_blocks(row: Int[Tensor, " token"], *, rows: int, blocks: int) -> Int64[Tensor, " token"]:
    """The block of each token: ``rows`` rows cut into ``blocks`` contiguous groups whose sizes differ by at most one.

    Raises ValueError if there are fewer rows than blocks, because an empty block cannot be resampled.
    """
    if not 1 <= blocks <= rows:
        raise ValueError(f"{rows} rows cannot be cut into {blocks} blocks")
    return row.long() * blocks // rows
