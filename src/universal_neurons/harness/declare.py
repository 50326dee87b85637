"""Decorators that declare a test function as a claim, as a control or as a reading of one.

A decorator checks everything that the function alone shows, so that a mistake is one line while the file is read.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec

from universal_neurons.evidence.claim import Claim, ClaimError, ClaimKind, Promise
from universal_neurons.measurement import Measurement

if TYPE_CHECKING:
    from universal_neurons.evidence.criteria import Criterion
    from universal_neurons.evidence.multiplicity import Correction
    from universal_neurons.evidence.record import ItemRole

P = ParamSpec("P")
Measuring = Callable[..., Measurement]
AxisName = Literal["reference", "partner", "checkpoint", "interval", "threshold", "layer"]
# Also the order of the parts of an item's id: a-b-25%-50%-0.5-L3.
AXES: tuple[AxisName, ...] = ("reference", "partner", "checkpoint", "interval", "threshold", "layer")
AxisSelection = Literal["first", "last"] | Sequence[object]

_DECLARATION = "__universal_neurons__"
# The catalogue's ambiguities (A1 to A21) and the items of its list F, of which each is a choice the papers left open.
_AMBIGUITY = re.compile(r"A([1-9]|1\d|2[01])|F([1-9]|1\d|2[0-2])")


@dataclass(frozen=True, eq=False)
class ClaimDeclaration:
    """A claim with the function that measures it, its selections of axes, its controls and its readings."""

    role: ClassVar[ItemRole] = "claim"
    claim: Claim
    function: Measuring
    axes: Mapping[AxisName, AxisSelection]
    controls: list[ControlDeclaration] = field(default_factory=list)
    readings: list[ReadingDeclaration] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class ControlDeclaration:
    """A function that measures, in the same way, something that must not satisfy the criterion of the claim ``of``."""

    role: ClassVar[ItemRole] = "control"
    of: ClaimDeclaration
    function: Measuring


@dataclass(frozen=True, eq=False)
class ReadingDeclaration:
    """A function that measures the claim ``of`` under another reading of ``ambiguity``, in words: ``says``."""

    role: ClassVar[ItemRole] = "reading"
    of: ClaimDeclaration
    function: Measuring
    ambiguity: str
    says: str


Declaration = ClaimDeclaration | ControlDeclaration | ReadingDeclaration


def claim(
    id: str,  # noqa: A002 - the word of the catalogue
    statement: str,
    *,
    source: str,
    expect: Criterion,
    on: Mapping[str, Criterion] | None = None,
    family: str | None = None,
    promise: Promise = "protocol-exact",
    correction: Correction | None = None,
    axes: Mapping[AxisName, AxisSelection] | None = None,
    kind: ClaimKind = "finding",
) -> Callable[[Callable[P, Measurement]], Callable[P, Measurement]]:
    """Declare a test function as the measurement of a claim.

    ``expect`` is the criterion, ``on`` the criterion on suites for which it is another.  ``axes`` narrows axes of the
    suite: ``{"checkpoint": "first", "threshold": (0.5,)}``; a selection is "first", "last" or a sequence of values,
    labels or steps.  ``correction`` is for multiple testing within the ``family``: "holm" or "benjamini-hochberg".
    A check of the method, ``kind="method"``, is counted apart from findings.
    Raises :class:`ClaimError` if the declaration contradicts itself.
    """
    declared = Claim(id, statement, source, expect, on or {}, family, promise, correction, kind)

    def declare(function: Callable[P, Measurement]) -> Callable[P, Measurement]:
        narrowed = dict(axes or {})
        _check_function(function, f"claim {id}")
        _check_axes(function, narrowed, f"claim {id}")
        _attach(function, ClaimDeclaration(declared, function, narrowed), f"claim {id}")
        return function

    return declare


def control(*, of: Measuring) -> Callable[[Callable[P, Measurement]], Callable[P, Measurement]]:
    """Declare a test function as a negative control of the claim function ``of``: it must not satisfy the criterion.

    A control takes the axes of its claim or some of them and is evaluated with the same parameters.
    Raises :class:`ClaimError` if ``of`` is no claim or the control takes an axis that the claim does not.
    """

    def declare(function: Callable[P, Measurement]) -> Callable[P, Measurement]:
        name = _name("control", function)
        guarded = _claim_beside(function, of, name)
        declaration = ControlDeclaration(guarded, function)
        _attach(function, declaration, name)
        guarded.controls.append(declaration)
        return function

    return declare


def reading(
    *, of: Measuring, ambiguity: str, says: str
) -> Callable[[Callable[P, Measurement]], Callable[P, Measurement]]:
    """Declare a test function as the claim function ``of`` under another reading of the paper.

    ``ambiguity`` is the catalogue's id of the question that the paper leaves open (A1 to A21, or F1 to F22), ``says``
    the answer that this function gives to it.  A reading takes the axes of its claim or some of them and is judged by
    the claim's own criterion.  It changes nothing about the claim: neither its verdict nor whether it is vacuous.
    Raises :class:`ClaimError` for an id that the catalogue does not have, an empty ``says``, or as :func:`control`.
    """

    def declare(function: Callable[P, Measurement]) -> Callable[P, Measurement]:
        name = _name("reading", function)
        if not _AMBIGUITY.fullmatch(ambiguity):
            raise _wrong(name, function, f"ambiguity is {ambiguity!r}; expected A1 to A21 or F1 to F22")
        if not says.strip():
            raise _wrong(name, function, f"says is empty; expected how {ambiguity} is read here")
        read = _claim_beside(function, of, name)
        declaration = ReadingDeclaration(read, function, ambiguity, says)
        _attach(function, declaration, name)
        read.readings.append(declaration)
        return function

    return declare


def readings(
    *, of: Measuring, table: Mapping[str, tuple[str, str, object]]
) -> Callable[[Callable[P, Measurement]], Callable[P, Measurement]]:
    """Declare readings of the claim function ``of`` that differ in one constant, one for each row of ``table``.

    A row is ``name: (ambiguity, says, constant)``.  The decorated function measures them all and takes the constant as
    its last argument; its module gets a test function for each row, as if each were written with :func:`reading`.
    Raises :class:`ClaimError` for a name that the module already has, or as :func:`reading`.
    """

    def declare(function: Callable[P, Measurement]) -> Callable[P, Measurement]:
        module = function.__globals__
        for name, (ambiguity, says, constant) in table.items():
            if name in module:
                raise _wrong(f"reading {name}", function, "the module has this name already; rename one")
            module[name] = reading(of=of, ambiguity=ambiguity, says=says)(_with_last(function, constant, name))
        return function

    return declare


def declaration_of(function: object) -> Declaration | None:
    """The declaration of ``function``, or None."""
    declared = getattr(function, _DECLARATION, None)
    return declared if isinstance(declared, Declaration) else None


def claim_of(declared: Declaration) -> ClaimDeclaration:
    """The claim itself, or the one that a control guards or a reading reads."""
    return declared if isinstance(declared, ClaimDeclaration) else declared.of


@functools.cache
def arguments_of(function: Measuring) -> tuple[str, ...]:
    """The names of the function's arguments, without those that have a default: pytest leaves these alone."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.default is parameter.empty)


