"""The claims about prediction neurons on studies for which the truth is known; every control on what it must notice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.claims.declared import claims_of
from tests.claims.planted import LAST, ScoredModels
from tests.measures.written import LAYER, NEURON, Written
from universal_neurons.errors import NotOnSuite
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.declare import arguments_of
from universal_neurons.measurement import independent_difference
from universal_neurons.measures import ensembles, predictions

if TYPE_CHECKING:
    from universal_neurons.measures.predictions import PredictionTables

CLAIMS = claims_of("predictions")
FINDINGS = ["G30a", "G30a-common", "G30a-published", "G30b", "G32", "G33", "G33-prediction", "G34"]
METHODS = ["G30-planted", "G33-planted"]
NAMES = [*FINDINGS, *METHODS]
# G31 is measured as G30a-published is, and judged where the unembedding is not the embedding; G35 is of GPT-2 Medium.
PUBLISHED_ONLY = ["G31", "G35"]


@dataclass(frozen=True)
class SyntheticStudy(ScoredModels):
    """Three models in which one in fifty neurons is universal, and whose neurons write as ``written`` says."""

    written: Written = field(default_factory=Written)

    def excess(self, model: str) -> Any:
        dice = np.random.default_rng(ord(model) + 1)
        return np.where(dice.random(len(LAYER)) < 0.02, 0.8, 0.1)

    def scores(self, model: str) -> pd.DataFrame:
        return pd.DataFrame({"layer": LAYER, "neuron": NEURON, "excess": self.excess(model)})

    def profiles(self, *, model: str) -> Any:
        tokens = self.written.tokens(model)
        return SimpleNamespace(promoted_token=tokens, suppressed_token=tokens)

    def table(self, stage: str, *, model: str | None = None, checkpoint: Any = LAST) -> PredictionTables | pd.DataFrame:
        name = model or self.reference
        if stage == "duplicates":
            return self.written.duplicates()
        assert stage == "predictions"
        return self.written.tables(name, self.excess(name) > 0.5)


TRUE = Written(matched=0.49)
# Nothing rises, nothing suppresses, universal neurons are as others, tokens do not matter, nothing is found.
NOTHING = Written(rise=0.0, suppression=0.2, universal=0.02, auc=0.5, found=0.5, alike=0.0)
OPPOSITE = Written(rise=-0.002, suppression=0.0, universal=0.0, auc=0.4, found=0.1)


class Opposed(Written):
    """Of a pair only one writes as the others of the layer do."""

    def tokens(self, model: str) -> Any:
        found = super().tokens(model)
        found[::2], found[1::2] = np.arange(10), np.arange(10, 20)
        return found


def verdict(name: str, function: Any, written: Written) -> Verdict:
    values = {"study": SyntheticStudy(written), "reference": "a", "checkpoint": LAST, "threshold": 0.5}
    measured = function(**{argument: values[argument] for argument in arguments_of(function)})
    return CLAIMS[name].claim.expect.judge(measured).verdict


def test_the_claims_are_these_and_each_has_a_control() -> None:
    assert sorted(CLAIMS) == sorted([*NAMES, *PUBLISHED_ONLY])
    for name, claim in CLAIMS.items():
        assert claim.controls
        assert claim.claim.kind == ("method" if name in METHODS else "finding")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_planted_is_found_and_nothing_is_not(name: str) -> None:
    function = CLAIMS[name].function
    assert verdict(name, function, TRUE) is Verdict.REPRODUCED
    assert verdict(name, function, NOTHING) is not Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("name", "opposite"),
    [
        ("G30a", Written(base=0.9, rise=-0.1)),
        ("G30a-common", Written(base=0.9, rise=-0.1)),
        ("G30a-published", Written(base=0.9, rise=-0.1)),
        ("G30b", Written(suppression=0.0)),
        ("G32", Written(universal=0.0)),
        ("G33", Written(auc=0.4)),
        ("G33-prediction", Written(auc=0.4)),
        ("G33-planted", Written(auc=0.4)),
        ("G30-planted", Written(found=0.1)),
        ("G34", Opposed()),
    ],
)
def test_the_opposite_is_refuted(name: str, opposite: Written) -> None:
    assert verdict(name, CLAIMS[name].function, opposite) is Verdict.REFUTED


@pytest.mark.parametrize("name", NAMES)
def test_no_control_satisfies_its_claim(name: str) -> None:
    for control in CLAIMS[name].controls:
        assert verdict(name, control.function, TRUE) is not Verdict.REPRODUCED, control.function.__name__


@pytest.mark.parametrize(
    ("name", "part", "written"),
    [
        ("G30a", "permuted", replace(TRUE, permuted_rise=0.08)),
        ("G30a-common", "permuted", replace(TRUE, permuted_rise=0.08)),
        ("G30a-published", "permuted", replace(TRUE, permuted_rise=0.08)),
        ("G33", "frequency", replace(TRUE, matched=0.6)),
        ("G33-prediction", "other_tokens", replace(TRUE, matched=0.6)),
        ("G33-planted", "other_tokens", replace(TRUE, matched=0.6)),
    ],
)
def test_a_control_notices_what_it_is_there_for(name: str, part: str, written: Written) -> None:
    (control,) = (one.function for one in CLAIMS[name].controls if part in one.function.__name__)
    assert verdict(name, control, written) is Verdict.REPRODUCED


def test_dealt_labels_notice_an_interval_that_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = independent_difference

    def certain(*arguments: Any) -> Any:
        found = honest(*arguments)
        return replace(found, low=found.value, high=found.value)

    monkeypatch.setattr(predictions, "independent_difference", certain)
    (dealt,) = CLAIMS["G32"].controls
    assert verdict("G32", dealt.function, TRUE) is Verdict.REPRODUCED


def test_pairs_that_are_not_dealt_satisfy_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensembles.WritingPairs, "dealt", lambda pairs, _: pairs.pairs)
    (dealt,) = CLAIMS["G34"].controls
    assert verdict("G34", dealt.function, TRUE) is Verdict.REPRODUCED


def test_what_all_neurons_of_a_layer_write_does_not_count() -> None:
    written = replace(TRUE, alike=0.0, common=0.8)
    assert verdict("G34", CLAIMS["G34"].function, written) is not Verdict.REPRODUCED


def test_named_neurons_are_those_of_a_model_with_as_many_layers() -> None:
    with pytest.raises(NotOnSuite, match="neuron 1169 in layer 19"):
        verdict("G35", CLAIMS["G35"].function, TRUE)


def named_study(*, everyone: bool) -> Any:
    """A model of GPT-2 Medium's size whose named neurons have their roles, or all neurons of their layers."""
    layer, neuron = np.repeat(np.arange(24), 4096), np.tile(np.arange(4096), 24)
    frame = pd.DataFrame({"layer": layer, "neuron": neuron, "auc": 0.5, "matched_auc": 0.5})
    frame = frame.assign(kurtosis=3.0, skewness=1.0, variance=0.0)
    for at, number, role in CLAIMS["G35"].function.__globals__["NAMED"]:
        rows = (layer == at) & (everyone | (neuron == number))
        frame.loc[rows, "kurtosis"] = 3.0 if role == "partition" else 12.0
        frame.loc[rows, "skewness"] = -1.0 if role == "suppression" else 1.0
        frame.loc[rows, "variance"] = 0.5
    drawn = pd.DataFrame({"kurtosis": np.full(9, 3.0), "variance": 0.1})
    tables = predictions.PredictionTables(frame, drawn, frame.head(), 0.95)
    return SimpleNamespace(reference="a", table=lambda *_, **__: tables)


