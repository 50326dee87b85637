"""The claims about extensions on studies for which the truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.claims.declared import claims_of
from tests.measures.ablations import BLOCKS, Ablated, table_of
from tests.measures.labels import plain_table
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measures.ablation_table import FamilyKind, SetKind
from universal_neurons.measures.extensions import Extensions
from universal_neurons.measures.tables import Definition, ReferenceTables

if TYPE_CHECKING:
    from universal_neurons.measurement import Measurement

CLAIMS = claims_of("extensions")
NAMES = ["F14", "F14-share", "N26"]
NEURONS = 400
LAYER = np.repeat([0, 1], NEURONS // 2)


@dataclass(frozen=True)
class SyntheticStudy:
    """``family`` and ``patched`` are planted effects beside the 0.1 of every other set; ``share`` of unigrams among
    the universal neurons beside 0.2 of the others."""

    family: float
    patched: float
    share: float
    reference: str = "a"

    def partners(self) -> tuple[str, ...]:
        return ("b", "c")

    def extensions(self, *, checkpoint: Any) -> Extensions:
        del checkpoint
        zero, patch = self._table(list(FamilyKind), "zero"), self._table(list(SetKind), "resample")
        rate = np.where(self._universal("a"), self.share, 0.2)
        score = np.where(np.random.default_rng(1).random(NEURONS) < rate, 0.7, 0.1)
        return Extensions("a", 400, zero, patch, np.full(BLOCKS, 3.0), score, np.zeros(NEURONS, dtype=int), LAYER)

    def reference_tables(self, *, checkpoint: Any, reference: str = "a") -> ReferenceTables:
        del checkpoint
        frame = pd.DataFrame({"layer": LAYER, "excess": np.where(self._universal(reference), 0.9, 0.0)})
        partners = [name for name in "abc" if name != reference]
        return ReferenceTables.of([plain_table(frame, reference=reference, partner=name) for name in partners])

    def _universal(self, model: str) -> Any:
        return np.random.default_rng(ord(model)).random(NEURONS) < 0.25

    def _table(self, kinds: list[Any], mode: str) -> Any:
        planted = {
            FamilyKind.UNIGRAM_DRAWN: self.family,
            FamilyKind.SHARED_DRAWN: self.family,
            SetKind.UNIVERSAL: self.patched,
            SetKind.OTHERS: 0.05,
        }
        generator, sets = np.random.default_rng(7), []
        for kind in kinds:
            for draw in range(20) if kind.is_random else (-1,):
                spread = 0.01 * generator.standard_normal() * kind.is_random
                kl = planted.get(kind, 0.1) + spread + 0.005 * generator.standard_normal(BLOCKS)
                sets.append(Ablated(kind, kl, kl, draw, "", Definition.AVERAGED, mode=mode))
        return table_of(sets)


TRUE, FALSE, ALIKE = SyntheticStudy(0.3, 0.3, 0.8), SyntheticStudy(0.03, 0.02, 0.0), SyntheticStudy(0.1, 0.1, 0.2)


def verdict(name: str, function: Any, study: SyntheticStudy) -> Verdict:
    measured: Measurement = function(study, None, 0.5)
    return CLAIMS[name].claim.expect.judge(measured).verdict


def test_there_are_three_claims_with_controls_corrected_together() -> None:
    assert sorted(CLAIMS) == NAMES
    for one in CLAIMS.values():
        assert (one.claim.family, one.claim.correction) == ("extensions", "holm")
        assert one.controls


@pytest.mark.parametrize("name", NAMES)
def test_what_was_planted_is_found(name: str) -> None:
    function = CLAIMS[name].function
    assert verdict(name, function, TRUE) is Verdict.REPRODUCED
    assert verdict(name, function, FALSE) is Verdict.REFUTED
    assert verdict(name, function, ALIKE) is not Verdict.REPRODUCED


@pytest.mark.parametrize("study", [TRUE, FALSE, ALIKE])
@pytest.mark.parametrize("name", NAMES)
def test_no_control_satisfies_the_criterion(name: str, study: SyntheticStudy) -> None:
    for control in CLAIMS[name].controls:
        assert verdict(name, control.function, study) is not Verdict.REPRODUCED, control.function.__name__


@pytest.mark.parametrize("name", NAMES)
def test_every_reading_can_be_measured_and_agrees_where_all_are_planted_alike(name: str) -> None:
    for reading in CLAIMS[name].readings:
        assert verdict(name, reading.function, TRUE) is Verdict.REPRODUCED, reading.function.__name__
