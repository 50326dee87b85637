"""Scores over several partners in replicates: each candidate against the plain formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.measures.tables import noisy
from universal_neurons.measures.groups import Group
from universal_neurons.measures.intervals import NOISE, block_weights
from universal_neurons.measures.tables import Definition

TABLES = tuple(noisy(np.linspace(0.3, 0.7, 60), seed) for seed in range(3))


@pytest.mark.parametrize("definition", [Definition.AVERAGED, Definition.UNION, Definition.INTERSECTION])
def test_states_in_replicates_are_those_of_every_candidate_in_every_replicate(definition: Definition) -> None:
    group, first = Group(TABLES, definition), TABLES[0]
    resampling, rows = first.resampling, first.candidates
    weights = block_weights(len(first.influence), resamples=resampling.resamples, seed=resampling.seed) - 1
    moves = np.stack([weights @ table.influence.astype(np.float64) for table in TABLES])
    scores = np.stack([table.column("excess")[rows] for table in TABLES])[:, None]
    plain = [group.combined(scores + math.sqrt(noise) * moves) > group.cut(0.5) for noise in NOISE]
    states = group.noisy_states(0.5)
    assert states.shape == (len(NOISE), resampling.resamples, rows.size)
    assert (states == np.array(plain)).all()
    # Of some the side never changes, of some it does: both ways of answering were taken.
    changing = states[0].any(axis=0) != states[0].all(axis=0)
    assert changing.any()
    assert not changing.all()
