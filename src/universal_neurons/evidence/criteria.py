"""Criteria of claims, as data that a report can quote and that can judge again without measuring again.

Every criterion looks at the whole interval of a measurement.  Inside the region it names: reproduced; outside it:
refuted; straddling its border: inconclusive.  A bound may be a :class:`Published` number, which is looked up before
judging, so that no number of a paper stands in a claim's code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import le, lt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from universal_neurons.errors import UserError
from universal_neurons.evidence.verdict import Judgement, Verdict
from universal_neurons.measurement import CEILING

if TYPE_CHECKING:
    from universal_neurons.measurement import Measurement

CellLabel = str | int | float


class CriterionError(UserError):
    """A criterion that cannot be judged: contradictory bounds, or a published number that was never looked up."""


@dataclass(frozen=True, init=False)
class Published:
    """A number printed in a paper, by its table and the labels of its cell; ``value`` is None until it is looked up.

    >>> Published("nandan2025.table1", threshold=0.5, step=100000).text()
    'nandan2025.table1[threshold=0.5, step=100000]'
    """

    table: str
    where: tuple[tuple[str, CellLabel], ...]
    value: float | None

    def __init__(self, table: str, /, **where: CellLabel) -> None:
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "where", tuple(where.items()))
        object.__setattr__(self, "value", None)

    def at(self, value: float) -> Published:
        """This reference with the number found there."""
        found = Published(self.table, **dict(self.where))
        object.__setattr__(found, "value", float(value))
        return found

    def placed(self, cell: Mapping[str, CellLabel]) -> Published:
        """This reference with every label that names an axis of ``cell`` replaced by the item's value on that axis.

        >>> Published("nandan2025.table1", threshold=0.5, step="checkpoint").placed({"checkpoint": 100000}).text()
        'nandan2025.table1[threshold=0.5, step=100000]'
        """
        return Published(self.table, **{name: cell.get(str(label), label) for name, label in self.where})

    def text(self) -> str:
        """The table and the cell of the number."""
        labels = ", ".join(f"{name}={label}" for name, label in self.where)
        return f"{self.table}[{labels}]" if labels else self.table

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {"published": self.table, "where": dict(self.where), "value": self.value}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Published:
        """The inverse of :meth:`as_dict`."""
        reference = cls(str(raw["published"]), **raw["where"])
        return reference if raw["value"] is None else reference.at(raw["value"])


Bound = float | Published
Resolver = Callable[[Published], float]


def number(bound: Bound) -> float:
    """The number that a bound stands for; raises :class:`CriterionError` for a published one not yet looked up."""
    if not isinstance(bound, Published):
        return float(bound)
    if bound.value is None:
        raise CriterionError(f"published number {bound.text()} has not been looked up; call resolved() before judging")
    return bound.value


def _phrase(bound: Bound) -> str:
    if not isinstance(bound, Published):
        return f"{bound:.6g}"
    return bound.text() if bound.value is None else f"{bound.value:.6g} ({bound.text()})"


class Region(NamedTuple):
    """The values from ``lower`` to ``upper``, None where there is no such end; with the ends themselves if closed."""

    lower: float | None
    upper: float | None
    is_closed: bool

    def contains(self, low: float, high: float) -> bool:
        """True if all values from ``low`` to ``high`` lie in the region."""
        before = le if self.is_closed else lt
        return (self.lower is None or before(self.lower, low)) and (self.upper is None or before(high, self.upper))

    def excludes(self, low: float, high: float) -> bool:
        """True if all values from ``low`` to ``high`` lie beyond one end of the region."""
        before = lt if self.is_closed else le
        is_below = self.lower is not None and before(high, self.lower)
        return is_below or (self.upper is not None and before(self.upper, low))

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Both ends, for drawing."""
        return self.lower, self.upper


