# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""The transformers modules behind a bridge: the same numbers in less time, for whoever knows that they are.

A bridge calls a hook at every step of every layer, computes attention in single steps and GELU in eight.  The modules
that it wraps do neither.  This module decides how they are got at without a trace in the bridge: as a shallow copy
without hooks that shares all weights.  It refuses to decide whether they compute what the bridge computes: hooks or
processed weights may have changed that, so whoever uses them compares first.
"""

import copy
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

# Elements of one step of a thread: as many as torch gives to one anyway, and few enough for its cache.
_STEP = 2**15
_SLOPE = math.sqrt(2 / math.pi)


class UnsuitableAttentionError(ValueError):
    """The model's attention is not sdpa: a block that is run on its own under eager attention sees the future."""


class StepwiseGelu(nn.Module):
    """GELU by its tanh formula in the steps of transformers' own, to the same bits.

    On a CPU some elements at a time: eight steps over what stays in the cache take as long as three over what does not.
    """

    def forward(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
        flat = values.reshape(-1)
        found = torch.empty_like(flat)
        step = _STEP * torch.get_num_threads() if values.device.type == "cpu" else max(1, len(flat))
        for part, target in zip(torch.split(flat, step), torch.split(found, step), strict=True):
            inner = part.pow(3.0).mul_(0.044715).add_(part).mul_(_SLOPE)
            torch.mul(part * 0.5, inner.tanh_().add_(1.0), out=target)
        return found.view(values.shape)


@dataclass(frozen=True, eq=False)
class Bare:
    """The transformers modules behind a bridge, without its wrappers and hooks; the weights are shared."""

    model: nn.Module
    blocks: tuple[nn.Module, ...]
    down: tuple[nn.Module, ...]
    norm: nn.Module
    unembed: nn.Module

    @classmethod
    def of(cls, bridge: TransformerBridge, *, fused: bool = False) -> "Bare":
        """Raises :class:`UnsuitableAttentionError` unless attention is sdpa.

        ``fused``: GELU in one kernel instead of eight.  What rounding leaves of an activation far below 0 is then not
        what the model's own function leaves, and of a neuron that is never on there is nothing else.
        """
        source: Any = bridge.original_model
        attention = getattr(source.config, "_attn_implementation", None)
        if attention != "sdpa":
            raise UnsuitableAttentionError(f"attention is {attention!r}; expected 'sdpa'")
        twins: dict[int, nn.Module] = {}
        model = _unwrapped(source, twins, fused=fused)
        blocks: list[Any] = list(bridge.blocks)
        return cls(
            model.eval(),
            tuple(_unwrapped(block, twins, fused=fused) for block in blocks),
            tuple(_unwrapped(block.mlp.out, twins, fused=fused) for block in blocks),
            _unwrapped(bridge.ln_final, twins, fused=fused),
            _unwrapped(bridge.unembed, twins, fused=fused),
        )

    def output_weights(self, layer: int) -> Float[Tensor, "neuron width"]:
        """W_out of a layer, one row per neuron."""
        return output_weights(self.down[layer])


def _unwrapped(module: nn.Module, twins: dict[int, nn.Module], *, fused: bool) -> nn.Module:
    # A copy without bridges and hooks that shares all tensors; ``twins`` finds it by the id of the original.  Only in a
    # copy can hooks be set and the activation function be replaced without a trace in the caller's model.
    while isinstance(module, GeneralizedComponent):
        inner: Any = module.original_component
        module = inner
    if id(module) not in twins:
        twins[id(module)] = _twin(module, twins, fused=fused)
    return twins[id(module)]


def _twin(module: nn.Module, twins: dict[int, nn.Module], *, fused: bool) -> nn.Module:
    if type(module).__name__ == "NewGELUActivation":
        # The same formula: in one kernel, or in the same eight with the same bits.
        return nn.GELU(approximate="tanh") if fused else StepwiseGelu()
    twin = copy.copy(module)
    twin._forward_hooks = OrderedDict()
    twin._forward_pre_hooks = OrderedDict()
    twin._modules = {
        name: None if m is None else _unwrapped(m, twins, fused=fused) for name, m in module._modules.items()
    }
    return twin


def output_weights(down: Any) -> Float[Tensor, "neuron width"]:
    """The output matrix of an MLP, one row per neuron."""
    # torch's Linear keeps its matrix transposed, transformers' Conv1D does not.
    weight: Tensor = down.weight.T if isinstance(down, nn.Linear) else down.weight
    return weight


def hidden_of(output: Any) -> Tensor:
    """The residual stream that a block returns."""
    # transformers' blocks return the residual stream alone or first in a tuple, depending on the architecture.
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden
