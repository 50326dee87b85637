# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Effects of ablating sets of MLP neurons on a model's predictions.

One clean pass over a batch serves every set: below the first ablated layer l nothing changes, and in block l only the
MLP's output does, which is linear in the activations,

    resid_post' = resid_post - (v - v')[S] W_out[S].

Only blocks l+1 and up run again.  The bridge cannot do that (its ``start_at_layer`` still executes the blocks below),
so they run as the transformers modules that it wraps (:class:`~universal_neurons.core.unwrapped.UnwrappedModel`).

Batches of 4 to 48 rows of 128 tokens take the same time per token on a CPU, so several ablations in one batch would
save nothing and need more memory.  Ablations of one batch run in parallel instead, one per thread.

Source: zero ablation at ``hook_post`` as in Gurnee et al. (2024).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self, assert_never

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from universal_neurons.core.activations import layer_widths, mlp_activations, row_blocks
from universal_neurons.core.matmul import PrecisionMode, check_mode, matmul_precision
from universal_neurons.core.moments import column_means, layer_slices
from universal_neurons.core.threads import parallel_map, single_threads
from universal_neurons.core.unwrapped import UnwrappedModel, affine_matrix, hidden_of

AblationMode = Literal["zero", "mean", "resample"]

# Predictions whose logits over the whole vocabulary are held at a time.
TILE_PREDICTIONS = 256
# Accepted difference of log-probabilities between the bridge and the model that it wraps.
AGREEMENT = 1e-3
# Ablations between two chances to keep what is summed up: some minutes of a large model's.
_KEPT_EVERY = 256
_NOT_FINITE = "the logits of the clean or of an ablated model are infinite or not a number"


class NonFiniteLogitsError(ValueError):
    """A clean or ablated model gave logits that are infinite or not a number."""


@dataclass(frozen=True, eq=False)
class Ablation:
    """A set of neurons to ablate together, and the replacement of their activations.

    ``neurons``: indices over the whole model, layer by layer, in any order, on the CPU; empty ablates nothing.
    ``mode``: "zero"; "mean", the neuron's mean over all positions of the evaluation rows of the clean model;
    "resample", the neuron's clean value at another (row, position) of the same batch.

    Raises ValueError if a neuron occurs twice.
    """

    neurons: Int64[Tensor, " neuron"]
    mode: AblationMode = "zero"

    def __post_init__(self) -> None:
        ordered = self.neurons.sort().values
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(repeated):
            raise ValueError(f"an ablated set names neuron {int(repeated[0])} twice")


@dataclass(frozen=True, eq=False)
class AblationEffects:
    """Effects of several ablations on the same predictions, per block of rows, in nats per prediction.

    ``kl``: mean of KL(P || Q) over the whole vocabulary, P the clean and Q the ablated model.  ``loss_increase``: mean
    of log P(y) - log Q(y) at the true next token y, so ``clean_loss + loss_increase`` is the ablated cross-entropy.
    ``predictions``: their number per block; position t of a row predicts position t + 1, the last one nothing.
    Blocks are :func:`~universal_neurons.core.activations.row_blocks`; the mean over all predictions is the mean over
    blocks weighted by ``predictions``.
    """

    kl: Float64[Tensor, "ablation block"]
    loss_increase: Float64[Tensor, "ablation block"]
    clean_loss: Float64[Tensor, " block"]
    predictions: Int64[Tensor, " block"]


@dataclass(eq=False)
class AblationSums:
    """What is summed up so far, from which an interrupted computation of effects goes on.

    ``effects``: the sums of KL and of the increase of the loss over the predictions of each row; ``loss``: of the clean
    loss.  ``done``: the ablations that are finished, counted for each batch of rows.
    """

    effects: Float64[Tensor, "2 ablation row"]
    loss: Float64[Tensor, " row"]
    done: int = 0

    @classmethod
    def zeros(cls, ablations: int, rows: int) -> Self:
        """The sums at the beginning."""
        return cls(torch.zeros(2, ablations, rows, dtype=torch.float64), torch.zeros(rows, dtype=torch.float64))


