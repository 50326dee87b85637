from __future__ import annotations

from typing import Any

import pytest

from universal_neurons.evidence.claim import Claim, ClaimError
from universal_neurons.evidence.criteria import AtMost, Between, Criterion


def test_a_suite_may_have_a_criterion_of_its_own() -> None:
    claim = Claim("N1", "Few are universal.", "Nandan et al., table 1", AtMost(0.05), on={"mini": Between(0.01, 0.05)})
    assert claim.criterion_for("mini") == Between(0.01, 0.05)
    assert claim.criterion_for("paper") == AtMost(0.05)


def test_the_criteria_cannot_be_changed_afterwards() -> None:
    on: dict[str, Criterion] = {"mini": Between(0.01, 0.05)}
    claim = Claim("N1", "Few are universal.", "Nandan et al., table 1", AtMost(0.05), on=on)
    on["mini"] = AtMost(1.0)
    assert claim.criterion_for("mini") == Between(0.01, 0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"id": "N 1"}, "claim 'N 1': an id is a letter followed by"),
        ({"id": ""}, "claim '': an id"),
        ({"statement": " "}, "claim N1: statement is empty"),
        ({"source": ""}, "claim N1: source is empty"),
        ({"expect": 0.05}, r"claim N1: expect must be a criterion such as AtMost\(0\.05\), got 0\.05"),
        ({"on": {"mini": None}}, r"claim N1: on\['mini'\] must be a criterion"),
        ({"promise": "exact"}, "claim N1: promise is 'exact', expected bit-exact or protocol-exact"),
        ({"kind": "rule"}, "claim N1: kind is 'rule', expected finding or method"),
        ({"correction": "none", "family": "f"}, "claim N1: correction is 'none', expected holm or"),
        ({"correction": "holm"}, "claim N1: correction holm needs the family that is corrected"),
    ],
)
def test_a_claim_declared_wrongly_is_refused_in_one_line(wrong: dict[str, Any], message: str) -> None:
    right = {"id": "N1", "statement": "Few are universal.", "source": "table 1", "expect": AtMost(0.05)}
    with pytest.raises(ClaimError, match=message) as caught:
        Claim(**{**right, **wrong})
    assert "\n" not in str(caught.value)
