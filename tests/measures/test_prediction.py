"""Prediction of universality finds what is planted, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from tests.claims.declared import declared_in
from tests.claims.test_properties import LAST, SyntheticStudy
from tests.sources import ROOT
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Over
from universal_neurons.measures.prediction import WEIGHTS, auc_in_layers, predicted_universality
from universal_neurons.measures.properties import percentiles_in_layers

if TYPE_CHECKING:
    from universal_neurons.harness.declare import ClaimDeclaration

STUDY: Any = SyntheticStudy()
CLAIMS = declared_in([ROOT / "claims" / "replication" / "test_r7_weights_predict.py"])


def verdict(claim: ClaimDeclaration, function: Any, study: SyntheticStudy) -> Verdict:
    return claim.claim.expect.judge(function(study, checkpoint=LAST, threshold=0.5)).verdict


@pytest.mark.parametrize("name", ["R7", "R7-eight"])
def test_what_was_planted_is_predicted_and_no_control_is(name: str) -> None:
    claim = CLAIMS[name]
    assert claim.claim.correction == "holm"
    assert verdict(claim, claim.function, SyntheticStudy()) is Verdict.REPRODUCED
    for control in claim.controls:
        assert verdict(claim, control.function, SyntheticStudy()) is not Verdict.REPRODUCED, control.function.__name__


@pytest.mark.parametrize("name", ["R7", "R7-eight"])
def test_nothing_is_predicted_where_nothing_was_planted(name: str) -> None:
    nothing = SyntheticStudy(shift=0.0, gradient=0.0, gaussian=True)
    assert verdict(CLAIMS[name], CLAIMS[name].function, nothing) is not Verdict.REPRODUCED


def test_the_controls_notice_labels_that_were_not_dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from universal_neurons.measures import prediction

    monkeypatch.setattr(prediction, "dealt_within_layers", lambda layer, _: np.arange(len(layer)))
    for claim in CLAIMS.values():
        for control in claim.controls:
            assert verdict(claim, control.function, SyntheticStudy()) is Verdict.REPRODUCED


def test_the_area_is_mann_and_whitneys_within_layers() -> None:
    dice = np.random.default_rng(0)
    layer, score = np.repeat([0, 1, 2], 40), dice.integers(0, 9, 120).astype(float)
    universal = (dice.random(120) < 0.3) & (layer < 2)
    areas, weights = [], []
    for at in (0, 1):
        x, y = score[(layer == at) & universal], score[(layer == at) & ~universal]
        areas.append(np.mean((x[:, None] > y) + (x[:, None] == y) / 2))
        weights.append(len(x))
    assert auc_in_layers(score, layer, universal) == pytest.approx(np.average(areas, weights=weights))
    assert np.isnan(auc_in_layers(score, layer, layer > 5))


def test_the_interval_is_students_over_models() -> None:
    found = predicted_universality(STUDY, LAST, 0.5, WEIGHTS)
    assert (found.n, found.over) == (3, Over.MODELS)
    assert found.details["lowest"] <= found.value <= found.details["highest"]
    reach = (found.high - found.low) / 2 / stats.t.ppf(0.975, 2) * np.sqrt(3)
    assert reach <= found.details["highest"] - found.details["lowest"]


def test_an_undefined_property_counts_as_the_middle_of_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    from universal_neurons.measures import prediction

    found = []
    for instead in (np.nan, 50.0):

        def known(layer: Any, values: Any, instead: float = instead) -> Any:
            return np.where(np.arange(len(layer)) % 3 == 0, instead, percentiles_in_layers(layer, values))

        monkeypatch.setattr(prediction, "percentiles_in_layers", known)
        found.append(predicted_universality(STUDY, LAST, 0.5, WEIGHTS))
    assert found[0] == found[1]
