"""Evidence records: the result of one run, item by item, from which reports and ledgers are made.

A record holds builtin types only, because it travels between processes and lies on disk as one line of JSON.  NaN is
null there and an infinite bound is the word ``inf``: JSON has neither.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from universal_neurons.errors import UserError
from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.judging import judged, voided_by
from universal_neurons.evidence.verdict import Judgement, Verdict
from universal_neurons.files import replace_file
from universal_neurons.measurement import Measurement

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.evidence.claim import ClaimKind
    from universal_neurons.evidence.multiplicity import Correction

VERSION = 2

ItemRole = Literal["claim", "control", "reading"]


class RecordError(UserError):
    """A file of evidence that cannot be read or written; the message names it, and the line."""


@dataclass(frozen=True, slots=True)
class ControlResult:
    """The result of a control with the parameters of the item that it guards.

    A control that does not satisfy the criterion (refuted, inconclusive, nothing to measure) is sound.  One that does
    makes its item vacuous unless this goes beyond it (``judging.voided_by``).
    """

    test: str
    verdict: Verdict
    reason: str
    measurement: Mapping[str, Any] | None

    def measured(self) -> Measurement | None:
        """The measurement, or None where the control never came to one."""
        return None if self.measurement is None else Measurement.from_dict(self.measurement)

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return _builtin_dict(asdict(self))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ControlResult:
        """The inverse of :meth:`as_dict`."""
        return cls(**{**raw, "verdict": Verdict(raw["verdict"])})


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """One item of one run: a claim, one of its controls or one of its readings, with one set of parameters.

    ``test`` is pytest's node id, ``item`` the part of it in brackets (empty without parameters), ``command`` computes
    missing evidence, ``artifacts`` are the digests read, ``locator`` is file:line relative to the project root.  A
    reading ``says`` how it reads the ``ambiguity`` of the catalogue.  ``narrowed_by`` are the options of the command
    line that narrowed the suite, empty for a whole one.  ``registration`` says what is to be known of the rules of the
    claim: that they were changed after measuring, or are not as registered.
    """

    claim: str
    role: ItemRole
    test: str
    item: str
    statement: str
    source: str
    family: str | None
    promise: str
    suite: str
    parameters: Mapping[str, Any]
    measurement: Mapping[str, Any] | None
    criterion: Mapping[str, Any]
    criterion_text: str
    verdict: Verdict
    reason: str
    command: str | None
    controls: tuple[ControlResult, ...]
    artifacts: tuple[str, ...]
    locator: str
    duration_seconds: float
    correction: Correction | None = None
    ambiguity: str | None = None
    says: str | None = None
    narrowed_by: str = ""
    kind: ClaimKind = "finding"
    registration: str = ""
    version: int = VERSION

    @property
    def reading(self) -> str:
        """The name of a reading within its claim: its function and, with parameters, the item in brackets."""
        return self.test.partition("::")[2]

    def to_json(self) -> str:
        """One line of strict JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["controls"] = [control.as_dict() for control in self.controls]
        return json.dumps(_builtin_dict(values), allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> EvidenceRecord:
        """The inverse of :meth:`to_json`; raises :class:`RecordError` for another version of the format."""
        raw = json.loads(line)
        if raw.get("version") != VERSION:
            raise RecordError(
                f"evidence record has version {raw.get('version')}, expected {VERSION}; run the claims again"
            )
        raw["verdict"] = Verdict(raw["verdict"])
        raw["controls"] = tuple(ControlResult.from_dict(c) for c in raw["controls"])
        raw["artifacts"] = tuple(raw["artifacts"])
        return cls(**raw)

    def measured(self) -> Measurement | None:
        """The measurement, or None where the item never came to one."""
        return None if self.measurement is None else Measurement.from_dict(self.measurement)

    def rejudged(self) -> Judgement:
        """The judgement from the recorded measurement, criterion and controls alone; nothing is computed again.

        An item that never came to a measurement keeps the verdict that says why.
        """
        measurement = self.measured()
        unjudgeable = self.verdict in (Verdict.ERROR, Verdict.STALE)
        if measurement is None or unjudgeable or self.command is not None:
            return Judgement(self.verdict, self.reason)
        criterion = Criterion.from_dict(self.criterion)
        judgement = judged(criterion, measurement)
        control = voided_by(criterion, measurement, {c.test: c.measured() for c in self.controls})
        return judgement if control is None else vacuous(judgement, control)

    def under(self, criterion: Criterion) -> EvidenceRecord:
        """This record if it was judged by ``criterion``, otherwise the same record with the verdict stale."""
        if dict(self.criterion) == criterion.as_dict():
            return self
        reason = f"judged as '{self.criterion_text}', the claim now says '{criterion.text()}'; run the claims again"
        return replace(self, verdict=Verdict.STALE, reason=reason)


def vacuous(judgement: Judgement, control: str) -> Judgement:
    """``judgement`` of an item whose ``control`` satisfies the criterion too."""
    return Judgement(
        Verdict.VACUOUS,
        f"its control {control} satisfies the criterion too and is not exceeded; without it: {judgement.reason}",
    )


def natural_order(text: str) -> tuple[tuple[bool, int, str], ...]:
    """A sort key in which numbers inside ``text`` count as numbers.

    >>> sorted(["N10", "N2", "G6"], key=natural_order)
    ['G6', 'N2', 'N10']
    """
    parts: list[str] = []
    for character in text:
        if parts and parts[-1][-1].isdecimal() == character.isdecimal():
            parts[-1] += character
        else:
            parts.append(character)
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)


def strict_json(values: Mapping[str, Any], *, indent: int | None = 2) -> str:
    """``values`` as JSON to be read by people and programs: NaN is null, an infinite number is a word."""
    return json.dumps(_builtin_dict(values), indent=indent, allow_nan=False, ensure_ascii=False) + "\n"


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step: a killed run leaves the old text or the new."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line that ``path`` cannot be written: no space, no permission, something else in its place."""
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be written ({error.strerror or error}); free space or choose another place"
        ) from error


def _builtin_dict(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): _builtin(value) for name, value in values.items()}


def _builtin(value: Any) -> Any:
    """``value`` in JSON's own types, numbers of other libraries as Python's; raises TypeError for anything else."""
    match value:
        case None | bool():
            return value
        case Enum():
            return _builtin(value.value)
        case str():
            return str(value)
        case Integral():
            return int(value)
        case Real():
            return _builtin_float(float(value))
        case Mapping():
            return _builtin_dict(value)
        case list() | tuple():
            return [_builtin(item) for item in value]
        case _:
            raise TypeError(f"evidence holds builtin types only, got {type(value).__name__}: {value!r}")


def _builtin_float(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)
