"""Measurements: a number, its interval, and the source of variation that the interval covers."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral, Real
from typing import Any


class Over(StrEnum):
    """The source of variation that an interval covers."""

    TOKEN_BLOCKS = "token blocks"  # noqa: S105  a token of text, not a password
    NEURONS = "neurons"
    MODELS = "models"
    ROTATION_DRAWS = "rotation draws"
    LABELS = "labels"
    NOTHING = "nothing"


# The detail that bounds what a measurement could have shown here, such as the agreement of two halves of the tokens for
# a persistence: a criterion that lies above it is not evaluable.
CEILING = "ceiling"
# The parts of a measurement, their types, and the words for them; numpy's numbers are Real and Integral too.
# The builtin types first: the check of an abstract one takes ten times as long, and there are hundreds of thousands.
_REAL = (float, int, Real)
_PARTS: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    ("value", _REAL, "a number"),
    ("low", _REAL, "a number"),
    ("high", _REAL, "a number"),
    ("level", _REAL, "a number in (0, 1) such as 0.95"),
    ("n", (int, Integral), "an integer"),
    ("over", Over, f"Over, one of {', '.join(Over)}"),
    ("unit", str, "text"),
    ("details", (dict, Mapping), "a mapping of names to numbers"),
)


class MeasurementError(ValueError):
    """A measurement whose parts are not what they must be; the message names the part."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured value with a ``level`` interval [``low``, ``high``] over ``over``; ``n`` units entered it.

    ``NOTHING`` marks a number without sampling error (a count of files): low = value = high.  ``details`` are further
    named numbers that belong to the measurement and are shown beside it (the same number with another interval, the
    chance level); they are never judged.

    Raises MeasurementError if the value lies outside its interval, if a bound is NaN while the value is not, if
    ``level`` is not in (0, 1), or if a part has the wrong type or is a number that no float holds.
    """

    value: float
    low: float
    high: float
    n: int
    over: Over
    level: float = 0.95
    unit: str = ""
    details: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_types()
        if not 0 < self.level < 1:
            raise MeasurementError(f"level: expected a number in (0, 1) such as 0.95, got {self.level!r}")
        if math.isnan(self.value):
            return
        if not self.low <= self.value <= self.high:
            raise MeasurementError(f"measurement {self.value} lies outside its interval [{self.low}, {self.high}]")

    def _check_types(self) -> None:
        for name, kind, expected in _PARTS:
            if not isinstance(part := getattr(self, name), kind):
                raise MeasurementError(f"{name}: expected {expected}, got {part!r}")
            if isinstance(part, _REAL):
                _check_range(name, part)
        details: Mapping[Any, Any] = self.details
        for detail, number in details.items():
            if not (isinstance(detail, str) and isinstance(number, _REAL)):
                raise MeasurementError(f"details: expected names and numbers, got {detail!r}: {number!r}")
            _check_range(f"details: {detail!r}", number)

    @property
    def is_missing(self) -> bool:
        """True if there was nothing to measure (the value is NaN)."""
        return math.isnan(self.value)

    @classmethod
    def missing(cls, *, n: int = 0, over: Over = Over.NOTHING, unit: str = "") -> Measurement:
        """The measurement of a quantity that is undefined here, such as a share of no neurons."""
        return cls(math.nan, math.nan, math.nan, n, over, unit=unit)

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only; NaN becomes None, because JSON has no NaN and because NaN is never a number."""
        return {
            "value": _none_if_nan(self.value),
            "low": _none_if_nan(self.low),
            "high": _none_if_nan(self.high),
            "n": self.n,
            "over": self.over.value,
            "level": self.level,
            "unit": self.unit,
            "details": {name: _none_if_nan(value) for name, value in self.details.items()},
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Measurement:
        """The inverse of :meth:`as_dict`."""
        return cls(
            value=_nan_if_none(raw["value"]),
            low=_nan_if_none(raw["low"]),
            high=_nan_if_none(raw["high"]),
            n=int(raw["n"]),
            over=Over(raw["over"]),
            level=float(raw["level"]),
            unit=str(raw["unit"]),
            details={name: _nan_if_none(value) for name, value in raw["details"].items()},
        )


class Incomparable(ValueError):
    """Two measurements are not of one quantity and have no difference; the message says why."""


def independent_difference(left: Measurement, right: Measurement) -> Measurement:
    """The difference ``right`` - ``left`` of two runs, with an interval that takes them for independent.

    With values l, r and intervals [l-, l+], [r-, r+] of one level: d = r - l, from d - sqrt((r - r-)^2 + (l+ - l)^2) to
    d + sqrt((r+ - r)^2 + (l - l-)^2), the square-and-add rule (Zou & Donner 2008, Statistics in Medicine 27,
    1693-1702; Newcombe 1998, ibid. 17, 873-890).  It keeps the asymmetry of either interval, and is exact where both
    are normal.  Runs that share tokens, neurons or models depend on each other, as a rule positively; the interval is
    then wider than it need be.

    n is the smaller one; the interval is over what both are over, and over the ``left`` one's where only the right one
    has no sampling error.  Missing where either is missing or infinite; an infinite end stays infinite.

    >>> from universal_neurons.measurement import Measurement, Over
    >>> one, two = (Measurement(v, v - 0.03, v + 0.04, 9, Over.NEURONS) for v in (0.25, 0.5))
    >>> found = independent_difference(one, two)
    >>> round(found.low, 4), found.value, round(found.high, 4)
    (0.2, 0.25, 0.3)

    Raises :class:`Incomparable` where units or levels differ, or intervals are over different things.
    """
    over = left.over if right.over is Over.NOTHING else right.over
    if left.unit != right.unit:
        raise Incomparable(f"units differ: {left.unit or 'none'} and {right.unit or 'none'}")
    if not (math.isfinite(left.value) and math.isfinite(right.value)):
        return Measurement.missing(n=min(left.n, right.n), over=over, unit=left.unit)
    if Over.NOTHING not in (left.over, right.over):
        if left.over is not right.over:
            raise Incomparable(f"intervals are over {left.over} and over {right.over}")
        if left.level != right.level:
            raise Incomparable(f"intervals have level {left.level:g} and level {right.level:g}")
    value = right.value - left.value
    below = math.hypot(right.value - right.low, left.high - left.value)
    above = math.hypot(right.high - right.value, left.value - left.low)
    level = left.level if right.over is Over.NOTHING else right.level
    return Measurement(value, value - below, value + above, min(left.n, right.n), over, level, left.unit)


def _check_range(name: str, number: float | Real) -> None:
    """Refuse an integer or a fraction that no float holds: the record could not be written."""
    try:
        float(number)
    except OverflowError:
        raise MeasurementError(f"{name}: expected a number up to {sys.float_info.max:.2g}, got a larger one") from None


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _nan_if_none(value: float | None) -> float:
    return math.nan if value is None else float(value)
