# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Input and output weights of a model's neurons, with layer norms folded in and free directions removed.

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
class FoldedWeights:
    """Input weights, input biases and output weights of all neurons, layer by layer, and every token's unembedding."""

    w_in: Float[Tensor, "neuron width"]
    b_in: Float[Tensor, " neuron"]
    w_out: Float[Tensor, "neuron width"]
    unembedding: Float[Tensor, "vocab width"]


@torch.no_grad()
def folded_weights(bridge: TransformerBridge) -> FoldedWeights:
    """The folded weights of a model with raw weights, in float64; the model is left as it is."""
    # The bridge's own attributes depend on its mode; the modules that it wraps have the raw weights.
    model = UnwrappedModel.of(bridge)
    read, biases = [], []
    for norm, mlp_input in zip(model.mlp_norms, model.mlp_inputs, strict=True):
        gamma, beta, b_in = (tensor.double() for tensor in (norm.weight, norm.bias, mlp_input.bias))
        w_in = affine_matrix(mlp_input).double().contiguous()
        read.append((w_in * gamma[:, None]).T)
        biases.append(b_in + beta @ w_in)
    gamma = model.final_norm.weight.double()
    unembedding = affine_matrix(model.unembedding).double().T * gamma
    w_out = [affine_matrix(mlp_output).double() for mlp_output in model.mlp_outputs]
    return FoldedWeights(
        w_in=_centred(torch.cat(read)),
        b_in=torch.cat(biases),
        w_out=_centred(torch.cat(w_out)),
        unembedding=_centred(unembedding - unembedding.mean(0)),
    )


def _centred(vectors: Float[Tensor, "vector width"]) -> Float[Tensor, "vector width"]:
    return vectors - vectors.mean(1, keepdim=True)
