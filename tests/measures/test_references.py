from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.measures.tables import table
from universal_neurons.measures.references import growth_over_references, share_over_references
from universal_neurons.measures.tables import (
    Definition,
    ReferenceTables,
)
from universal_neurons.measures.universality import definition_share, share_difference

T = 0.5
NAN = float("nan")


def references(*scores: tuple[list[float], list[float]], step: int = 1) -> list[ReferenceTables]:
    """Two partners for every reference; every neuron above the floor moves with the blocks."""
    generator = np.random.default_rng(step)
    found = []
    for number, pair in enumerate(scores):
        candidates = np.flatnonzero(np.max(pair, axis=0) > 0.2)
        tables = [
            table(excess, partner=partner, step=step, candidates=candidates,
                  draws=np.zeros((3, candidates.size)), influence=generator.normal(0, 0.02, (10, candidates.size)))
            for partner, excess in zip(("y", "z"), pair, strict=True)
        ]  # fmt: skip
        renamed = [dataclasses.replace(one, reference=f"r{number}") for one in tables]
        found.append(ReferenceTables.of(renamed))
    return found


FIRST = ([0.6, 0.1, 0.52, 0.1], [0.6, 0.6, 0.1, 0.49])
SECOND = ([0.1, 0.1, 0.1, 0.7], [0.1, 0.1, 0.1, 0.51])


def test_a_mean_over_references_is_that_of_their_shares_and_of_one_is_its_own() -> None:
    both = references(FIRST, SECOND)
    alone = [definition_share(one, Definition.PAIR, T) for one in both]
    found = share_over_references(both, T)
    assert found.value == pytest.approx((0.5 + 0.25) / 2)
    assert (found.details["lowest"], found.details["highest"]) == (0.25, 0.5)
    assert found.details["models_low"] < found.value < found.details["models_high"]
    single = share_over_references(both[:1], T)
    assert (single.value, single.low, single.high) == (alone[0].value, alone[0].low, alone[0].high)
    assert found.low < found.value < found.high
    assert found.low >= (alone[0].low + alone[1].low) / 2 - 1e-9
    with pytest.raises(ValueError, match="got none"):
        share_over_references([], T)
    assert share_over_references(references(([NAN] * 4, [0.6] * 4)), T).is_missing


def test_growth_over_references_is_paired() -> None:
    earlier, later = references(FIRST, SECOND), references(SECOND, SECOND, step=2)
    found = growth_over_references(earlier, later, T)
    assert found.value == pytest.approx(((0.25 - 0.5) + 0) / 2)
    single = growth_over_references(earlier[:1], later[:1], T)
    alone = share_difference(earlier[0], later[0], T)
    assert (single.value, single.low, single.high) == (alone.value, alone.low, alone.high)
