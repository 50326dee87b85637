"""The share of neurons that have a property, with its interval over neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARE = "share"


def missing_share(*, n: int = 0) -> Measurement:
    """The share of no neuron, or one of ``n`` neurons that is undefined."""
    return Measurement.missing(n=n, over=Over.NEURONS, unit=SHARE)


def neuron_share(successes: int, n: int, *, level: float, details: Mapping[str, float] | None = None) -> Measurement:
    """``successes`` / ``n`` with Wilson's interval over neurons; missing of no neuron."""
    if not n:
        return missing_share()
    low, high = wilson(successes, n, level=level)
    return Measurement(successes / n, low, high, n, Over.NEURONS, level, SHARE, details or {})
