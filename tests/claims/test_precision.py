"""The claims about the bits of sums, on pairs whose truth is planted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest

from tests.claims.declared import claims_of
from tests.claims.planted import LAST
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measures.precisions import PairsBySums, kept_pairs
from universal_neurons.stages.precisions import KINDS

CLAIMS = claims_of("precision")
OF = {"F13-bfloat16": "bfloat16", "F13-operands": "operands", "F13-float32": "float32"}


@dataclass
class Pairs:
    """A reference and three partners, with 1,000 mutual pairs each; of those each kind of sums finds ``kept``."""

    kept: dict[str, int] = field(default_factory=dict)
    reference: str = "a"
    asked: list[str] = field(default_factory=list)
    pairs: int = 1000

    def partners(self) -> tuple[str, ...]:
        return ("b", "c", "d")

    def table(self, stage: str, *, partner: str, checkpoint: Any) -> PairsBySums:
        assert (stage, checkpoint) == ("precisions", LAST)
        self.asked.append(partner)
        # Two models differ from others by a few pairs, one way or the other.
        moved = ord(partner) % 3 - 1
        rows = [
            {
                "sums": kind, "pairs": self.pairs, "found": self.pairs,
                "kept": min(self.pairs, self.kept.get(kind, self.pairs) + (moved if kind != "exact" else 0)),
                "correlation": 0.5 if kind == "exact" else 0.4, "error": 0.0 if kind == "exact" else 0.1,
            }
            for kind in KINDS
        ]  # fmt: skip
        return PairsBySums(pd.DataFrame(rows), level=0.95)


def verdict(name: str, study: Pairs, *, control: bool = False) -> Verdict:
    claim = CLAIMS[name]
    function = claim.controls[0].function if control else claim.function
    return claim.claim.expect.judge(function(study, LAST)).verdict


def test_there_is_a_claim_of_every_kind_of_sums_with_its_control() -> None:
    assert sorted(CLAIMS) == sorted(OF)
    assert all(len(claim.controls) == 1 for claim in CLAIMS.values())
    assert {claim.claim.family for claim in CLAIMS.values()} == {"precision"}


@pytest.mark.parametrize("name", OF)
def test_sums_that_keep_the_pairs_reproduce_it_and_half_of_the_tokens_does_not(name: str) -> None:
    study = Pairs({"half": 850})
    assert verdict(name, study) is Verdict.REPRODUCED
    assert verdict(name, study, control=True) is Verdict.REFUTED


@pytest.mark.parametrize("name", OF)
def test_sums_that_lose_pairs_refute_their_own_claim_alone(name: str) -> None:
    study = Pairs({OF[name]: 940})
    assert {one: verdict(one, study) for one in OF} == {
        one: Verdict.REFUTED if one == name else Verdict.REPRODUCED for one in OF
    }


@pytest.mark.parametrize("name", OF)
def test_the_control_trips_where_half_of_the_tokens_keeps_the_pairs_too(name: str) -> None:
    assert verdict(name, Pairs(), control=True) is Verdict.REPRODUCED


def test_pairs_near_the_bound_stay_open() -> None:
    assert verdict("F13-bfloat16", Pairs({"bfloat16": 995})) is Verdict.INCONCLUSIVE


def test_every_partner_of_the_reference_counts_and_details_say_what_was_lost() -> None:
    study = Pairs({"bfloat16": 900})
    found = kept_pairs(study, LAST, "bfloat16")  # type: ignore[arg-type]
    assert sorted(study.asked) == ["b", "c", "d"]
    assert found.value == pytest.approx(0.9, abs=1e-3)
    assert (found.n, found.details["pairs"]) == (3, 3)
    assert (found.details["correlation"], found.details["by_sums"], found.details["error"]) == (0.5, 0.4, 0.1)
    assert found.details["others"] == pytest.approx(0.1, abs=1e-3)


def test_without_pairs_there_is_no_share() -> None:
    found = kept_pairs(Pairs(pairs=0), LAST, "bfloat16")  # type: ignore[arg-type]
    assert found.value != found.value
