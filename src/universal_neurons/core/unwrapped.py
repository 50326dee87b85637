# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""The transformers modules behind a bridge: the same numbers in less time, for whoever knows that they are.

A bridge calls a hook at every step of every layer, computes attention in single steps and GELU in eight.  The modules
that it wraps do neither.  This module decides how they are got at without a trace in the bridge: as a shallow copy
without hooks that shares all weights.  It refuses to decide whether they compute what the bridge computes: hooks or
processed weights may have changed that, so whoever uses them compares first.
"""

import copy
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent


class UnsuitableAttentionError(ValueError):
    """The model's attention is not sdpa: a block that is run on its own under eager attention sees the future."""


class FusedAffine(nn.Module):
    """x W + b, and its GELU by the tanh formula if ``gelu``, in one kernel of oneDNN, in float32 on a CPU.

    torch's own product takes a tenth longer, and GELU afterwards reads and writes everything once more.  It is the
    kernel of compiled models, without the compiler.  The weights are shared, not copied.
    """

    def __init__(self, affine: nn.Module) -> None:
        super().__init__()
        given: Any = affine
        self.weight: Tensor = output_weights(given)
        self.bias: Tensor | None = given.bias
        self.gelu = False

    def forward(self, values: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape neuron"]:
        """The products are float32 whatever precision torch has been told to use."""
        after: tuple[Any, ...] = ("gelu", [], "tanh") if self.gelu else ("none", [], "")
        found: Tensor = torch.ops.mkldnn._linear_pointwise(values, self.weight.T, self.bias, *after)
        return found


@dataclass(frozen=True, eq=False)
class UnwrappedModel:
    """The transformers modules behind a bridge, without its wrappers and hooks; the weights are shared."""

    model: nn.Module
    blocks: tuple[nn.Module, ...]
    down: tuple[nn.Module, ...]
    norm: nn.Module
    unembed: nn.Module

    @classmethod
    def of(cls, bridge: TransformerBridge) -> "UnwrappedModel":
        """Raises :class:`UnsuitableAttentionError` unless attention is sdpa.

        GELU is one kernel instead of eight.  What rounding leaves of an activation far below 0 is then not what the
        model's own function leaves, and of a neuron that is never on there is nothing else.
        """
        source: Any = bridge.original_model
        attention = getattr(source.config, "_attn_implementation", None)
        if attention != "sdpa":
            raise UnsuitableAttentionError(f"attention is {attention!r}; expected 'sdpa'")
        twins: dict[int, nn.Module] = {}
        model = _unwrapped(source, twins)
        blocks: list[Any] = list(bridge.blocks)
        return cls(
            model.eval(),
            tuple(_unwrapped(block, twins) for block in blocks),
            tuple(_unwrapped(block.mlp.out, twins) for block in blocks),
            _unwrapped(bridge.ln_final, twins),
            _unwrapped(bridge.unembed, twins),
        )

    def output_weights(self, layer: int) -> Float[Tensor, "neuron width"]:
        """W_out of a layer, one row per neuron."""
        return output_weights(self.down[layer])


def _unwrapped(module: nn.Module, twins: dict[int, nn.Module]) -> nn.Module:
    # A copy without bridges and hooks that shares all tensors; ``twins`` finds it by the id of the original.  Only in a
    # copy can hooks be set and the activation function be replaced without a trace in the caller's model.
    while isinstance(module, GeneralizedComponent):
        inner: Any = module.original_component
        module = inner
    if id(module) not in twins:
        twins[id(module)] = _twin(module, twins)
    return twins[id(module)]


def _twin(module: nn.Module, twins: dict[int, nn.Module]) -> nn.Module:
    name, given = type(module).__name__, cast("Any", module)
    if name == "NewGELUActivation":
        # The same formula in one kernel.
        return nn.GELU(approximate="tanh")
    if name in {"Conv1D", "Linear"} and _is_fusable(given.weight):
        return FusedAffine(module)
    twin: Any = copy.copy(module)
    twin._forward_hooks = OrderedDict()
    twin._forward_pre_hooks = OrderedDict()
    twin._modules = {key: None if part is None else _unwrapped(part, twins) for key, part in given._modules.items()}
    if name == "GPT2MLP" and isinstance(twin.c_fc, FusedAffine) and getattr(twin.act, "approximate", "") == "tanh":
        twin.c_fc.gelu, twin.act = True, nn.Identity()
    return cast("nn.Module", twin)


def _is_fusable(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_kernel()


@cache
def _has_kernel() -> bool:
    # Not part of torch's public interface, and not of every build.
    one = torch.ones(1, 1)
    try:
        return bool(torch.ops.mkldnn._linear_pointwise(one, one, None, "gelu", [], "tanh").isfinite())
    except (AttributeError, RuntimeError):
        return False


def output_weights(affine: Any) -> Float[Tensor, "read written"]:
    """The matrix of an affine map: one row per number that it reads, as for every neuron of an MLP's output matrix."""
    # torch's Linear keeps its matrix transposed, transformers' Conv1D does not.
    weight: Tensor = affine.weight.T if isinstance(affine, nn.Linear) else affine.weight
    return weight


def hidden_of(output: Any) -> Tensor:
    """The residual stream that a block returns."""
    # transformers' blocks return the residual stream alone or first in a tuple, depending on the architecture.
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden
