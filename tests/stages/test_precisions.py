"""Pairs of the miniature models by their sums are what all activations at once give."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from universal_neurons.core import precisions as core
from universal_neurons.errors import UserError
from universal_neurons.stages import precisions as stage
from universal_neurons.stages.base import Case, read_artifact
from universal_neurons.stages.models import LoadedModels, ModelNotFinite
from universal_neurons.stages.precisions import KINDS, PRECISIONS
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    import pandas as pd

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace


@pytest.fixture(scope="module")
def table(computed: Miniature) -> pd.DataFrame:
    found: pd.DataFrame = computed.study().table("precisions", model="a", partner="c").frame
    return by_sums(found)


def by_sums(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_index("sums").astype(np.float64)


def activations(work: Workspace, model: str) -> np.ndarray:
    tokens, bridge = token_set(work), work.zoo.load(work.model(model, work.last_step))
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(work.suite.layers)]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.from_numpy(tokens.rows.astype(np.int64)), names_filter=names)
    return np.concatenate([cache[name].double().numpy()[tokens.mask] for name in names], axis=1)


def test_the_exact_pairs_are_the_ones_of_all_activations(work: Workspace, table: pd.DataFrame) -> None:
    x, y = activations(work, "a"), activations(work, "c")
    correlation = np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]
    there, back = correlation.argmax(1), correlation.argmax(0)
    own = np.arange(len(there))
    mutual = back[there] == own
    assert mutual.any()
    assert table[["pairs", "found", "kept"]].iloc[0].to_list() == [mutual.sum()] * 3
    assert table["correlation"].iloc[0] == pytest.approx(correlation[own, there][mutual].mean(), abs=1e-4)
    assert (table["pairs"] == mutual.sum()).all()
    found = table["error"].iloc[:4].to_list()
    assert found == sorted(set(found))


def test_the_kinds_are_those_of_the_kernel() -> None:
    assert (core.EXACT, *core.SUMS) == KINDS


def test_of_a_large_suite_the_first_tokens_are_read(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PRECISIONS.parameters(work, Case(work.last_step, "a", "c"))
    monkeypatch.setattr(stage, "MOST_TOKENS", 300)
    assert PRECISIONS.parameters(work, Case(work.last_step, "a", "c")) == {**whole, "tokens": 300}
    payload: Any = PRECISIONS.compute(work, Case(work.last_step, "a", "c"))["precisions"]
    read = token_set(work).first(300)
    assert read.scored >= 300 > read.scored - int(read.mask[-1].sum())
    x, y = (activations(work, name)[: read.scored] for name in ("a", "c"))
    correlation = np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]
    there, back = correlation.argmax(1), correlation.argmax(0)
    assert by_sums(payload)["pairs"].iloc[0] == (back[there] == np.arange(len(there))).sum()


def test_layers_one_by_one_give_what_all_together_give(
    work: Workspace, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoadedModels, "layer_blocks", lambda *_: (range(1), range(1, 2)))
    payload: Any = PRECISIONS.compute(work, Case(work.last_step, "a", "c"))["precisions"]
    again = by_sums(payload)
    assert again[["pairs", "found", "kept"]].equals(table[["pairs", "found", "kept"]])
    np.testing.assert_allclose(again[["correlation", "error"]], table[["correlation", "error"]], atol=1e-6)


def test_an_altered_number_is_found(work: Workspace) -> None:
    case = Case(work.last_step, "a", "b")
    artifacts = tuple(read_artifact(work, key) for key in PRECISIONS.keys(work, case))
    assert PRECISIONS.comparison(work, case, artifacts, artifacts).agrees
    frame = artifacts[0].table
    for altered in (
        frame.assign(kept=frame["kept"] + 2),
        frame.assign(correlation=frame["correlation"] - 0.01),
        frame.assign(sums=frame["sums"].iloc[::-1].to_numpy()),
    ):
        again: Any = (SimpleNamespace(table=altered),)
        assert not PRECISIONS.comparison(work, case, artifacts, again).agrees


def test_a_model_that_is_not_finite_is_named(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(self: Any, title: str) -> Any:
        values = torch.zeros(4, sum(self.widths[0]))
        if title.endswith("spreads of c"):
            values[1, 30] = torch.inf
        yield [values], torch.zeros(4)

    monkeypatch.setattr(LoadedModels, "stream", spoiled)
    with pytest.raises(ModelNotFinite, match=r"model c at step 30, layer 1: activations are not finite"):
        PRECISIONS.compute(replace(work, cache={}), Case(work.last_step, "a", "c"))


def test_two_models_that_the_suite_does_not_have_are_one_line(computed: Miniature) -> None:
    with pytest.raises(UserError, match=r"^suite mini: precisions: expected one of a@30 against b@30, .*, got a@30$"):
        computed.study().table("precisions", model="a")
