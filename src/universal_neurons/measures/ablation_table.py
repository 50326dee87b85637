"""Tables of ablations: which sets of neurons were ablated, and the effect of each on every token block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from universal_neurons.errors import NotOnSuite
from universal_neurons.measures.tables import Definition, Resampling

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.measures.arrays import Floats, Integers

ALL_LAYERS = -1
_COLUMNS = ("partner", "definition", "threshold", "layer", "neurons", "draw", "mode", "fraction", "size", "norm")

# What takes the place of an ablated activation: nothing, its mean, or its value on other tokens.
Replacement = Literal["zero", "mean", "resample"]


class SetMissing(NotOnSuite):
    """A set of neurons that the suite's ablation stage does not ablate."""


class Quantity(StrEnum):
    """Effects of an ablation, in nats per prediction."""

    KL = "kl"  # KL(P || Q), P clean, Q ablated, over the whole vocabulary
    LOSS = "loss_increase"  # cross-entropy ablated minus clean; negative where the ablation helps


class SetKind(StrEnum):
    """Kinds of sets of neurons (claims/README.md, A4 and F5); the random kinds have the size of the universal set."""

    UNIVERSAL = "universal"
    OTHERS = "others"  # literally all that are not universal
    TOP_NORM = "top_norm"  # those that write most: largest activation norm times output norm
    RANDOM_OTHERS = "random_others"  # drawn from the others
    LAYER_MATCHED = "layer_matched"  # drawn from the others, as many in every layer
    NORM_MATCHED = "norm_matched"  # drawn from the others, of like layer and norm

    @property
    def is_random(self) -> bool:
        """True for kinds of which there are several draws."""
        return self not in (SetKind.UNIVERSAL, SetKind.OTHERS, SetKind.TOP_NORM)


class FamilyKind(StrEnum):
    """Kinds of sets that divide the universal neurons by whether one token explains them (unigram neurons; G20).

    In every layer the two kinds of a comparison are drawn in equal number, the number of the rarer one.
    """

    UNIVERSAL_UNIGRAM = "universal_unigram"  # all that are both
    UNIGRAM_DRAWN = "unigram_drawn"  # drawn from these, against the next kind
    PLAIN_DRAWN = "plain_drawn"  # drawn from the universal ones that are not unigram neurons
    SHUFFLED_DRAWN = "shuffled_drawn"  # as many drawn from all universal ones, as if the families had been shuffled
    SHARED_DRAWN = "shared_drawn"  # drawn from the universal unigram ones, against the next kind
    UNSHARED_DRAWN = "unshared_drawn"  # drawn from the unigram neurons that are not universal

    @property
    def is_random(self) -> bool:
        """True for kinds of which there are several draws."""
        return self is not FamilyKind.UNIVERSAL_UNIGRAM


AnyKind = SetKind | FamilyKind


@dataclass(frozen=True, slots=True)
class SetOf:
    """Definition of the sets to compare: when a neuron is universal, in which layers, and how neurons are ablated.

    ``layer`` is one layer, or ALL_LAYERS for all at once; ``fraction`` is below 1 in a dose curve.  Raises ValueError
    unless there is a partner exactly where the definition is per pair.
    """

    threshold: float
    partner: str | None = None
    definition: Definition = Definition.PAIR
    layer: int = ALL_LAYERS
    mode: Replacement = "zero"
    fraction: float = 1.0

    def __post_init__(self) -> None:
        if (self.definition is Definition.PAIR) != (self.partner is not None):
            raise ValueError(f"the definition {self.definition} does not go with partner {self.partner!r}")

    def in_layer(self, layer: int) -> SetOf:
        """Confine the sets to one layer."""
        return replace(self, layer=layer)

    def __str__(self) -> str:
        against = f"against {self.partner}" if self.partner else f"by the definition {self.definition}"
        where = "in all layers" if self.layer == ALL_LAYERS else f"in layer {self.layer}"
        return f"at threshold {self.threshold:g} {against} {where} ({self.mode}, {self.fraction:.0%})"


# neurons, partner, definition, mode, threshold, fraction, layer: everything but the draw.
_Key = tuple[str, str, str, str, float, float, int]
# Thresholds and fractions are stored in single precision: 0.6 is not found by comparing with 0.6.
_DIGITS = 6


def _key(which: SetOf, kind: AnyKind) -> _Key:
    words = (kind.value, which.partner or "", which.definition.value, which.mode)
    return (*words, round(which.threshold, _DIGITS), round(which.fraction, _DIGITS), which.layer)


