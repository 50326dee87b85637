from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from universal_neurons.measures.intervals import block_weights
from universal_neurons.measures.neurons import excess_reach
from universal_neurons.measures.tables import Resampling, UniversalityTable

NEURONS, BLOCKS = 400, 40
OWN = np.arange(0, NEURONS, 4)


def table(influence: np.ndarray | None = None) -> UniversalityTable:
    rng = np.random.default_rng(2)
    excess = rng.normal(0.3, 0.1, NEURONS)
    frame = pd.DataFrame(
        {
            "layer": 0, "neuron": np.arange(NEURONS), "partner_layer": 0, "correlation": excess + 0.2, "excess": excess,
            "excess_half_a": excess + rng.normal(0, 0.02, NEURONS),
            "excess_half_b": excess + rng.normal(0, 0.02, NEURONS),
        }
    )  # fmt: skip
    return UniversalityTable(
        reference="a", partner="b", step=1, frame=frame, candidates=OWN,
        influence=rng.normal(0.001, 0.004, (BLOCKS, OWN.size)) if influence is None else influence,
        draws=np.zeros((2, OWN.size)), resampling=Resampling(resamples=20_000, level=0.9, seed=3),
    )  # fmt: skip


def test_the_reach_of_a_candidate_is_that_of_the_block_bootstrap() -> None:
    given = table()
    found = excess_reach(given)
    weights = block_weights(BLOCKS, resamples=20_000, seed=3)
    replicates = (weights - 1) @ given.influence
    low, high = np.quantile(replicates, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(found.reach[OWN], (high - low) / 2, rtol=0.04)
    assert found.is_own[OWN].all()


def test_the_others_share_the_reach_that_their_halves_give() -> None:
    found = excess_reach(table())
    others = np.setdiff1d(np.arange(NEURONS), OWN)
    assert not found.is_own[others].any()
    assert np.unique(found.reach[others]).size == 1
    # Each half is off by 0.02; the whole, from both, by 0.02 over the root of two.
    np.testing.assert_allclose(found.reach[others[0]], stats.norm.ppf(0.95) * 0.02 / np.sqrt(2), rtol=0.1)


def test_a_shift_that_all_blocks_share_moves_nothing() -> None:
    np.testing.assert_allclose(excess_reach(table(np.full((BLOCKS, OWN.size), 0.7))).reach[OWN], 0, atol=1e-12)


def test_an_undefined_excess_has_no_interval() -> None:
    given = table()
    frame = given.frame.copy()
    frame.loc[1, ["excess", "excess_half_a", "excess_half_b"]] = np.nan
    found = excess_reach(dataclasses.replace(given, frame=frame))
    assert np.isnan(found.reach[1])
    assert not np.isnan(found.reach[2])


@pytest.mark.filterwarnings("error")
def test_without_any_half_there_is_no_pooled_reach() -> None:
    given = table()
    frame = given.frame.assign(excess_half_a=np.nan, excess_half_b=np.nan)
    found = excess_reach(dataclasses.replace(given, frame=frame))
    assert np.isnan(found.reach[1])
    assert not np.isnan(found.reach[0])
