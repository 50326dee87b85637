# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""The weights of a model's neurons as weight statistics want them: layer norms folded in, free directions taken out.

This module decides which vectors a neuron's input and output weights are.  It refuses to know what is asked of them.

A layer norm centres its input and then scales it by gamma and shifts it by beta, so what a neuron reads is

    w_in = centred(W_in gamma),    b_in = b_in + W_in beta;

what it writes along the direction of all ones is removed by every later layer norm, and what all logits share changes
no probability:

    w_out = centred(W_out),    W_U = centred over the width and over the vocabulary (W_U gamma_final).

None of this changes what the model computes.  Source: Gurnee et al. (2024), appendix A.1, with the weight processing of
TransformerLens (fold_ln, center_writing_weights, center_unembed).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class FoldedWeights:
    """Input weights, input biases and output weights of all neurons, layer by layer, and every token's unembedding."""

    w_in: Float[Tensor, "neuron width"]
    b_in: Float[Tensor, " neuron"]
    w_out: Float[Tensor, "neuron width"]
    unembedding: Float[Tensor, "vocab width"]


@torch.no_grad()
def folded_weights(bridge: TransformerBridge) -> FoldedWeights:
    """The folded weights of a model with raw weights, in float64; the model is left as it is."""
    read, biases = [], []
    norms = [_original(block.ln2) for block in _modules(bridge.blocks)]
    for norm, w_in, b_in in zip(norms, bridge.W_in.double(), bridge.b_in.double(), strict=True):
        read.append((w_in * norm.weight.double()[:, None]).T)
        biases.append(b_in + norm.bias.double() @ w_in)
    unembedding = bridge.W_U.double().T * _original(bridge.ln_final).weight.double()
    return FoldedWeights(
        w_in=_centred(torch.cat(read)),
        b_in=torch.cat(biases),
        w_out=_centred(bridge.W_out.double().flatten(0, 1)),
        unembedding=_centred(unembedding - unembedding.mean(0)),
    )


def _centred(vectors: Float[Tensor, "vector width"]) -> Float[Tensor, "vector width"]:
    return vectors - vectors.mean(1, keepdim=True)


def _modules(blocks: Any) -> list[Any]:
    return list(blocks)


def _original(norm: Any) -> Any:
    # The bridge's own attributes depend on its mode; the module that it wraps has the raw weights.
    return norm.original_component
