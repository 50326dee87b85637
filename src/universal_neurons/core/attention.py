# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Attention heads of a model: weights, attention to the first position, and what neurons below change of it.

A neuron with unit output weights w acts on the attention of a head through its query.  With W_Q the head's query matrix
behind its layer norm's gamma, rotations R_t of position t (none where positions are added), keys k_s as they are
rotated, and the head's scale,

    raw score        h     = scale * mean over t of  w^T W_Q R_t^T k_0
    relative score   h_rel = scale * mean over t of  w^T W_Q R_t^T (k_0 - mean over 1 <= s <= t of k_s),

each over tested positions t and rows.  A softmax sees differences of scores only, so the second is what counts.

Path ablation takes the neuron's output out of the head's query alone, with keys and values of the clean run.  With the
residual stream x, its deviation x~ from its mean, the neuron's activation v and the deviation w~ of its output weights,

    q' = R_t ((x~ - v w~) W_Q / s' + b_Q),    s'^2 = var(x) + eps - 2 v <x~, w~> / width + v^2 |w~|^2 / width,

so a neuron costs products of a head's width only.  Source: Gurnee et al. (2024), section 5.3.

Deviation: the published score is h for all heads; the published code ablates many positions at once and correlates its
last batch only.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from universal_neurons.architectures import ModelAdapter, UnknownArchitecture, adapter_of
from universal_neurons.core.moments import NonFiniteActivationError
from universal_neurons.core.unwrapped import UnwrappedModel, affine_matrix

# Accepted difference between attention's output here and in the model, as a share of the largest.
AGREEMENT = 1e-4
# Neurons that are ablated at a time, and rows of one forward pass.
NEURONS_AT_ONCE, ROWS_AT_ONCE = 8, 16


@dataclass(frozen=True, eq=False)
class Heads:
    """The attention heads of one layer, in float32; keys and values that heads share are repeated for each.

    ``scale``: of the products of queries and keys, by the width of a head and, in some models, by the layer's number.
    ``cosine``, ``sine``: of the rotation of each position, without columns where nothing is rotated.
    """

    norm: Any
    query: Float[Tensor, "head width dim"]
    query_bias: Float[Tensor, "head dim"]
    key: Float[Tensor, "head width dim"]
    key_bias: Float[Tensor, "head dim"]
    value: Float[Tensor, "head width dim"]
    value_bias: Float[Tensor, "head dim"]
    output: Float[Tensor, "head dim width"]
    output_bias: Float[Tensor, " width"]
    scale: float
    cosine: Float[Tensor, "position rotary"]
    sine: Float[Tensor, "position rotary"]

    def rotated(self, vectors: Tensor, first: int = 0, *, back: bool = False) -> Tensor:
        """``vectors`` (... position dim) rotated by their positions from ``first`` on; ``back``: the inverse."""
        rotary = self.cosine.shape[1]
        stop = first + vectors.shape[-2]
        cosine, sine = self.cosine[first:stop], self.sine[first:stop] * (-1 if back else 1)
        turned, rest = vectors[..., :rotary], vectors[..., rotary:]
        low, high = turned.chunk(2, dim=-1)
        return torch.cat([turned * cosine + torch.cat([-high, low], -1) * sine, rest], -1)

    def keys(self, normed: Float[Tensor, "row position width"]) -> Float[Tensor, "head row position dim"]:
        """The rotated keys of the layer norm's output."""
        return self.rotated(_projected(normed, self.key, self.key_bias))

    def values(self, normed: Float[Tensor, "row position width"]) -> Float[Tensor, "head row position dim"]:
        """The values of the layer norm's output."""
        return _projected(normed, self.value, self.value_bias)

    def queries(
        self, normed: Float[Tensor, "row position width"], first: int = 0
    ) -> Float[Tensor, "head row position dim"]:
        """The rotated queries of the layer norm's output, at positions that begin at ``first``."""
        return self.rotated(_projected(normed, self.query, self.query_bias), first)

    def attention(
        self, queries: Float[Tensor, "*batch query dim"], keys: Float[Tensor, "*batch position dim"], first: int = 0
    ) -> Float[Tensor, "*batch query position"]:
        """The attention of queries at positions from ``first`` on to all positions that are not later."""
        scores = queries @ keys.transpose(-1, -2) * self.scale
        seen = torch.arange(keys.shape[-2], device=keys.device)
        later = seen > (first + torch.arange(queries.shape[-2], device=keys.device))[:, None]
        return scores.masked_fill(later, -torch.inf).softmax(-1)


