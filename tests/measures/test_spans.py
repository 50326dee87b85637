from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.measures.labels import table
from universal_neurons.measures.spans import distance_from_share, layers_dealt_anew
from universal_neurons.measures.tables import (
    ReferenceTables,
)


@dataclass(frozen=True)
class Checkpoint:
    step: int
    share: float


@dataclass(frozen=True)
class Study:
    checkpoints: tuple[Checkpoint, ...]


def test_layers_dealt_anew_are_the_same_at_both_ends_and_against_every_partner() -> None:
    layer = np.repeat([0, 1, 2], 4)
    before, after = (
        ReferenceTables.of([table("1" * 12, layer=layer, partner=name, step=step) for name in ("b", "c")])
        for step in (1, 2)
    )
    ((earlier, later),) = layers_dealt_anew([(before, after)], seed=0)
    assert isinstance(earlier, ReferenceTables)
    assert isinstance(later, ReferenceTables)
    dealt = [t.frame["layer"].to_list() for tables in (earlier, later) for t in tables.tables.values()]
    assert all(one == dealt[0] for one in dealt)
    assert dealt[0] != layer.tolist()


def test_a_checkpoint_lies_where_its_share_says_or_some_way_off() -> None:
    study: Any = Study((Checkpoint(100, 0.25), Checkpoint(210, 0.5), Checkpoint(400, 1.0)))
    assert distance_from_share(study, Checkpoint(100, 0.0), named=Checkpoint(100, 0.0)).value == 0
    assert distance_from_share(study, Checkpoint(210, 0.0), named=Checkpoint(210, 0.0)).value == pytest.approx(0.025)
    assert distance_from_share(study, Checkpoint(400, 0.0), named=Checkpoint(100, 0.0)).value == 0.75
    assert distance_from_share(study, Checkpoint(100, 0.0), named=Checkpoint(7, 0.0)).is_missing
    # Where the last checkpoint is not the end of training, the steps of the whole are more than its own.
    unfinished: Any = Study((Checkpoint(100, 0.25), Checkpoint(400, 0.8)))
    found = distance_from_share(unfinished, Checkpoint(100, 0.0), named=Checkpoint(100, 0.0))
    assert found.value == pytest.approx(100 / 500 - 0.25)
    assert found.n == 500
