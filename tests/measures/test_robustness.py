"""Changes, halves and nulls on tables whose answers are known by hand."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.measures.tables import RESAMPLING, table
from universal_neurons.errors import UserError
from universal_neurons.measurement import Over
from universal_neurons.measures.intervals import wilson
from universal_neurons.measures.robustness import (
    longest_prefix,
    mean_excess,
    share_and_overlap,
    share_over_neurons,
    table_one_under,
    token_convergence,
    with_draws,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.measures.tables import UniversalityTable

T = 0.5
NAN = float("nan")


def test_a_share_over_neurons_is_a_proportion_with_wilsons_interval() -> None:
    found = share_over_neurons(table([0.6, 0.5, 0.1, NAN, 0.7]), T)
    assert (found.value, found.n, found.over) == (0.5, 4, Over.NEURONS)
    assert (found.low, found.high) == wilson(2, 4, level=0.95)
    assert found.details == {"universal": 2, "undefined": 1, "draws": 2}
    assert share_over_neurons(table([NAN, NAN]), T).is_missing


def test_a_variant_is_compared_among_the_neurons_defined_in_both() -> None:
    before = table([0.6, 0.6, 0.6, 0.1, 0.1, NAN, 0.9])
    after = table([0.6, 0.1, 0.1, 0.9, 0.1, 0.9, NAN])
    assert share_and_overlap(before, after, T) == pytest.approx((0.4, 1 / 4))
    assert share_and_overlap(before, before, T) == pytest.approx((4 / 6, 1))


def test_nothing_defined_in_both_is_nothing_to_compare() -> None:
    assert np.isnan(share_and_overlap(table([0.6, NAN]), table([NAN, 0.6]), T)).all()


@pytest.mark.parametrize("other", [{"partner": "c"}, {"step": 2}, {"layer": [0, 1]}])
def test_other_neurons_are_not_compared(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not about the same neurons"):
        share_and_overlap(table([0.6, 0.1]), table([0.6, 0.1], **other), T)


def test_fewer_draws_are_the_first_ones_and_of_candidates_only() -> None:
    own = table([0.45, 0.55, 0.1], correlation=[0.75, 0.8, 0.2], draws=[[0.2, 0.25], [0.4, 0.25]])
    one = with_draws(own, 1)
    assert one.frame["excess"].tolist() == pytest.approx([0.55, 0.55, 0.1])
    assert one.draws.shape == (1, 2)
    assert with_draws(own, 2) is own
    assert own.frame["excess"].tolist() == pytest.approx([0.45, 0.55, 0.1])
    for draws in (0, 3):
        with pytest.raises(ValueError, match=f"{draws} draws wanted of 2"):
            with_draws(own, draws)


def test_a_mean_excess_has_students_interval_and_tells_of_its_tail() -> None:
    excess = np.linspace(-0.1, 0.3, 101)
    found = mean_excess(table([*excess, NAN]))
    assert found.value == pytest.approx(0.1)
    reach = 1.98397 * excess.std(ddof=1) / np.sqrt(101)
    assert [found.low, found.high] == pytest.approx([0.1 - reach, 0.1 + reach], abs=1e-5)
    assert found.details["median"] == pytest.approx(0.1)
    assert found.details["q99"] == pytest.approx(0.296)
    assert found.details["largest"] == pytest.approx(0.3)
    assert (found.n, found.details["undefined"]) == (101, 1)
    assert mean_excess(table([0.1, NAN])).is_missing


# --- frames --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    step: int
    share: float = 1.0

    def __str__(self) -> str:
        return f"step {self.step}"


class VariantStudy:
    """Two partners and variants that are given; the suite's own scores are 100 neurons, every tenth universal."""

    reference = "a"
    untrained = None
    checkpoints = (Checkpoint(1), Checkpoint(2))

    def __init__(self, scores: Mapping[str, np.ndarray[Any, np.dtype[np.float64]]]) -> None:
        self.scores = scores
        self.variants = tuple(scores)

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return ("b", "c")

    def universality(self, *, partner: str, checkpoint: Any, reference: str | None = None) -> UniversalityTable:
        return table(OWN, partner=partner, step=checkpoint.step, correlation=OWN + 0.2, draws=DRAWS)

    def variant(self, name: str, *, partner: str, checkpoint: Any) -> UniversalityTable:
        found = table(self.scores[name], partner=partner, step=checkpoint.step, candidates=[])
        return dataclasses.replace(found, draws=np.empty((1 if name == "draws:1" else 2, 0)))

    def variant_settings(self, checkpoint: Any) -> pd.DataFrame:
        tokens = [int(name.partition(":")[2]) if name.startswith("tokens") else 1000 for name in self.variants]
        return pd.DataFrame({"variant": self.variants, "tokens": tokens, "draws": [2] * len(tokens)})