@dataclass(frozen=True, eq=False)
class CleanPass:
    """The clean pass over one batch: everything about an ablation's effect that does not depend on the ablated set.

    Per layer: ``residual``, the output of the block; ``arguments``, the other arguments of the block, such as its
    attention mask; ``activations``, one row per neuron, so that the activations of a set are a copy of rows.
    At the predicting positions only: ``final``, the output of the last layer norm; ``probabilities``; ``expected``, the
    mean of the unembedding under them; ``target``, the unembedding of the true next token; ``loss``.
    Resampled activations come from ``donor`` (``activations``, unless another input is patched in) at the tokens
    ``source``.
    """

    residual: list[Float[Tensor, "row position width"]]
    activations: list[Float[Tensor, "neuron token"]]
    donor: list[Float[Tensor, "neuron token"]]
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]
    final: Float[Tensor, "prediction width"]
    probabilities: Float[Tensor, "prediction vocab"]
    expected: Float[Tensor, "prediction width"]
    target: Float[Tensor, "prediction width"]
    loss: Float[Tensor, "row position"]
    source: Int64[Tensor, " token"]


class AblationEngine:
    """A model that runs clean once per batch, and then ablated from the first ablated layer upwards.

    An engine runs one ablation at a time, because an ablation sets hooks.  Engines of one bridge share its weights,
    and each can use the :class:`CleanPass` of another.
    """

    def __init__(self, bridge: TransformerBridge) -> None:
        self.model = UnwrappedModel.runnable(bridge).with_quick_gelu()
        self.layers = layer_slices(layer_widths(bridge))
        self.means = torch.zeros(self.layers[-1].stop, dtype=torch.float64)
        head = affine_matrix(self.model.unembedding).T
        # A constant added to all logits of a token changes no probability; removed, it overflows no exponential.
        self.unembedding: Tensor = (head - head.mean(0)).float()

    def check_against(self, bridge: TransformerBridge, rows: Int64[Tensor, "row position"]) -> None:
        """Raise ValueError if the bridge predicts something else, because of hooks or processed weights.

        Raises :class:`NonFiniteLogitsError` if the model's own logits are infinite or not a number.
        """
        unwrapped = self.model.model(rows, use_cache=False).logits.log_softmax(-1)
        if not bool(unwrapped.isfinite().all()):
            raise NonFiniteLogitsError(_NOT_FINITE)
        difference = float((bridge(rows).log_softmax(-1) - unwrapped).abs().max())
        if not difference <= AGREEMENT:
            raise ValueError(
                f"the log-probabilities of the bridge and of the model that it wraps differ by {difference:.2g}; "
                f"expected at most {AGREEMENT}: ablate a bridge with raw weights and without hooks"
            )

    def clean(self, rows: Int64[Tensor, "row position"], *, seed: int) -> CleanPass:
        """Run the clean pass over a batch; ``seed`` draws the tokens that resampled activations come from."""
        residual: list[Tensor] = []
        activations: list[Tensor] = []
        arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        final: list[Tensor] = []
        with ExitStack() as hooks:
            for block, mlp_output in zip(self.model.blocks, self.model.mlp_outputs, strict=True):
                keep = block.register_forward_pre_hook(
                    lambda _, args, kwargs: arguments.append((args[1:], kwargs)), with_kwargs=True
                )
                hooks.callback(keep.remove)
                hooks.callback(block.register_forward_hook(lambda *call: residual.append(hidden_of(call[2]))).remove)
                hooks.callback(
                    mlp_output.register_forward_pre_hook(lambda *call: activations.append(call[1][0])).remove
                )
            hooks.callback(self.model.final_norm.register_forward_hook(lambda *call: final.append(call[2])).remove)
            log_probabilities = self._log_probabilities(rows)
        loss = -log_probabilities.gather(-1, rows[:, 1:, None])[..., 0]
        # In place, and layer by layer: a copy over GPT-2's vocabulary, or all of its neurons, is gigabytes.
        probabilities = log_probabilities.exp_().flatten(0, 1)
        by_neuron = [activations.pop(0).flatten(0, 1).T.contiguous() for _ in self.model.blocks]
        return CleanPass(
            residual=residual,
            activations=by_neuron,
            donor=by_neuron,
            arguments=arguments,
            final=final[0][:, :-1].flatten(0, 1),
            probabilities=probabilities,
            expected=probabilities @ self.unembedding,
            target=self.unembedding[rows[:, 1:].flatten()],
            loss=loss,
            source=_other_tokens(rows.numel(), seed=seed).to(rows.device),
        )

    def _log_probabilities(self, rows: Int64[Tensor, "row position"]) -> Float[Tensor, "row prediction vocab"]:
        logits: Tensor = self.model.model(rows, use_cache=False).logits
        return logits[:, :-1].float().log_softmax(-1)

    def change(self, clean: CleanPass, ablation: Ablation) -> Float[Tensor, "prediction width"]:
        """The change of the last layer norm's output by the ablation, at the predicting positions."""
        chosen = self._by_layer(ablation)
        first = min(chosen)
        removed = clean.activations[first][chosen[first]]
        replacement = self._replacement(clean, ablation.mode, first, chosen[first])
        if replacement is not None:
            removed = removed - replacement
        residual = clean.residual[first]
        flat = torch.addmm(residual.flatten(0, 1), removed.T, self.model.output_weights(first)[chosen[first]], alpha=-1)
        hidden = flat.view_as(residual)
        with ExitStack() as hooks:
            for layer in chosen.keys() - {first}:
                edit = self._edit(clean, ablation.mode, layer, chosen[layer])
                hooks.callback(self.model.mlp_outputs[layer].register_forward_pre_hook(edit).remove)
            hidden = self.rerun(clean, first, hidden)
        final: Tensor = self.model.final_norm(hidden)[:, :-1].flatten(0, 1)
        return final - clean.final

    def rerun(
        self, clean: CleanPass, layer: int, hidden: Float[Tensor, "row position width"]
    ) -> Float[Tensor, "row position width"]:
        """The end of the residual stream where it is ``hidden`` behind ``layer``: only the blocks above run again."""
        for above in range(layer + 1, len(self.layers)):
            args, kwargs = clean.arguments[above]
            hidden = hidden_of(self.model.blocks[above](hidden, *args, **kwargs))
        return hidden

    def _by_layer(self, ablation: Ablation) -> dict[int, Int64[Tensor, " neuron"]]:
        # The ablated neurons of every layer that has some, by index within the layer.  They are picked out on the host,
        # because a GPU would have to finish its queue to say how many they are.
        neurons = ablation.neurons.sort().values
        parts = {i: neurons[(s.start <= neurons) & (neurons < s.stop)] - s.start for i, s in enumerate(self.layers)}
        return {layer: part.to(self.unembedding.device) for layer, part in parts.items() if len(part)}

    def _replacement(
        self, clean: CleanPass, mode: AblationMode, layer: int, chosen: Int64[Tensor, " neuron"]
    ) -> Float[Tensor, "neuron _"] | None:
        # The replacement of the chosen activations of a layer, one row per neuron; None for zeros.
        match mode:
            case "zero":
                return None
            case "mean":
                means = self.means[self.layers[layer]][chosen]
                return means[:, None].to(clean.activations[layer].dtype)
            case "resample":
                return clean.donor[layer][chosen][:, clean.source]
            case _:
                assert_never(mode)

    def _edit(
        self, clean: CleanPass, mode: AblationMode, layer: int, chosen: Int64[Tensor, " neuron"]
    ) -> Callable[..., Any]:
        # A hook that ablates the chosen neurons at the input of the layer's output matrix.
        keep = clean.activations[layer].new_ones(len(clean.activations[layer]))
        keep[chosen] = 0
        replacement = self._replacement(clean, mode, layer, chosen)
        if replacement is None:
            # In place: nothing else reads the activations, and a second copy of them costs ten times the product.
            return lambda _, inputs: (inputs[0].mul_(keep),)
        fill = keep.new_zeros(replacement.shape[1], len(keep))
        fill[:, chosen] = replacement.T
        return lambda _, inputs: (torch.addcmul(fill, inputs[0].flatten(0, 1), keep).view_as(inputs[0]),)

    def effects(
        self, clean: CleanPass, change: Float[Tensor, "prediction width"], *, checked: bool = True
    ) -> tuple[Float[Tensor, " prediction"], Float[Tensor, " prediction"]]:
        """KL(P || Q) and log P(y) - log Q(y) of every prediction, from the change d = change W_U^T of the logits alone:

            m = sum_v P_v d_v,    KL = log sum_v P_v exp(d_v - m),    log P(y) - log Q(y) = KL + m - d_y.

        The sum is at least 1 by Jensen's inequality and is computed as 1 + sum_v P_v expm1(d_v - m), so that a small
        effect is not the difference of two large numbers, and is exactly 0 without a change.  m and d_y need no pass
        over the vocabulary: they are products of the change with vectors that all ablations share.  Where an
        exponential overflows, another formula is taken.  Without ``checked`` it is not, so that a GPU need not be
        waited for, and such an effect is not finite.  Raises :class:`NonFiniteLogitsError`.
        """
        mean = (change * clean.expected).sum(-1)
        tiles = (slice(start, start + TILE_PREDICTIONS) for start in range(0, len(change), TILE_PREDICTIONS))
        divergence = torch.cat([self._divergence(clean, change, mean, tile, checked=checked) for tile in tiles])
        return divergence, divergence + mean - (change * clean.target).sum(-1)

    def _divergence(
        self, clean: CleanPass, change: Tensor, mean: Tensor, tile: slice, *, checked: bool
    ) -> Float[Tensor, " prediction"]:
        centred = (change[tile] @ self.unembedding.T).sub_(mean[tile, None])
        divergence: Tensor = torch.linalg.vecdot(clean.probabilities[tile], torch.expm1(centred)).log1p_()
        if not checked or bool(divergence.isfinite().all()):
            return divergence
        # An exponential overflowed: a logit rose by more than 88 against the mean.
        clean_logits = clean.final[tile] @ self.unembedding.T
        bias = getattr(self.model.unembedding, "bias", None)
        clean_logits = clean_logits if bias is None else clean_logits + bias
        divergence = (clean_logits.log_softmax(-1) + centred).logsumexp(-1)
        if not bool(divergence.isfinite().all()):
            raise NonFiniteLogitsError(_NOT_FINITE)
        return divergence


