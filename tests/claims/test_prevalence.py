"""The claims about prevalence and agreement on studies for which the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.claims.declared import claims_of
from tests.claims.planted import LAST
from tests.measures.labels import plain_table
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.declare import arguments_of
from universal_neurons.inputs.published import published
from universal_neurons.measures.duplicates import duplicated
from universal_neurons.measures.intervals import wilson
from universal_neurons.measures.tables import ReferenceTables, UniversalityTable

if TYPE_CHECKING:
    from universal_neurons.evidence.criteria import Criterion
    from universal_neurons.measurement import Measurement

ROOT = Path(__file__).parents[2]
CLAIMS = claims_of("prevalence")
LAYERS, WIDTH = 4, 500
LAYER, NEURON = np.repeat(np.arange(LAYERS), WIDTH), np.tile(np.arange(WIDTH), LAYERS)
SUITES = {
    "G1": "gurnee_small", "G2": "gurnee_medium", "G3": "pythia_160m", "G5-range": "gurnee_small",
    "G9b": "gurnee_medium",
}  # fmt: skip
# Their studies are in test_across_suites.py.
ACROSS = ["G7b", "G8"]
SHARES = {"G1": 0.0416, "G2": 0.0123, "G3": 0.0126}
NAMES = [
    "G1", "G1-ids", "G1-slope", "G2", "G3", "G4", "G5", "G5-range", "G6-mutual", "G7",
    "G9", "G9-half", "G9b", "G9b-share",
]  # fmt: skip


@dataclass(frozen=True)
class SyntheticStudy:
    """``share`` of the neurons is universal; scores vary over partners by ``noise``; others have ``excess``.

    ``mutual``: the share of best matches of universal neurons that lead back, beside 0.3 of the others.  ``nulls``:
    the share and the excess of the null models.  ``layered``: the excess rises with the layer.
    ``spread``: of the scores over neurons.  ``duplicated``: the shares of universal neurons and of others that
    have a near duplicate in their model.  ``responding``: the shares of near duplicates and of others that respond to
    the first token; with ``anywhere`` they respond to another one as well.  ``off``: the published neurons are as many
    others of each layer, and their excess has nothing to do with ours.
    """

    share: float = 0.03
    noise: float = 0.02
    excess: float = 0.15
    mutual: float = 0.9
    nulls: tuple[float, float] = (0.0, 0.0)
    layered: float = 0.0
    spread: float = 0.06
    duplicated: tuple[float, float] = (0.5, 0.05)
    responding: tuple[float, float] = (0.8, 0.01)
    anywhere: bool = False
    off: bool = False
    reference: str = "a"

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return tuple(name for name in "abcde" if name != (reference or self.reference))

    def reference_tables(self, *, checkpoint: Any, reference: str | None = None) -> ReferenceTables:
        name = reference or self.reference
        return ReferenceTables.of(
            [self.universality(partner=one, checkpoint=checkpoint, reference=name) for one in self.partners(name)]
        )

    def universality(self, *, partner: str, checkpoint: Any, reference: str | None = None) -> UniversalityTable:
        # The pair's matches are the same in both directions where they are mutual.
        name = reference or self.reference
        universal = self.share * WIDTH > NEURON
        paired = np.random.default_rng(sum(map(ord, name + partner))).random(len(LAYER))
        mutual = paired < np.where(universal, self.mutual, 0.3)
        best = np.where(mutual, np.arange(len(LAYER)), (np.arange(len(LAYER)) + 1 + (name < partner)) % len(LAYER))
        return self._table(name, partner, self.share, self.excess, best)

    def table(self, stage: str, *, model: str | None = None, checkpoint: Any = LAST) -> pd.DataFrame:
        if stage == "properties":
            return pd.DataFrame({"pre_mean": np.full(len(LAYER), -1.0), "pre_variance": np.full(len(LAYER), 4.0)})
        if stage == "positions":
            return self._positions(model or self.reference)
        assert stage == "duplicates"
        chances = np.random.default_rng(ord(model or self.reference)).random(len(LAYER))
        is_duplicated = chances < np.where(self.share * WIDTH > NEURON, *self.duplicated)
        return pd.DataFrame(
            {
                "layer": LAYER,
                "neuron": NEURON,
                "correlation": np.where(is_duplicated, 0.9, np.where(NEURON, 0.3, np.nan)),
            }
        )

    def _positions(self, model: str) -> pd.DataFrame:
        """Nine or eleven units above a mean of -1, where five standard deviations are ten."""
        is_near = self.table("duplicates", model=model)["correlation"].to_numpy() > 0.8
        chances = np.random.default_rng(ord(model) + 1).random(len(LAYER))
        at = np.where(chances < np.where(is_near, *self.responding), 10.0, 8.0)
        return pd.DataFrame({"first": at, "elsewhere": at if self.anywhere else np.full(len(LAYER), 8.0)})

    def published_neurons(self, *, checkpoint: Any) -> dict[str, Any]:
        tables = self.reference_tables(checkpoint=checkpoint)
        excess = np.mean([table.frame["excess"] for table in tables.tables.values()], axis=0)
        chosen = np.flatnonzero(np.roll(excess, 50 * self.off) > 0.5)
        scores = np.random.default_rng(3).permutation(excess[chosen]) if self.off else excess[chosen]
        return {"layer": LAYER[chosen].astype(float), "neuron": NEURON[chosen].astype(float), "excess_corr": scores}

    def null(self, *, partner: str, checkpoint: Any, kind: str, reference: str | None = None) -> UniversalityTable:
        return self._table(reference or self.reference, partner, *self.nulls, np.arange(len(LAYER)))

    def _table(self, name: str, partner: str, share: float, typical: float, best: Any) -> UniversalityTable:
        own, dice = np.random.default_rng(ord(name)), np.random.default_rng(sum(map(ord, name + partner)) + 1)
        spread = own.normal(0, self.spread, len(LAYER)) + self.noise * dice.normal(size=len(LAYER))
        excess = np.where(share * WIDTH > NEURON, 0.75, typical) + spread + self.layered * LAYER
        frame = pd.DataFrame(
            {
                "layer": LAYER,
                "neuron": NEURON,
                "partner_layer": best // WIDTH,
                "partner_neuron": best % WIDTH,
                "correlation": excess + 0.15,
                "baseline": np.full(len(LAYER), 0.15),
                **dict.fromkeys(("excess", "excess_half_a", "excess_half_b"), excess),
            }
        )
        return plain_table(frame, reference=name, partner=partner)


def measured(function: Any, study: SyntheticStudy) -> Measurement:
    values = {"study": study, "reference": "a", "checkpoint": LAST, "threshold": 0.5}
    found: Measurement = function(**{argument: values[argument] for argument in arguments_of(function)})
    return found


def verdict(name: str, function: Any, study: SyntheticStudy) -> Verdict:
    return criterion(name).judge(measured(function, study)).verdict


def criterion(name: str) -> Criterion:
    """The criterion on the suite that the claim is about, looked up."""
    claim = CLAIMS[name].claim
    chosen = claim.on[SUITES[name]] if name in SUITES else claim.expect
    return chosen.resolved(lambda number: published(number.table, root=ROOT, **dict(number.where)))


def truth(name: str) -> SyntheticStudy:
    """A study that does what the paper says."""
    return SyntheticStudy(share=SHARES.get(name, 0.03), noise=0.055 if name == "G5-range" else 0.02)


def controls(name: str) -> list[Any]:
    return [one.function for one in CLAIMS[name].controls]


def test_the_claims_are_these_and_each_has_a_control_and_is_corrected() -> None:
    assert sorted(CLAIMS) == sorted([*NAMES, *ACROSS])
    for claim in CLAIMS.values():
        assert claim.controls
        assert (claim.claim.family, claim.claim.correction) == ("prevalence", "holm")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_planted_is_found_and_no_control_satisfies_the_claim(name: str) -> None:
    assert verdict(name, CLAIMS[name].function, truth(name)) is Verdict.REPRODUCED
    for control in controls(name):
        assert verdict(name, control, truth(name)) is not Verdict.REPRODUCED, control.__name__


@pytest.mark.parametrize("name", SUITES)
def test_what_is_printed_about_other_models_is_not_judged_on_mini(name: str) -> None:
    claim = CLAIMS[name]
    judged = claim.claim.expect.judge(measured(claim.function, truth(name)))
    assert judged.verdict is Verdict.NOT_EVALUATED
    assert "printed" in judged.reason


@pytest.mark.parametrize(
    ("name", "study"),
    [
        ("G1", SyntheticStudy(share=0.08)),
        ("G1-ids", SyntheticStudy(off=True)),
        ("G1-slope", SyntheticStudy(off=True)),
        ("G2", SyntheticStudy(share=0.08)),
        ("G3", SyntheticStudy(share=0.08)),
        ("G4", SyntheticStudy(share=0.08)),
        ("G5", SyntheticStudy(share=0.0, noise=0.2)),
        ("G5-range", SyntheticStudy(noise=0.2)),
        ("G6-mutual", SyntheticStudy(mutual=0.1)),
        ("G7", SyntheticStudy(excess=0.0)),
        ("G9", SyntheticStudy(duplicated=(0.0, 0.5))),
        ("G9-half", SyntheticStudy(duplicated=(0.0, 0.5))),
        ("G9b", SyntheticStudy(responding=(0.1, 0.5))),
        ("G9b-share", SyntheticStudy(responding=(0.0, 0.5))),
    ],
)
def test_the_opposite_is_refuted(name: str, study: SyntheticStudy) -> None:
    assert verdict(name, CLAIMS[name].function, study) is Verdict.REFUTED


@pytest.mark.parametrize("name", ["G1", "G2", "G3", "G4", "G7"])
def test_nulls_that_share_what_models_share_are_noticed(name: str) -> None:
    study = replace(truth(name), nulls=(SHARES.get(name, 0.03), 0.15))
    for control in controls(name):
        assert verdict(name, control, study) is Verdict.REPRODUCED, control.__name__


def test_partners_that_agree_about_layers_alone_are_noticed() -> None:
    (shuffled,) = controls("G5")
    assert verdict("G5", shuffled, SyntheticStudy(layered=0.3)) is Verdict.REPRODUCED


def test_a_range_that_any_scores_have_is_noticed() -> None:
    (shuffled,) = controls("G5-range")
    # Scores whose spread over neurons is what the paper finds over partners.
    study = SyntheticStudy(share=0.0, noise=0.0, spread=0.055)
    assert verdict("G5-range", shuffled, study) is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("name", "study"),
    [
        # Whole layers are universal, and scores differ between layers alone.
        ("G1-ids", SyntheticStudy(share=1.0)),
        ("G1-slope", SyntheticStudy(share=1.0, layered=1.0, spread=0.0, noise=0.001)),
    ],
)
def test_published_neurons_that_their_layer_makes_universal_are_noticed(name: str, study: SyntheticStudy) -> None:
    (dealt,) = controls(name)
    assert verdict(name, dealt, study) is Verdict.REPRODUCED


def test_the_neurons_that_respond_to_the_first_token_are_counted_with_their_interval_and_beside_all() -> None:
    counted = measured(CLAIMS["G9b"].function, truth("G9b"))
    is_near = truth("G9b").table("duplicates")["correlation"] > 0.8
    responding = truth("G9b").table("positions")["first"] == 10
    assert counted.value == (is_near & responding).sum()
    assert counted.details == {"with_or_without": responding.sum(), "duplicates": is_near.sum()}
    assert (counted.low, counted.high) == pytest.approx(
        [len(LAYER) * end for end in wilson(int(counted.value), len(LAYER), level=0.95)]
    )


@pytest.mark.parametrize("name", ["G9b", "G9b-share"])
def test_neurons_that_respond_to_any_token_are_noticed(name: str) -> None:
    elsewhere, *_ = controls(name)
    assert verdict(name, elsewhere, replace(truth(name), anywhere=True)) is Verdict.REPRODUCED


def test_near_duplicates_are_of_the_reference_that_is_named() -> None:
    studies: Any = SyntheticStudy(), SyntheticStudy(reference="b")
    named, own = (duplicated(study, LAST, 0.5, "b", above=0.5).value for study in studies)
    np.testing.assert_array_equal(named, own)


@pytest.mark.parametrize("name", ["G9", "G9-half", "G9b-share"])
def test_dealt_labels_notice_an_interval_of_shares_that_is_too_narrow(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from universal_neurons.measures import families

    honest = families.share_difference

    def certain(models: Any) -> Any:
        found = honest(models)
        return replace(found, low=found.value, high=found.value)

    monkeypatch.setattr(families, "share_difference", certain)
    *_, dealt = controls(name)
    assert verdict(name, dealt, truth(name)) is Verdict.REPRODUCED


def test_dealt_labels_notice_an_interval_that_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    from universal_neurons.measures import agreement

    honest = agreement._normal
    monkeypatch.setattr(agreement, "_normal", lambda value, _, n, level: honest(value, 0.0, n, level))
    (dealt,) = controls("G6-mutual")
    assert verdict("G6-mutual", dealt, truth("G6-mutual")) is Verdict.REPRODUCED
