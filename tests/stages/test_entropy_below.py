"""Effects of the miniature models' layer before the last against forward passes with hooks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from universal_neurons.measures.entropy import CLAMPS
from universal_neurons.stages.base import Case
from universal_neurons.stages.entropy import CANDIDATES, OTHERS, ROWS
from universal_neurons.stages.entropy_below import ENTROPY_BELOW, OPPOSED
from universal_neurons.stages.tokens import evaluation_tokens

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace

CASE, MLP = Case(30, "c"), 24


@pytest.fixture(scope="module")
def table(computed: Miniature) -> pd.DataFrame:
    found: pd.DataFrame = computed.study().table("entropy-below", model="c").table
    return found


def log_probabilities(work: Workspace, layer: int | None = None, neuron: int = 0, value: float = 0.0) -> Tensor:
    """Of the backend's model (token vocab), with an activation of a layer at a value, or at its mean for NaN."""
    bridge = work.zoo.load(work.model("c", 30))
    rows = torch.from_numpy(evaluation_tokens(work).rows[:ROWS].astype(np.int64))

    def fixed(values: Tensor, hook: Any) -> Tensor:
        changed = values.clone()
        changed[..., neuron] = values[..., neuron].mean() if np.isnan(value) else value
        return changed

    hooks: Any = [] if layer is None else [(f"blocks.{layer}.mlp.hook_post", fixed)]
    with torch.no_grad():
        logits: Tensor = bridge.run_with_hooks(rows, fwd_hooks=hooks)
    return logits[:, :-1].flatten(0, 1).double().log_softmax(-1)


def entropy(log_probability: Tensor) -> Tensor:
    return -(log_probability.exp() * log_probability).sum(-1)


def test_there_is_a_row_per_neuron_of_the_layer_before_the_last_and_value(table: pd.DataFrame, work: Workspace) -> None:
    per_value = len(CLAMPS) + 1
    assert set(table["source_layer"]) == {work.zoo.recipe().layers - 2}
    assert table["role"].value_counts().to_dict() == {
        "candidate": CANDIDATES * per_value, "opposed": OPPOSED * per_value, "other": OTHERS * per_value,
    }  # fmt: skip
    assert table["value"][:per_value].tolist() == pytest.approx([float("nan"), *CLAMPS], nan_ok=True)


def test_effects_are_those_of_a_hooked_forward_pass(table: pd.DataFrame, work: Workspace) -> None:
    clean = log_probabilities(work)
    for row in table.iloc[[0, 8, 40, 60, -1]].to_dict("records"):
        changed = log_probabilities(work, row["source_layer"], row["source_neuron"], float(row["value"]))
        change = entropy(changed) - entropy(clean)
        assert row["entropy_change"] == pytest.approx(float(change.mean()), abs=2e-5)
        assert row["total"] == pytest.approx(float(change.abs().mean()), rel=1e-2, abs=1e-6)
        assert row["divergence"] == pytest.approx(float((clean.exp() * (clean - changed)).sum(1).mean()), abs=2e-5)
        kept = float((changed.argmax(1) == clean.argmax(1)).double().mean())
        assert row["first_kept"] == pytest.approx(kept, abs=2 / len(clean))


def test_opposed_neurons_have_the_smallest_cosines_with_the_last_layers_candidate(
    table: pd.DataFrame, work: Workspace, computed: Miniature
) -> None:
    bridge = work.zoo.load(work.model("c", 30))
    candidate = computed.study().table("entropy", model="c").candidate
    with torch.no_grad():
        w_out = [bridge.blocks[layer].mlp.W_out.double() for layer in (-2, -1)]
        below, last = (torch.nn.functional.normalize(part - part.mean(1, keepdim=True), dim=1) for part in w_out)
    cosine = (below @ last[candidate]).numpy()
    opposed = table[(table["role"] == "opposed") & table["value"].isna()]
    assert opposed["source_neuron"].tolist() == np.argsort(cosine)[:OPPOSED].tolist()
    np.testing.assert_allclose(table["cosine"], cosine[table["source_neuron"]], atol=1e-4)


def test_models_of_one_layer_have_no_layer_below(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = work.zoo.recipe()
    monkeypatch.setattr(type(work.zoo), "recipe", lambda _: recipe.model_copy(update={"layers": 1}))
    assert ENTROPY_BELOW.cases(work) == ()


def test_a_difference_beyond_the_tolerance_is_seen_and_other_neurons_are_not_compared(work: Workspace) -> None:
    artifact = work.store.read(ENTROPY_BELOW.key(work, CASE))
    assert artifact is not None
    table = artifact.table
    moved: Any = replace(artifact, value=table.assign(total=table["total"] * 1.05 + 1e-2))
    others: Any = replace(artifact, value=table.assign(source_neuron=(table["source_neuron"] + 1) % MLP))
    assert ENTROPY_BELOW.comparison(work, CASE, (artifact,), (artifact,)).agrees
    assert not ENTROPY_BELOW.comparison(work, CASE, (artifact,), (moved,)).agrees
    assert not ENTROPY_BELOW.comparison(work, CASE, (artifact,), (others,)).agrees
