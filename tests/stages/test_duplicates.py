"""Duplicates of the miniature models are what the whole correlation matrix says of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from universal_neurons.errors import UserError
from universal_neurons.stages import duplicates as stage
from universal_neurons.stages.base import Case, read_artifact
from universal_neurons.stages.duplicates import DUPLICATES
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    import pandas as pd

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace


@pytest.fixture(scope="module")
def table(computed: Miniature) -> pd.DataFrame:
    found: pd.DataFrame = computed.study().table("duplicates", model="b")
    return found


def test_the_nearest_neuron_is_the_one_of_all_activations(work: Workspace, table: pd.DataFrame) -> None:
    tokens, bridge = token_set(work), work.zoo.load(work.model("b", work.last_step))
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(work.suite.layers)]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.from_numpy(tokens.rows.astype(np.int64)), names_filter=names)
    values = np.concatenate([cache[name].double().numpy()[tokens.mask] for name in names], axis=1)
    correlation = np.corrcoef(values.T)
    np.fill_diagonal(correlation, -1)
    np.testing.assert_allclose(table["correlation"], correlation.max(1), atol=5e-5)
    other = table["other_layer"] * 24 + table["other_neuron"]
    np.testing.assert_allclose(correlation[np.arange(48), other], correlation.max(1), atol=5e-5)


def test_layers_one_by_one_give_what_all_together_give(
    work: Workspace, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoadedModels, "layer_blocks", lambda *_: (range(1), range(1, 2)))
    again = stage.duplicates(work, Case(work.last_step, "b"))
    np.testing.assert_allclose(again["correlation"], table["correlation"], atol=1e-5)
    assert again[["layer", "neuron", "other_layer", "other_neuron"]].equals(
        table[["layer", "neuron", "other_layer", "other_neuron"]]
    )


def test_an_altered_number_is_found(work: Workspace) -> None:
    case = Case(work.last_step, "b")
    artifacts = tuple(read_artifact(work, key) for key in DUPLICATES.keys(work, case))
    assert DUPLICATES.comparison(work, case, artifacts, artifacts).agrees
    frame = artifacts[0].table
    for altered in (
        frame.assign(correlation=frame["correlation"] - 0.001),
        frame.assign(other_neuron=(frame["other_neuron"] + 1) % 24),
    ):
        again: Any = (SimpleNamespace(table=altered),)
        assert not DUPLICATES.comparison(work, case, artifacts, again).agrees


def test_a_model_that_the_suite_does_not_have_is_one_line(computed: Miniature) -> None:
    with pytest.raises(UserError, match=r"^suite mini: duplicates: expected one of a@30, .*, got z@30$"):
        computed.study().table("duplicates", model="z")
