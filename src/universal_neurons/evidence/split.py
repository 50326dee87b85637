"""The parameter along which the verdicts on a claim's cases change, where one alone explains it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.evidence.verdict import Verdict

# How a value of a parameter is said after a verdict; those of the second list have an order.
_AT = {
    "checkpoint": "at", "interval": "from", "threshold": "at threshold", "layer": "in layer", "partner": "with",
    "reference": "for model",
}  # fmt: skip
_ORDERED = {"checkpoint": "from", "threshold": "from threshold", "layer": "from layer"}


def spelled(value: object) -> str:
    """A parameter in words: a checkpoint by its label, an interval by the labels of its ends.

    >>> spelled({"earlier": {"label": "25 %"}, "later": {"label": "50 %"}}), spelled(0.5)
    ('25 % to 50 %', '0.5')
    """
    if isinstance(value, Mapping):
        ends = (spelled(value[end]) for end in ("earlier", "later") if end in value)
        return " to ".join(ends) or str(value.get("label", value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_full(verdict: Verdict) -> str:
    """A verdict in its own words."""
    return verdict.value.replace("_", " ")


def where_it_breaks(
    records: Sequence[EvidenceRecord], verdicts: Sequence[Verdict], *, word: Callable[[Verdict], str] = in_full
) -> str:
    """The verdicts by the one parameter that explains their differences; empty where none does, or none differs.

    A parameter explains them if all cases with the same value of it have the same verdict:
    "refuted at 25 %, inconclusive at 50 %, reproduced from 75 %".  ``verdicts`` are in the order of ``records``;
    ``word`` says each.  One that has another value in every case explains them where it has an order, or where no
    other one varies.
    """
    if len(set(verdicts)) < 2:
        return ""
    names = list(dict.fromkeys(name for record in records for name in record.parameters))
    varying = [name for name in names if len({spelled(record.parameters.get(name, "")) for record in records}) > 1]
    for name in varying:
        found: dict[str, set[Verdict]] = {}
        for record, verdict in zip(records, verdicts, strict=True):
            found.setdefault(spelled(record.parameters.get(name, "")), set()).add(verdict)
        # Beside another that varies, one case per value would always "explain" everything.
        tells = len(found) < len(records) or name in _ORDERED or len(varying) == 1
        if tells and all(len(part) == 1 for part in found.values()):
            return _said(name, [(value, word(next(iter(part)))) for value, part in found.items()])
    return ""


def _said(name: str, verdicts: Sequence[tuple[str, str]]) -> str:
    runs = [(verdict, [value for value, _ in run]) for verdict, run in groupby(verdicts, key=lambda one: one[1])]
    if name not in _ORDERED:
        merged: dict[str, list[str]] = {}
        for verdict, values in runs:
            merged.setdefault(verdict, []).extend(values)
        runs = list(merged.items())
    parts = []
    for place, (verdict, values) in enumerate(runs):
        at = _AT.get(name, f"at {name}")
        if name in _ORDERED and place == len(runs) - 1 and len(values) > 1:
            parts.append(f"{verdict} {_ORDERED[name]} {values[0]}")
        else:
            parts.append(f"{verdict} {at} {_listed(values)}")
    return ", ".join(parts)


def _listed(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} and {values[-1]}"
