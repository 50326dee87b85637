"""Agreement over partners against direct calculation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.measures.labels import plain_table
from universal_neurons.measures.agreement import (
    excess_agreement,
    is_mutual,
    lead,
    range_over_partners,
    rate_difference,
    typical_excess,
    with_partners_shuffled,
)
from universal_neurons.measures.intervals import jackknife
from universal_neurons.measures.properties import ranking_of
from universal_neurons.measures.tables import ReferenceTables, UniversalityTable

N = 300
LAYER = np.repeat([0, 1, 2], N // 3)


def table(reference: str, partner: str, **columns: np.ndarray) -> UniversalityTable:
    frame = pd.DataFrame({"layer": LAYER, "neuron": np.tile(np.arange(N // 3), 3), **columns})
    return plain_table(frame, reference=reference, partner=partner, step=1)


def tables(noise: float, seed: int = 1) -> ReferenceTables:
    dice = np.random.default_rng(seed)
    own = dice.normal(0.3, 0.1, N)
    made = []
    for partner in "bcd":
        excess = own + noise * dice.normal(size=N)
        made.append(table("a", partner, excess=excess, correlation=excess + 0.1, baseline=np.full(N, 0.1)))
    return ReferenceTables.of(made)


def test_the_agreement_is_the_intraclass_correlation_of_an_analysis_of_variance() -> None:
    found = excess_agreement(tables(0.05))
    scores = np.stack([one.frame["excess"] for one in tables(0.05).tables.values()])
    between = 3 * ((scores.mean(0) - scores.mean()) ** 2).sum() / (N - 1)
    within = ((scores - scores.mean(0)) ** 2).sum() / (2 * N)
    assert found.value == pytest.approx((between - within) / (between + 2 * within))
    assert found.low < 0.8 < found.high


def test_the_interval_of_the_agreement_covers_the_truth() -> None:
    # Variances .01 between and .0025 within: the truth is .8.
    found = [excess_agreement(tables(0.05, seed)) for seed in range(200)]
    assert 180 <= sum(one.low <= 0.8 <= one.high for one in found) <= 199


def test_one_partner_agrees_with_nobody() -> None:
    (first, *_) = tables(0.05).tables.values()
    assert excess_agreement(ReferenceTables.of([first])).is_missing


def test_shuffled_partners_keep_each_score_in_its_layer_and_agree_no_more() -> None:
    before, after = tables(0.01), with_partners_shuffled(tables(0.01), seed=0)
    for one, other in zip(before.tables.values(), after.tables.values(), strict=True):
        for layer in range(3):
            here = layer == LAYER
            assert sorted(one.frame["excess"][here]) == sorted(other.frame["excess"][here])
        np.testing.assert_allclose(other.frame["correlation"] - other.frame["excess"], 0.1)
    assert excess_agreement(before).value > 0.9
    assert abs(excess_agreement(after).value) < 0.2


def test_the_range_is_of_universal_neurons() -> None:
    found = range_over_partners(tables(0.05), 0.3)
    correlation = np.stack([one.frame["correlation"] for one in tables(0.05).tables.values()])
    chosen = correlation.mean(0) > 0.4
    assert found.value == pytest.approx(np.ptp(correlation, axis=0)[chosen].mean())
    assert found.details["all_neurons"] == pytest.approx(np.ptp(correlation, axis=0).mean())
    assert found.n == chosen.sum()
    assert range_over_partners(tables(0.05), 2.0).is_missing


def test_the_typical_excess_is_the_median_of_means() -> None:
    found = typical_excess(tables(0.05))
    excess = np.stack([one.frame["excess"] for one in tables(0.05).tables.values()]).mean(0)
    assert found.value == np.median(excess)
    assert found.details["baseline"] == pytest.approx(0.1)


def test_the_lead_of_a_neuron_is_over_the_next_best_and_needs_two_partners() -> None:
    excess = np.stack([one.frame["excess"] for one in tables(0.05).tables.values()])

    def ahead(scores: np.ndarray) -> float:
        mean = scores.mean(axis=0)
        return float(mean[105] - np.delete(mean, 105).max())

    found = lead(tables(0.05), (1, 5))
    ends = jackknife(ahead(excess), [ahead(np.delete(excess, out, axis=0)) for out in range(3)], level=0.95)
    assert (found.value, found.low, found.high) == pytest.approx((ahead(excess), *ends))
    (first, *_) = tables(0.05).tables.values()
    assert lead(ReferenceTables.of([first]), (1, 5)).is_missing


def test_a_match_is_mutual_where_it_leads_back() -> None:
    there = np.arange(N)
    there[0], there[5] = 150, -1
    back = np.arange(N)
    back[150] = 0

    def pair(reference: str, partner: str, best: np.ndarray) -> UniversalityTable:
        layer = np.where(best < 0, -1, best // (N // 3))
        return table(reference, partner, excess=np.zeros(N), partner_layer=layer, partner_neuron=best % (N // 3))

    found = is_mutual(pair("a", "b", there), pair("b", "a", back))
    # 150 of the partner leads back to 0; 5 has no match; 150 leads to 150, whose match is 0.
    assert sorted(np.flatnonzero(~found)) == [5, 150]


def test_the_difference_of_rates_is_within_layers() -> None:
    dice = np.random.default_rng(2)
    universal = (dice.random(N) < np.array([0.1, 0.3, 0.6])[LAYER]).astype(float)
    value = 0.3 * LAYER + 0.2 * universal + 0.01 * dice.normal(size=N)
    scores = ReferenceTables.of([table("a", "b", excess=universal)])
    one = ranking_of(value, scores, 0.5)
    found = rate_difference({"a": one})
    assert found.value == pytest.approx(0.2, abs=0.005)
    assert found.low < 0.2 < found.high
    groups = [value[universal == 1], *(value[(layer == LAYER) & (universal == 0)] for layer in range(3))]
    weights = [1.0, *(np.count_nonzero(universal[layer == LAYER]) / len(groups[0]) for layer in range(3))]
    error = np.sqrt(sum(w**2 * part.var(ddof=1) / len(part) for w, part in zip(weights, groups, strict=True)))
    assert (found.low, found.high) == pytest.approx((found.value - 1.959964 * error, found.value + 1.959964 * error))
    alone = replace(one, universal=np.arange(N) == 0)
    assert rate_difference({"a": alone}).is_missing
