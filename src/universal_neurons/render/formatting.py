"""Formatting of numbers: as many digits as the interval supports, a true minus sign, a unit.

A number that does not exist raises MissingNumber.  Callers that show an undefined quantity say so in words.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from universal_neurons.measurement import Measurement

MINUS = "\u2212"
NARROW_SPACE = "\u202f"
NO_BREAK = "\u00a0"
EN_DASH = "\u2013"
INFINITY = "\u221e"
PERCENT = 100.0
# From here on a number is written with a power of ten, and is beyond every axis.
LARGEST = 1e15
UNDEFINED = "undefined"
_SHARES = frozenset({"share", "fraction", "proportion"})


class MissingNumber(UserError):
    """A number that the report needs is missing."""


def decimal(value: float, places: int) -> str:
    """``value`` with ``places`` decimals and a true minus sign; never "minus zero", never hundreds of digits.

    >>> decimal(-0.004, 2), decimal(-1.5, 1), decimal(1e300, 2)
    ('0.00', '−1.5', '1.0e+300')

    Raises MissingNumber for NaN and infinities.
    """
    if not math.isfinite(value):
        raise MissingNumber(f"a number to be written with {places} decimals is {value}")
    text = f"{value:.{places}f}" if abs(value) < LARGEST else f"{value:.1e}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def decimal_or_infinity(value: float, places: int) -> str:
    """``value`` as :func:`decimal` writes it, an infinite one as a sign: intervals may have no end.

    >>> decimal_or_infinity(-math.inf, 2), decimal_or_infinity(math.inf, 2), decimal_or_infinity(0.5, 2)
    ('−∞', '∞', '0.50')
    """
    if math.isinf(value):
        return INFINITY if value > 0 else f"{MINUS}{INFINITY}"
    return decimal(value, places)


def count(value: int) -> str:
    """``value`` with thin spaces between groups of three digits, from five digits on.

    >>> count(2048), count(36864).replace(NARROW_SPACE, " ")
    ('2048', '36 864')
    """
    text = f"{value:,}".replace(",", NARROW_SPACE) if abs(value) >= 10_000 else str(value)
    return text.replace("-", MINUS)


def rounded_up(factor: float) -> str:
    """A factor rounded upwards, because "1 times as many" would be no more than there is.

    >>> rounded_up(1.01), rounded_up(12.3)
    ('1.1', '13')
    """
    return f"{math.ceil(factor * 10) / 10:g}" if factor < 10 else count(math.ceil(factor))


def is_share(unit: str) -> bool:
    """Return whether quantities of ``unit`` are fractions of one, which are shown in per cent."""
    return unit in _SHARES


def scale(unit: str) -> float:
    """The factor from a quantity of ``unit`` to the number shown."""
    return PERCENT if is_share(unit) else 1.0


def suffix(unit: str) -> str:
    """The suffix of a number of ``unit``, with its space; a ratio or a percentile is a plain number.

    >>> suffix("share"), suffix("nats"), suffix("ratio")
    (' %', ' nats', '')
    """
    if is_share(unit):
        return " %"
    return f" {unit}" if unit not in ("", "ratio", "percentile") else ""


def places_for(widths: Iterable[float]) -> int:
    """The decimals that a column needs: two significant digits of its median interval width.

    >>> places_for([0.4, 0.5, 0.6]), places_for([12.0]), places_for([])
    (2, 0, 2)
    """
    finite = sorted(width for width in widths if math.isfinite(width) and width > 0)
    if not finite:
        return 2
    return min(4, max(0, 1 - math.floor(math.log10(finite[len(finite) // 2]))))


def places_of(measurements: Iterable[Measurement]) -> int:
    """The decimals that a column of measurements of one unit needs."""
    return places_for([(m.high - m.low) * scale(m.unit) for m in measurements if not m.is_missing])


def value(measurement: Measurement, places: int | None = None) -> str:
    """The value alone, with its unit; "undefined" where there was nothing to measure."""
    if measurement.is_missing:
        return UNDEFINED
    digits = places_of([measurement]) if places is None else places
    return decimal_or_infinity(measurement.value * scale(measurement.unit), digits) + suffix(measurement.unit)


def interval(measurement: Measurement, places: int | None = None) -> str:
    """The interval alone, without unit: "[0.91, 1.34]"."""
    if measurement.is_missing:
        return UNDEFINED
    digits = places_of([measurement]) if places is None else places
    ends = (end * scale(measurement.unit) for end in (measurement.low, measurement.high))
    return f"[{f',{NO_BREAK}'.join(decimal_or_infinity(end, digits) for end in ends)}]"


def with_interval(measurement: Measurement, places: int | None = None) -> str:
    """Value, unit and interval: "1.12 % [0.91, 1.34]".

    >>> from universal_neurons.measurement import Measurement, Over
    >>> with_interval(Measurement(0.0112, 0.0091, 0.0134, 4096, Over.TOKEN_BLOCKS, unit="share")).replace(NO_BREAK, " ")
    '1.12 % [0.91, 1.34]'
    """
    if measurement.is_missing:
        return UNDEFINED
    return f"{value(measurement, places)} {interval(measurement, places)}"


def span(values: Iterable[float], unit: str, places: int) -> str:
    """The range of several values: "0.20 to 1.34 %", or the one value if they are written alike."""
    shown = [v * scale(unit) for v in values if not math.isnan(v)]
    if not shown:
        return UNDEFINED
    low, high = decimal_or_infinity(min(shown), places), decimal_or_infinity(max(shown), places)
    return (low if low == high else f"{low} to {high}") + suffix(unit)


def duration(seconds: float) -> str:
    """A wall time in the largest fitting unit.

    >>> duration(4.2), duration(312), duration(9000), duration(400_000), duration(4e8)
    ('4.2 s', '5.2 min', '2.5 h', '4.6 days', '12.7 years')
    """
    if seconds < 90:
        return f"{decimal(seconds, 1)} s"
    if seconds < 5400:
        return f"{decimal(seconds / 60, 1)} min"
    if seconds < 3 * 86_400:
        return f"{decimal(seconds / 3600, 1)} h"
    days = seconds / 86_400
    return f"{decimal(days, 1)} days" if days < 730 else f"{decimal(days / 365.25, 1)} years"


def listed(items: Iterable[str]) -> str:
    """``items`` as prose: "a", "a and b", "a, b and c".

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    words = list(items)
    if not words:
        return "none"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """``number`` with its noun: "1 claim", "3 claims"."""
    return f"{count(number)} {noun if number == 1 else nouns or noun + 's'}"


def probability(p: float) -> str:
    """A p value with two significant digits; below 0.0001 only a bound.

    >>> probability(0.0123), probability(3e-9), probability(math.nan)
    ('0.012', '< 0.0001', 'undefined')
    """
    if math.isnan(p):
        return UNDEFINED
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
