"""Profiles of single neurons: when each fires, what it writes, what the model loses without it.

A profile holds positions of tokens and never text: whoever shows a snippet reads it from a corpus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from universal_neurons.measures.ablation_table import Quantity
from universal_neurons.measures.intervals import student_quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from universal_neurons.measures.arrays import Floats, Integers


# The lower edge of every histogram: the minimum of GELU, to two digits, which its two formulas share.
GELU_MINIMUM = -0.17
_ENUMERATED = re.compile(r"_\d+$")
# Significant bits that are stored: a statistic is kept to one part in 4096, an activation in 512, an effect in 256.
_STATISTIC_BITS, _ACTIVATION_BITS, _EFFECT_BITS = 12, 9, 8
# Half precision rounds what is smaller than 6e-5 more coarsely than that, so effects are stored times this.
_EFFECT_SCALE = 4096
_COSINE_STEPS = 1024
# How many tokens before and after a top activation are its window, and in how many steps its shades are stored.
WINDOW = (12, 4)
# The shares of a neuron's maximum near which a sample is kept, one each.
LEVELS = (0.75, 0.5, 0.25)
_SHADES = 15
# Of the share of a bin an eighth of its logarithm to base 2 is stored, and nothing below 2^-31.
_STEPS_PER_OCTAVE = 8


@dataclass(frozen=True, eq=False)
class NeuronProfiles:
    """The profiles of all neurons of ``model`` at training step ``step``, one row per neuron, layer by layer.

    ``frame``: layer, neuron (its number within the layer), and

    - of its post-GELU activations at the scored tokens: share_positive (share of tokens > 0), mean, sd (divisor n),
      skewness m3 / m2^1.5 and kurtosis m4 / m2^2 (3 for a Gaussian; both NaN for a neuron that never varied), maximum;
    - of its folded weights (claims/README.md, Definitions): input_bias, w_in_norm and w_out_norm (l2), cos_in_out, the
      cosine of input and output weights, and vocabulary_variance, vocabulary_skewness, vocabulary_kurtosis (3 for a
      Gaussian) of the cosine of its output weights with every token's unembedding.

    ``top_row``, ``top_position``, ``top_value`` (neuron top): the largest activations, descending, at most one in each
    row, so that no two snippets are of the same text; they index the rows of the token set whose digest is
    ``tokens``.  Row -1, position -1 and a value of NaN where there are fewer rows.
    ``top_window`` (neuron top window): the activations around them, from :data:`WINDOW`'s first tokens before to its
    second after, as shares of the top one, from 0 (not positive, not scored, or no such token) to 1.
    ``below_row``, ``below_position``, ``below_value``, ``below_window`` (neuron level ...): the same of the activations
    that are nearest to :data:`LEVELS` of the neuron's maximum; their windows are shares of that maximum.
    ``histogram`` (neuron bin): share of the scored tokens; the bins are equally wide, from :data:`GELU_MINIMUM` to the
    neuron's maximum, and the first one also holds what rounding leaves below its edge.
    ``promoted_token`` and ``suppressed_token`` (neuron shown): the tokens with the largest and the smallest cosine,
    the most extreme first; ``promoted_cosine`` and ``suppressed_cosine`` are these cosines.
    ``kl``, ``loss_increase`` (neuron block): effect of setting this neuron alone to zero, in nats per prediction, in
    blocks of ``predictions`` predictions each, on rows that identified no neuron; no block where this was not computed.
    """

    model: str
    step: int
    tokens: str
    frame: pd.DataFrame
    top_row: Integers
    top_position: Integers
    top_value: Floats
    top_window: Floats
    below_row: Integers
    below_position: Integers
    below_value: Floats
    below_window: Floats
    histogram: Floats
    promoted_token: Integers
    promoted_cosine: Floats
    suppressed_token: Integers
    suppressed_cosine: Floats
    kl: Floats
    loss_increase: Floats
    predictions: int
    level: float

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, *, model: str, step: int, tokens: str, predictions: int, level: float
    ) -> NeuronProfiles:
        """The profiles inside a table that :func:`stored_profiles` made, to the precision that it keeps."""
        return cls(
            model=model,
            step=step,
            tokens=tokens,
            frame=table[[name for name in table.columns if _ENUMERATED.search(name) is None]],
            **{name: _unpacked(table, name) for name in _FORMS},
            predictions=predictions,
            level=level,
        )

    def __len__(self) -> int:
        return len(self.frame)

    def effect(self, quantity: Quantity) -> pd.DataFrame:
        """One row per neuron: ``value``, ``low``, ``high`` of the effect of its ablation, in nats per prediction.

        The mean over the blocks, and the Student interval at ``level`` over them: with so few blocks the bootstrap's
        would be too narrow.  NaN at both ends where there is one block only, and everywhere without any.
        """
        blocks = self.kl if quantity is Quantity.KL else self.loss_increase
        count = blocks.shape[1]
        mean = blocks.mean(axis=1) if count else np.full(len(blocks), np.nan)
        half = np.full(len(blocks), np.nan)
        if count > 1:
            half = student_quantile(self.level, count) * blocks.std(axis=1, ddof=1) / np.sqrt(count)
        return pd.DataFrame({"value": mean, "low": mean - half, "high": mean + half})


@dataclass(frozen=True)
class _Form:
    """Storage of an array: the type of the stored numbers, and the functions that write and read them."""

    dtype: type[np.generic]
    write: Callable[[Floats], Floats]
    read: Callable[[Floats], Floats]


def rounded(values: Floats, *, bits: int) -> Floats:
    """``values`` to ``bits`` significant bits: what is left out of them compresses to nothing."""
    mantissa, exponent = np.frexp(values)
    result: Floats = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
    return result


def rounded_columns(columns: Mapping[str, Floats], *, bits: int) -> dict[str, Any]:
    """Columns of a table to ``bits`` significant bits, as float32."""
    return {name: rounded(values, bits=bits).astype(np.float32) for name, values in columns.items()}


def share_codes(shares: Floats) -> Floats:
    """Shares as whole numbers from 0 (nothing) to 255 (all), in steps of a factor 2^(1/8); see :func:`coded_shares`."""
    with np.errstate(divide="ignore"):
        codes = np.round(255 + _STEPS_PER_OCTAVE * np.log2(shares))
    return np.where(shares > 0, np.maximum(codes, 1), 0)


def coded_shares(codes: Floats) -> Floats:
    """The shares that :func:`share_codes` coded, each within a factor 2^(1/16): 4.4 %, which no picture shows."""
    return np.where(codes > 0, 2.0 ** ((codes - 255) / _STEPS_PER_OCTAVE), 0.0)


_WHOLE = _Form(np.int32, lambda values: values, lambda values: values)
_COSINE = _Form(np.float16, lambda values: np.round(values * _COSINE_STEPS) / _COSINE_STEPS, lambda values: values)
_ACTIVATION = _Form(np.float16, lambda values: rounded(values, bits=_ACTIVATION_BITS), lambda values: values)
_EFFECT = _Form(
    np.float16,
    lambda values: rounded(values * _EFFECT_SCALE, bits=_EFFECT_BITS),
    lambda values: values / _EFFECT_SCALE,
)
_SHADE = _Form(np.uint8, lambda values: np.round(values * _SHADES), lambda values: values / _SHADES)
_FORMS = {
    "top_row": _WHOLE,
    "top_position": _WHOLE,
    "top_value": _ACTIVATION,
    "top_window": _SHADE,
    "below_row": _WHOLE,
    "below_position": _WHOLE,
    "below_value": _ACTIVATION,
    "below_window": _SHADE,
    "histogram": _Form(np.uint8, share_codes, coded_shares),
    "promoted_token": _WHOLE,
    "promoted_cosine": _COSINE,
    "suppressed_token": _WHOLE,
    "suppressed_cosine": _COSINE,
    "kl": _EFFECT,
    "loss_increase": _EFFECT,
}


def stored_profiles(frame: pd.DataFrame, arrays: Mapping[str, npt.NDArray[Any]]) -> pd.DataFrame:
    """One small table of a profile's ``frame`` and its ``arrays`` (neuron entry), a column per entry of a neuron.

    Statistics are rounded to 12 significant bits, activations to 9, effects to 8, cosines to 1/1024, windows to 1/15 of
    the top activation, and shares of a histogram to a factor 2^(1/16); whole numbers stay what they are.
    :meth:`NeuronProfiles.from_table` is the inverse.  Columns with a value that is too large for half precision (an
    activation above 65504, an effect of 16 nats) are kept in single precision.  Raises ValueError for one that is too
    large for that too.
    """
    columns = {name: _compact(frame[name].to_numpy()) for name in frame.columns}
    for name, form in _FORMS.items():
        written = form.write(np.asarray(arrays[name]))
        stored = _held(written, form.dtype)
        if stored is None:
            stored = _held(written, np.float32)
        if stored is None:
            raise ValueError(
                f"profiles: {name} of {np.nanmax(np.abs(arrays[name])):.3g} does not fit what it is kept as"
            )
        columns |= {f"{name}_{entry}": stored[:, entry] for entry in range(stored.shape[1])}
    return pd.DataFrame(columns)


def _held(values: Floats, dtype: type[np.generic]) -> npt.NDArray[Any] | None:
    """``values`` in a smaller type; None if one of them is too large for it."""
    with np.errstate(over="ignore"):
        stored: npt.NDArray[Any] = values.astype(dtype)
    return stored if np.array_equal(np.isfinite(stored), np.isfinite(values)) else None


def _compact(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if column.dtype.kind != "f":
        return column
    return rounded(column, bits=_STATISTIC_BITS).astype(np.float32)


def _unpacked(table: pd.DataFrame, name: str) -> npt.NDArray[Any]:
    # (neuron entry) in the order of the entries, in full precision; of windows (neuron entry token).
    form = _FORMS[name]
    entries = sum(re.fullmatch(rf"{name}_\d+", column) is not None for column in table.columns)
    stored = table[[f"{name}_{entry}" for entry in range(entries)]].to_numpy()
    values = form.read(stored.astype(np.int64 if form is _WHOLE else np.float64))
    return values.reshape(len(table), -1, sum(WINDOW) + 1) if form is _SHADE else values