def _other_tokens(tokens: int, *, seed: int) -> Int64[Tensor, " token"]:
    # For each token another one, uniformly.
    distance = torch.randint(1, tokens, (tokens,), generator=torch.Generator().manual_seed(seed))
    return (torch.arange(tokens) + distance) % tokens


@torch.no_grad()
def ablation_effects(
    bridge: TransformerBridge,
    rows: Int[Tensor, "row position"],
    ablations: Sequence[Ablation],
    *,
    blocks: int,
    batch_rows: int,
    seed: int,
    mode: PrecisionMode = "float32",
    progress: Callable[[int], None] | None = None,
    sums: AblationSums | None = None,
    keep: Callable[[AblationSums], None] | None = None,
) -> AblationEffects:
    """The effect of each ablation on the predictions of ``rows``, per block of rows; see :class:`AblationEffects`.

    Every position t < last of a row predicts the token at t + 1, and all of them count.  KL is not clipped at 0; it is
    not negative beyond rounding (1e-6 nats per prediction in float32; :meth:`AblationEngine.effects`).  Sums over
    predictions are float64.  An empty set has an effect of exactly 0.

    A batch of ``batch_rows`` rows is run clean once and then once per ablation, so the memory is one pass over the
    batch and its activations, whatever the number of ablations.  The results for "zero" and "mean" do not depend
    on ``batch_rows`` beyond rounding.  "resample" draws, by ``seed`` and the index of the batch's first row, one other
    (row, position) of the batch for each of its tokens.  All ablated neurons, in all layers and all sets, take their
    values from there together: the token is lost and not the relations between neurons, and sets are compared on equal
    draws.  ``mode``: of the products of all runs, float32 or, on a GPU, TF32.  ``progress`` is called with the number
    of rows finished, ``len(ablations) * len(rows)`` in all.  ``sums``: what ``keep``, called every so many ablations,
    got from the same call that was interrupted; the result is the same.

    Raises :class:`UnsuitableAttentionError` unless the model's attention is sdpa, :class:`NonFiniteLogitsError` if a
    logit is not finite, and ValueError if a neuron does not exist, if rows have fewer than two positions or cannot be
    cut into ``blocks``, if a batch has no rows, or if the bridge and the model that it wraps predict differently.
    """
    _check(rows, ablations, neurons=sum(layer_widths(bridge)), batch_rows=batch_rows)
    tokens = rows.to(next(bridge.parameters()).device, torch.int64)
    block = row_blocks(torch.arange(len(rows)), rows=len(rows), blocks=blocks)
    sums = sums or AblationSums.zeros(len(ablations), len(rows))
    with ablation_engines(bridge, tokens, mode=mode) as engines:
        if any(ablation.mode == "mean" for ablation in ablations):
            means = _mean_activations(bridge, tokens, batch_rows=batch_rows, absolute=False).to(tokens.device)
            for engine in engines:
                engine.means = means
        for number, start in enumerate(range(0, len(rows), batch_rows)):
            part = slice(start, min(start + batch_rows, len(rows)))
            done = sums.done - number * len(ablations)
            if progress is not None and done > 0:
                progress(min(done, len(ablations)) * (part.stop - part.start))
            if done >= len(ablations):
                continue
            clean = engines[0].clean(tokens[part], seed=seed + start)
            sums.loss[part] = clean.loss.double().sum(1).cpu()
            for first in range(max(done, 0), len(ablations), _KEPT_EVERY):
                own = ablations[first : first + _KEPT_EVERY]
                found = row_sums(engines, partial(_sums, clean), own, rows=part.stop - part.start, progress=progress)
                sums.effects[:, first : first + len(own), part] = found.transpose(0, 1)
                sums.done = number * len(ablations) + first + len(own)
                if keep is not None:
                    keep(sums)
    predictions = torch.bincount(block, minlength=blocks) * (rows.shape[1] - 1)
    kl, loss_increase = (block_means(of_rows, block, predictions) for of_rows in sums.effects)
    return AblationEffects(kl, loss_increase, block_means(sums.loss, block, predictions), predictions)


