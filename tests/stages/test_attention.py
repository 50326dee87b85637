"""The heads of the miniature models, and the neurons that are taken out of their queries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.refusals import refusal
from universal_neurons.core.attention import AttentionModel, head_statistics, path_effects
from universal_neurons.stages.attention import HEADS, POINTS, ROLES, ROWS, SCORED
from universal_neurons.stages.base import Case
from universal_neurons.stages.models import ModelNotFinite
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    from tests.miniature import Miniature
    from universal_neurons.measures.attention import AttentionTables
    from universal_neurons.stages.workspace import Workspace

CASE = Case(30, "b")


@pytest.fixture(scope="module")
def tables(computed: Miniature) -> AttentionTables:
    found: AttentionTables = computed.study().table("heads", model="b")
    return found


@pytest.fixture(scope="module")
def model(work: Workspace) -> tuple[AttentionModel, Any, int]:
    """The model with its clean run over the rows, and the first tested position."""
    rows = torch.from_numpy(token_set(work).rows[:ROWS].astype(np.int64))
    attention = AttentionModel.of(work.zoo.load(work.model("b", 30)), positions=rows.shape[1])
    return attention, attention.run(rows), rows.shape[1] // 2


def test_there_is_a_row_per_head_and_a_neuron_of_every_role_for_each_above_the_first_layer(
    tables: AttentionTables,
) -> None:
    assert tables.heads[["layer", "head"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert tables.paths[["layer", "head"]].drop_duplicates().to_numpy().tolist() == [[1, 0], [1, 1]]
    assert tables.paths_of(1, 1, "top").shape[0] == SCORED
    assert tables.paths[tables.paths["head"] == 0]["role"].tolist() == list(ROLES)
    assert len(tables.points) == 2 * 2 * POINTS
    assert (tables.paths["source_layer"] == 0).all()


def test_heads_are_described_by_their_attention_and_the_tails_of_scores(
    tables: AttentionTables, model: tuple[AttentionModel, Any, int]
) -> None:
    attention, runs, first = model
    statistics = head_statistics(attention.layers[1], runs[1], first=first)
    w_out = attention.model.output_weights(0).double()
    w_out = w_out - w_out.mean(1, keepdim=True)
    unit = w_out / torch.linalg.vector_norm(w_out, dim=1, keepdim=True)
    found = tables.heads[tables.heads["layer"] == 1]
    np.testing.assert_allclose(found["to_first"], statistics.to_first, rtol=1e-4)
    for name in ("raw", "relative"):
        scores = (unit @ getattr(statistics, name).T).numpy()
        np.testing.assert_allclose(found[f"{name}_kurtosis"], stats.kurtosis(scores, fisher=False), rtol=1e-3)
    assert tables.heads["relative_kurtosis"][:2].isna().all()


def test_every_path_is_the_ablation_of_its_neuron_alone(
    tables: AttentionTables, model: tuple[AttentionModel, Any, int]
) -> None:
    attention, runs, first = model
    w_out = attention.model.output_weights(0)
    for row in tables.paths[tables.paths["role"] != "planted"].iloc[::9].to_dict("records"):
        neuron = row["source_neuron"]
        activation = runs[0].activations[:, first:, neuron][None]
        effects = path_effects(attention.layers[1], runs[1], row["head"], activation, w_out[neuron][None], first=first)
        v, change, norm = (one.flatten().double().numpy() for one in (activation, effects.attention, effects.norm))
        assert row["active"] == (v > 0).sum()
        expected = {
            "r_activation_attention": np.corrcoef(v, change)[0, 1],
            "r_attention_norm": np.corrcoef(change, norm)[0, 1],
            "r_activation_norm": np.corrcoef(v, norm)[0, 1],
            "effect": (v * change).sum() / (v * v).sum() / float(torch.linalg.vector_norm(w_out[neuron])),
            "mean_attention": change.mean(),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(row[name], value, rtol=1e-2, atol=1e-3 * abs(value) + 1e-8, err_msg=name)


def test_top_neurons_have_the_largest_scores_and_matched_ones_their_layers(tables: AttentionTables) -> None:
    for head in (0, 1):
        top, bottom = (tables.paths_of(1, head, role)["relative"] for role in ("top", "bottom"))
        rest = tables.paths_of(1, head, "random").query("active >= 20")["relative"]
        assert top.is_monotonic_decreasing
        assert bottom.is_monotonic_increasing
        assert top.iloc[0] >= rest.max()
        assert bottom.iloc[0] <= rest.min()
        matched = tables.paths_of(1, head, "matched")
        scored = [*tables.paths_of(1, head, "top")["source_layer"], *tables.paths_of(1, head, "bottom")["source_layer"]]
        assert matched["source_layer"].tolist() == scored


def test_a_planted_neuron_has_a_larger_score_than_any_other(tables: AttentionTables) -> None:
    for head in (0, 1):
        planted = tables.paths_of(1, head, "planted")["relative"].iloc[0]
        assert planted > tables.paths[tables.paths["head"] == head]["relative"][:-1].abs().max()


def test_points_are_of_the_first_top_and_the_first_bottom_neuron(
    tables: AttentionTables, model: tuple[AttentionModel, Any, int]
) -> None:
    _, runs, first = model
    for role in ("top", "bottom"):
        neuron = tables.paths_of(1, 0, role)["source_neuron"].iloc[0]
        points = tables.points[(tables.points["head"] == 0) & (tables.points["role"] == role)]
        known = runs[0].activations[:, first:, neuron].flatten().numpy()
        nearest = np.abs(known[None] - points["activation"].to_numpy()[:, None]).min(1)
        assert nearest.max() <= 2e-3 * np.abs(known).max()


@pytest.mark.parametrize(("part", "name"), [(0, "to_first"), (0, "relative_kurtosis"), (1, "relative"), (1, "effect")])
def test_a_difference_beyond_the_tolerance_is_seen(work: Workspace, part: int, name: str) -> None:
    artifacts = [work.store.read(key) for key in HEADS.keys(work, CASE)]
    stored = tuple(artifact for artifact in artifacts if artifact is not None)
    table = stored[part].table
    changed: Any = replace(stored[part], value=table.assign(**{name: table[name] * 1.05 + 1e-2}))
    assert HEADS.comparison(work, CASE, stored, stored).agrees
    again = (*stored[:part], changed, *stored[part + 1 :])
    assert not HEADS.comparison(work, CASE, stored, again).agrees


def test_a_model_whose_activations_are_not_finite_is_named(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = work.zoo.load(work.model("b", 30))
    with torch.no_grad():
        damaged.blocks[1].mlp.b_in[5] = torch.inf
    monkeypatch.setattr("universal_neurons.stages.attention.loaded", lambda *_: damaged)
    said = refusal(ModelNotFinite, lambda: HEADS.compute(work, CASE))
    assert said.startswith("model b at step 30, layer 1: activations are not finite")
