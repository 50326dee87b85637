"""Needs of claims: the cases that the claims of a checkout read, so that nothing else is computed for them."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import UserError
from universal_neurons.evidence.record import natural_order
from universal_neurons.harness.axes import ValueMissing, combinations
from universal_neurons.harness.declare import (
    AXES,
    Declaration,
    Measuring,
    arguments_of,
    axes_of,
    claim_of,
    declaration_of,
)
from universal_neurons.stages.dry_run import needs_of, without_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from universal_neurons.inputs.suite import Suite
    from universal_neurons.stages.base import Need
    from universal_neurons.stages.workspace import Workspace


def needs_of_claims(work: Workspace, claims: Collection[str]) -> tuple[Need, ...]:
    """The cases that ``claims``, their controls and their readings read; raises UserError for an unknown claim."""
    declared = list(declarations(work.root / "claims"))
    known = {claim_of(one).claim.id for one in declared}
    if unknown := [name for name in claims if name not in known]:
        raise UserError(
            f"--claims: expected some of {', '.join(sorted(known, key=natural_order))}, got {', '.join(unknown)}"
        )
    chosen = [one for one in declared if claim_of(one).claim.id in claims]
    return needs_of(without_checks(work), (call for one in chosen for call in calls(work.suite, one)))


def declarations(folder: Path) -> Iterator[Declaration]:
    """Every claim, control and reading in the test files of ``folder``; dot files are none."""
    for path in sorted(folder.rglob("test_*.py")):
        for value in vars(_module(path)).values():
            declared = declaration_of(value)
            if declared is not None and declared.function is value:
                yield declared


def calls(suite: Suite, declared: Declaration) -> Iterator[Callable[[Any], object]]:
    """The function of a declaration with every combination of its axes on ``suite``; each takes a study.

    A control is called as the claim that it guards calls it.
    """
    claim = claim_of(declared)
    axes = axes_of(declared.function)
    try:
        combined = combinations(suite, axes, claim.axes, name=f"claim {claim.claim.id}") if axes else [()]
    except ValueMissing:
        return
    takes_study = "study" in arguments_of(declared.function)
    for combination in combined:
        values: dict[str, Any] = {axis: value.value for axis, value in zip(axes, combination, strict=True)}
        yield partial(_called, declared.function, values, takes_study)


def _called(function: Measuring, values: dict[str, Any], takes_study: bool, study: Any) -> object:  # noqa: FBT001
    missing = set(arguments_of(function)) - {*AXES, "study"}
    if missing:
        # A fixture of pytest's: what it reads is not known here.
        raise LookupError(f"{function}: takes {', '.join(sorted(missing))}")
    return function(**values, **({"study": study} if takes_study else {}))


def _module(path: Path) -> Any:
    """The module of a claim file, imported once under a name of its own."""
    name = f"universal_neurons_claims_{sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UserError(f"{path}: cannot be imported")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]
