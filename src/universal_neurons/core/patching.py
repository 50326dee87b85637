# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Activation patching: a row is run with some neurons' activations taken from another row, at the same positions.

It is a resample ablation (:mod:`universal_neurons.core.ablation`) whose donor is another row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from universal_neurons.core.ablation import (
    Ablation,
    AblationEngine,
    CleanPass,
    ablation_engines,
    block_means,
    row_sums,
)
from universal_neurons.core.activations import row_blocks
from universal_neurons.core.matmul import PrecisionMode


@dataclass(frozen=True, eq=False)
class PatchingEffects:
    """Effects of patching several sets, per block of rows, in nats per prediction; P_x and P_y are clean, Q is patched.

    ``kl``: KL(P_x || Q).  ``loss_increase``: decrease of the log-probability of the true next token of x.  ``toward``:
    KL(P_y || P_x) - KL(P_y || Q), the approach of the output to the donor's; negative if it moves away, and additive
    over predictions, unlike its share of the ``distance`` KL(P_y || P_x).
    """

    kl: Float64[Tensor, "set block"]
    loss_increase: Float64[Tensor, "set block"]
    toward: Float64[Tensor, "set block"]
    distance: Float64[Tensor, " block"]
    clean_loss: Float64[Tensor, " block"]
    predictions: Int64[Tensor, " block"]


def donors(rows: int, *, blocks: int) -> Int64[Tensor, " row"]:
    """The donor of each row: the next row of its block, for the last one the first.

    Every row is the donor of one other row of the same block, so blocks stay independent.  Raises ValueError if a block
    has a single row.
    """
    block = row_blocks(torch.arange(rows), rows=rows, blocks=blocks)
    sizes = torch.bincount(block, minlength=blocks)
    if int(sizes.min()) < 2:
        raise ValueError(f"{rows} rows in {blocks} blocks: a row that is alone in its block has no donor")
    first = sizes.cumsum(0) - sizes
    within_block = torch.arange(rows) - first[block]
    return first[block] + (within_block + 1) % sizes[block]


@torch.no_grad()
def patching_effects(
    bridge: TransformerBridge,
    rows: Int[Tensor, "row position"],
    donor: Int[Tensor, " row"],
    sets: Sequence[Int64[Tensor, " neuron"]],
    *,
    blocks: int,
    batch_rows: int,
    mode: PrecisionMode = "float32",
    progress: Callable[[int], None] | None = None,
) -> PatchingEffects:
    """The effect on each row x of giving each of ``sets`` its activations in row ``donor[x]``.

    All positions are patched; position t < last predicts the token at t + 1.  With the change d of the logits,

        KL(P_y || P_x) - KL(P_y || Q) = sum_v P_y(v) [log Q(v) - log P_x(v)] = (E_y[d] - E_x[d]) - KL(P_x || Q).

    A batch is run clean once with its donors and then once per set, from the lowest layer of the set upwards.  An empty
    set has an effect of exactly 0.  ``progress`` is called with the number of rows finished.  Raises the errors of
    ``ablation_effects``.
    """
    device = next(bridge.parameters()).device
    tokens = rows.to(device, torch.int64)
    block = row_blocks(torch.arange(len(rows)), rows=len(rows), blocks=blocks)
    patches = [Ablation(neurons, "resample") for neurons in sets]
    sums = torch.zeros(3, len(sets), len(rows), dtype=torch.float64)
    clean_sums = torch.zeros(2, len(rows), dtype=torch.float64)
    with ablation_engines(bridge, tokens, mode=mode) as engines:
        for start in range(0, len(rows), batch_rows):
            part = slice(start, min(start + batch_rows, len(rows)))
            x, y = (engines[0].clean(tokens[chosen], seed=0) for chosen in (part, donor[part]))
            clean_sums[:, part] = torch.stack([_distance(x, y), x.loss.double().sum(1)]).cpu()
            patched = replace(x, donor=y.activations, source=torch.arange(tokens[part].numel(), device=device))
            found = row_sums(
                engines, partial(_sums, patched, y), patches, rows=part.stop - part.start, progress=progress
            )
            sums[:, :, part] = found.transpose(0, 1)
    predictions = torch.bincount(block, minlength=blocks) * (rows.shape[1] - 1)
    kl, loss_increase, toward = (block_means(of_rows, block, predictions) for of_rows in sums)
    distance, loss = (block_means(of_rows, block, predictions) for of_rows in clean_sums)
    return PatchingEffects(kl, loss_increase, toward, distance, loss, predictions)


def _sums(
    x: CleanPass, y: CleanPass, engine: AblationEngine, patch: Ablation, *, checked: bool = False
) -> Float64[Tensor, "3 row"]:
    if not len(patch.neurons):
        return x.loss.new_zeros(3, len(x.loss), dtype=torch.float64)
    change = engine.change(x, patch)
    kl, loss_increase = engine.effects(x, change, checked=checked)
    toward = (change * (y.expected - x.expected)).sum(-1) - kl
    return torch.stack([kl, loss_increase, toward]).double().view(3, *x.loss.shape).sum(-1)


def _distance(x: CleanPass, y: CleanPass) -> Float[Tensor, " row"]:
    # KL(P_y || P_x) per row: a probability of P_y that underflowed to 0 contributes 0, not NaN.
    tiny = torch.finfo(x.probabilities.dtype).tiny
    ratio = y.probabilities.clamp(min=tiny).log() - x.probabilities.clamp(min=tiny).log()
    return (y.probabilities * ratio).sum(-1).double().view(x.loss.shape).sum(-1)
