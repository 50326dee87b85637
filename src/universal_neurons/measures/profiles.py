"""What is known of every single neuron of a model: when it fires, what it writes, what the model loses without it.

A profile holds positions of tokens and never text: whoever shows a snippet reads it from a corpus of its own.

This module refuses to know where a profile comes from: no files, no models, no text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from universal_neurons.measures.ablation import Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.measures.intervals import Floats

Integers = npt.NDArray[np.int64]

# The lower edge of every histogram: the minimum of GELU, to two digits, which its two formulas share.
GELU_MINIMUM = -0.17
# How the arrays are stored, one column per entry of a neuron.  Half precision is one part in 2000 of a value, far less
# than what is shown of it; it holds what is not smaller than 6e-5, so effects are stored times 4096.
_PACKED = {
    "top_row": np.int32,
    "top_position": np.int32,
    "top_value": np.float16,
    "histogram": np.float16,
    "promoted_token": np.int32,
    "promoted_cosine": np.float16,
    "suppressed_token": np.int32,
    "suppressed_cosine": np.float16,
    "kl": np.float16,
    "loss_increase": np.float16,
}
_SCALE = {"histogram": 4096, "kl": 4096, "loss_increase": 4096}
_ENUMERATED = re.compile(r"_\d+$")


@dataclass(frozen=True, eq=False)
class NeuronProfiles:
    """The profiles of all neurons of ``model`` at training step ``step``, one row per neuron, layer by layer.

    ``frame``: layer, neuron (its number within the layer), and

    - of its post-GELU activations at the scored tokens: share_positive (share of tokens > 0), mean, sd (divisor n),
      skewness m3 / m2^1.5 and kurtosis m4 / m2^2 (3 for a Gaussian; both NaN for a neuron that never varied), maximum;
    - of its folded weights (design/claims.md A.1): input_bias, w_in_norm and w_out_norm (l2), cos_in_out, the cosine of
      input and output weights, and vocabulary_variance, vocabulary_skewness, vocabulary_kurtosis (3 for a Gaussian) of
      the cosine of its output weights with every token's unembedding.

    ``top_row``, ``top_position``, ``top_value`` (neuron top): the largest activations, descending, at most one in each
    row, so that no two snippets are of the same text; they are places in the rows of the token set whose digest is
    ``tokens``.  Row -1, position -1 and a value of NaN where there are fewer rows.
    ``histogram`` (neuron bin): share of the scored tokens; the bins are equally wide, see :meth:`edges`.
    ``promoted_token`` and ``suppressed_token`` (neuron shown): the tokens with the largest and the smallest cosine,
    the most extreme first; ``promoted_cosine`` and ``suppressed_cosine`` are these cosines.
    ``kl``, ``loss_increase`` (neuron block): the effect of setting this neuron alone to zero, in nats per prediction, of
    blocks of ``predictions`` predictions each on rows that identified no neuron.
    """

    model: str
    step: int
    tokens: str
    frame: pd.DataFrame
    top_row: Integers
    top_position: Integers
    top_value: Floats
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
        """The profiles inside a table that :func:`stored_profiles` made."""
        return cls(
            model=model,
            step=step,
            tokens=tokens,
            frame=table[[name for name in table.columns if _ENUMERATED.search(name) is None]],
            **{name: _unpacked(table, name) for name in _PACKED},
            predictions=predictions,
            level=level,
        )

    def __len__(self) -> int:
        return len(self.frame)

    def edges(self, neuron: int) -> Floats:
        """(bin + 1,) edges of a neuron's histogram: equal steps from :data:`GELU_MINIMUM` to the neuron's maximum.

        ``neuron`` is its number over the whole model.  The first bin also holds what rounding leaves below its edge.
        """
        return np.linspace(GELU_MINIMUM, float(self.frame["maximum"].iloc[neuron]), self.histogram.shape[1] + 1)

    def effect(self, quantity: Quantity) -> pd.DataFrame:
        """One row per neuron: ``value``, ``low``, ``high`` of the effect of its ablation, in nats per prediction.

        The mean over the blocks, and the Student interval at ``level`` over them: with so few blocks the bootstrap's
        would be too narrow.  NaN at both ends where there is one block only.
        """
        blocks = self.kl if quantity is Quantity.KL else self.loss_increase
        count = blocks.shape[1]
        mean = blocks.mean(axis=1)
        half = np.full(len(blocks), np.nan)
        if count > 1:
            half = stats.t.ppf((1 + self.level) / 2, count - 1) * blocks.std(axis=1, ddof=1) / np.sqrt(count)
        return pd.DataFrame({"value": mean, "low": mean - half, "high": mean + half})


def stored_profiles(frame: pd.DataFrame, arrays: Mapping[str, npt.NDArray[Any]]) -> pd.DataFrame:
    """One table of a profile's ``frame`` and its ``arrays`` (neuron entry), for :meth:`NeuronProfiles.from_table`.

    Raises ValueError for a value that is too large for half precision, which holds 65504 (of effects 16 nats).
    """
    columns = {name: frame[name].to_numpy() for name in frame.columns}
    for name, dtype in _PACKED.items():
        array = np.asarray(arrays[name])
        scaled = array * _SCALE.get(name, 1)
        if np.issubdtype(dtype, np.floating) and not (np.abs(scaled[~np.isnan(scaled)]) <= np.finfo(dtype).max).all():
            raise ValueError(f"profiles: {name} of {np.nanmax(np.abs(array)):.3g}: too large for {np.dtype(dtype)}")
        columns |= {f"{name}_{entry}": scaled[:, entry].astype(dtype) for entry in range(array.shape[1])}
    return pd.DataFrame(columns)


def _unpacked(table: pd.DataFrame, name: str) -> npt.NDArray[Any]:
    # (neuron entry) in the order of the entries, in full precision.
    entries = sorted((c for c in table.columns if re.fullmatch(rf"{name}_\d+", c)), key=lambda c: int(c.split("_")[-1]))
    stored = table[entries].to_numpy()
    return stored.astype(np.int64) if stored.dtype.kind == "i" else stored.astype(np.float64) / _SCALE.get(name, 1)