def _sums(
    clean: CleanPass, engine: AblationEngine, ablation: Ablation, *, checked: bool = False
) -> Float64[Tensor, "2 row"]:
    # The two effects of an ablation, summed over the predictions of every row.
    if not len(ablation.neurons):
        return clean.loss.new_zeros(2, len(clean.loss), dtype=torch.float64)
    effects = torch.stack(engine.effects(clean, engine.change(clean, ablation), checked=checked))
    return effects.double().view(2, *clean.loss.shape).sum(-1)


@contextmanager
def ablation_engines(
    bridge: TransformerBridge, rows: Int64[Tensor, "row position"], *, mode: PrecisionMode = "float32"
) -> Iterator[list[AblationEngine]]:
    """As many engines of a bridge as may run in parallel, with products in ``mode`` inside the block.

    The engines are checked against the bridge at the first of ``rows``, in float32.  Raises
    :class:`~universal_neurons.core.matmul.UnknownDeviceMode`, and as :meth:`AblationEngine.check_against` does.
    """
    device = next(bridge.parameters()).device
    check_mode(mode, device=device)
    # The kernels that are faster for large products slow attention down by more, and round on other machines.
    with matmul_precision("highest"), single_threads(device) as threads:
        engines = [AblationEngine(bridge) for _ in range(threads)]
        engines[0].check_against(bridge, rows[:1])
        with matmul_precision("high" if mode == "tf32" else "highest"):
            yield engines


