# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Input and output weights of a model's neurons, with layer norms folded in and free directions removed, or raw.

A layer norm centres its input and then scales it by gamma and shifts it by beta, so a neuron reads

    w_in = centred(W_in gamma),    b_in = b_in + W_in beta.

Its output along the direction of all ones is removed by every later layer norm, and a constant added to all logits
changes no probability:

    w_out = centred(W_out),    W_U = centred over the width and over the vocabulary (W_U gamma_final).

None of this changes what the model computes.  Source: Gurnee et al. (2024), appendix A.1, with the weight processing of
TransformerLens (fold_ln, center_writing_weights, center_unembed).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from universal_neurons.core.unwrapped import UnwrappedModel, affine_matrix


@dataclass(frozen=True, eq=False)
class NeuronWeights:
    """Input weights, input biases and output weights of all neurons, layer by layer, and every token's unembedding."""

    w_in: Float[Tensor, "neuron width"]
    b_in: Float[Tensor, " neuron"]
    w_out: Float[Tensor, "neuron width"]
    unembedding: Float[Tensor, "vocab width"]


@torch.no_grad()
def raw_weights(bridge: TransformerBridge) -> NeuronWeights:
    """The weights as the model stores them, in float64."""
    # The bridge's own attributes depend on its mode; the modules that it wraps have the raw weights.
    model = UnwrappedModel.of(bridge)
    return NeuronWeights(
        w_in=torch.cat([affine_matrix(part).double().T for part in model.mlp_inputs]),
        b_in=torch.cat([part.bias.double() for part in model.mlp_inputs]),
        w_out=torch.cat([affine_matrix(part).double() for part in model.mlp_outputs]),
        unembedding=affine_matrix(model.unembedding).double().T,
    )


@torch.no_grad()
def folded_weights(bridge: TransformerBridge) -> NeuronWeights:
    """The folded weights of a model with raw weights, in float64; the model is left as it is."""
    raw, model = raw_weights(bridge), UnwrappedModel.of(bridge)
    width = len(raw.b_in) // len(model.mlp_norms)
    gamma, beta = (
        torch.stack([getattr(norm, name).double() for norm in model.mlp_norms]).repeat_interleave(width, dim=0)
        for name in ("weight", "bias")
    )
    unembedding = raw.unembedding * model.final_norm.weight.double()
    return NeuronWeights(
        w_in=_centred(raw.w_in * gamma),
        b_in=raw.b_in + torch.linalg.vecdot(raw.w_in, beta),
        w_out=_centred(raw.w_out),
        unembedding=_centred(unembedding - unembedding.mean(0)),
    )


def _centred(vectors: Float[Tensor, "vector width"]) -> Float[Tensor, "vector width"]:
    return vectors - vectors.mean(1, keepdim=True)