def _projected(normed: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("rtw,hwd->hrtd", normed, matrix) + bias[:, None, None]


@dataclass(frozen=True, eq=False)
class LayerRun:
    """What one layer reads and does in a clean run over rows: the residual stream before attention, attention's output
    and the activations of the MLP."""

    residual: Float32[Tensor, "row position width"]
    attended: Float32[Tensor, "row position width"]
    activations: Float32[Tensor, "row position neuron"]


@dataclass(frozen=True, eq=False)
class AttentionModel:
    """A model whose heads can be read: per layer its heads, and the clean run over some rows."""

    model: UnwrappedModel
    adapter: ModelAdapter
    layers: tuple[Heads, ...]

    @classmethod
    @torch.no_grad()
    def of(cls, bridge: TransformerBridge, *, positions: int) -> "AttentionModel":
        """The heads of a model for rows of ``positions``; raises ``UnknownArchitecture`` where they are not known."""
        source: Any = bridge.original_model
        adapter = adapter_of(type(source).__name__)
        if not adapter.attention_input:
            raise UnknownArchitecture(f"attention of {adapter.class_name}: expected an adapter that names its parts")
        model = UnwrappedModel.runnable(bridge)
        cosine, sine = _rotations(model, adapter, positions)
        layers = (_heads(block, adapter, source.config, cosine, sine) for block in model.blocks)
        return cls(model, adapter, tuple(layers))

    @torch.no_grad()
    def run(self, rows: Int64[Tensor, "row position"]) -> list[LayerRun]:
        """A clean run over ``rows``.

        Raises :class:`~universal_neurons.core.moments.NonFiniteActivationError`, and ValueError if attention here and
        in the model differ.
        """
        parts = [self._run(rows[start : start + ROWS_AT_ONCE]) for start in range(0, len(rows), ROWS_AT_ONCE)]
        runs = [
            LayerRun(*(torch.cat([getattr(one, name) for one in layer]) for name in vars(layer[0])))
            for layer in zip(*parts, strict=True)
        ]
        for number, (run, heads) in enumerate(zip(runs, self.layers, strict=True)):
            self._check(number, run, heads)
        return runs

    def _run(self, rows: Int64[Tensor, "row position"]) -> list[LayerRun]:
        residual: list[Tensor] = []
        attended: list[Tensor] = []
        activations: list[Tensor] = []
        with ExitStack() as hooks:
            for block, mlp_output in zip(self.model.blocks, self.model.mlp_outputs, strict=True):
                norm = block.get_submodule(self.adapter.attention_norm)
                output = block.get_submodule(self.adapter.attention_output)
                hooks.callback(norm.register_forward_pre_hook(_keeping(residual)).remove)
                hooks.callback(output.register_forward_hook(lambda *call: attended.append(call[2].float())).remove)
                hooks.callback(mlp_output.register_forward_pre_hook(_keeping(activations)).remove)
            self.model.model(rows, use_cache=False)
        return [LayerRun(*one) for one in zip(residual, attended, activations, strict=True)]

    def _check(self, layer: int, run: LayerRun, heads: Heads) -> None:
        width = run.activations.shape[-1]
        finite = run.activations.isfinite().flatten(0, 1).all(0)
        if not bool(finite.all()):
            raise NonFiniteActivationError(layer * width + int((~finite).nonzero()[0]))
        normed = heads.norm(run.residual[:1])
        pattern = heads.attention(heads.queries(normed), heads.keys(normed))
        ours = torch.einsum("hrtd,hdw->rtw", pattern @ heads.values(normed), heads.output) + heads.output_bias
        difference = float((ours - run.attended[:1]).abs().max())
        if not difference <= AGREEMENT * max(float(run.attended[:1].abs().max()), 1.0):
            raise ValueError(
                f"layer {layer}: attention's output differs from the model's by {difference:.2g}; expected a model "
                "with raw weights and without hooks"
            )


def _keeping(kept: list[Tensor]) -> Callable[..., None]:
    return lambda _, inputs: kept.append(inputs[0].float())


def _rotations(model: UnwrappedModel, adapter: ModelAdapter, positions: int) -> tuple[Tensor, Tensor]:
    like = affine_matrix(model.unembedding)
    if not adapter.rotary:
        return like.new_zeros(positions, 0), like.new_zeros(positions, 0)
    rotary: Any = model.model.get_submodule(adapter.rotary)
    cosine, sine = rotary(like, torch.arange(positions, device=like.device)[None])
    return cosine[0], sine[0]


def _heads(block: Any, adapter: ModelAdapter, config: Any, cosine: Tensor, sine: Tensor) -> Heads:
    heads = int(getattr(config, adapter.options["heads"]))
    shared = int(getattr(config, adapter.key_heads)) if adapter.key_heads else heads
    inputs: list[Any] = [block.get_submodule(path) for path in adapter.attention_input]
    output: Any = block.get_submodule(adapter.attention_output)
    attention: Any = block.get_submodule(adapter.attention)
    matrix = torch.cat([affine_matrix(part) for part in inputs], dim=1).float()
    written = affine_matrix(output).float()
    width = written.shape[1]
    bias = [matrix.new_zeros(affine_matrix(part).shape[1]) if part.bias is None else part.bias for part in inputs]
    output_bias = matrix.new_zeros(width) if output.bias is None else output.bias.float()
    # One more row: biases are laid out as weights are.
    joint = torch.cat([matrix, torch.cat(bias).float()[None]])
    expected = len(written) // heads * (heads + 2 * shared)
    if joint.shape[1] != expected:
        raise UnknownArchitecture(
            f"attention of {adapter.class_name}: expected {expected} columns of {heads} heads of queries and {shared} "
            f"of keys and values, got {joint.shape[1]}"
        )
    query, key, value = (
        part.permute(1, 0, 2) for part in _split(joint, adapter.packing, heads, shared, len(written) // heads)
    )
    # Query head h reads the keys and values of head h // (heads / shared).
    key, value = (part.repeat_interleave(heads // shared, dim=0) for part in (key, value))
    return Heads(
        norm=block.get_submodule(adapter.attention_norm),
        query=query[:, :-1], query_bias=query[:, -1], key=key[:, :-1], key_bias=key[:, -1], value=value[:, :-1],
        value_bias=value[:, -1], output=written.reshape(heads, -1, width), output_bias=output_bias,
        scale=float(attention.scaling), cosine=cosine, sine=sine,
    )  # fmt: skip


def _split(
    joint: Float[Tensor, "read written"], packing: Literal["parts", "heads"], heads: int, shared: int, dim: int
) -> tuple[Tensor, ...]:
    """Queries, keys and values (read head dim) of the joint matrix."""
    if packing == "parts":
        parts = torch.split(joint, [heads * dim, shared * dim, shared * dim], dim=1)
        return tuple(part.reshape(len(joint), -1, dim) for part in parts)
    groups = joint.view(len(joint), shared, heads // shared + 2, dim)
    return groups[:, :, :-2].reshape(len(joint), heads, dim), groups[:, :, -2], groups[:, :, -1]


@dataclass(frozen=True, eq=False)
class HeadStatistics:
    """Of every head of a layer, over rows and tested positions.

    ``to_first``: mean attention to position 0.  ``first_norm``, ``other_norm``: mean of |W_O v| at position 0, and at
    all later ones; ``middle_norm``, at the middle position.  ``raw``, ``relative``: the direction whose product with
    unit output weights is the score.
    """

    to_first: Float[Tensor, " head"]
    first_norm: Float[Tensor, " head"]
    middle_norm: Float[Tensor, " head"]
    other_norm: Float[Tensor, " head"]
    raw: Float64[Tensor, "head width"]
    relative: Float64[Tensor, "head width"]


@torch.no_grad()
def head_statistics(heads: Heads, run: LayerRun, *, first: int) -> HeadStatistics:
    """The statistics of a layer's heads, with attention of positions from ``first`` on; ``first`` is at least 1."""
    normed = heads.norm(run.residual)
    keys = heads.keys(normed)
    pattern = heads.attention(heads.queries(normed[:, first:], first), keys, first)
    norms = torch.linalg.vector_norm(torch.einsum("hrtd,hdw->hrtw", heads.values(normed), heads.output), dim=-1)
    count = torch.arange(1, keys.shape[2], device=keys.device)[:, None]
    others = (keys[:, :, 1:].double().cumsum(2) / count)[:, :, first - 1 :]
    own = keys[:, :, :1].double().expand_as(others)
    return HeadStatistics(
        to_first=pattern[..., 0].mean((1, 2)),
        first_norm=norms[:, :, 0].mean(1),
        middle_norm=norms[:, :, norms.shape[2] // 2].mean(1),
        other_norm=norms[:, :, 1:].mean((1, 2)),
        raw=_direction(heads, own, first),
        relative=_direction(heads, own - others, first),
    )


def _direction(heads: Heads, keys: Float64[Tensor, "head row query dim"], first: int) -> Float64[Tensor, "head width"]:
    turned = heads.rotated(keys, first, back=True).mean((1, 2)) * heads.scale
    gamma = heads.norm.weight.double()
    found: Tensor = torch.einsum("hwd,hd->hw", heads.query.double(), turned) * gamma
    # A layer norm takes the mean away, from what a neuron writes too.
    return found - found.mean(1, keepdim=True)


@dataclass(frozen=True, eq=False)
class PathEffects:
    """Path ablation of neurons from one head's query, at every tested position of every row (neuron, point).

    ``attention``: change of the attention to position 0; ``norm``: change of |z W_O| as a share of it.
    """

    attention: Float[Tensor, "neuron point"]
    norm: Float[Tensor, "neuron point"]


@torch.no_grad()
def path_effects(
    heads: Heads,
    run: LayerRun,
    head: int,
    activations: Float[Tensor, "neuron row query"],
    w_out: Float[Tensor, "neuron width"],
    *,
    first: int,
    added: bool = False,
) -> PathEffects:
    """The effects of taking neurons with ``activations`` at positions from ``first`` on out of the query of ``head``.

    ``added``: the neurons are no part of the model, and what is taken out was put in before.
    """
    normed = heads.norm(run.residual)
    keys, values = heads.keys(normed)[head], heads.values(normed)[head]
    gram = heads.output[head] @ heads.output[head].T
    path = _QueryPath.of(heads, head, run.residual[:, first:])
    nothing = torch.zeros_like(activations[:1])
    clean = _attended(heads, path.queries(heads, nothing, w_out[:1], first), keys, values, gram, first)
    attention, norm = [], []
    for start in range(0, len(activations), NEURONS_AT_ONCE):
        part = slice(start, start + NEURONS_AT_ONCE)
        signed = -activations[part] if added else activations[part]
        changed = _attended(heads, path.queries(heads, signed, w_out[part], first), keys, values, gram, first)
        before, after = (changed, clean) if added else (clean, changed)
        attention.append((after[0] - before[0]).flatten(1))
        norm.append((after[1] / before[1] - 1).flatten(1))
    return PathEffects(torch.cat(attention), torch.cat(norm))


@dataclass(frozen=True, eq=False)
class _QueryPath:
    """The residual stream behind one head's query: deviation from the mean, its product with W_Q, its variance."""

    deviation: Float[Tensor, "row query width"]
    product: Float[Tensor, "row query dim"]
    variance: Float[Tensor, "row query"]
    matrix: Float[Tensor, "width dim"]
    bias: Float[Tensor, " dim"]

    @classmethod
    def of(cls, heads: Heads, head: int, residual: Tensor) -> "_QueryPath":
        deviation = residual - residual.mean(-1, keepdim=True)
        matrix = heads.norm.weight.float()[:, None] * heads.query[head]
        bias = heads.norm.bias.float() @ heads.query[head] + heads.query_bias[head]
        variance = (deviation * deviation).mean(-1) + heads.norm.eps
        return cls(deviation, deviation @ matrix, variance, matrix, bias)

    def queries(
        self,
        heads: Heads,
        activations: Float[Tensor, "neuron row query"],
        w_out: Float[Tensor, "neuron width"],
        first: int,
    ) -> Float[Tensor, "neuron row query dim"]:
        written = w_out - w_out.mean(1, keepdim=True)
        width = written.shape[1]
        along = torch.einsum("rtw,nw->nrt", self.deviation, written)
        square = torch.linalg.vecdot(written, written)[:, None, None]
        variance = self.variance - (2 * activations * along - activations**2 * square) / width
        moved = self.product - activations[..., None] * (written @ self.matrix)[:, None, None]
        return heads.rotated(moved * variance.clamp(min=heads.norm.eps).rsqrt()[..., None] + self.bias, first)


def _attended(
    heads: Heads, queries: Tensor, keys: Tensor, values: Tensor, gram: Tensor, first: int
) -> tuple[Tensor, Tensor]:
    """Attention to position 0 and the norm of the head's output (neuron row query)."""
    pattern = heads.attention(queries, keys, first)
    mixed = pattern @ values
    return pattern[..., 0], ((mixed @ gram) * mixed).sum(-1).clamp(min=0).sqrt()