@dataclass(frozen=True)
class Criterion:
    """A region of values in which a claim counts as reproduced; the base of all criteria.

    Raises :class:`CriterionError` on construction if a bound is NaN or infinite.
    """

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Criterion]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "kind"):
            Criterion.kinds[cls.kind] = cls

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not self._accepts(value):
                raise CriterionError(f"{type(self).__name__}: {field.name} must be a finite number, got {value!r}")
        self._check()

    @classmethod
    def _accepts(cls, value: object) -> bool:
        # bool is an int: AtMost(True) would be a criterion that nobody meant.
        if isinstance(value, bool):
            return False
        return isinstance(value, Published) or (isinstance(value, int | float) and math.isfinite(value))

    def _check(self) -> None:
        """Raise :class:`CriterionError` if the bounds contradict each other."""

    @property
    def published(self) -> tuple[Published, ...]:
        """The published numbers among the bounds."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return tuple(value for value in values if isinstance(value, Published))

    def placed(self, cell: Mapping[str, CellLabel]) -> Self:
        """This criterion with every published bound in the ``cell`` of one item; see :meth:`Published.placed`."""
        return self._with(lambda bound: bound.placed(cell))

    def resolved(self, resolver: Resolver) -> Self:
        """This criterion with every published bound looked up by ``resolver``."""
        return self._with(lambda bound: bound.at(resolver(bound)))

    def without_sources(self) -> Self:
        """This criterion with every published bound that is known as a plain number, for short texts."""
        return self._with(lambda bound: bound if bound.value is None else bound.value)

    def _with(self, change: Callable[[Published], Bound]) -> Self:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        changed = {name: change(value) for name, value in values.items() if isinstance(value, Published)}
        return dataclasses.replace(self, **changed) if changed else self

    @property
    def region(self) -> Region:
        """The values that the criterion accepts; a region without ends where nothing is concluded from any value."""
        return self._region()

    def _region(self) -> Region:
        raise CriterionError(f"{type(self).__name__}: no region of values")

    def judge(self, measurement: Measurement) -> Judgement:
        """Judge ``measurement`` by the criterion; a missing one is not evaluated."""
        if measurement.is_missing:
            return Judgement(Verdict.NOT_EVALUATED, f"nothing to measure (n = {measurement.n})")
        ceiling = measurement.details.get(CEILING, math.inf)
        if self._lies_above(ceiling):
            most = f"{ceiling * 100:.3g} %" if measurement.unit == "share" else f"{ceiling:.3g}"
            reason = f"not evaluable here: at most {most} can be seen, the agreement of two halves of the tokens"
            return Judgement(Verdict.NOT_EVALUATED, reason)
        verdict = self._verdict(measurement)
        return Judgement(verdict, f"{shown(measurement)} {_RELATIONS[verdict]}: {self.text()}")

    def _lies_above(self, ceiling: float) -> bool:
        """True if no value up to ``ceiling`` could satisfy the criterion."""
        del ceiling
        return False

    def _verdict(self, measurement: Measurement) -> Verdict:
        if self._is_inside(measurement):
            return Verdict.REPRODUCED
        return Verdict.REFUTED if self._is_outside(measurement) else Verdict.INCONCLUSIVE

    def _is_inside(self, measurement: Measurement) -> bool:
        return self.region.contains(measurement.low, measurement.high)

    def _is_outside(self, measurement: Measurement) -> bool:
        return self.region.excludes(measurement.low, measurement.high)

    def text(self) -> str:
        """One readable phrase, such as ``at most 0.05``."""
        return self._text()

    def _text(self) -> str:
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only, with ``kind`` naming the criterion."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.kind, **{k: v.as_dict() if isinstance(v, Published) else v for k, v in values.items()}}

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> Criterion:
        """The inverse of :meth:`as_dict`; raises :class:`CriterionError` for an unknown kind."""
        values = dict(raw)
        kind = values.pop("kind", None)
        if kind not in Criterion.kinds:
            raise CriterionError(f"unknown criterion {kind!r}; expected one of {', '.join(sorted(Criterion.kinds))}")
        arguments = {k: Published.from_dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}
        return Criterion.kinds[kind](**arguments)


_RELATIONS = {
    Verdict.REPRODUCED: "satisfies",
    Verdict.REFUTED: "contradicts",
    Verdict.INCONCLUSIVE: "straddles",
}


def shown(measurement: Measurement) -> str:
    """``value [low, high]`` with three significant digits.

    >>> from universal_neurons.measurement import Measurement, Over
    >>> shown(Measurement(0.04741, 0.0411, 0.05333, 900, Over.NEURONS))
    '0.0474 [0.0411, 0.0533]'
    """
    if measurement.is_missing:
        return "nothing to measure"
    unit = f" {measurement.unit}" if measurement.unit else ""
    return f"{measurement.value:.3g} [{measurement.low:.3g}, {measurement.high:.3g}]{unit}"


@dataclass(frozen=True)
class _OneSided(Criterion):
    """A region with one end."""

    bound: Bound

    def _lies_above(self, ceiling: float) -> bool:
        return self.region.excludes(-math.inf, ceiling)

    def _text(self) -> str:
        return f"{self.kind.replace('_', ' ')} {_phrase(self.bound)}"


@dataclass(frozen=True)
class AtMost(_OneSided):
    """The value is at most ``bound``: reproduced if high <= bound, refuted if low > bound."""

    kind: ClassVar[str] = "at_most"

    def _region(self) -> Region:
        return Region(None, number(self.bound), is_closed=True)


@dataclass(frozen=True)
class LessThan(_OneSided):
    """The value is below ``bound``: reproduced if high < bound, refuted if low >= bound."""

    kind: ClassVar[str] = "less_than"

    def _region(self) -> Region:
        return Region(None, number(self.bound), is_closed=False)


@dataclass(frozen=True)
class AtLeast(_OneSided):
    """The value is at least ``bound``: reproduced if low >= bound, refuted if high < bound."""

    kind: ClassVar[str] = "at_least"

    def _region(self) -> Region:
        return Region(number(self.bound), None, is_closed=True)


@dataclass(frozen=True)
class GreaterThan(_OneSided):
    """The value is above ``bound``: reproduced if low > bound, refuted if high <= bound."""

    kind: ClassVar[str] = "greater_than"

    def _region(self) -> Region:
        return Region(number(self.bound), None, is_closed=False)


@dataclass(frozen=True)
class Between(Criterion):
    """The value lies in [``lower``, ``upper``], both ends included.

    Reproduced if lower <= low and high <= upper; refuted if high < lower or low > upper.
    Raises :class:`CriterionError` if lower > upper.
    """

    kind: ClassVar[str] = "between"
    lower: Bound
    upper: Bound

    def _check(self) -> None:
        is_known = all(bound.value is not None for bound in self.published)
        if is_known and number(self.lower) > number(self.upper):
            raise CriterionError(f"Between: lower {_phrase(self.lower)} exceeds upper {_phrase(self.upper)}")

    def _region(self) -> Region:
        return Region(number(self.lower), number(self.upper), is_closed=True)

    def _text(self) -> str:
        return f"between {_phrase(self.lower)} and {_phrase(self.upper)}"


@dataclass(frozen=True)
class Near(Criterion):
    """The value matches a published one: the catalogue's MATCH rule (claims/README.md, Decision rules).

    With tolerance = max(``absolute``, ``relative`` * abs(target)): reproduced if the target lies in [low, high] or the
    value within the tolerance of it; refuted if the interval excludes the whole band target +- tolerance; else
    inconclusive.  The defaults are half a percentage point and ten per cent.  A wide interval matches easily, by that
    rule: the interval is therefore shown wherever the verdict is.
    """

    kind: ClassVar[str] = "near"
    target: Bound
    absolute: float = 0.005
    relative: float = 0.10

    def _check(self) -> None:
        if self.absolute < 0 or self.relative < 0:
            raise CriterionError(f"Near: tolerances must not be negative, got {self.absolute} and {self.relative}")

    def _region(self) -> Region:
        target = number(self.target)
        tolerance = max(self.absolute, self.relative * abs(target))
        return Region(target - tolerance, target + tolerance, is_closed=True)

    def _is_inside(self, measurement: Measurement) -> bool:
        is_covered = measurement.low <= number(self.target) <= measurement.high
        return is_covered or self.region.contains(measurement.value, measurement.value)

    def _text(self) -> str:
        return f"near {_phrase(self.target)} within max({self.absolute:.6g}, {self.relative * 100:.6g} %)"


@dataclass(frozen=True)
class Equivalent(Criterion):
    """The value is the same as ``to`` for all practical purposes: two one-sided tests (Schuirmann 1987, TOST).

    Reproduced if the interval lies inside the open interval to +- ``margin``, refuted if it lies outside it.  A
    two-sided interval of level 1 - 2 alpha gives each of the two tests level alpha: 95 % means alpha = 2.5 %.
    Raises :class:`CriterionError` unless the margin is positive.
    """

    kind: ClassVar[str] = "equivalent"
    to: Bound
    margin: float

    def _check(self) -> None:
        if self.margin <= 0:
            raise CriterionError(f"Equivalent: margin must be positive, got {self.margin}")

    def _region(self) -> Region:
        return Region(number(self.to) - self.margin, number(self.to) + self.margin, is_closed=False)

    def _text(self) -> str:
        return f"equivalent to {_phrase(self.to)} within {self.margin:.6g}"


@dataclass(frozen=True)
class AboveDraws(Criterion):
    """A set stands out of the random draws that it is matched with; the value is its standing among them.

    The standing is (effect of the set - mean of the draws) / (their standard deviation).  Two bounds: reproduced if low
    is above the ``percentile`` of normal draws (1.64 for 0.95), refuted if high < 0, their mean, inconclusive between.
    One bound would not do: a set that is like the draws, or a little above their mean, is no evidence for the claim and
    none against it, and with enough tokens a single bound would call it refuted.

    Raises :class:`CriterionError` unless the percentile lies between 0.5 and 1.
    """

    kind: ClassVar[str] = "above_draws"
    percentile: float = 0.95

    def _check(self) -> None:
        if not 0.5 < self.percentile < 1:
            raise CriterionError(f"AboveDraws: percentile must be above 0.5 and below 1, got {self.percentile}")

    @property
    def bound(self) -> float:
        """The percentile in standard deviations above the mean."""
        return NormalDist().inv_cdf(self.percentile)

    def _region(self) -> Region:
        return Region(self.bound, None, is_closed=False)

    def _is_outside(self, measurement: Measurement) -> bool:
        return measurement.high < 0

    def _text(self) -> str:
        return f"above the {100 * self.percentile:g}th percentile of the draws, refuted below their mean"


@dataclass(frozen=True)
class NotJudged(Criterion):
    """The claim is not about this suite: its number is measured and shown, and nothing is concluded from it."""

    kind: ClassVar[str] = "not_judged"
    reason: str

    @classmethod
    def _accepts(cls, value: object) -> bool:
        return isinstance(value, str)

    def _check(self) -> None:
        if not self.reason.strip():
            raise CriterionError("NotJudged: needs the reason why the claim is not judged on this suite")

    def judge(self, measurement: Measurement) -> Judgement:
        """Never a judgement, whatever was measured."""
        del measurement
        return Judgement(Verdict.NOT_EVALUATED, self.text())

    def _region(self) -> Region:
        return Region(None, None, is_closed=False)

    def _text(self) -> str:
        return f"not judged: {self.reason}"
