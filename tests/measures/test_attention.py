"""Means over heads and models against direct calculation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.measures.attended import HEADS, LAYERS, Attended
from universal_neurons.measures.attention import (
    excess_kurtosis,
    kurtosis_ratio,
    loss_percentile,
    mean_over_models,
    score_and_effect,
    sink_norm_ratio,
    weakest_sign,
)

MODELS = {name: Attended().tables(name) for name in "abcd"}
TABLES = tuple(MODELS.values())


def test_the_interval_over_models_is_students_of_their_mean() -> None:
    values = [1.0, 2.0, 4.0, 3.5]
    found = mean_over_models(values, 0.95)
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert (found.value, found.n) == (float(np.mean(values)), 4)
    assert mean_over_models(values[:2], 0.95).is_missing
    assert mean_over_models([1.0, 2.0, float("nan")], 0.95).is_missing


def test_ratios_are_medians_over_all_heads() -> None:
    expected = [np.median(1 / one.heads["first_norm"]) for one in TABLES]
    assert sink_norm_ratio(TABLES).value == pytest.approx(np.mean(expected))


def test_tails_are_of_all_heads_above_the_first_layer_and_of_sink_heads_where_scores_are_relative() -> None:
    raw, relative = [], []
    for one in TABLES:
        heads = one.heads[one.heads["layer"] > 0]
        assert (len(heads), len(one.sinks)) == ((LAYERS - 1) * HEADS, (LAYERS - 1) * 2)
        raw.append((heads["raw_kurtosis"] - heads["random_kurtosis"]).median())
        relative.append(np.log(np.median(one.sinks["relative_kurtosis"] / one.sinks["random_kurtosis"])))
    assert excess_kurtosis(TABLES, "raw").value == pytest.approx(np.mean(raw))
    assert kurtosis_ratio(TABLES, "relative").value == pytest.approx(np.mean(relative))


def test_the_weakest_sign_is_the_smallest_of_three_of_the_first_neuron() -> None:
    for action, role, signs in (("deactivation", "top", (-1, -1, 1)), ("activation", "bottom", (1, -1, -1))):
        means = []
        for one in TABLES:
            weakest = []
            for head in one.sinks.to_dict("records"):
                row = one.paths_of(head["layer"], head["head"], role).iloc[0]
                names = ("r_activation_attention", "r_attention_norm", "r_activation_norm")
                weakest.append(min(sign * row[name] for sign, name in zip(signs, names, strict=True)))
            means.append(np.mean(weakest))
        found = weakest_sign(TABLES, action)  # type: ignore[arg-type]
        assert found.value == pytest.approx(np.mean(means))
        assert found.details["best"] >= found.details["highest"] >= found.value


def test_a_neuron_that_is_hardly_active_is_left_out() -> None:
    tables = [Attended().tables(name) for name in "abc"]
    for one in tables:
        one.paths.loc[one.paths["role"] == "top", "active"] = 19
    assert weakest_sign(tuple(tables), "deactivation").is_missing
    assert not weakest_sign(tuple(tables), "activation").is_missing


def test_scores_and_effects_are_compared_by_rank_within_heads() -> None:
    means = []
    for one in TABLES:
        values = []
        for head in one.sinks.to_dict("records"):
            rows = one.paths_of(head["layer"], head["head"], "random")
            values.append(stats.spearmanr(rows["relative"], rows["effect"]).statistic)
        means.append(np.mean(values))
    assert score_and_effect(TABLES).value == pytest.approx(np.mean(means))
    assert abs(score_and_effect(TABLES, seed=1).value) < 0.2


def test_losses_are_percentiles_in_layers_of_each_source_of_a_sink_head_once() -> None:
    losses = tuple(Attended().losses(name) for name in MODELS)
    means = []
    for table in losses:
        layer = table["loss"].to_numpy()[table["layer"] == 0]
        means.append(np.mean([100 * (np.mean(layer < own) + 0.5 / len(layer)) for own in layer[:2]]))
    assert loss_percentile(TABLES, losses, "top").value == pytest.approx(np.mean(means))
    none = tuple(Attended(sinks=0).tables(name) for name in MODELS)
    assert loss_percentile(none, losses, "top").is_missing
