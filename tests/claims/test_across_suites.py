"""The claims about several suites, on studies of which the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.claims.declared import claims_of
from tests.claims.planted import LAST
from tests.measures.labels import plain_table
from universal_neurons.errors import ArtifactMissing, NotOnSuite
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Measurement, Over

if TYPE_CHECKING:
    from universal_neurons.measures.tables import UniversalityTable

CLAIMS = {name: claim for name, claim in claims_of("prevalence").items() if name in {"G7b", "G8"}}
POLYPYTHIAS = ("polypythias_14m", "polypythias_31m", "polypythias_70m", "polypythias_160m", "polypythias_410m")
FIGURE_11 = ("gurnee_small", "gurnee_medium", "pythia_160m")


@dataclass(frozen=True)
class Seeds:
    """Four models of ``neurons`` neurons each; ``share`` of them is universal, the others have ``excess``.

    ``nulls``: the share and the excess of the null models.
    """

    neurons: int
    share: float = 0.03
    excess: float = 0.04
    nulls: tuple[float, float] = (0.0, 0.0)
    is_here: bool = True


@dataclass
class StudyOfSuites:
    """The study of one of several ``suites``."""

    name: str
    suites: dict[str, Seeds]
    reference: str = "a"

    @property
    def checkpoints(self) -> tuple[Any, ...]:
        return (LAST,)

    def beside(self, *names: str) -> dict[str, StudyOfSuites]:
        if self.name not in names:
            raise NotOnSuite(f"it compares {names}")
        return {name: self if name == self.name else StudyOfSuites(name, self.suites) for name in names}

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return tuple(name for name in "abcd" if name != (reference or self.reference))

    def universality(self, *, partner: str, checkpoint: Any, reference: str) -> UniversalityTable:
        own = self._own()
        return self._table(own.neurons, own.share, own.excess, reference, partner)

    def null(self, *, partner: str, checkpoint: Any, kind: str) -> UniversalityTable:
        own = self._own()
        return self._table(own.neurons, *own.nulls, self.reference, partner)

    def _own(self) -> Seeds:
        own = self.suites[self.name]
        if not own.is_here:
            raise ArtifactMissing(f"no table of {self.name}", command=f"universal-neurons compute --suite {self.name}")
        return own

    def _table(self, neurons: int, share: float, excess: float, reference: str, partner: str) -> UniversalityTable:
        dice = np.random.default_rng(sum(map(ord, self.name + reference + partner)))
        # A model differs from the next in how many neurons it shares.
        universal = np.arange(neurons) < neurons * share * dice.normal(1, 0.05)
        scores = np.where(universal, 0.75, excess) + 0.01 * dice.normal(size=neurons)
        frame = pd.DataFrame({"layer": np.zeros(neurons, dtype=int), "neuron": np.arange(neurons), "excess": scores})
        return plain_table(frame, reference=reference, partner=partner)


def shrinking(*, sign: int = -1, nulls: bool = False) -> dict[str, Seeds]:
    """Suites whose share falls, or rises, by a percentage point with every size; or that of their null models."""
    shares = [0.06 + sign * 0.01 * place for place in range(5)]
    return {
        name: Seeds(1000 * 4**place, shares[place], nulls=(shares[place], 0.04) if nulls else (0.0, 0.0))
        for place, name in enumerate(POLYPYTHIAS)
    }


def figure_11(*, small: float = 0.10, pythia: float = 0.04, nulls: bool = False) -> dict[str, Seeds]:
    """Suites with these typical excesses, GPT-2 Medium with 0.04; or their null models."""
    typical = dict(zip(FIGURE_11, (small, 0.04, pythia), strict=True))
    return {
        name: Seeds(2000, excess=excess, nulls=(0.03, excess) if nulls else (0.0, 0.0))
        for name, excess in typical.items()
    }


TRUTH = {"G7b": figure_11(), "G8": shrinking()}
HOME = {"G7b": "pythia_160m", "G8": "polypythias_70m"}
THRESHOLD = {"G7b": {}, "G8": {"threshold": 0.5}}


def measured(name: str, suites: dict[str, Seeds], *, on: str = "", control: bool = False) -> Measurement:
    claim = CLAIMS[name]
    function: Any = claim.controls[0].function if control else claim.function
    found: Measurement = function(StudyOfSuites(on or HOME[name], suites), **THRESHOLD[name])
    return found


def verdict(name: str, found: Measurement) -> Verdict:
    return CLAIMS[name].claim.expect.judge(found).verdict


@pytest.mark.parametrize("name", CLAIMS)
def test_what_was_planted_is_found_on_every_suite_alike_and_its_control_is_not(name: str) -> None:
    found = [measured(name, TRUTH[name], on=suite) for suite in TRUTH[name]]
    assert {verdict(name, one) for one in found} == {Verdict.REPRODUCED}
    assert len({(one.value, one.low, one.high) for one in found}) == 1
    assert found[0].over is Over.MODELS
    assert found[0].n == 4 * len(TRUTH[name])
    assert verdict(name, measured(name, TRUTH[name], control=True)) is not Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("name", "suites"),
    [("G7b", figure_11(small=0.04, pythia=0.10)), ("G8", shrinking(sign=1))],
)
def test_the_opposite_is_refuted(name: str, suites: dict[str, Seeds]) -> None:
    assert verdict(name, measured(name, suites)) is Verdict.REFUTED


@pytest.mark.parametrize(("name", "suites"), [("G7b", figure_11(nulls=True)), ("G8", shrinking(nulls=True))])
def test_nulls_that_differ_as_models_do_are_noticed(name: str, suites: dict[str, Seeds]) -> None:
    assert verdict(name, measured(name, suites, control=True)) is Verdict.REPRODUCED


def test_the_slope_is_of_the_share_per_tenfold_number_of_neurons() -> None:
    found = measured("G8", shrinking())
    # A percentage point less for four times the neurons; the planted shares vary by a twentieth from pair to pair.
    assert found.value == pytest.approx(-0.01 / np.log10(4), rel=0.1)
    assert found.details["polypythias_14m"] == pytest.approx(0.06, rel=0.1)
    equal = {name: Seeds(1000) for name in POLYPYTHIAS}
    assert measured("G8", equal).is_missing


def test_three_sizes_are_enough_and_two_are_not() -> None:
    suites = shrinking()
    suites |= {name: replace(suites[name], is_here=False) for name in ("polypythias_14m", "polypythias_410m")}
    assert set(measured("G8", suites).details) == {"polypythias_31m", "polypythias_70m", "polypythias_160m"}
    suites["polypythias_160m"] = replace(suites["polypythias_160m"], is_here=False)
    with pytest.raises(ArtifactMissing) as caught:
        measured("G8", suites)
    assert caught.value.command == "universal-neurons compute --suite polypythias_14m"
    with pytest.raises(ArtifactMissing) as caught:
        measured("G8", suites, on="polypythias_410m")
    assert caught.value.command == "universal-neurons compute --suite polypythias_410m"


@pytest.mark.parametrize("lacking", FIGURE_11)
def test_three_families_are_compared_or_none(lacking: str) -> None:
    suites = figure_11()
    suites[lacking] = replace(suites[lacking], is_here=False)
    with pytest.raises(ArtifactMissing, match=lacking):
        measured("G7b", suites)


@pytest.mark.parametrize("name", CLAIMS)
def test_other_suites_are_not_asked(name: str) -> None:
    with pytest.raises(NotOnSuite):
        measured(name, TRUTH[name] | {"mini": Seeds(100)}, on="mini")