OWN = np.where(np.arange(100) % 10 == 0, 0.6, 0.1)
DRAWS = np.array([[0.2] * 10, [0.2] * 10])
DRAWS[0, 0], DRAWS[1, 0] = 0.35, 0.05
MORE = np.where(np.arange(100) % 5 == 0, 0.6, 0.1)
FEWER = np.where(np.arange(100) % 20 == 0, 0.6, 0.1) + 0.01
ONE = OWN.copy()
ONE[0] = 0.45
STUDY: Any = VariantStudy({"mask:all": MORE, "tokens:100": FEWER, "tokens:500": OWN, "draws:1": ONE})


def test_table_one_has_a_row_per_variant_threshold_and_checkpoint_the_suite_first() -> None:
    frame = table_one_under(STUDY, (0.4, 0.5), STUDY.checkpoints)
    assert len(frame) == 5 * 2 * 2
    assert frame["variant"].tolist()[:5] == ["suite", "mask:all", "tokens:100", "tokens:500", "draws:1"]
    row = frame.query("variant == 'mask:all' and threshold == 0.5 and checkpoint == 'step 2'").iloc[0]
    assert row["share"] == pytest.approx(0.2)
    assert row["difference"] == pytest.approx(0.1)
    assert 0 < row["low"] < 0.1 < row["high"] < 0.2
    assert row["jaccard"] == pytest.approx(0.5)
    suite = frame[frame["variant"] == "suite"]
    assert (suite["share"] == 0.1).all()
    assert suite["tokens"].tolist() == [1000] * 4


def test_convergence_ends_with_the_suite_itself() -> None:
    frame = token_convergence(STUDY, checkpoint=Checkpoint(1), threshold=T)
    assert frame["tokens"].tolist() == [100, 500, 1000]
    assert frame["variant"].tolist() == ["tokens:100", "tokens:500", "suite"]
    assert frame["share"].tolist() == pytest.approx([0.05, 0.1, 0.1])
    assert frame["jaccard"].tolist() == pytest.approx([0.5, 1, 1])
    # Five neurons in a hundred fell by 0.5; all were lifted by 0.01.
    expected = np.sqrt((5 * 0.49**2 + 95 * 0.01**2) / 100)
    assert frame["excess_error"].tolist() == pytest.approx([expected, 0, 0], abs=1e-6)


def test_the_longest_prefix_is_by_number_and_not_by_name() -> None:
    assert longest_prefix(STUDY) == "tokens:500"
    study: Any = VariantStudy({"tokens:1000": OWN, "tokens:200": OWN})
    assert longest_prefix(study) == "tokens:1000"
    with pytest.raises(UserError, match=r"variants\.tokens"):
        longest_prefix(VariantStudy({"mask:all": OWN}))  # type: ignore[arg-type]


def test_intervals_use_the_tables_own_level() -> None:
    wide = dataclasses.replace(RESAMPLING, level=0.5)
    narrow, usual = (share_over_neurons(table([0.6, 0.1, 0.1], resampling=how), T) for how in (wide, RESAMPLING))
    assert usual.low < narrow.low < narrow.high < usual.high