@dataclass(frozen=True, eq=False)
class AblationTable:
    """The ablations of one model at one training step, one row of ``frame`` per ablated set.

    Columns of ``frame``: partner ("" unless per pair), definition, threshold, layer (-1: all at once), neurons (a
    :class:`SetKind`), draw (-1 where not random), mode, fraction, size, norm (the sum of what the set's neurons write:
    mean |activation| times the norm of the output weights).  ``kl`` and ``loss_increase`` (row, block) are means over
    the predictions of a token block, ``clean_loss`` (block,) the loss without ablation, ``predictions`` (block,) the
    weights.

    Raises ValueError where these do not fit together, or for an effect that is not a finite number.
    """

    reference: str
    step: int
    frame: pd.DataFrame
    kl: npt.NDArray[np.floating]
    loss_increase: npt.NDArray[np.floating]
    clean_loss: npt.NDArray[np.floating]
    predictions: npt.NDArray[np.integer]
    resampling: Resampling

    def __post_init__(self) -> None:
        missing = [column for column in _COLUMNS if column not in self.frame]
        if missing:
            raise ValueError(f"{self}: columns missing: {', '.join(missing)}")
        blocks = self.predictions.size
        if self.clean_loss.shape != (blocks,) or blocks == 0 or not (self.predictions > 0).all():
            raise ValueError(f"{self}: expected predictions and a clean loss in every token block")
        for quantity in Quantity:
            effects = self.blocks(quantity)
            if effects.shape != (len(self.frame), blocks):
                raise ValueError(
                    f"{self}: {quantity} has shape {effects.shape}; expected ({len(self.frame)}, {blocks})"
                )
            # A NaN would vanish in a sort of replicates; an ablation that overflowed is no result.
            if not np.isfinite(effects).all():
                rows = np.flatnonzero(~np.isfinite(effects).all(axis=1)).tolist()
                raise ValueError(f"{self}: {quantity} is not finite in row {', '.join(map(str, rows[:5]))}")

    def blocks(self, quantity: Quantity) -> npt.NDArray[np.floating]:
        """Effect of every set on every token block (row, block)."""
        return self.kl if quantity is Quantity.KL else self.loss_increase

    def column(self, name: str) -> Floats:
        """A column of the frame in float64 (row,); read once, because claims ask for a column thousands of times."""
        if name not in self._columns:
            self._columns[name] = self.frame[name].to_numpy(dtype=np.float64)
        return self._columns[name]

    def rows(self, which: SetOf, kind: AnyKind) -> Integers:
        """Row numbers of the sets of ``kind`` in the order of their draws; raises :class:`SetMissing` without any."""
        rows = self._rows.get(_key(which, kind), np.empty(0, dtype=np.int64))
        if not rows.size:
            raise SetMissing(
                f"{self}: no set {kind.value} {which}; expected one that the suite's ablation stage computes:"
                " a threshold, partner and definition of the suite"
            )
        if kind.is_random and rows.size < 2:
            raise SetMissing(
                f"{self}: one draw of {kind.value} {which}; expected several, [ablation] draws of the suite"
            )
        if not kind.is_random and which.fraction == 1 and rows.size > 1:
            raise ValueError(f"{self}: {rows.size} rows for one set {kind.value} {which}")
        return rows

    def kinds(self, which: SetOf) -> tuple[SetKind, ...]:
        """The kinds of which the table has a set."""
        return tuple(kind for kind in SetKind if _key(which, kind) in self._rows)

    def layers(self, which: SetOf) -> tuple[int, ...]:
        """The layers whose universal neurons were ablated alone; raises :class:`SetMissing` without any."""
        every = sorted({layer for *_, layer in self._rows if layer != ALL_LAYERS})
        layers = tuple(layer for layer in every if _key(which.in_layer(layer), SetKind.UNIVERSAL) in self._rows)
        if not layers:
            raise SetMissing(f"{self}: nothing ablated layer by layer {which}; expected the suite's own threshold")
        return layers

    def fractions(self, which: SetOf) -> tuple[float, ...]:
        """The fractions of the universal set that were ablated, ascending."""
        every = sorted({fraction for *_, fraction, _ in self._rows})
        return tuple(part for part in every if _key(replace(which, fraction=part), SetKind.UNIVERSAL) in self._rows)

    @cached_property
    def _columns(self) -> dict[str, Floats]:
        return {}

    @cached_property
    def _rows(self) -> dict[_Key, Integers]:
        """Rows by key, in the order of the draws: an index, because claims look up thousands of sets."""
        rows: dict[_Key, list[int]] = {}
        order = np.argsort(self.frame["draw"].to_numpy(), kind="stable")
        names = ("neurons", "partner", "definition", "mode", "threshold", "fraction", "layer")
        columns = [self.frame[name].to_numpy()[order].tolist() for name in names]
        for row, (*words, threshold, fraction, layer) in zip(order.tolist(), zip(*columns, strict=True), strict=True):
            key = (*words, round(threshold, _DIGITS), round(fraction, _DIGITS), layer)
            rows.setdefault(key, []).append(row)
        return {key: np.array(of_key, dtype=np.int64) for key, of_key in rows.items()}

    def __str__(self) -> str:
        return f"ablations of {self.reference} at step {self.step}"
