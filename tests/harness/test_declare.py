from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness import sample_claims
from universal_neurons.harness import AtMost, ClaimError, claim
from universal_neurons.harness.declare import (
    ClaimDeclaration,
    ControlDeclaration,
    axes_of,
    claim_of,
    declaration_of,
)

if TYPE_CHECKING:
    from universal_neurons.harness import Interval, Measurement


def growth(study: sample_claims.Study, interval: Interval) -> Measurement:
    return study.share("b", interval.later)


def test_a_declared_function_stays_what_it_was() -> None:
    function = sample_claims.test_few_are_universal
    assert function.__name__ == "test_few_are_universal"
    assert axes_of(function) == ("partner", "checkpoint", "threshold")


def test_claim_and_control_know_each_other() -> None:
    declared = declaration_of(sample_claims.test_few_are_universal)
    guard = declaration_of(sample_claims.test_untrained_models_share_nothing)
    assert isinstance(declared, ClaimDeclaration)
    assert isinstance(guard, ControlDeclaration)
    assert declared.controls == [guard]
    assert claim_of(guard) is declared is claim_of(declared)
    assert declared.claim.criterion_for("mini") == AtMost(0.05)


def test_an_undeclared_function_is_no_claim() -> None:
    assert declaration_of(growth) is None
    assert declaration_of(None) is None


def test_a_declaration_that_is_refused_leaves_the_function_alone() -> None:
    with pytest.raises(ClaimError, match=r"rename growth to test_\.\.\."):
        claim("N2", "Grows.", source="table 1", expect=AtMost(1))(growth)
    assert declaration_of(growth) is None
