"""The claims about attention heads on studies for which the truth is known; every control on what it must notice."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.claims.declared import claims_of
from tests.claims.planted import LAST, PlantedStudy
from tests.measures.attended import Attended
from universal_neurons.errors import NotOnSuite
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measures.attention import lone_losses

CLAIMS = claims_of("attention")
FINDINGS = ["G50", "G51", "G51-relative", "G52", "G52-cause", "G52-loss", "G53"]
NAMES = [*FINDINGS, "G52-planted"]
TRUE = Attended()
NOTHING = Attended(ratio=1.0, tails=-0.1, strength=0.0, planted=0.0, cause=0.0, worth=0.0)
OPPOSITE = Attended(ratio=0.5, tails=-0.5, strength=-0.8, planted=-0.7, cause=-0.95, worth=-2.0)


def verdict(name: str, function: Any, attended: Attended, **options: Any) -> Verdict:
    measured = function(study=PlantedStudy("heads", attended, **options), checkpoint=LAST)
    return CLAIMS[name].claim.expect.judge(measured).verdict


def test_the_claims_are_these_and_each_has_a_control() -> None:
    assert sorted(CLAIMS) == sorted(NAMES)
    for name, claim in CLAIMS.items():
        assert claim.controls
        assert claim.claim.kind == ("finding" if name in FINDINGS else "method")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_planted_is_found_and_nothing_is_not(name: str) -> None:
    assert verdict(name, CLAIMS[name].function, TRUE) is Verdict.REPRODUCED
    assert verdict(name, CLAIMS[name].function, NOTHING) is not Verdict.REPRODUCED


@pytest.mark.parametrize("name", NAMES)
def test_the_opposite_is_refuted(name: str) -> None:
    assert verdict(name, CLAIMS[name].function, OPPOSITE) is Verdict.REFUTED


@pytest.mark.parametrize("name", NAMES)
def test_no_control_satisfies_its_claim(name: str) -> None:
    for control in CLAIMS[name].controls:
        assert verdict(name, control.function, TRUE) is not Verdict.REPRODUCED, control.function.__name__


@pytest.mark.parametrize(
    ("name", "attended"),
    [
        ("G50", replace(TRUE, middle=3.0)),
        ("G51", replace(TRUE, random=2.0)),
        ("G51-relative", replace(TRUE, random=2.0)),
        ("G52", replace(TRUE, matched=0.7)),
        ("G53", replace(TRUE, matched=0.7)),
        ("G52-loss", replace(TRUE, matched_worth=2.0)),
    ],
)
def test_a_control_notices_what_it_is_there_for(name: str, attended: Attended) -> None:
    (control,) = CLAIMS[name].controls
    assert verdict(name, control.function, attended) is Verdict.REPRODUCED


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"G50", "G51"}])
def test_without_a_sink_head_or_with_two_models_there_is_nothing_to_judge(name: str) -> None:
    assert verdict(name, CLAIMS[name].function, replace(TRUE, sinks=0)) is Verdict.NOT_EVALUATED
    assert verdict(name, CLAIMS[name].function, TRUE, others=("b",)) is Verdict.NOT_EVALUATED


def test_profiles_without_ablations_say_nothing_of_losses() -> None:
    study: Any = SimpleNamespace(
        reference="a", partners=tuple, profiles=lambda **_: SimpleNamespace(loss_increase=np.zeros((4, 0)))
    )
    with pytest.raises(NotOnSuite, match="ablation of every neuron alone"):
        lone_losses(study)
