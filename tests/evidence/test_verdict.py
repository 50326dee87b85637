from __future__ import annotations

from itertools import permutations

import pytest

from universal_neurons.evidence.verdict import PRECEDENCE, Verdict, claim_verdict, tally


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("reproduced reproduced", "reproduced"),
        ("reproduced refuted inconclusive", "refuted"),
        ("reproduced inconclusive", "inconclusive"),
        ("reproduced not_evaluated", "not_evaluated"),
        ("refuted not_evaluated", "refuted"),
        ("refuted vacuous", "vacuous"),
        ("refuted error vacuous", "error"),
        ("", "not_evaluated"),
    ],
)
def test_the_claims_verdict_follows_from_its_items_in_any_order(items: str, expected: str) -> None:
    for order in permutations(Verdict(word) for word in items.split()):
        assert claim_verdict(order) is Verdict(expected)


def test_every_verdict_has_its_precedence() -> None:
    assert sorted(PRECEDENCE) == sorted(Verdict)


def test_an_error_is_not_a_refutation_however_many_items_are_refuted() -> None:
    assert claim_verdict([Verdict.REFUTED] * 9 + [Verdict.ERROR]) is Verdict.ERROR


def test_the_tally_leaves_out_what_does_not_occur() -> None:
    assert tally([Verdict.REPRODUCED, Verdict.REFUTED, Verdict.REPRODUCED]) == {
        Verdict.REFUTED: 1,
        Verdict.REPRODUCED: 2,
    }
