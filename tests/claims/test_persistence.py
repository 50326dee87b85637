"""The persistence claims on synthetic studies for which the truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from tests.claims.declared import claims_of, number_of_files
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.axes import Interval
from universal_neurons.harness.declare import arguments_of
from universal_neurons.inputs.published import published
from universal_neurons.inputs.suite import Checkpoint
from universal_neurons.measures.tables import ReferenceTables, Resampling, UniversalityTable

if TYPE_CHECKING:
    from universal_neurons.evidence.criteria import Published
    from universal_neurons.harness.declare import ClaimDeclaration, Measuring
    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.study import HasStep, NullKind

ROOT = Path(__file__).parents[2]
CLAIMS = claims_of("persistence")
LAYERS, WIDTH, SHARE, BLOCKS = 4, 3000, 0.1, 10
NAMES = ["N10", "N11", "N12", "N22", "N24", "N7", "N8", "N9", "V3", "V6"]


CHECKPOINTS = tuple(
    Checkpoint(step, share, f"{share:.0%}") for step, share in ((100, 0.25), (200, 0.5), (300, 0.75), (400, 1.0))
)


@dataclass(frozen=True)
class Training:
    """Rates at which universal neurons stay, per interval between neighbours and layer, and if lost ones come back."""

    stays: tuple[tuple[float, ...], ...]
    drifts: bool = True


# What the paper says: over 80 %, a dip in the middle, the last layer best, later intervals better, drift that adds up.
AS_PUBLISHED = Training(((0.93, 0.78, 0.95, 0.985), (0.97, 0.88, 0.98, 0.992), (0.97, 0.88, 0.98, 0.992)))
# The opposite: most are lost, the middle best, the last layer worst, later intervals worse.
OPPOSITE = Training(((0.5, 0.6, 0.55, 0.45), (0.3, 0.45, 0.35, 0.2), (0.3, 0.45, 0.35, 0.2)))
# A core is always universal; others flicker around the threshold, so that nothing adds up over a longer span.
FLICKERING = Training(((0.7,) * LAYERS,) * 3, drifts=False)


class SyntheticStudy:
    """Planted universal neurons, the same share at every checkpoint: those that are lost are replaced by others.

    Partners agree on nine of ten neurons.  Untrained models have no universal neuron.
    """

    reference = "a"

    def __init__(self, training: Training) -> None:
        self.training = training
        self.checkpoints = CHECKPOINTS

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return tuple(name for name in "abcde" if name != (reference or "a"))

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        index = [stage.step for stage in CHECKPOINTS].index(checkpoint.step)
        name = reference or "a"
        states = self._states(name)[index]
        excess = np.where(states & self._agrees(name, partner), 0.75, 0.25)
        return self._table(name, partner, checkpoint.step, excess, np.flatnonzero(states))

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        return ReferenceTables.of(
            [
                self.universality(partner=partner, checkpoint=checkpoint, reference=reference)
                for partner in self.partners(reference)
            ]
        )

    def null(
        self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
    ) -> UniversalityTable:
        excess = np.random.default_rng(0).normal(0, 0.03, LAYERS * WIDTH)
        return self._table(reference or "a", partner, 0, excess, np.empty(0, dtype=np.int64))

    def _states(self, reference: str) -> list[npt.NDArray[np.bool_]]:
        generator = np.random.default_rng(ord(reference))
        layer = np.repeat(np.arange(LAYERS), WIDTH)
        states = [np.tile(np.arange(WIDTH), LAYERS) < SHARE * WIDTH]
        for stays in self.training.stays:
            before = states[-1] if self.training.drifts else states[0]
            after = before & (generator.random(layer.size) < np.array(stays)[layer])
            states.append(after | (generator.permuted(_recruits(before & ~after)) & ~before))
        return states

    def _agrees(self, reference: str, partner: str) -> npt.NDArray[np.bool_]:
        seed = sum(map(ord, sorted(reference + partner)))
        return np.asarray(np.random.default_rng(seed).random(LAYERS * WIDTH) < 0.9)

    def _table(
        self, reference: str, partner: str, step: int, excess: Any, candidates: npt.NDArray[np.int64]
    ) -> UniversalityTable:
        frame = pd.DataFrame(
            {
                "layer": np.repeat(np.arange(LAYERS), WIDTH),
                "neuron": np.tile(np.arange(WIDTH), LAYERS),
                "partner_layer": np.repeat(np.arange(LAYERS), WIDTH),
                "partner_neuron": np.tile(np.arange(WIDTH), LAYERS),
                "correlation": excess + 0.2,
                **dict.fromkeys(("excess", "excess_half_a", "excess_half_b"), excess),
            }
        )
        influence = np.random.default_rng(step).normal(0, 1e-3, (BLOCKS, candidates.size))
        draws = np.full((3, candidates.size), 0.2)
        return UniversalityTable(reference, partner, step, frame, candidates, influence, draws, Resampling(60, 0.95, 1))


class Unchanging(SyntheticStudy):
    """Untrained models in which what trained ones share is there already: a control must be able to notice."""

    def null(
        self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
    ) -> UniversalityTable:
        return self.universality(partner=partner, checkpoint=CHECKPOINTS[0], reference=reference)


def _recruits(lost: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """As many flags as neurons were lost."""
    return np.asarray(np.arange(lost.size) < np.count_nonzero(lost))


def measured(function: Measuring, study: SyntheticStudy) -> Measurement:
    """One item: the first partner, interval, checkpoint."""
    values = {
        "study": study,
        "partner": "b",
        "checkpoint": CHECKPOINTS[0],
        "interval": Interval(CHECKPOINTS[0], CHECKPOINTS[1]),
        "threshold": 0.5,
    }
    return function(**{name: values[name] for name in arguments_of(function)})


def verdict(claim: ClaimDeclaration, function: Measuring, study: SyntheticStudy) -> Verdict:
    return claim.claim.expect.resolved(lookup).judge(measured(function, study)).verdict


def lookup(number: Published) -> float:
    return published(number.table, root=ROOT, **dict(number.where))


def test_every_claim_of_the_folder_has_one_file_and_a_control() -> None:
    assert sorted(CLAIMS) == NAMES
    assert number_of_files("persistence") == len(NAMES)
    assert all(claim.controls for claim in CLAIMS.values())


def test_every_claim_with_a_sample_is_corrected_within_its_family() -> None:
    declared = {name: claim.claim for name, claim in CLAIMS.items()}
    assert {claim.family for claim in declared.values()} == {"persistence"}
    assert {name for name, claim in declared.items() if claim.correction != "holm"} == {"N24"}
    assert {name for name, claim in declared.items() if claim.kind == "method"} == {"N24"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "N22"])
def test_a_study_that_does_what_the_paper_says_reproduces_the_claim(name: str) -> None:
    claim = CLAIMS[name]
    assert verdict(claim, claim.function, SyntheticStudy(AS_PUBLISHED)) is Verdict.REPRODUCED


def test_a_u_shape_leaves_the_trend_over_depth_open_and_a_rise_reproduces_it() -> None:
    claim = CLAIMS["N22"]
    rising = Training(((0.6, 0.75, 0.87, 0.97),) * 3)
    assert verdict(claim, claim.function, SyntheticStudy(rising)) is Verdict.REPRODUCED
    assert verdict(claim, claim.function, SyntheticStudy(rising)) is not verdict(
        CLAIMS["N12"], CLAIMS["N12"].function, SyntheticStudy(rising)
    )


@pytest.mark.parametrize("name", ["N7", "N8", "N9", "N11", "N12", "N22", "V3", "V6"])
def test_a_study_that_does_the_opposite_refutes_the_claim(name: str) -> None:
    claim = CLAIMS[name]
    assert verdict(claim, claim.function, SyntheticStudy(OPPOSITE)) is Verdict.REFUTED


def test_neurons_that_flicker_around_the_threshold_do_not_drift() -> None:
    claim = CLAIMS["N10"]
    assert verdict(claim, claim.function, SyntheticStudy(FLICKERING)) is Verdict.REFUTED


@pytest.mark.parametrize("training", [AS_PUBLISHED, OPPOSITE, FLICKERING], ids=["published", "opposite", "flickering"])
@pytest.mark.parametrize("name", NAMES)
def test_the_controls_do_not_satisfy_the_criterion(name: str, training: Training) -> None:
    claim, study = CLAIMS[name], SyntheticStudy(training)
    for control in claim.controls:
        assert verdict(claim, control.function, study) is not Verdict.REPRODUCED, control.function.__name__


@pytest.mark.parametrize(
    ("name", "control"),
    [
        ("N7", "test_untrained_models_have_nothing_that_persists"),
        ("N8", "test_the_deepest_layers_of_untrained_models_have_nothing_that_persists"),
        ("V6", "test_universal_neurons_are_not_there_before_training"),
    ],
)
def test_a_control_that_satisfies_its_claim_is_seen(name: str, control: str) -> None:
    claim = CLAIMS[name]
    (function,) = (one.function for one in claim.controls if one.function.__name__ == control)
    assert verdict(claim, function, Unchanging(AS_PUBLISHED)) is Verdict.REPRODUCED


def test_labels_dealt_anew_persist_at_the_base_rate() -> None:
    (function,) = (
        one.function
        for one in CLAIMS["N7"].controls
        if one.function.__name__ == "test_labels_dealt_anew_persist_at_chance"
    )
    found = measured(function, SyntheticStudy(AS_PUBLISHED))
    assert found.low <= SHARE * 0.9 <= found.high


@pytest.mark.parametrize("name", [name for name in NAMES if name != "N24"])
def test_every_reading_can_be_measured_and_judged(name: str) -> None:
    claim, study = CLAIMS[name], SyntheticStudy(AS_PUBLISHED)
    assert claim.readings
    for read in claim.readings:
        assert not measured(read.function, study).is_missing, read.function.__name__
        assert verdict(claim, read.function, study) is not Verdict.REFUTED, read.function.__name__