def row_sums(
    engines: Sequence[AblationEngine],
    sums: Callable[..., Float64[Tensor, "effect row"]],
    ablations: Sequence[Ablation],
    *,
    rows: int,
    progress: Callable[[int], None] | None,
) -> Float64[Tensor, "ablation effect row"]:
    """The ``sums`` (engine, ablation) of every ablation of a batch, on the CPU; a GPU is waited for once.

    What is not finite then is computed again with ``checked=True``.  ``progress`` is called with ``rows`` per ablation.
    """
    found = []
    for each in parallel_map(engines, sums, ablations):
        found.append(each)
        if progress is not None:
            progress(rows)
    together = torch.stack(found).cpu()
    for number in (~together.isfinite()).any(-1).any(-1).nonzero()[:, 0].tolist():
        together[number] = sums(engines[0], ablations[number], checked=True).cpu()
    return together


@torch.no_grad()
def activation_norms(
    bridge: TransformerBridge, rows: Int[Tensor, "row position"], *, batch_rows: int = 32
) -> Float64[Tensor, " neuron"]:
    """Mean size of each neuron's output to the residual stream, which its zero ablation removes:

        mean over all positions of ``rows`` of |v| times ||w_out||_2,

    neurons layer by layer.  0 for a neuron whose activations or output weights are 0.
    """
    total = _mean_activations(bridge, rows, batch_rows=batch_rows, absolute=True)
    model = UnwrappedModel.of(bridge)
    norms = [torch.linalg.vector_norm(affine_matrix(down).double(), dim=1) for down in model.mlp_outputs]
    return total * torch.cat(norms).cpu()


