"""The emergence claims on synthetic studies for which the truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.claims.declared import claims_of, number_of_files
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.axes import Interval
from universal_neurons.harness.declare import arguments_of
from universal_neurons.inputs.published import published
from universal_neurons.inputs.suite import Checkpoint
from universal_neurons.measures.study import paper_checkpoints
from universal_neurons.measures.tables import ReferenceTables, Resampling, UniversalityTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.evidence.criteria import Published
    from universal_neurons.harness.declare import ClaimDeclaration
    from universal_neurons.measures.study import HasStep, NullKind

ROOT = Path(__file__).parents[2]
CLAIMS = claims_of("emergence")
LAYERS, WIDTH, BLOCKS = 4, 500, 40
GROWING = {100: (0.02, 0.02, 0.02, 0.03), 200: (0.03, 0.03, 0.06, 0.08), 300: (0.03, 0.035, 0.065, 0.085)}
CONSTANT = dict.fromkeys(GROWING, (0.03, 0.03, 0.03, 0.03))


CHECKPOINTS = tuple(
    Checkpoint(step, share, f"{share:.0%}") for step, share in ((100, 0.25), (200, 0.5), (300, 0.75), (400, 1.0))
)


class SyntheticStudy:
    """Planted universal neurons: per step and layer a share of the neurons scores far above every threshold.

    Partners agree on most of them; the best partner of a neuron lies in its own layer.  Nulls have low scores and
    partners anywhere.
    """

    def __init__(self, shares: Mapping[int, tuple[float, ...]]) -> None:
        self.shares = {**shares, 400: shares[300]}
        self.checkpoints = CHECKPOINTS

    reference = "a"

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return tuple(name for name in "abcde" if name != (reference or "a"))

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        rank = np.tile(np.arange(WIDTH) / WIDTH, LAYERS)
        layer = np.repeat(np.arange(LAYERS), WIDTH)
        universal = rank < np.array(self.shares[checkpoint.step])[layer]
        return self._table(reference, partner, checkpoint.step, np.where(universal, 0.75, 0.1), layer)

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        return ReferenceTables.of(
            [self.universality(partner=partner, checkpoint=checkpoint) for partner in self.partners()]
        )

    def null(
        self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
    ) -> UniversalityTable:
        generator = np.random.default_rng(checkpoint.step)
        anywhere = generator.integers(0, LAYERS, LAYERS * WIDTH)
        return self._table(reference, partner, checkpoint.step, generator.normal(0, 0.03, LAYERS * WIDTH), anywhere)

    def _table(
        self, reference: str | None, partner: str, step: int, excess: Any, partner_layer: Any
    ) -> UniversalityTable:
        frame = pd.DataFrame(
            {
                "layer": np.repeat(np.arange(LAYERS), WIDTH),
                "neuron": np.tile(np.arange(WIDTH), LAYERS),
                "partner_layer": partner_layer,
                "correlation": excess + 0.2,
                **dict.fromkeys(("excess", "excess_half_a", "excess_half_b"), excess),
            }
        )
        candidates = np.flatnonzero(excess > 0.2)
        generator = np.random.default_rng(step)
        influence = generator.normal(0, 1e-3, (BLOCKS, candidates.size))
        draws = np.full((3, candidates.size), 0.2)
        resampling = Resampling(300, 0.95, 1)
        return UniversalityTable(reference or "a", partner, step, frame, candidates, influence, draws, resampling)


def arguments(claim: ClaimDeclaration, study: SyntheticStudy) -> dict[str, Any]:
    """One item: the first partner and interval, the checkpoint that the claim selects."""
    last = claim.axes.get("checkpoint") == "last"
    values = {
        "study": study,
        "partner": "b",
        "checkpoint": CHECKPOINTS[-1 if last else 0],
        "interval": Interval(CHECKPOINTS[0], CHECKPOINTS[1]),
        "threshold": 0.5,
    }
    return {name: values[name] for name in arguments_of(claim.function)}


def verdict(claim: ClaimDeclaration, measurement: Any) -> Verdict:
    criterion = claim.claim.expect.resolved(lookup)
    return criterion.judge(measurement).verdict


def lookup(number: Published) -> float:
    """The published number; of table 1 the cell that the synthetic item stands for."""
    labels = dict(number.where)
    if labels.get("threshold") == "threshold":
        labels = {"threshold": 0.5, "step": 100000}
    return published(number.table, root=ROOT, **labels)


def test_every_claim_of_the_folder_has_one_file_and_a_control() -> None:
    assert sorted(CLAIMS) == ["G6", "N1", "N2", "N3", "N4", "N5", "N6", "V5"]
    assert number_of_files("emergence") == len(CLAIMS)
    assert all(claim.controls for claim in CLAIMS.values())


@pytest.mark.parametrize("name", ["N1", "N2", "N4", "N5", "N6", "G6"])
def test_a_study_that_does_what_the_paper_says_reproduces_the_claim(name: str) -> None:
    claim, study = CLAIMS[name], SyntheticStudy(GROWING)
    assert verdict(claim, claim.function(**arguments(claim, study))) is Verdict.REPRODUCED


@pytest.mark.parametrize("name", ["N1", "N2", "N3", "N4", "N5", "N6", "V5", "G6"])
def test_the_controls_do_not_satisfy_the_criterion(name: str) -> None:
    claim, study = CLAIMS[name], SyntheticStudy(GROWING)
    for control in claim.controls:
        named = arguments(claim, study)
        given = {argument: named[argument] for argument in arguments_of(control.function)}
        assert verdict(claim, control.function(**given)) is not Verdict.REPRODUCED


@pytest.mark.parametrize("name", ["N2", "N4", "N5", "N6"])
def test_a_study_in_which_nothing_grows_does_not_reproduce_growth(name: str) -> None:
    claim, study = CLAIMS[name], SyntheticStudy(CONSTANT)
    assert verdict(claim, claim.function(**arguments(claim, study))) is not Verdict.REPRODUCED


def test_a_control_that_satisfies_its_claim_is_seen() -> None:
    # Untrained models that share what trained ones share: the controls of N1 and V5 must be able to notice.
    class Unchanging(SyntheticStudy):
        def null(
            self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
        ) -> UniversalityTable:
            return self.universality(partner=partner, checkpoint=checkpoint)

    study = Unchanging(CONSTANT)
    for name in ("N1", "V5"):
        claim = CLAIMS[name]
        control = claim.controls[0].function
        assert verdict(claim, control(**arguments(claim, study))) is Verdict.REPRODUCED


def test_most_of_a_share_that_was_there_at_once_appeared_early_and_most_of_a_late_one_did_not() -> None:
    claim = CLAIMS["V5"]
    early, late = SyntheticStudy(CONSTANT), SyntheticStudy({**GROWING, 100: (0.0, 0.0, 0.0, 0.01)})
    assert verdict(claim, claim.function(**arguments(claim, early))) is Verdict.REPRODUCED
    assert verdict(claim, claim.function(**arguments(claim, late))) is Verdict.REFUTED


def test_the_papers_checkpoints_are_the_quarters_where_a_suite_has_all_three() -> None:
    study: Any = SyntheticStudy(GROWING)
    assert [stage.share for stage in paper_checkpoints(study)] == [0.25, 0.5, 0.75]
    study.checkpoints = CHECKPOINTS[1:]
    assert paper_checkpoints(study) == CHECKPOINTS[1:]