@pytest.mark.parametrize("everyone", [False, True])
def test_named_neurons_have_their_roles_and_others_of_their_layers_only_if_all_do(everyone: bool) -> None:
    claim, study = CLAIMS["G35"], named_study(everyone=everyone)
    criterion = claim.claim.criterion_for("gurnee_medium")
    (control,) = claim.controls
    own, others = (
        criterion.judge(function(study=study, checkpoint=LAST)).verdict
        for function in (claim.function, control.function)
    )
    assert own is Verdict.REPRODUCED
    assert (others is Verdict.REPRODUCED) is everyone


def test_signs_that_are_not_dealt_satisfy_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    class Undealt:
        def permutation(self, values: Any) -> Any:
            return values

    study = SyntheticStudy(TRUE)
    models = predictions.every_model(study, LAST)  # type: ignore[arg-type]
    monkeypatch.setattr(np.random, "default_rng", lambda _: Undealt())
    found = predictions.suppression_shift(models, seed=0)
    assert CLAIMS["G30b"].claim.expect.judge(found).verdict is Verdict.REPRODUCED


def test_models_of_few_layers_have_no_quarters() -> None:
    for name in ("G30a", "G33"):
        with pytest.raises(NotOnSuite, match="at least 4 layers"):
            verdict(name, CLAIMS[name].function, replace(TRUE, layers=3))


def test_a_single_layer_has_none_before_it() -> None:
    with pytest.raises(NotOnSuite, match="layer before the last"):
        verdict("G30b", CLAIMS["G30b"].function, replace(TRUE, layers=1))