def _mean_activations(
    bridge: TransformerBridge, rows: Int[Tensor, "row position"], *, batch_rows: int, absolute: bool
) -> Float64[Tensor, " neuron"]:
    device = next(bridge.parameters()).device
    total = torch.zeros(sum(layer_widths(bridge)), dtype=torch.float64)
    for start in range(0, len(rows), batch_rows):
        values = mlp_activations(bridge, rows[start : start + batch_rows].to(device, torch.int64)).flatten(0, 1)
        total += column_means(values.abs() if absolute else values).cpu() * len(values)
    return total / rows.numel()


def _check(rows: Tensor, ablations: Sequence[Ablation], *, neurons: int, batch_rows: int) -> None:
    if rows.shape[1] < 2 or batch_rows < 1:
        raise ValueError(f"rows of {rows.shape[1]} positions in batches of {batch_rows} rows: nothing is predicted")
    for number, ablation in enumerate(ablations):
        outside = ablation.neurons[(ablation.neurons < 0) | (ablation.neurons >= neurons)]
        if len(outside):
            raise ValueError(f"ablation {number} names neuron {int(outside[0])}; the model has {neurons}")


def block_means(
    of_rows: Float64[Tensor, "*ablation row"], block: Int64[Tensor, " row"], predictions: Int64[Tensor, " block"]
) -> Float64[Tensor, "*ablation block"]:
    """Sums per row as means over the predictions of each block."""
    sums = of_rows.new_zeros(*of_rows.shape[:-1], len(predictions)).index_add_(-1, block, of_rows)
    return sums / predictions
