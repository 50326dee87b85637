"""Effects of the miniature models' last layer against forward passes with hooks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.refusals import refusal
from universal_neurons.measures.entropy import CLAMPS
from universal_neurons.stages.base import Case
from universal_neurons.stages.entropy import CANDIDATES, DIRECTIONS, ENTROPY, OTHERS, PLANTED, RANDOM, ROWS
from universal_neurons.stages.models import ModelNotFinite
from universal_neurons.stages.tokens import evaluation_tokens, token_set

if TYPE_CHECKING:
    from torch import Tensor

    from tests.miniature import Miniature
    from universal_neurons.measures.entropy import EntropyTables
    from universal_neurons.stages.workspace import Workspace

CASE, WIDTH, MLP = Case(30, "c"), 16, 24


@pytest.fixture(scope="module")
def tables(computed: Miniature) -> EntropyTables:
    found: EntropyTables = computed.study().table("entropy", model="c")
    return found


@pytest.fixture(scope="module")
def rows(work: Workspace) -> Tensor:
    return torch.from_numpy(evaluation_tokens(work).rows[:ROWS].astype(np.int64))


def log_probabilities(work: Workspace, rows: Tensor, neuron: int | None = None, value: float = 0.0) -> Tensor:
    """Of the backend's model (token vocab), with an activation of the last layer at a value."""
    bridge = work.zoo.load(work.model("c", 30))

    def fixed(values: Tensor, hook: Any) -> Tensor:
        changed = values.clone()
        changed[..., neuron] = value
        return changed

    hooks: Any = [] if neuron is None else [("blocks.1.mlp.hook_post", fixed)]
    with torch.no_grad():
        logits: Tensor = bridge.run_with_hooks(rows, fwd_hooks=hooks)
    return logits[:, :-1].flatten(0, 1).double().log_softmax(-1)


def entropy(log_probability: Tensor) -> Tensor:
    return -(log_probability.exp() * log_probability).sum(-1)


def test_there_is_a_row_per_neuron_and_direction(tables: EntropyTables) -> None:
    counts = tables.neurons["kind"].value_counts().to_dict()
    assert counts == {"neuron": MLP, "random": RANDOM, "planted": PLANTED, "direction": DIRECTIONS}
    assert tables.neurons["source"][:MLP].tolist() == list(range(MLP))
    assert tables.of("neuron").notna().to_numpy().all()
    assert len(tables.clamps) == (CANDIDATES + OTHERS + 1) * len(CLAMPS)


def test_mean_ablation_is_that_of_a_hooked_forward_pass(tables: EntropyTables, work: Workspace, rows: Tensor) -> None:
    bridge = work.zoo.load(work.model("c", 30))
    with torch.no_grad():
        _, cache = bridge.run_with_cache(rows, names_filter=["blocks.1.mlp.hook_post"])
    activations, clean = cache["blocks.1.mlp.hook_post"][:, :-1].flatten(0, 1), log_probabilities(work, rows)
    for neuron in (0, 9, 23):
        ablated = log_probabilities(work, rows, neuron, float(activations[:, neuron].mean()))
        change = entropy(ablated) - entropy(clean)
        row = tables.neurons.loc[neuron]
        target = rows[:, 1:].flatten()[:, None]
        assert row["total"] == pytest.approx(float(change.abs().mean()), rel=1e-2)
        assert row["entropy_change"] == pytest.approx(float(change.mean()), abs=2e-5)
        loss = float((clean.gather(1, target) - ablated.gather(1, target)).mean())
        assert row["loss_change"] == pytest.approx(loss, abs=2e-5)
        assert row["first_kept"] == pytest.approx(
            float((ablated.argmax(1) == clean.argmax(1)).double().mean()), abs=2 / len(clean)
        )


def test_clamps_are_those_of_a_hooked_forward_pass(tables: EntropyTables, work: Workspace, rows: Tensor) -> None:
    own = tables.clamps[tables.clamps["role"] != "planted"]
    assert own["value"].unique().tolist() == pytest.approx(list(CLAMPS))
    target = rows[:, 1:].flatten()[:, None]
    for row in own.iloc[[0, 7, 20, -1]].to_dict("records"):
        clamped = log_probabilities(work, rows, row["source"], float(row["value"]))
        rank = (clamped > clamped.gather(1, target)).sum(1) + 1
        assert row["entropy"] == pytest.approx(float(entropy(clamped).mean()), abs=1e-4)
        assert row["loss"] == pytest.approx(-float(clamped.gather(1, target).mean()), abs=1e-4)
        assert row["reciprocal_rank"] == pytest.approx(float((1 / rank).mean()), rel=1e-2)


def test_candidates_are_of_large_norm_and_have_the_least_variance_of_logits(tables: EntropyTables) -> None:
    neurons = tables.of("neuron").set_index("source")
    chosen = tables.clamps[["source", "role"]].drop_duplicates()
    candidates = chosen[chosen["role"] == "candidate"]["source"]
    others = chosen[chosen["role"] == "other"]["source"]
    assert neurons["logit_variance"][candidates].max() < neurons["logit_variance"][others].min()
    assert tables.candidate == neurons["logit_variance"][candidates].idxmin()
    assert neurons["norm"][[*candidates, *others]].min() >= neurons["norm"].quantile(0.45)


def test_a_planted_direction_lies_in_the_null_space_and_moves_logits_least(tables: EntropyTables) -> None:
    planted = tables.of("planted")
    np.testing.assert_allclose(planted["null_share"], 1.0, atol=1e-3)
    assert planted["logit_variance"].max() <= tables.neurons["logit_variance"].min() * 1.001


def test_frequencies_are_those_of_the_suites_tokens(tables: EntropyTables, work: Workspace) -> None:
    processed = work.zoo.load(work.model("c", 30))
    processed.enable_compatibility_mode(disable_warnings=True)
    counts = np.bincount(token_set(work).rows.flatten(), minlength=processed.W_U.shape[1])
    with torch.no_grad():
        logits = (processed.W_out[-1].double() @ processed.W_U.double()).numpy()[:, counts > 0]
    expected = [np.corrcoef(one, np.log(counts[counts > 0]))[0, 1] for one in logits]
    np.testing.assert_allclose(tables.of("neuron")["frequency_cosine"], expected, atol=1e-3)


@pytest.mark.parametrize(("part", "name"), [(0, "total"), (0, "null_share"), (1, "entropy")])
def test_a_difference_beyond_the_tolerance_is_seen(work: Workspace, part: int, name: str) -> None:
    artifacts = [work.store.read(key) for key in ENTROPY.keys(work, CASE)]
    stored = tuple(artifact for artifact in artifacts if artifact is not None)
    table = stored[part].table
    changed: Any = replace(stored[part], value=table.assign(**{name: table[name] * 1.05 + 1e-2}))
    assert ENTROPY.comparison(work, CASE, stored, stored).agrees
    again = (*stored[:part], changed, *stored[part + 1 :])
    assert not ENTROPY.comparison(work, CASE, stored, again).agrees


def test_a_model_whose_logits_are_not_finite_is_named(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged: Any = work.zoo.load(work.model("b", 30))
    with torch.no_grad():
        damaged.original_model.transformer.ln_f.bias[0] = torch.inf
    monkeypatch.setattr("universal_neurons.stages.entropy.loaded", lambda *_: damaged)
    assert refusal(ModelNotFinite, lambda: ENTROPY.compute(work, Case(30, "b"))).startswith(
        "model b at step 30, logits are not finite"
    )
