"""Shares, contrasts and medians of prediction neurons against direct counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.measures.written import LAYER, Written
from universal_neurons.errors import NotOnSuite
from universal_neurons.measures.predictions import (
    dealt_last_layer_contrast,
    last_layer_contrast,
    median_auc,
    neuron_roles,
    planted_share,
    roles_by_layer,
    smallest_rise,
    suppression_shift,
)

UNIVERSAL = np.random.default_rng(1).random(len(LAYER)) < 0.05
TABLES = Written().tables("a", UNIVERSAL)
OWN = TABLES.writing()


def test_a_threshold_is_the_value_that_one_random_direction_in_a_thousand_exceeds() -> None:
    assert (TABLES.directions["kurtosis"] > OWN.threshold).mean() == pytest.approx(0.001, abs=3e-4)
    assert TABLES.writing(bound=11.0).threshold == 11.0
    # Permuted neurons are compared with the threshold of the neurons as they are.
    assert TABLES.writing("permuted_").threshold == OWN.threshold


def test_the_smallest_rise_is_that_of_quarters_counted_one_by_one() -> None:
    sharp = (TABLES.neurons["kurtosis"] > OWN.threshold).to_numpy()
    shares = [sharp[quarter == LAYER // 2].mean() for quarter in range(4)]
    found = smallest_rise(OWN)
    assert found.value == pytest.approx(min(shares[2] - shares[1], shares[3] - shares[2]))
    assert [found.details[f"quarter_{number}"] for number in (1, 2, 3, 4)] == pytest.approx(shares)
    assert found.low < found.value < found.high


def test_four_layers_are_a_quarter_each_and_fewer_have_none() -> None:
    assert (replace(OWN, layer=LAYER // 2).quarter == LAYER // 2).all()
    with pytest.raises(NotOnSuite, match="at least 4 layers"):
        _ = replace(OWN, layer=np.minimum(LAYER, 2)).quarter


def test_the_shift_is_a_difference_of_shares_of_all_models_together() -> None:
    other = Written(suppression=0.3).tables("b", UNIVERSAL).writing()
    found = suppression_shift((OWN, other))
    negative, last = [], []
    for one in (OWN, other):
        chosen = one.is_sharp & (one.layer >= 6)
        negative.append(one.skewness[chosen] < 0)
        last.append(one.layer[chosen] == 7)
    flags, is_last = np.concatenate(negative), np.concatenate(last)
    assert found.value == pytest.approx(flags[is_last].mean() - flags[~is_last].mean())
    assert (found.details["n_before"], found.details["n_last"]) == ((~is_last).sum(), is_last.sum())
    dealt = suppression_shift((OWN, other), seed=1)
    assert dealt.value != found.value
    assert dealt.n == found.n


def test_the_contrast_of_the_last_layer_is_counted_there_only() -> None:
    found = last_layer_contrast((OWN,), (UNIVERSAL,))
    own, others = OWN.is_sharp[UNIVERSAL & OWN.is_last], OWN.is_sharp[~UNIVERSAL & OWN.is_last]
    assert found.value == pytest.approx(own.mean() - others.mean())
    nobody = np.zeros_like(UNIVERSAL)
    assert last_layer_contrast((OWN,), (nobody,)).is_missing
    assert dealt_last_layer_contrast((OWN,), (nobody,)).is_missing


def test_of_two_hundred_dealings_a_tenth_are_larger() -> None:
    dealt = dealt_last_layer_contrast((OWN,), (UNIVERSAL,))
    assert -0.2 < dealt.low < dealt.value < last_layer_contrast((OWN,), (UNIVERSAL,)).value


@pytest.mark.parametrize("role", ["prediction", "suppression"])
def test_the_median_area_is_of_the_last_quarter_and_of_defined_ones(role: str) -> None:
    assert role in ("prediction", "suppression")
    chosen = OWN.role(role) & (LAYER >= 6)  # type: ignore[arg-type]
    found = median_auc((OWN,), role)  # type: ignore[arg-type]
    assert found.n == chosen.sum()
    assert found.value == pytest.approx(np.median(OWN.auc[chosen]))
    assert found.details["share"] == pytest.approx((OWN.auc[chosen] > 0.5).mean())


def test_planted_neurons_count_where_their_sign_is_right() -> None:
    planted = TABLES.planted_writing()
    right = (planted.skewness > 0) == (np.arange(len(planted.layer)) % 2 == 0)
    assert planted_share(planted).value == pytest.approx((planted.is_sharp & right).mean())


def test_roles_by_layer_add_up_and_agree_with_those_of_single_neurons() -> None:
    roles, single = roles_by_layer({"a": OWN}), neuron_roles(TABLES)
    assert roles["neurons"].sum() == len(LAYER)
    for name in ("prediction", "suppression", "partition"):
        counted = single[single["role"] == name].groupby("layer").size()
        assert roles.set_index("layer")[name][counted.index].tolist() == counted.tolist()
    assert set(single["role"]) <= {"", "prediction", "suppression", "partition"}
