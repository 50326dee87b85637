"""The ablation claims on synthetic studies for which the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.claims.declared import claims_of, number_of_files
from tests.measures.ablations import Ablated, table_of
from universal_neurons.errors import UserError
from universal_neurons.evidence.criteria import NotJudged
from universal_neurons.evidence.judging import voided_by
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.declare import ClaimDeclaration, arguments_of, declaration_of
from universal_neurons.measures.ablation_table import ALL_LAYERS, AblationTable, SetKind
from universal_neurons.measures.study import untrained_ablation
from universal_neurons.stages.neuron_sets import NeuronSet, SetPlan

if TYPE_CHECKING:
    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.study import HasStep

ROOT = Path(__file__).parents[2]
CLAIMS = claims_of("ablation")
NAMES = ["N14", "N15", "N16", "N17", "N18", "N18-neuron", "N18-random", "N19", "N20", "V2", "V4"]
# The paper's literal sentence, which no study like it can satisfy, and a number that is reported only.
LITERAL, REPORTED = "N14-others", "V7"
# Over several reference models, of which the untrained ones are not ablated.
OVER_MODELS = ("N18", "N18-neuron", "N18-random")
LAYERS, BLOCKS = 3, 12
# What as many neurons of a random kind do: in all layers at once, in one layer.
RANDOM_EVERYWHERE, RANDOM_IN_A_LAYER = 0.05, 0.02
# How much literally all others do: the network is broken.
OTHERS = 6.0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of the synthetic study."""

    step: int
    share: float
    label: str


CHECKPOINTS = tuple(Checkpoint(step, share, f"{share:.0%}") for step, share in ((200, 0.5), (400, 1.0)))


@dataclass(frozen=True)
class Planted:
    """The KL of ablating universal neurons, everywhere and per layer, and how sensitive each layer is to any neuron.

    The loss increases by ``loss`` times the KL.  Literally all others do ``others``.  The first ``strong`` draws of
    every random kind do ``strength`` times what the others do.
    """

    everywhere: float = 1.5
    layers: tuple[float, ...] = (3.0, 0.6, 0.5)
    sensitivity: tuple[float, ...] = (1.0, 1.0, 1.0)
    loss: float = 0.6
    others: float = OTHERS
    strong: int = 0
    strength: float = 20.0

    def effect(self, one: NeuronSet) -> float:
        """The true KL of a set."""
        random = RANDOM_EVERYWHERE
        if one.layer != ALL_LAYERS:
            random = RANDOM_IN_A_LAYER * self.sensitivity[one.layer]
        match one.neurons:
            case SetKind.UNIVERSAL:
                return one.fraction * (self.everywhere if one.layer == ALL_LAYERS else self.layers[one.layer])
            case SetKind.OTHERS:
                return self.others
            case SetKind.TOP_NORM:
                return 2 * random
            case _:
                return random * (self.strength if one.draw < self.strong else 1.0)


LIKE_THE_PAPER = Planted()
LIKE_ANY = Planted(RANDOM_EVERYWHERE, (RANDOM_IN_A_LAYER,) * LAYERS)
LESS_THAN_ANY = Planted(RANDOM_EVERYWHERE / 2, (RANDOM_IN_A_LAYER / 2,) * LAYERS)


@dataclass
class SyntheticStudy:
    """Exactly the sets that the pipeline plans, with planted effects, in trained and in untrained models."""

    trained: Planted = LIKE_THE_PAPER
    before: Planted = LIKE_ANY
    untrained: Checkpoint | None = Checkpoint(0, 0.0, "untrained")
    reference: str = "a"
    checkpoints: tuple[Checkpoint, ...] = CHECKPOINTS
    tables: dict[tuple[int, str], AblationTable] = field(default_factory=dict)

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return tuple(model for model in "abc" if model != (reference or "a"))

    def ablation(self, *, checkpoint: HasStep, reference: str | None = None) -> AblationTable:
        model = reference or "a"
        if (checkpoint.step, model) not in self.tables:
            self.tables[checkpoint.step, model] = self._table(checkpoint.step, model)
        return self.tables[checkpoint.step, model]

    def _table(self, step: int, model: str) -> AblationTable:
        planted = self.trained if step else self.before
        generator = np.random.default_rng([step, ord(model)])
        common = generator.normal(0, 0.02, BLOCKS)
        sets = []
        for one in plan(step, model).sets():
            spread = 1 + 0.1 * generator.standard_normal() * one.neurons.is_random
            kl = planted.effect(one) * (spread + common + generator.normal(0, 0.01, BLOCKS))
            scope = 8 if one.layer != ALL_LAYERS else 8 * LAYERS
            size = 20 * scope if one.neurons is SetKind.OTHERS else scope
            sets.append(
                Ablated(
                    **{name: getattr(one, name) for name in one.__slots__},
                    kl=kl,
                    loss=planted.loss * kl,
                    size=size,
                    norm=size / 2,
                )
            )
        return table_of(sets, blocks=BLOCKS)


