"""Types of the arrays that measures are made of, and the division that every rate uses."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def quotient(numerator: float, denominator: float) -> float:
    """:func:`ratio_or_nan` of two numbers."""
    return float(numerator / denominator) if denominator else math.nan


def ratio_or_nan(numerator: Floats, denominator: Floats) -> Floats:
    """numerator / denominator, broadcast; NaN where the denominator is 0, because a share of nothing is no number."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    undefined = np.full(numerator.shape, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator != 0))
