"""The claims about entropy neurons on studies for which the truth is known; every control on what it must notice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.claims.declared import claims_of
from tests.claims.planted import LAST, PlantedStudy
from tests.measures.entropic import Entropic
from universal_neurons.evidence.verdict import Verdict

CLAIMS = claims_of("entropy")
FINDINGS = ["G40", "G40-frequency", "G40-null", "G40-rho", "G42"]
NAMES = [*FINDINGS, "G40-planted"]
# G43 is measured as G40 is, and judged where the models are not GPT-2s; G41 is of GPT-2 Medium.
PUBLISHED_ONLY = ["G41", "G43"]
TRUE = Entropic()
NOTHING = Entropic(mediated=0.4, planted=0.51, kept=0.94, null=0.0, frequency=0.0, rho=0.0)
OPPOSITE = Entropic(mediated=0.1, planted=0.6, kept=0.5, null=0.0, frequency=0.0, rho=-0.3)


def verdict(name: str, function: Any, entropic: Entropic, **options: Any) -> Verdict:
    measured = function(study=PlantedStudy("entropy", entropic, **options), checkpoint=LAST)
    return CLAIMS[name].claim.expect.judge(measured).verdict


def test_the_claims_are_these_and_each_has_a_control() -> None:
    assert sorted(CLAIMS) == sorted([*NAMES, *PUBLISHED_ONLY])
    for name, claim in CLAIMS.items():
        assert claim.controls
        assert claim.claim.kind == ("method" if name == "G40-planted" else "finding")


def test_other_architectures_are_judged_as_gpt2s_are() -> None:
    claim = CLAIMS["G43"]
    criterion = claim.claim.criterion_for("pythia_160m")
    assert criterion == CLAIMS["G40"].claim.expect
    (control,) = claim.controls
    for entropic, own, random in (
        (TRUE, Verdict.REPRODUCED, Verdict.REFUTED),
        (OPPOSITE, Verdict.REFUTED, Verdict.REFUTED),
        (replace(TRUE, others=0.7), Verdict.REPRODUCED, Verdict.REPRODUCED),
    ):
        study = PlantedStudy("entropy", entropic)
        assert criterion.judge(claim.function(study=study, checkpoint=LAST)).verdict is own
        assert criterion.judge(control.function(study=study, checkpoint=LAST)).verdict is random


@dataclass(frozen=True)
class Below:
    """The neurons of the layer before the last as the tables of a planted study."""

    entropic: Entropic

    def tables(self, model: str) -> Any:
        return self.entropic.below(model)


@pytest.mark.parametrize(
    ("entropic", "own", "others"),
    [
        (TRUE, Verdict.REPRODUCED, Verdict.REFUTED),
        (replace(TRUE, opposed=0.3), Verdict.REFUTED, Verdict.REFUTED),
        (replace(TRUE, others_below=-0.4), Verdict.REPRODUCED, Verdict.REPRODUCED),
    ],
)
def test_an_opposed_neuron_is_judged_where_the_paper_names_one(
    entropic: Entropic, own: Verdict, others: Verdict
) -> None:
    claim, study = CLAIMS["G41"], PlantedStudy("entropy-below", Below(entropic))
    (control,) = claim.controls
    measured = claim.function(study=study, checkpoint=LAST)
    assert claim.claim.criterion_for("gurnee_medium").judge(measured).verdict is own
    assert (
        claim.claim.criterion_for("gurnee_medium").judge(control.function(study=study, checkpoint=LAST)).verdict
        is others
    )
    assert claim.claim.criterion_for("mini").judge(measured).verdict is Verdict.NOT_EVALUATED
    assert measured.details["cosine"] == pytest.approx(-0.8)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_planted_is_found_and_nothing_is_not(name: str) -> None:
    assert verdict(name, CLAIMS[name].function, TRUE) is Verdict.REPRODUCED
    nothing = replace(NOTHING, planted=0.4) if name == "G40-planted" else NOTHING
    assert verdict(name, CLAIMS[name].function, nothing) is not Verdict.REPRODUCED


@pytest.mark.parametrize("name", ["G40", "G40-planted", "G40-rho", "G42"])
def test_the_opposite_is_refuted(name: str) -> None:
    opposite = replace(OPPOSITE, planted=0.1) if name == "G40-planted" else OPPOSITE
    assert verdict(name, CLAIMS[name].function, opposite) is Verdict.REFUTED


def test_without_a_positive_control_there_is_no_refutation() -> None:
    for name, unable in (("G40", replace(OPPOSITE, planted=0.4)), ("G42", replace(OPPOSITE, planted_kept=0.9))):
        assert verdict(name, CLAIMS[name].function, unable) is Verdict.NOT_EVALUATED


@pytest.mark.parametrize("name", NAMES)
def test_no_control_satisfies_its_claim(name: str) -> None:
    for control in CLAIMS[name].controls:
        assert verdict(name, control.function, TRUE) is not Verdict.REPRODUCED, control.function.__name__


@pytest.mark.parametrize(
    ("name", "entropic"),
    [
        ("G40", replace(TRUE, others=0.7)),
        ("G40-planted", replace(TRUE, others=0.7)),
        ("G42", replace(TRUE, others_kept=0.99)),
        ("G40-null", replace(TRUE, shifted=0.2)),
        ("G40-frequency", replace(TRUE, shifted=0.2)),
    ],
)
def test_a_control_notices_what_it_is_there_for(name: str, entropic: Entropic) -> None:
    (control,) = CLAIMS[name].controls
    assert verdict(name, control.function, entropic) is Verdict.REPRODUCED


@pytest.mark.parametrize("name", NAMES)
def test_two_models_are_too_few(name: str) -> None:
    assert verdict(name, CLAIMS[name].function, TRUE, others=("b",)) is Verdict.NOT_EVALUATED
