# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""The transformers model behind a bridge, without the bridge's hooks: the same numbers in less time.

A bridge calls a hook at every step of every layer, computes attention in single steps and GELU in eight; the modules
that it wraps do neither.  Here they are copied without hooks, sharing all weights, so that the bridge stays as it is.
Hooks or processed weights may have changed the bridge's own numbers: callers compare the two before they use the copy.
"""

import copy
import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

from universal_neurons.architectures import ModelAdapter, adapter_of

# GELU by the tanh formula (Hendrycks & Gimpel 2016): u = sqrt(2 / pi) (x + 0.044715 x^3), here 2u = x (a + b x^2).
_LINEAR = 2 * math.sqrt(2 / math.pi)
_CUBIC = 0.044715 * _LINEAR
# Activations that stay in a core's cache.
_ELEMENTS = 2**17


class UnsuitableAttentionError(ValueError):
    """The model's attention is not sdpa: a block that is run on its own under eager attention sees the future."""


class FusedAffine(nn.Module):
    """x W + b, and its GELU by the tanh formula if ``gelu`` is "fused", in one kernel of oneDNN, in float32 on a CPU.

    torch's own product takes a tenth longer, and GELU afterwards reads and writes everything once more.  It is the
    kernel of compiled models, without the compiler.  The weights are shared, not copied.

    If it is "quick", it is taken in place afterwards, in a third of the time.
    """

    def __init__(self, affine: nn.Module) -> None:
        super().__init__()
        given: Any = affine
        self.weight: Tensor = affine_matrix(given)
        self.bias: Tensor | None = given.bias
        self.gelu: Literal["none", "fused", "quick"] = "none"

    def forward(self, values: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape neuron"]:
        """Apply the map; products are float32 whatever precision torch is set to."""
        after: tuple[Any, ...] = ("gelu", [], "tanh") if self.gelu == "fused" else ("none", [], "")
        output: Tensor = torch.ops.mkldnn._linear_pointwise(values, self.weight.T, self.bias, *after)
        for part in torch.split(output.view(-1), _ELEMENTS) if self.gelu == "quick" else ():
            _gelu_in_place(part)
        return output


def _gelu_in_place(values: Tensor) -> None:
    # x / 2 (1 + tanh u) is x sigmoid 2u, and a sigmoid takes a third of the time of a hyperbolic tangent.
    doubled = (values * values).mul_(_CUBIC).add_(_LINEAR).mul_(values)
    values.mul_(doubled.sigmoid_())


@dataclass(frozen=True, eq=False)
class UnwrappedModel:
    """The modules of a transformers model, without a bridge's wrappers and hooks; the weights are shared.

    Per block ``mlp_norms`` (the layer norm that the MLP reads), ``mlp_inputs`` and ``mlp_outputs`` (its affine maps).
    """

    model: nn.Module
    blocks: tuple[nn.Module, ...]
    mlp_norms: tuple[Any, ...]
    mlp_inputs: tuple[Any, ...]
    mlp_outputs: tuple[nn.Module, ...]
    final_norm: Any
    unembedding: nn.Module

    @classmethod
    def of(cls, bridge: TransformerBridge, *, fused: bool = True) -> "UnwrappedModel":
        """Copy the modules behind a bridge; see :meth:`copied`."""
        source: Any = bridge.original_model
        return cls.copied(source, fused=fused)

    def with_quick_gelu(self) -> "UnwrappedModel":
        """Take GELU in a third of the time where it is fused; it is exact far below 0, where the model's own is not.

        Effects of ablations do not depend on activations as small as that, but correlations of a neuron do that is
        never on: evidence has them by the formula of the model.
        """
        for affine in self.mlp_inputs:
            if isinstance(affine, FusedAffine) and affine.gelu == "fused":
                affine.gelu = "quick"
        return self

    @classmethod
    def copied(cls, source: nn.Module, *, fused: bool = True) -> "UnwrappedModel":
        """Copy a transformers model; raises ``UnknownArchitecture`` for one without an adapter.

        ``fused``: an MLP's input matrix and GELU are one kernel, which never makes the pre-activations; a gated MLP
        keeps its steps.

        GELU is one kernel instead of eight, whose rounding errors far below 0 differ from the model's own; the
        activations of a neuron that is never on are such errors.
        """
        adapter = adapter_of(type(source).__name__)
        copied = cls.around(_unwrapped(source, {}).eval())
        for block in copied.blocks if fused and not adapter.gated else ():
            _fuse_activation(block, adapter)
        return copied

    @classmethod
    def around(cls, source: nn.Module) -> "UnwrappedModel":
        """The parts of a transformers model itself; raises ``UnknownArchitecture`` for one without an adapter."""
        model: Any = source
        adapter = adapter_of(type(source).__name__)
        blocks = tuple(model.get_submodule(adapter.blocks).children())
        return cls(
            model=model,
            blocks=blocks,
            mlp_norms=tuple(block.get_submodule(adapter.mlp_norm) for block in blocks),
            mlp_inputs=tuple(block.get_submodule(adapter.mlp_input) for block in blocks),
            mlp_outputs=tuple(block.get_submodule(adapter.mlp_output) for block in blocks),
            final_norm=model.get_submodule(adapter.final_norm),
            unembedding=model.get_output_embeddings(),
        )

    @classmethod
    def runnable(cls, bridge: TransformerBridge, *, fused: bool = True) -> "UnwrappedModel":
        """The same, to run blocks on their own; raises :class:`UnsuitableAttentionError` unless attention is sdpa."""
        source: Any = bridge.original_model
        attention = getattr(source.config, "_attn_implementation", None)
        if attention != "sdpa":
            raise UnsuitableAttentionError(f"attention is {attention!r}; expected 'sdpa'")
        return cls.of(bridge, fused=fused)

    @property
    def widths(self) -> tuple[int, ...]:
        """MLP neurons per layer."""
        return tuple(len(affine_matrix(part)) for part in self.mlp_outputs)

    def output_weights(self, layer: int) -> Float[Tensor, "neuron width"]:
        """W_out of a layer, one row per neuron."""
        return affine_matrix(self.mlp_outputs[layer])


def _unwrapped(module: nn.Module, twins: dict[int, nn.Module]) -> nn.Module:
    # A copy without bridges and hooks that shares all tensors; ``twins`` maps the id of an original to its copy.  Only
    # in a copy can hooks be set and the activation function be replaced without a trace in the caller's model.
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
    return cast("nn.Module", twin)


def _fuse_activation(block: nn.Module, adapter: ModelAdapter) -> None:
    # GELU becomes part of the MLP's input matrix.
    affine, activation = block.get_submodule(adapter.mlp_input), block.get_submodule(adapter.mlp_activation)
    if isinstance(affine, FusedAffine) and getattr(activation, "approximate", "") == "tanh":
        affine.gelu = "fused"
        parent, _, name = adapter.mlp_activation.rpartition(".")
        setattr(block.get_submodule(parent), name, nn.Identity())


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


def affine_matrix(affine: Any) -> Float[Tensor, "read written"]:
    """The matrix of an affine map, one row per number that it reads."""
    # torch's Linear keeps its matrix transposed, transformers' Conv1D does not.
    weight: Tensor = affine.weight.T if isinstance(affine, nn.Linear) else affine.weight
    return weight


def hidden_of(output: Any) -> Tensor:
    """The residual stream that a block returns."""
    # transformers' blocks return the residual stream alone or first in a tuple, depending on the architecture.
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden
