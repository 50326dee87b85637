"""The claims about the replication on studies for which the truth is known; R7 is beside its measure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.claims.declared import claims_of
from tests.claims.test_properties import LAST
from tests.claims.test_properties import SyntheticStudy as PropertiesStudy
from tests.measures.labels import plain_table
from universal_neurons.evidence.criteria import GreaterThan
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.declare import arguments_of
from universal_neurons.measures.properties import weakest_contrast
from universal_neurons.measures.tables import ReferenceTables, UniversalityTable
from universal_neurons.render.wording import criterion_phrase

if TYPE_CHECKING:
    from universal_neurons.harness.declare import ClaimDeclaration

CLAIMS = claims_of("replication")
NEURONS, NAMED = 2500, 2436


@dataclass(frozen=True)
class CopiesStudy:
    """Two partners; the ``baseline`` of trained models, of ``untrained`` ones, and of models that read other tokens.

    ``across``: the correlation of neurons with neurons, and with directions, that read other tokens.  ``ahead``: how
    much more than others the neuron of R3 correlates, with neurons that read the same tokens and with others.
    """

    baseline: float = 0.15
    untrained: float = 0.6
    across: tuple[float, float] = (0.02, 0.02)
    ahead: tuple[float, float] = (0.3, 0.0)
    reference: str = "a"

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return ("b", "c")

    def reference_tables(self, *, checkpoint: Any) -> ReferenceTables:
        return ReferenceTables.of([self._table(partner, 0.3, self.baseline) for partner in self.partners()])

    def null(self, *, partner: str, checkpoint: Any, kind: str) -> UniversalityTable:
        return self._table(partner, *{"untrained": (0.5, self.untrained), "permuted": self.across}[kind], kind)

    def _table(self, partner: str, correlation: float, baseline: float, kind: str = "") -> UniversalityTable:
        noise = np.random.default_rng(ord(partner)).normal(0, 0.01, (2, NEURONS))
        noise[0, NAMED] += self.ahead[kind == "permuted"]
        frame = pd.DataFrame({"layer": 0, "neuron": np.arange(NEURONS), "correlation": correlation + noise[0]})
        frame = frame.assign(baseline=baseline + noise[1]).assign(
            excess=lambda one: one["correlation"] - one["baseline"]
        )
        return plain_table(frame, partner=partner)


TRUE: dict[str, Any] = {
    "R2": PropertiesStudy(),
    "R3": CopiesStudy(),
    "R4": CopiesStudy(),
    "R5": CopiesStudy(across=(0.97, 0.1)),
}
OPPOSITE: dict[str, Any] = {
    "R2": replace(TRUE["R2"], shift=-20.0, gradient=0.0, gaussian=True),
    "R3": CopiesStudy(ahead=(-0.3, 0.0)),
    "R4": CopiesStudy(baseline=0.5),
    "R5": CopiesStudy(),
}
# What each control is there to notice.
TRIPS: dict[str, Any] = {
    "R2": replace(TRUE["R2"], same=True),
    "R3": CopiesStudy(ahead=(0.3, 0.3)),
    "R4": CopiesStudy(untrained=0.15),
    "R5": CopiesStudy(across=(0.97, 0.97)),
}


def verdict(claim: ClaimDeclaration, function: Any, study: Any) -> Verdict:
    values = {"study": study, "checkpoint": LAST, "threshold": 0.5}
    measured = function(**{name: values[name] for name in arguments_of(function)})
    return claim.claim.criterion_for("gurnee_small").judge(measured).verdict


def test_the_claims_are_these_and_each_has_a_control_and_is_corrected() -> None:
    assert sorted(CLAIMS) == [*TRUE, "R7", "R7-eight"]
    for claim in CLAIMS.values():
        assert claim.controls
        assert (claim.claim.family, claim.claim.correction) == ("replication", "holm")


@pytest.mark.parametrize("name", TRUE)
def test_what_was_planted_is_found_its_opposite_refuted_and_the_control_trips_where_it_should(name: str) -> None:
    claim = CLAIMS[name]
    (control,) = claim.controls
    assert verdict(claim, claim.function, TRUE[name]) is Verdict.REPRODUCED
    assert verdict(claim, claim.function, OPPOSITE[name]) is Verdict.REFUTED
    assert verdict(claim, control.function, TRUE[name]) is not Verdict.REPRODUCED
    assert verdict(claim, control.function, TRIPS[name]) is Verdict.REPRODUCED


def test_a_distance_from_the_median_is_no_percentile() -> None:
    measured = weakest_contrast(TRUE["R2"], LAST, 0.5)
    assert criterion_phrase(GreaterThan(0.0), measured.unit) == "above 0 percentiles"


def test_a_copy_correlates_with_its_original_by_what_noise_leaves() -> None:
    from universal_neurons.measures.replication import universal_against_a_noisy_copy

    dice = np.random.default_rng(0)
    values = dice.normal(size=100_000)
    copy = values + 0.7 * dice.normal(size=values.size)
    found = universal_against_a_noisy_copy(CopiesStudy().reference_tables(checkpoint=LAST), 0.5, noise=0.7)
    assert found.details["correlation"] == pytest.approx(np.corrcoef(values, copy)[0, 1], abs=0.005)
