from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness import sample_claims
from universal_neurons.harness import AtMost, ClaimError, claim, reading
from universal_neurons.harness.declare import (
    ClaimDeclaration,
    ControlDeclaration,
    ReadingDeclaration,
    axes_of,
    claim_of,
    declaration_of,
)

if TYPE_CHECKING:
    from universal_neurons.harness import Checkpoint, Interval, Measurement


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


def test_claim_and_reading_know_each_other() -> None:
    declared = declaration_of(sample_claims.test_few_are_universal)
    read = declaration_of(sample_claims.test_few_are_universal_on_average)
    assert isinstance(declared, ClaimDeclaration)
    assert isinstance(read, ReadingDeclaration)
    assert declared.readings == [read]
    assert claim_of(read) is declared
    assert (read.ambiguity, read.says) == ("A1", "mean of the excess over the partners")


@pytest.mark.parametrize("known", ["A1", "A9", "A10", "A21", "F1", "F10", "F22"])
@pytest.mark.parametrize("unknown", ["A0", "A22", "F0", "F23", "B1", "a1", "A1a", "A01", "", "A"])
def test_a_reading_is_of_an_ambiguity_that_the_catalogue_has(known: str, unknown: str) -> None:
    def test_read(study: sample_claims.Study, checkpoint: Checkpoint) -> Measurement:
        return study.share("b", checkpoint)

    of = sample_claims.test_few_are_universal
    declared = declaration_of(of)
    assert isinstance(declared, ClaimDeclaration)
    with pytest.raises(ClaimError, match=f"reading test_read .*ambiguity is '{unknown}'; expected A1 to A21 or F1"):
        reading(of=of, ambiguity=unknown, says="otherwise")(test_read)
    reading(of=of, ambiguity=known, says="otherwise")(test_read)
    assert declared.readings.pop().ambiguity == known


def test_an_undeclared_function_is_no_claim() -> None:
    assert declaration_of(growth) is None
    assert declaration_of(None) is None


def test_a_declaration_that_is_refused_leaves_the_function_alone() -> None:
    with pytest.raises(ClaimError, match=r"rename growth to test_\.\.\."):
        claim("N2", "Grows.", source="table 1", expect=AtMost(1))(growth)
    assert declaration_of(growth) is None
