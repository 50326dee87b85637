"""Mediated shares and tails against direct calculation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from tests.measures.entropic import NEURONS, Entropic
from universal_neurons.measures.entropy import (
    candidate_mediation,
    clamped_share_kept,
    null_space_and_mediation,
    tail_excess,
    typical_mediation,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MODELS = {name: Entropic().tables(name) for name in "abcd"}
TABLES = tuple(MODELS.values())


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def test_mediated_is_what_freezing_the_scale_takes_away() -> None:
    one = TABLES[0].neurons
    assert candidate_mediation(TABLES, possible=0.5).value == pytest.approx(
        mean([1 - two.neurons["direct"][7] / two.neurons["total"][7] for two in TABLES])
    )
    chosen = one["kind"] == "random"
    expected = [(1 - two.neurons["direct"] / two.neurons["total"])[chosen].median() for two in TABLES]
    assert typical_mediation(TABLES, "random").value == pytest.approx(mean(expected))


def test_a_neuron_without_an_effect_has_no_mediated_share() -> None:
    table = Entropic().tables("a")
    table.neurons.loc[3, ["total", "direct"]] = 0.0
    assert table.of("neuron")["mediated"].isna().tolist() == [number == 3 for number in range(NEURONS)]


def test_the_share_kept_is_of_the_first_candidate_and_of_the_median_other_at_the_highest_value() -> None:
    for role in ("candidate", "other"):
        expected = []
        for one in TABLES:
            kept = one.clamps[(one.clamps["role"] == role) & (one.clamps["value"] == 6)]["first_kept"]
            expected.append(float(kept.median() if role == "other" else kept.iloc[0]))
        found = clamped_share_kept(TABLES, role, possible=0.95)
        assert found.value == pytest.approx(mean(expected))
        assert found.details["scale"] == pytest.approx(0.1)
        assert found.details["entropy"] == pytest.approx(0.6)


@pytest.mark.parametrize(("column", "chance"), [("null_share", 0.99), ("frequency_cosine", 0.95)])
def test_a_tail_is_what_is_beyond_a_percentile_of_all_random_directions(column: str, chance: float) -> None:
    expected = []
    for one in TABLES:
        sizes = one.neurons[column].abs()
        bound = np.quantile(sizes[one.neurons["kind"].isin(["random", "direction"])], chance)
        expected.append((sizes[one.neurons["kind"] == "neuron"] > bound).mean() - (1 - chance))
    found = tail_excess(TABLES, column)  # type: ignore[arg-type]
    assert found.value == pytest.approx(mean(expected))
    assert abs(tail_excess(TABLES, column, half=True).value) < 0.03  # type: ignore[arg-type]


def test_ranks_of_null_space_and_mediation_are_compared_within_models() -> None:
    expected: list[float] = []
    for one in TABLES:
        rows = one.neurons[one.neurons["kind"] == "neuron"]
        expected.append(stats.spearmanr(rows["null_share"], 1 - rows["direct"] / rows["total"]).statistic)
    assert null_space_and_mediation(TABLES).value == pytest.approx(mean(expected))
    assert abs(null_space_and_mediation(TABLES, seed=1).value) < 0.1


def test_models_in_which_not_even_a_planted_direction_could_are_left_out() -> None:
    unable = (Entropic(planted=0.4).tables("e"), *TABLES[:3])
    assert candidate_mediation(unable, possible=0.5) == candidate_mediation(TABLES[:3], possible=0.5)
    assert candidate_mediation(unable[:3], possible=0.5).is_missing
    kept = [one.kept_by_planted for one in TABLES]
    assert clamped_share_kept(TABLES, "candidate", possible=min(kept)).n == 4
    assert clamped_share_kept(TABLES, "candidate", possible=min(kept) + 1e-9).n == 3
    assert clamped_share_kept(TABLES, "candidate", possible=1.1).is_missing