def plan(step: int, model: str) -> SetPlan:
    return SetPlan(
        role="last" if step == CHECKPOINTS[-1].step else "trained" if step else "untrained",
        partners=("b", "c") if model == "a" else (),
        thresholds=(0.4, 0.5, 0.6),
        threshold=0.5,
        layers=LAYERS,
        draws=20,
        dose=(0.5,),
        orders=2,
    )


@cache
def study_of(trained: Planted, before: Planted = LIKE_ANY) -> SyntheticStudy:
    return SyntheticStudy(trained, before)


def measured(
    function: Any, study: SyntheticStudy, *, layer: int = 1, stage: Checkpoint = CHECKPOINTS[0]
) -> Measurement:
    """One item: the first partner, the given checkpoint and layer, the threshold that the claim selects."""
    declared = declaration_of(function)
    assert declared is not None
    claim = declared if isinstance(declared, ClaimDeclaration) else declared.of
    threshold = claim.axes["threshold"][0]
    values = {"study": study, "partner": "b", "checkpoint": stage, "threshold": threshold, "layer": layer}
    found: Measurement = function(**{name: values[name] for name in arguments_of(function)})
    return found


def verdict(name: str, measurement: Measurement) -> Verdict:
    return CLAIMS[name].claim.expect.judge(measurement).verdict


def item_verdict(name: str, study: SyntheticStudy, **place: Any) -> Verdict:
    """The verdict of one item after its controls."""
    declared = CLAIMS[name]
    own = measured(declared.function, study, **place)
    controls = {one.function.__name__: measured(one.function, study, **place) for one in declared.controls}
    is_void = voided_by(declared.claim.expect, own, controls) is not None
    return Verdict.VACUOUS if is_void else verdict(name, own)


def test_every_claim_of_the_folder_has_one_file() -> None:
    assert sorted(CLAIMS) == sorted([*NAMES, LITERAL, REPORTED])
    assert number_of_files("ablation") == len(CLAIMS)
    assert all(len(CLAIMS[name].controls) == 2 for name in ("N14", "N15", "V4"))


def test_all_claims_are_corrected_together() -> None:
    judged = [CLAIMS[name].claim for name in (*NAMES, LITERAL)]
    assert {(claim.family, claim.correction) for claim in judged} == {("ablation", "holm")}
    assert isinstance(CLAIMS[REPORTED].claim.expect, NotJudged)


def test_all_others_do_more_than_the_universal_ones() -> None:
    assert item_verdict(LITERAL, study_of(LIKE_THE_PAPER)) is Verdict.REFUTED


@pytest.mark.parametrize("name", NAMES)
def test_a_study_that_does_what_the_paper_says_reproduces_the_claim(name: str) -> None:
    study = study_of(LIKE_THE_PAPER)
    for stage in CHECKPOINTS:
        assert item_verdict(name, study, stage=stage) is Verdict.REPRODUCED


@pytest.mark.parametrize("name", NAMES)
def test_a_study_in_which_universal_neurons_matter_less_than_any_refutes_the_claim(name: str) -> None:
    # The loss rises whatever is ablated: V2 is then vacuous, for what it says is true and means nothing.
    expected = Verdict.VACUOUS if name == "V2" else Verdict.REFUTED
    assert item_verdict(name, study_of(LESS_THAN_ANY)) is expected


@pytest.mark.parametrize("name", NAMES)
def test_a_study_in_which_universal_neurons_are_like_any_does_not_reproduce_the_claim(name: str) -> None:
    study = study_of(LIKE_ANY)
    for layer in range(LAYERS):
        assert item_verdict(name, study, layer=layer) is not Verdict.REPRODUCED


@pytest.mark.parametrize("planted", [LIKE_THE_PAPER, LIKE_ANY, LESS_THAN_ANY])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "V2"])
def test_the_controls_do_not_satisfy_the_criterion(name: str, planted: Planted) -> None:
    for control in CLAIMS[name].controls:
        for layer in range(LAYERS):
            found = measured(control.function, study_of(planted), layer=layer, stage=CHECKPOINTS[-1])
            assert verdict(name, found) is not Verdict.REPRODUCED, control.function.__name__


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("N16", *OVER_MODELS)])
def test_an_effect_that_was_there_before_training_is_seen_by_a_control(name: str) -> None:
    study = study_of(LIKE_THE_PAPER, LIKE_THE_PAPER)
    found = [verdict(name, measured(control.function, study)) for control in CLAIMS[name].controls]
    assert Verdict.REPRODUCED in found


