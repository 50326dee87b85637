"""Digests of what a claim file declares, and their registration."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from universal_neurons.evidence.registration import Registration

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from universal_neurons.harness.declare import ClaimDeclaration, Measuring, ReadingDeclaration

_LENGTH = 16


@cache
def parts_of(declared: ClaimDeclaration, suite: str) -> dict[str, str]:
    """The digest of a claim's criterion on ``suite``, of each of its controls and of each of its readings.

    A digest is of what decides a verdict: the criterion, its correction and family, the selected axes, and the function
    that measures, without its docstring and layout.  The functions that it calls are not followed.
    """
    claim = declared.claim
    rule = {
        "criterion": claim.criterion_for(suite).as_dict(),
        "correction": claim.correction,
        "family": claim.family,
        "axes": {axis: str(chosen) for axis, chosen in declared.axes.items()},
        "code": _code(declared.function),
    }
    return {
        "criterion": _digest(rule),
        **{f"control {one.function.__name__}": _digest(_code(one.function)) for one in declared.controls},
        **{f"reading {one.function.__name__}": _digest(_reading(one)) for one in declared.readings},
    }


def registrations(
    claims: Iterable[ClaimDeclaration], suite: str, *, today: date, commit: str, reason: str, measured: Iterable[str]
) -> list[Registration]:
    """What ``claims`` are on ``suite`` now; ``reason`` stays with those that were ``measured`` there before."""
    before = set(measured)
    return [
        Registration(suite, one.claim.id, today, commit, parts_of(one, suite), reason if one.claim.id in before else "")
        for one in claims
    ]


def _reading(declared: ReadingDeclaration) -> Any:
    return [declared.ambiguity, _code(declared.function)]


def _code(function: Measuring) -> Any:
    """The body of a function and the constants of its arguments."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)  # noqa: S101 - the latter is refused when it is called
    has_docstring = ast.get_docstring(node) is not None
    body = ast.dump(ast.Module(node.body[has_docstring:], []), annotate_fields=False)
    return [body, ast.dump(node.args, annotate_fields=False), repr(function.__defaults__ or ())]


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_LENGTH]
