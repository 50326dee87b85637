"""Evaluation of a claim's function: run it and judge what it returns.

An exception in a claim is a value here (verdict ``error``; missing evidence is ``not_evaluated``), which the plugin
raises again: neither can be taken for a measurement that refutes the claim.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universal_neurons.characters import visible
from universal_neurons.errors import ArtifactMissing, NotOnSuite
from universal_neurons.evidence.claim import ClaimError
from universal_neurons.evidence.criteria import Criterion, NotJudged
from universal_neurons.evidence.judging import judged, voided_by
from universal_neurons.evidence.record import ControlResult, vacuous
from universal_neurons.evidence.verdict import Judgement, Verdict
from universal_neurons.harness.scaffold import MARK, unedited_lines
from universal_neurons.measurement import Measurement, MeasurementError

if TYPE_CHECKING:
    from universal_neurons.harness.declare import Measuring

Broken = tuple[type[BaseException], ...]


@dataclass(frozen=True)
class Evaluation:
    """The judged result of one call of a claim's or a control's function.

    ``absent`` means that the suite cannot answer it: there is neither a measurement nor evidence to compute.
    """

    judgement: Judgement
    measurement: Measurement | None = None
    error: BaseException | None = None
    command: str | None = None
    artifacts: tuple[str, ...] = ()
    seconds: float = 0.0
    absent: bool = False

    @property
    def measured(self) -> dict[str, Any] | None:
        """The measurement in builtin types."""
        return None if self.measurement is None else self.measurement.as_dict()


def evaluate(
    function: Measuring, arguments: Mapping[str, Any], criterion: Criterion, *, broken: Broken = (Exception,)
) -> Evaluation:
    """Call ``function`` with ``arguments`` and judge its measurement; exceptions of a type in ``broken`` are errors."""
    began, reads_before = time.perf_counter(), len(_reads(arguments))
    measurement: Measurement | None = None
    error: BaseException | None = None
    command, absent = None, False
    try:
        _check_ready(function)
        measurement = _measurement(function(**arguments), function)
        judgement = judged(criterion, measurement)
    except ArtifactMissing as missing:
        command, judgement = missing.command, evidence_missing(missing)
    except NotOnSuite as lack:
        absent, judgement = True, not_on_suite(str(lack))
    except MeasurementError as wrong:
        caught = ClaimError(f"{function.__name__}: {wrong}")
        error, judgement = caught, _error(caught)
    except broken as failure:
        error, judgement = failure, _error(failure)
    artifacts = tuple(dict.fromkeys(str(digest) for digest in _reads(arguments)[reads_before:]))
    return Evaluation(judgement, measurement, error, command, artifacts, time.perf_counter() - began, absent)


def not_on_suite(why: str) -> Judgement:
    """The judgement of a question that the suite cannot answer."""
    return Judgement(Verdict.NOT_EVALUATED, f"not evaluated on this suite: {' '.join(why.split())}")


def evidence_missing(missing: ArtifactMissing) -> Judgement:
    """The judgement where something was not computed yet."""
    return Judgement(Verdict.NOT_EVALUATED, f"evidence missing; run: {missing.command}")


def broken_by(error: BaseException) -> Evaluation:
    """The evaluation of a function that could not even be called."""
    return Evaluation(_error(error), error=error)


def guarded(own: Evaluation, controls: Iterable[tuple[str, Evaluation]], criterion: Criterion) -> Evaluation:
    """``own`` after its named ``controls``: an error of one of them counts first, then missing evidence, then vacuity.

    The rule of vacuity is :func:`judging.voided_by`.

    A claim whose control cannot be evaluated is not known to mean anything, so it gets no judgement of its own.  A
    control that the suite cannot answer (no untrained models, one reference) is left out as long as another is left;
    its own result says so beside the claim.
    """
    if own.error is not None or own.command is not None or own.absent:
        return own
    results = list(controls)
    for name, result in results:
        if result.error is not None:
            return _with(own, Judgement(Verdict.ERROR, f"its control {name} broke: {result.judgement.reason}"))
    for name, result in results:
        if result.command is not None:
            reason = f"evidence of its control {name} missing; run: {result.command}"
            return _with(own, Judgement(Verdict.NOT_EVALUATED, reason), command=result.command)
    if own.measurement is not None:
        control = voided_by(criterion, own.measurement, {name: result.measurement for name, result in results})
        if control is not None:
            return _with(own, vacuous(own.judgement, control))
    if results and all(result.absent for _, result in results):
        # Without the measurement: it must not be judged again by whoever reads the record.
        judgement = not_on_suite(f"no control can be measured; {results[0][1].judgement.reason}")
        return Evaluation(judgement, artifacts=own.artifacts, seconds=own.seconds, absent=True)
    return own


def control_result(name: str, evaluation: Evaluation) -> ControlResult:
    """A control's evaluation as the record of the guarded item keeps it."""
    return ControlResult(name, evaluation.judgement.verdict, evaluation.judgement.reason, evaluation.measured)


def needs_controls(criterion: Criterion, own: Evaluation) -> bool:
    """True if a judgement was reached that a control could make void."""
    reached = own.error is None and own.command is None and not own.absent
    return reached and not isinstance(criterion, NotJudged)


def _error(error: BaseException) -> Judgement:
    return Judgement(Verdict.ERROR, _one_line(error))


def _with(own: Evaluation, judgement: Judgement, *, command: str | None = None) -> Evaluation:
    return Evaluation(judgement, own.measurement, own.error, command, own.artifacts, own.seconds)


def _check_ready(function: Measuring) -> None:
    """Raise :class:`ClaimError` for a function that cannot be judged, whatever it would return."""
    if inspect.iscoroutinefunction(function):
        raise ClaimError(f"{function.__name__} is async; expected a plain function that returns a Measurement")
    path = Path(function.__code__.co_filename) if inspect.isfunction(function) else None
    if path is not None and (lines := _unedited_lines(path)):
        raise ClaimError(
            f"{path.name}: still has {MARK} in line {', '.join(map(str, lines))}; fill in or remove what it marks"
        )


_unedited_lines = functools.cache(unedited_lines)


def _measurement(returned: object, function: Measuring) -> Measurement:
    if not isinstance(returned, Measurement):
        raise ClaimError(f"{function.__name__} returned {type(returned).__name__}, expected a Measurement")
    return returned


def _reads(arguments: Mapping[str, Any]) -> Sequence[object]:
    reads = getattr(arguments.get("study"), "reads", ())
    return reads if isinstance(reads, Sequence) else ()


def _one_line(error: BaseException) -> str:
    text = visible(str(error))
    return text if isinstance(error, ClaimError) else f"{type(error).__name__}: {text}".removesuffix(": ")