def axes_of(function: Measuring) -> tuple[AxisName, ...]:
    """The axes that the function takes, in the order of :data:`AXES`."""
    arguments = arguments_of(function)
    return tuple(axis for axis in AXES if axis in arguments)


def _wrong(name: str, function: Any, problem: str) -> ClaimError:
    """The error of a declaration: its ``name``, the ``file:line`` of its function, and what is wrong with it."""
    code = getattr(function, "__code__", None)
    where = "?" if code is None else f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    return ClaimError(f"{name} ({where}): {problem}")


def _with_last(function: Measuring, constant: object, name: str) -> Measuring:
    """A copy of ``function`` called ``name`` with ``constant`` as its last argument, which pytest then leaves alone."""
    copied = FunctionType(function.__code__, function.__globals__, name, (constant,), function.__closure__)
    copied.__annotations__, copied.__module__, copied.__qualname__ = function.__annotations__, function.__module__, name
    return copied


def _name(role: str, function: object) -> str:
    return f"{role} {getattr(function, '__name__', function)}"


def _claim_beside(function: Measuring, of: Measuring, name: str) -> ClaimDeclaration:
    """The claim of a control or reading, which is a test function of its own and takes no axis that the claim lacks."""
    found = declaration_of(of)
    if not isinstance(found, ClaimDeclaration):
        raise _wrong(name, function, f"of={getattr(of, '__name__', of)!r} is not a claim")
    _check_function(function, name)
    extra = [axis for axis in axes_of(function) if axis not in axes_of(of)]
    if extra:
        raise _wrong(name, function, f"takes {', '.join(extra)}, which its claim {found.claim.id} does not take")
    return found


def _attach(function: Measuring, declared: Declaration, name: str) -> None:
    if declaration_of(function) is not None:
        raise _wrong(name, function, "the function is declared twice; one function, one claim, control or reading")
    setattr(function, _DECLARATION, declared)


def _check_function(function: Measuring, name: str) -> None:
    # pytest would not collect it, and a claim that is never run is never missed.
    if not function.__name__.startswith("test_"):
        raise _wrong(name, function, f"rename {function.__name__} to test_...; pytest runs no other")
    if "." in function.__qualname__.rpartition("<locals>.")[2]:
        raise _wrong(name, function, f"{function.__qualname__} is a method; a claim is a function")


def _check_axes(function: Measuring, narrowed: Mapping[AxisName, AxisSelection], name: str) -> None:
    for axis, selection in narrowed.items():
        if axis not in AXES:
            raise _wrong(name, function, f"unknown axis {axis!r}; there are {', '.join(AXES)}")
        if axis not in axes_of(function):
            raise _wrong(name, function, f"narrows {axis}, which {function.__name__} does not take")
        # A string is a sequence of its letters: "fisrt" would be five unknown values, "b" would look right by accident.
        if not selection or (isinstance(selection, str) and selection not in ("first", "last")):
            expected = 'expected "first", "last" or a sequence of values'
            raise _wrong(name, function, f"{axis} is narrowed to {selection!r}; {expected}")
