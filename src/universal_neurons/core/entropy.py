# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Exact effects of last-layer neurons on the output distribution, in total and without the final layer norm's scale.

A neuron of the last layer adds d_t w to the residual stream x_t where its activation changes by d_t.  With deviations
x~ and w~ from the mean over the width, the scale s^2 = mean of x~^2 + eps, gamma and beta of the final layer norm, and
logits = W_U (gamma x~ / s + beta) + b,

    s'^2    = s^2 + 2 d <x~, w~> / width + d^2 |w~|^2 / width
    logits' = (s / s') W_U gamma x~ / s + (d / s') W_U gamma w~ + W_U beta + b,

so a change costs a pass over the logits and no forward pass.  The direct effect has s' = s: what is left of the total
effect is mediated by the scale.  Source: Gurnee et al. (2024), section 5.2; Stolfo et al. (2024, arXiv 2406.16254).

Neurons of lower layers act through the blocks above, which are run again; the rest is the same.

Deviation: the published code runs the model once per neuron and value, with results in float16.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from universal_neurons.architectures import UnknownArchitecture
from universal_neurons.core.ablation import AblationEngine, CleanPass, NonFiniteLogitsError
from universal_neurons.core.unwrapped import UnwrappedModel, affine_matrix

# Accepted difference between log-probabilities here and of the model.
AGREEMENT = 1e-3
# Logits that are held at a time, beside the clean ones.
LOGITS_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class FinalState:
    """The end of a clean run at all predicting positions.

    ``logits``: W_U gamma x~ / s alone; ``constant``: W_U beta + b; ``written``: W_U gamma, the logits of a direction.
    """

    deviation: Float[Tensor, "token width"]
    scale: Float[Tensor, " token"]
    logits: Float[Tensor, "token vocab"]
    constant: Float[Tensor, " vocab"]
    written: Float[Tensor, "vocab width"]
    activations: Float[Tensor, "token neuron"]
    target: Int64[Tensor, " token"]
    eps: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """Entropy (nats), loss (nats), reciprocal rank of the true next token, and the most probable token, by position.

    ``scale``: of the final layer norm.
    """

    entropy: Float[Tensor, " token"]
    loss: Float[Tensor, " token"]
    reciprocal_rank: Float[Tensor, " token"]
    first: Int64[Tensor, " token"]
    scale: Float[Tensor, " token"]


@torch.no_grad()
def final_state(bridge: TransformerBridge, rows: Int64[Tensor, "row position"]) -> FinalState:
    """The end of a clean run over ``rows``; position t predicts the token at t + 1.

    Raises :class:`NonFiniteLogitsError`, ValueError if the logits of the model are others, and ``UnknownArchitecture``
    for one whose final norm takes no mean away.
    """
    model = UnwrappedModel.runnable(bridge)
    norm, head = model.final_norm, model.unembedding
    if not isinstance(norm, nn.LayerNorm):
        kind = type(bridge.original_model).__name__
        raise UnknownArchitecture(f"entropy of {kind}: expected a final layer norm, got {type(norm).__name__}")
    residual: list[Tensor] = []
    activations: list[Tensor] = []
    with ExitStack() as hooks:
        hooks.callback(norm.register_forward_pre_hook(lambda _, inputs: residual.append(inputs[0])).remove)
        last: Any = model.mlp_outputs[-1]
        hooks.callback(last.register_forward_pre_hook(lambda _, inputs: activations.append(inputs[0])).remove)
        expected = model.model(rows, use_cache=False).logits[:, :-1].flatten(0, 1).float()
    if not bool(expected.isfinite().all()):
        raise NonFiniteLogitsError("logits are infinite or not numbers")
    stream = residual[0][:, :-1].flatten(0, 1).float()
    deviation = stream - stream.mean(1, keepdim=True)
    scale = ((deviation * deviation).mean(1) + norm.eps).sqrt()
    unembedding = affine_matrix(head).float().T
    written = unembedding * norm.weight.float()
    bias: Any = getattr(head, "bias", None)
    constant = unembedding @ norm.bias.float() + (0.0 if bias is None else bias.float())
    state = FinalState(
        deviation=deviation,
        scale=scale,
        logits=(deviation / scale[:, None]) @ written.T,
        constant=constant,
        written=written,
        activations=activations[0][:, :-1].flatten(0, 1).float(),
        target=rows[:, 1:].flatten(),
        eps=norm.eps,
    )
    difference = (state.logits + constant).log_softmax(-1) - expected.log_softmax(-1)
    if not float(difference.abs().max()) <= AGREEMENT:
        raise ValueError(
            f"log-probabilities differ from the model's by {float(difference.abs().max()):.2g}; expected a model with "
            "raw weights and without hooks"
        )
    return state


@torch.no_grad()
def changed_predictions(
    state: FinalState,
    direction: Float[Tensor, " width"],
    change: Float[Tensor, " token"],
    *,
    frozen: bool = False,
) -> Prediction:
    """The predictions where ``change`` times ``direction`` is added; ``frozen``: with the scale of the clean run."""
    deviation = direction - direction.mean()
    width = len(direction)
    square = (
        state.scale**2 + (2 * change * (state.deviation @ deviation) + change**2 * deviation.square().sum()) / width
    )
    # Rounding may leave a variance below 0 where a change takes away all that there is.
    scale = state.scale if frozen else square.clamp(min=torch.finfo(square.dtype).tiny).sqrt()
    moved = state.written @ deviation
    step = max(1, LOGITS_AT_ONCE // len(moved))
    parts = [
        _prediction(
            torch.addcmul(
                state.constant + (change[part] / scale[part])[:, None] * moved,
                (state.scale[part] / scale[part])[:, None],
                state.logits[part],
            ),
            state.target[part],
            scale[part],
        )
        for part in (slice(start, start + step) for start in range(0, len(change), step))
    ]
    return _joined(parts)


@torch.no_grad()
def set_deviation(
    engine: AblationEngine, clean: CleanPass, layer: int, neuron: int, value: float | None
) -> Float[Tensor, "token width"]:
    """x~ at the predicting positions where a neuron of any layer is set to ``value``, or to its mean for None."""
    own = clean.activations[layer][neuron]
    change = (own.mean() if value is None else value) - own
    residual = clean.residual[layer]
    moved = residual + change.view(residual.shape[:2])[..., None] * engine.model.output_weights(layer)[neuron]
    stream = engine.rerun(clean, layer, moved)[:, :-1].flatten(0, 1).float()
    return stream - stream.mean(1, keepdim=True)


@torch.no_grad()
def rerun_predictions(
    state: FinalState, deviation: Float[Tensor, "token width"], *, frozen: bool = False
) -> tuple[Prediction, Float[Tensor, " token"]]:
    """The predictions of another x~, and KL(clean || these) in nats; ``frozen``: with the scale of the clean run."""
    scale = state.scale if frozen else ((deviation * deviation).mean(1) + state.eps).sqrt()
    step = max(1, LOGITS_AT_ONCE // len(state.constant))
    parts, divergence = [], []
    for part in (slice(start, start + step) for start in range(0, len(scale), step)):
        logits = (deviation[part] / scale[part, None]) @ state.written.T + state.constant
        parts.append(_prediction(logits, state.target[part], scale[part]))
        clean = (state.logits[part] + state.constant).log_softmax(-1)
        divergence.append((clean.exp() * (clean - logits.log_softmax(-1))).sum(1))
    return _joined(parts), torch.cat(divergence)


def _joined(parts: Sequence[Prediction]) -> Prediction:
    return Prediction(*(torch.cat([getattr(one, name) for one in parts]) for name in vars(parts[0])))


def _prediction(logits: Tensor, target: Tensor, scale: Tensor) -> Prediction:
    log_probabilities = logits.log_softmax(-1)
    own = log_probabilities.gather(1, target[:, None])
    rank = (log_probabilities > own).sum(1) + 1
    return Prediction(
        entropy=-(log_probabilities.exp() * log_probabilities).sum(1),
        loss=-own[:, 0],
        reciprocal_rank=1.0 / rank,
        first=log_probabilities.argmax(1),
        scale=scale,
    )


@dataclass(frozen=True, eq=False)
class NullSpace:
    """The right singular directions of the folded unembedding, the smallest singular value first.

    Without the direction of all ones, which the layer norm takes out of everything.
    """

    directions: Float64[Tensor, "direction width"]
    values: Float64[Tensor, " direction"]

    @classmethod
    def of(cls, unembedding: Float64[Tensor, "vocab width"]) -> "NullSpace":
        """The singular directions of an unembedding that is centred over its width."""
        _, values, directions = torch.linalg.svd(unembedding, full_matrices=False)
        ones = torch.full_like(directions[0], len(directions[0]) ** -0.5)
        trivial = int((directions @ ones).abs().argmax())
        kept = [number for number in reversed(range(len(values))) if number != trivial]
        return cls(directions[kept], values[kept])

    def share(self, vectors: Float64[Tensor, "vector width"], *, count: int) -> Float64[Tensor, " vector"]:
        """The length of the projection on the ``count`` smallest directions, of unit vectors; NaN of zeros."""
        norm = torch.linalg.vector_norm(vectors, dim=1)
        projected = torch.linalg.vector_norm(vectors @ self.directions[:count].T, dim=1)
        return torch.where(norm > 0, projected / norm, torch.nan)


def frequency_cosine(
    vectors: Float64[Tensor, "vector width"],
    unembedding: Float64[Tensor, "vocab width"],
    counts: Int64[Tensor, " vocab"],
) -> Float64[Tensor, " vector"]:
    """Cosine over the tokens that occur of the logits of each vector with the logarithm of the counts, both centred."""
    occurs: Bool[Tensor, " vocab"] = counts > 0
    logits = unembedding[occurs] @ vectors.T
    frequency = counts[occurs].double().log()
    logits, frequency = logits - logits.mean(0), frequency - frequency.mean()
    scale = torch.linalg.vector_norm(logits, dim=0) * torch.linalg.vector_norm(frequency)
    return torch.where(scale > 0, (logits * frequency[:, None]).sum(0) / scale, torch.nan)