TRAINED_BEFORE = (LIKE_THE_PAPER, LIKE_THE_PAPER)
TWO_SORTS = (Planted(strong=2), LIKE_ANY)
SENSITIVE_FIRST_LAYER = (Planted(sensitivity=(5.0, 1.0, 1.0)), LIKE_ANY)
# For each control of a judged claim a study, trained and before training, whose flaw it is there to see.
TRIPS: dict[str, tuple[Planted, Planted]] = {
    "test_all_others_change_more_than_as_many_of_them": (Planted(others=0.01), LIKE_ANY),
    "test_their_labels_do_not_matter_before_training": TRAINED_BEFORE,
    "test_random_neurons_in_their_place_do_not_matter": TWO_SORTS,
    "test_their_labels_do_not_lower_the_loss_before_training": TRAINED_BEFORE,
    "test_random_neurons_in_their_place_do_not_lower_the_loss": TWO_SORTS,
    "test_random_neurons_in_their_place_do_not_matter_at_other_thresholds": TWO_SORTS,
    "test_their_labels_do_not_matter_in_every_layer_before_training": TRAINED_BEFORE,
    "test_other_neurons_of_the_layer_do_not_matter": (Planted(strong=3), LIKE_ANY),
    "test_other_neurons_of_the_first_layer_do_not_exceed_themselves": (Planted(strong=3), LIKE_ANY),
    "test_the_first_layer_does_not_matter_most_with_others_in_their_place": SENSITIVE_FIRST_LAYER,
    "test_another_neuron_of_the_first_layer_does_not_matter_most": SENSITIVE_FIRST_LAYER,
    "test_others_are_not_negligible_before_training": (LIKE_ANY, Planted(layers=(1.0, 1.0, 1.0))),
    "test_others_are_not_negligible_beside_one_draw_of_them": (Planted(strong=2, strength=1e6), LIKE_ANY),
    "test_the_effect_is_not_large_before_training": TRAINED_BEFORE,
    "test_the_effect_of_others_in_their_place_is_not_large": TWO_SORTS,
    "test_no_impact_shows_in_the_loss_before_training": TRAINED_BEFORE,
    "test_as_many_others_have_no_such_impact": (LIKE_ANY, LIKE_ANY),
    "test_not_more_than_random_before_training": TRAINED_BEFORE,
    "test_others_in_their_place_are_not_more_than_random": TWO_SORTS,
}


@pytest.mark.parametrize("name", [*NAMES, LITERAL])
def test_every_control_trips_on_the_flaw_that_it_is_there_to_see(name: str) -> None:
    for control in CLAIMS[name].controls:
        study = study_of(*TRIPS[control.function.__name__])
        found = measured(control.function, study)
        assert verdict(name, found) is Verdict.REPRODUCED, (control.function.__name__, found)


@pytest.mark.parametrize("name", [*NAMES, LITERAL, REPORTED])
def test_every_reading_asks_for_sets_that_the_pipeline_computes(name: str) -> None:
    study = study_of(LIKE_THE_PAPER)
    for reading in CLAIMS[name].readings:
        for layer in range(LAYERS):
            for stage in CHECKPOINTS:
                assert not measured(reading.function, study, layer=layer, stage=stage).is_missing


@pytest.mark.parametrize("name", ["N17", "N19"])
def test_read_as_literally_all_others_the_claim_is_refuted_where_most_of_the_network_matters_more(name: str) -> None:
    (literal,) = [one for one in CLAIMS[name].readings if one.ambiguity == "A4" and one.says.startswith("(i) ")]
    assert verdict(name, measured(literal.function, study_of(LIKE_THE_PAPER))) is Verdict.REFUTED


def test_other_readings_agree_where_all_of_them_are_planted_alike() -> None:
    for name in NAMES:
        for reading in CLAIMS[name].readings:
            literal = reading.ambiguity == "A4" and reading.says.startswith("(i) ")
            expected = Verdict.REFUTED if literal else Verdict.REPRODUCED
            found = verdict(name, measured(reading.function, study_of(LIKE_THE_PAPER), layer=0))
            assert found is expected, reading.function.__name__


def test_one_model_without_the_effect_is_enough_against_every_model() -> None:
    study = SyntheticStudy()
    study.tables[CHECKPOINTS[0].step, "c"] = SyntheticStudy(LESS_THAN_ANY).ablation(
        checkpoint=CHECKPOINTS[0], reference="c"
    )
    for name in ("N14", "N15", "V4"):
        (every,) = [one for one in CLAIMS[name].readings if one.ambiguity == "A3"]
        assert verdict(name, measured(every.function, study)) is Verdict.REFUTED


def test_a_suite_without_untrained_models_has_no_untrained_control() -> None:
    with pytest.raises(UserError, match="no untrained checkpoint"):
        untrained_ablation(SyntheticStudy(untrained=None))  # type: ignore[arg-type]
