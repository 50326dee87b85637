"""The claims about properties on studies for which the truth is known; every control on data that it must notice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.claims.declared import claims_of
from tests.claims.planted import ScoredModels
from universal_neurons.errors import NotOnSuite
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.declare import arguments_of
from universal_neurons.inputs.published import published
from universal_neurons.inputs.suite import Checkpoint
from universal_neurons.measures import properties
from universal_neurons.measures.properties import EIGHT, property_of
from universal_neurons.measures.published_neurons import STATISTICS

if TYPE_CHECKING:
    from universal_neurons.harness.declare import ClaimDeclaration

ROOT = Path(__file__).parents[2]
CLAIMS = claims_of("properties")
LAYERS, WIDTH = 8, 500
LAYER, NEURON = np.repeat(np.arange(LAYERS), WIDTH), np.tile(np.arange(WIDTH), LAYERS)
LAST, UNTRAINED = Checkpoint(400, 1.0, "100%"), Checkpoint(0, 0.0, "untrained")
PER_PROPERTY = [f"G{number}" for number in range(10, 18)]
CONTRASTS = [*PER_PROPERTY, "G62", "G62-output"]
POOLED = [f"{name}-pooled" for name in PER_PROPERTY]
COMPOSITE = ["G10-training", "G10-layers"]
OTHERS = ["G-weights", "G13-tail", "G18", "G60", "G60-layers", "G61"]
NAMES = [*CONTRASTS, *POOLED, *COMPOSITE, *OTHERS]


@dataclass(frozen=True)
class SyntheticStudy(ScoredModels):
    """Three models in which one in fifty neurons is universal and its properties are shifted by ``shift`` deviations.

    ``same``: the universal neurons of all models have the same numbers.  ``before``: the shift before training.
    ``gradient``: how kurtosis and skewness follow the excess of all neurons.  ``gaussian``: the kurtosis of universal
    neurons is a Gaussian's.  ``opposed``: how the cosine of weights follows the frequency, within layers and
    ``confounded``, between them.  ``late``: frequent neurons are in the last layers; ``crowded``: all layers but one
    are of the first quarter.  The published weight statistics of neurons are theirs, give or take ``error``;
    ``unfolded``: the weights as stored have the same; ``alike``: all neurons do.
    """

    shift: float = 1.5
    same: bool = False
    before: float = 0.0
    gradient: float = 1.0
    gaussian: bool = False
    opposed: float = 1.0
    confounded: float = 0.0
    late: bool = False
    crowded: bool = False
    error: float = 0.0
    unfolded: bool = False
    alike: bool = False
    untrained: Any = UNTRAINED

    def excess(self, model: str) -> Any:
        dice = np.random.default_rng(0 if self.same else ord(model))
        return np.where(dice.random(len(LAYER)) < 0.02, 0.8, dice.uniform(0, 0.3, len(LAYER)))

    def scores(self, model: str) -> pd.DataFrame:
        return pd.DataFrame({"layer": LAYER, "neuron": NEURON, "excess": self.excess(model)})

    def table(self, stage: str, *, model: str | None = None, checkpoint: Any = LAST) -> pd.DataFrame:
        assert stage == "properties"
        name = model or self.reference
        dice, excess = np.random.default_rng(ord(name) + 1000 + checkpoint.step), self.excess(name)
        universal, trained = excess > 0.5, checkpoint != UNTRAINED
        shift = (self.shift if trained else self.before) * universal
        noise = {name: dice.normal(size=len(LAYER)) for name in (*EIGHT, "twin_in", "twin_out", "frequency")}
        columns = {column: EIGHT.get(column, 1) * shift + values for column, values in noise.items()}
        rest, bump = self.gradient * 9 * np.where(universal, 0, excess), trained * (not self.gaussian) * universal
        columns["pre_kurtosis"] = 3 + 0.2 * (columns["pre_kurtosis"] + rest) + 2 * bump
        columns["pre_skewness"] = 0.2 * (columns["pre_skewness"] + rest) + bump
        columns["w_in_norm"] = np.sqrt(1000 + columns.pop("weight_norm"))
        columns["w_out_norm"] = np.ones(len(LAYER))
        columns["cos_in_out"] += self.confounded * LAYER
        follows = noise["frequency"] - self.opposed * noise["cos_in_out"] - self.confounded * LAYER
        frequent = (LAYER >= 6 if self.late else LAYER < 2) & (NEURON < 6)
        columns["frequency"] = np.where(frequent, 0.8, np.clip(0.2 + 0.05 * follows, 0, 0.45))
        layer = np.where(LAYER < 7, LAYER % 2, 7) if self.crowded else LAYER
        for number, column in enumerate(sorted({*STATISTICS} - {"weight_norm"})):
            folded = columns.setdefault(column, np.random.default_rng(number).normal(size=len(LAYER)))
            columns[column] = np.ones(len(LAYER)) if self.alike else folded
            columns[f"raw_{column}"] = columns[column] + (not self.unfolded)
        return pd.DataFrame({"layer": layer, "neuron": NEURON, **columns})

    def published_neurons(self, *, checkpoint: Any) -> dict[str, Any]:
        table = self.table("properties", checkpoint=checkpoint)
        statistics = {theirs: (1 + self.error) * property_of(table, ours) for ours, theirs in STATISTICS.items()}
        return {"layer": LAYER.astype(float), "neuron": NEURON.astype(float), **statistics}


TRUE = SyntheticStudy()
NOTHING = SyntheticStudy(shift=0.0, gradient=0.0, gaussian=True, opposed=0.0, late=True, error=0.01)


def verdict(claim: ClaimDeclaration, function: Any, study: SyntheticStudy) -> Verdict:
    values = {"study": study, "reference": "a", "checkpoint": LAST, "threshold": 0.5, "layer": 0}
    measured = function(**{name: values[name] for name in arguments_of(function)})
    return claim.claim.expect.judge(measured).verdict


def controls(name: str, part: str) -> Any:
    """The controls of a claim whose names contain ``part``."""
    return [one.function for one in CLAIMS[name].controls if part in one.function.__name__]


def test_the_claims_are_these_and_each_has_a_control_and_is_corrected() -> None:
    assert sorted(CLAIMS) == sorted(NAMES)
    for claim in CLAIMS.values():
        assert claim.controls
        assert (claim.claim.family, claim.claim.correction) == ("properties", "holm")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_planted_is_found_and_nothing_is_not(name: str) -> None:
    claim = CLAIMS[name]
    assert verdict(claim, claim.function, TRUE) is Verdict.REPRODUCED
    # Where nothing is planted there is still no gradient, and others are still Gaussian.
    kept = name in {"G13-tail", "G18"}
    assert (verdict(claim, claim.function, NOTHING) is Verdict.REPRODUCED) == kept


@pytest.mark.parametrize("name", [*PER_PROPERTY, *POOLED, "G62", "G62-output", "G10-layers", "G10-training"])
def test_the_opposite_is_refuted(name: str) -> None:
    claim, opposite = CLAIMS[name], replace(TRUE, shift=-2.0, gaussian=True, gradient=0.0)
    study = replace(opposite, shift=-20.0) if name[:3] in {"G12", "G13"} else opposite
    assert verdict(claim, claim.function, study) is Verdict.REFUTED


@pytest.mark.parametrize("name", NAMES)
def test_no_control_satisfies_its_claim(name: str) -> None:
    for control in CLAIMS[name].controls:
        assert verdict(CLAIMS[name], control.function, TRUE) is not Verdict.REPRODUCED, control.function.__name__


@pytest.mark.parametrize("name", PER_PROPERTY)
def test_every_reading_is_measured(name: str) -> None:
    for reading in CLAIMS[name].readings:
        assert verdict(CLAIMS[name], reading.function, TRUE) is not Verdict.NOT_EVALUATED


@pytest.mark.parametrize("name", [*CONTRASTS, *COMPOSITE])
def test_dealt_labels_notice_an_interval_that_is_too_narrow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = properties.median_of

    def certain(*arguments: Any, **options: Any) -> Any:
        found = honest(*arguments, **options)
        return replace(found, low=found.value, high=found.value)

    monkeypatch.setattr(properties, "median_of", certain)
    (dealt,) = controls(name, "dealt")
    assert verdict(CLAIMS[name], dealt, TRUE) is Verdict.REPRODUCED


@pytest.mark.parametrize("name", POOLED)
def test_dealt_labels_notice_a_jackknife_that_is_too_narrow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "jackknife", lambda value, *_, **__: (value, value))
    (dealt,) = controls(name, "dealt")
    assert verdict(CLAIMS[name], dealt, TRUE) is Verdict.REPRODUCED


def test_labels_dealt_out_are_of_the_reference_that_is_named() -> None:
    universal = [int((TRUE.excess(name) > 0.5).sum()) for name in "ab"]
    study: Any = TRUE
    assert [properties.dealt_contrast(study, "pre_mean", LAST, 0.5, name).n for name in "ab"] == universal
    assert universal[0] != universal[1]


@pytest.mark.parametrize("name", CONTRASTS)
def test_labels_of_other_models_notice_numbers_that_mean_something(name: str) -> None:
    (borrowed,) = controls(name, "labels_of_other_models")
    assert verdict(CLAIMS[name], borrowed, replace(TRUE, same=True)) is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("name", "part", "study"),
    [
        ("G13-tail", "follow_it", replace(TRUE, gradient=0.0, shift=0.0, gaussian=True)),
        ("G18", "universal_neurons_are_not", replace(TRUE, gaussian=True)),
        ("G60", "output_weights_of_others", replace(TRUE, confounded=1.0)),
        ("G61", "layers_dealt", replace(TRUE, crowded=True)),
        ("G-weights", "without_folding", replace(TRUE, unfolded=True)),
        ("G-weights", "next_neurons", replace(TRUE, alike=True)),
    ],
)
def test_the_other_controls_notice_what_they_are_there_for(name: str, part: str, study: SyntheticStudy) -> None:
    (control,) = controls(name, part)
    assert verdict(CLAIMS[name], control, TRUE) is not Verdict.REPRODUCED
    assert verdict(CLAIMS[name], control, study) is Verdict.REPRODUCED


def test_properties_that_were_there_before_training_do_not_come_with_it() -> None:
    claim = CLAIMS["G10-training"]
    assert verdict(claim, claim.function, replace(TRUE, before=1.5)) is not Verdict.REPRODUCED
    assert verdict(claim, claim.function, replace(TRUE, before=1.5, shift=0.0, gaussian=True)) is Verdict.REFUTED
    with pytest.raises(NotOnSuite, match="no untrained checkpoint"):
        verdict(claim, claim.function, replace(TRUE, untrained=None))


def test_a_correlation_between_layers_is_none_within() -> None:
    claim = CLAIMS["G60-layers"]
    assert verdict(claim, claim.function, replace(TRUE, confounded=0.3, opposed=0.0)) is Verdict.REFUTED


def test_every_published_number_of_a_criterion_is_there() -> None:
    for claim in CLAIMS.values():
        for criterion in claim.claim.on.values():
            for number in criterion.published:
                published(number.table, root=ROOT, **dict(number.where))
