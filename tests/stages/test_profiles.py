"""Profiles of the miniature models are what hooks and whole matrices say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.refusals import refusal
from universal_neurons.core.activations import mlp_activations
from universal_neurons.core.weights import folded_weights
from universal_neurons.errors import UserError
from universal_neurons.measures.ablation_table import Quantity
from universal_neurons.measures.profiles import LEVELS, WINDOW
from universal_neurons.stages.base import Case
from universal_neurons.stages.models import ModelNotFinite
from universal_neurons.stages.profiles import PROFILES, compare_profiles, profiles
from universal_neurons.stages.runner import compute
from universal_neurons.stages.tokens import evaluation_tokens, token_set

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from tests.miniature import Miniature
    from universal_neurons.measures.profiles import NeuronProfiles
    from universal_neurons.stages.workspace import Workspace


@pytest.fixture(scope="module", params=["a", "c"])
def found(computed: Miniature, request: pytest.FixtureRequest) -> NeuronProfiles:
    return computed.study().profiles(model=request.param)


@pytest.fixture(scope="module")
def bridge(work: Workspace, found: NeuronProfiles) -> Any:
    return work.zoo.load(work.model(found.model, 30))


@pytest.fixture(scope="module")
def everywhere(work: Workspace, bridge: Any) -> npt.NDArray[np.float64]:
    """Activations (row, position, neuron), NaN where a token is not scored."""
    tokens = token_set(work)
    values = mlp_activations(bridge, torch.from_numpy(tokens.rows.astype(np.int64))).double().numpy()
    return np.where(tokens.mask[..., None], values, np.nan)


def test_a_profile_says_whose_it_is(found: NeuronProfiles, work: Workspace) -> None:
    assert (found.step, found.tokens, found.predictions) == (30, token_set(work).ref.sha256, 31)
    assert found.frame["layer"].tolist() == [0] * 24 + [1] * 24
    assert found.frame["neuron"].tolist() == [*range(24)] * 2


def test_distributions_are_those_of_all_scored_tokens(
    found: NeuronProfiles, everywhere: npt.NDArray[np.float64]
) -> None:
    values = everywhere.reshape(-1, 48)
    values = values[~np.isnan(values).any(axis=1)]
    expected = {
        "share_positive": (values > 0).mean(axis=0),
        "mean": values.mean(axis=0),
        "sd": values.std(axis=0),
        "skewness": stats.skew(values),
        "kurtosis": stats.kurtosis(values, fisher=False),
        "maximum": values.max(axis=0),
    }
    for name, column in expected.items():
        np.testing.assert_allclose(found.frame[name], column, rtol=3e-4, atol=1e-6, err_msg=name)
    for neuron in range(48):
        edges = np.linspace(-0.17, found.frame["maximum"][neuron], found.histogram.shape[1] + 1)
        counts, _ = np.histogram(values[:, neuron].clip(min=-0.17), edges)
        # The maximum is rounded when it is stored, so the last edge may cut off the largest value.
        assert abs(counts / len(values) - found.histogram[neuron]).max() < 0.05


def test_top_activations_are_found_again_at_their_places(
    found: NeuronProfiles, everywhere: npt.NDArray[np.float64]
) -> None:
    best = np.sort(np.nanmax(everywhere, axis=1), axis=0)[::-1][:4].T
    neurons = np.arange(48)[:, None]
    np.testing.assert_allclose(everywhere[found.top_row, found.top_position, neurons], best, rtol=1e-5)
    np.testing.assert_allclose(found.top_value, best, rtol=2e-3)
    assert all(len(set(rows)) == 4 for rows in found.top_row.tolist())


def test_samples_are_near_their_share_of_the_maximum(
    found: NeuronProfiles, everywhere: npt.NDArray[np.float64]
) -> None:
    values = everywhere.reshape(-1, 48)
    for level, share in enumerate(LEVELS):
        nearest = np.nanmin(abs(values - share * np.nanmax(values, axis=0)), axis=0)
        there = everywhere[found.below_row[:, level], found.below_position[:, level], np.arange(48)]
        np.testing.assert_allclose(abs(there - share * np.nanmax(values, axis=0)), nearest, atol=1e-6)
        np.testing.assert_allclose(found.below_value[:, level], there, rtol=2e-3, atol=1e-6)
        shade = np.clip(there / np.nanmax(values, axis=0), 0, 1)
        np.testing.assert_allclose(found.below_window[:, level, WINDOW[0]], shade, atol=0.04)


def test_tokens_are_those_of_the_largest_cosines(found: NeuronProfiles, bridge: Any) -> None:
    weights = folded_weights(bridge)
    unit = [side / side.norm(dim=1, keepdim=True) for side in (weights.w_out, weights.unembedding, weights.w_in)]
    cosine = (unit[0] @ unit[1].T).numpy()
    order = np.argsort(cosine, axis=1)
    np.testing.assert_array_equal(found.suppressed_token, order[:, :5])
    np.testing.assert_array_equal(found.promoted_token, order[:, ::-1][:, :5])
    np.testing.assert_allclose(found.promoted_cosine, np.sort(cosine, axis=1)[:, ::-1][:, :5], atol=1e-3)
    np.testing.assert_allclose(found.suppressed_cosine, np.sort(cosine, axis=1)[:, :5], atol=1e-3)
    expected = {
        "vocabulary_variance": cosine.var(axis=1),
        "vocabulary_skewness": stats.skew(cosine, axis=1),
        "vocabulary_kurtosis": stats.kurtosis(cosine, axis=1, fisher=False),
        "cos_in_out": (unit[0] * unit[2]).sum(1).numpy(),
        "input_bias": weights.b_in.numpy(),
        "w_in_norm": weights.w_in.norm(dim=1).numpy(),
        "w_out_norm": weights.w_out.norm(dim=1).numpy(),
    }
    for name, column in expected.items():
        np.testing.assert_allclose(found.frame[name], column, rtol=3e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("neuron", [0, 30, 47])
def test_effects_are_those_of_a_hook_that_sets_one_neuron_to_zero(
    found: NeuronProfiles, work: Workspace, bridge: Any, neuron: int
) -> None:
    rows = torch.from_numpy(evaluation_tokens(work).rows[:3].astype(np.int64))
    layer, place = divmod(neuron, 24)

    def zero(values: torch.Tensor, hook: Any) -> torch.Tensor:
        values[..., place] = 0
        return values

    ablated = bridge.run_with_hooks(rows, fwd_hooks=[(f"blocks.{layer}.mlp.hook_post", zero)])
    clean, changed = (logits[:, :-1].double().log_softmax(-1) for logits in (bridge(rows), ablated))
    kl = (clean.exp() * (clean - changed)).sum(-1).mean(1)
    loss = (clean - changed).gather(-1, rows[:, 1:, None])[..., 0].mean(1)
    np.testing.assert_allclose(found.kl[neuron], kl, rtol=2e-2, atol=1e-7)
    np.testing.assert_allclose(found.loss_increase[neuron], loss, rtol=2e-2, atol=1e-6)


def test_a_model_of_another_suite_has_no_profile(computed: Miniature) -> None:
    with pytest.raises(UserError, match="suite mini: profiles: expected one of a, b, c, got 'z'"):
        computed.study().profiles(model="z")
    assert computed.study().profiles().model == "a"


def test_a_model_whose_activations_are_not_finite_has_no_profile(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = work.model("b", 30)
    damaged = work.zoo.load(ref)
    with torch.no_grad():
        damaged.blocks[1].mlp.b_in[5] = torch.inf
    monkeypatch.setattr("universal_neurons.stages.profiles.loaded", lambda *_: damaged)
    said = refusal(ModelNotFinite, lambda: profiles(work, Case(30, "b")))
    assert said.startswith("model b at step 30, layer 1: activations are not finite")


def test_without_rows_no_neuron_is_ablated_alone_and_everything_else_is_there(brief: Miniature, tmp_path: Path) -> None:
    project = brief.copied(tmp_path / "project")
    project.replace("fixtures/suites/brief.toml", "ablation_rows = 3", "ablation_rows = 0")
    assert compute(project.workspace("brief"), [(PROFILES, Case(30, "b"))]) == 1
    found = [one.study("brief").profiles(model="b") for one in (brief, project)]
    assert found[1].kl.shape == found[1].loss_increase.shape == (48, 0)
    assert found[0].kl.shape == (48, 3)
    assert found[1].effect(Quantity.KL).isna().all(axis=None)
    assert not found[0].effect(Quantity.KL).isna().any(axis=None)
    np.testing.assert_array_equal(found[0].top_row, found[1].top_row)
    assert compare_profiles(found[1], found[1]).agrees
    assert not compare_profiles(found[0], found[1]).agrees
