"""Several measurements as one: a statement about all of them is a statement about the smallest or the largest.

The interval of the smallest has the smallest of the lower and the smallest of the upper ends, so its lower end is above
a bound exactly where every lower end is.  This is an intersection-union test and keeps the level of a single test
without any correction (Berger 1982, Technometrics 24, 295-300).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from universal_neurons.measures.shares import missing_share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from universal_neurons.measurement import Measurement


def smallest(measurements: Sequence[Measurement]) -> Measurement:
    """The smallest of several measurements, for "always above"; missing if any of them is, or without any.

    It keeps the details of the smallest.
    """
    return _extreme(measurements, min)


def largest(measurements: Sequence[Measurement]) -> Measurement:
    """The mirror image of :func:`smallest`, for "always below"."""
    return _extreme(measurements, max)


def weakest(parts: Mapping[str, Measurement]) -> Measurement:
    """The smallest of several named measurements in one unit, missing ones left out; missing where all are.

    Details: of the weakest part, the value of every part by its name, and ``missing_parts``.  n is the smallest n.
    Raises ValueError for no part, or for unlike parts.
    """
    present = [part for part in parts.values() if not part.is_missing]
    if not parts or len({(part.unit, part.level) for part in present}) > 1:
        raise ValueError(f"the weakest of {', '.join(parts) or 'nothing'}: expected measurements in one unit")
    if not present:
        return next(iter(parts.values()))
    least = smallest(present)
    values = {name: part.value for name, part in parts.items()}
    details = {**least.details, **values, "missing_parts": float(len(parts) - len(present))}
    return replace(least, n=min(part.n for part in present), details=details)


def with_details(measurement: Measurement, **details: float) -> Measurement:
    """The measurement with further details; a missing one stays bare."""
    if measurement.is_missing:
        return measurement
    return replace(measurement, details={**measurement.details, **details})


def needed_neurons(measurement: Measurement, bound: float) -> float:
    """Number of units like the n measured ones with which the interval would exclude ``bound`` at this value.

    ceil(n (reach / |value - bound|)^2) with ``reach`` the half of the interval on the side of the bound, because
    widths shrink with 1/sqrt(n).  Infinite where the value is the bound; NaN for a missing measurement.  An estimate
    from an observed effect: it says whether ten times or a thousand times more would do, not which n to choose.
    """
    if measurement.is_missing:
        return math.nan
    distance = measurement.value - bound
    reach = measurement.value - measurement.low if distance > 0 else measurement.high - measurement.value
    # Rounded first: four times as many must not become four times as many and one more by 1e-14.
    return float(math.ceil(round(measurement.n * (reach / distance) ** 2, 6))) if distance else math.inf


def _extreme(measurements: Sequence[Measurement], choose: Callable[..., float]) -> Measurement:
    if not measurements or any(part.is_missing for part in measurements):
        return missing_share()
    value = choose(part.value for part in measurements)
    kept = next(part for part in measurements if part.value == value)
    low, high = choose(part.low for part in measurements), choose(part.high for part in measurements)
    return replace(kept, low=low, high=high)
