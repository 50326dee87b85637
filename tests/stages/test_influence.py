"""Candidates are weighed in a pass of its own, which is left out where there is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.stages.base import Case
from universal_neurons.stages.influence import block_influence


def test_without_a_candidate_the_tokens_are_not_read_again() -> None:
    with capture() as run:
        pass
    spec = SimpleNamespace(floor=0.35, blocks=10)
    # Neither a stream of activations nor the moments that they are standardised by.
    models: Any = SimpleNamespace(device="cpu", work=SimpleNamespace(suite=SimpleNamespace(universality=spec)))
    tables = {Case(0, "a", partner): pd.DataFrame({"excess": [0.1, 0.35, float("nan")]}) for partner in "bc"}
    chosen, influence, _ = block_influence(models, tables, {}, shared=(run.as_shared("moments of all pairs"),))
    assert chosen["a"].tolist() == []
    assert {pair: found.shape for pair, found in influence.items()} == dict.fromkeys(tables, (10, 0))
