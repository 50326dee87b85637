"""Statistics of explanations are what whole arrays and scipy say of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from universal_neurons.measurement import Over
from universal_neurons.measures.families import (
    ANY,
    ELSEWHERE,
    EXPLAINED_BY,
    Explanations,
    about_their_domain,
    carried_letters,
    depth_of,
    depth_of_unigrams,
    early_share,
    lead_of_unigrams,
    quarters_beyond_tokens,
    share_difference,
    with_directions,
)
from universal_neurons.measures.intervals import wilson
from universal_neurons.measures.labels import Labels, packed
from universal_neurons.measures.properties import Ranking, percentiles_in_layers

LAYERS, WIDTH = 4, 50
LAYER, NEURON = np.repeat(np.arange(LAYERS), WIDTH), np.tile(np.arange(WIDTH), LAYERS)
FAMILIES = ("unigram", "predicate", "syntax", "domain", "previous")
LABELS = pd.DataFrame(
    {
        "name": ["a", "b", ";", "the", "all_caps", "string", "pile", "a"],
        "family": ["unigram"] * 4 + list(FAMILIES[1:]),
        "of": ["token"] * 5 + ["place", "domain", "previous token"],
    }
)


def table(**columns: Any) -> Explanations:
    made: dict[str, Any] = {f"{name}_share{end}": 0.0 for name in EXPLAINED_BY for end in ("", f"_{ELSEWHERE}")}
    for family in (*FAMILIES, ANY):
        made |= {f"{family}_label": 0, f"{family}_{ELSEWHERE}": 0.0, f"{family}_first": 0.0, f"{family}_second": 0.0}
    made[f"{ANY}_label_{ELSEWHERE}"] = 0
    frame = pd.DataFrame({"layer": LAYER, "neuron": NEURON, **(made | columns)})
    carried = pd.DataFrame({"label": [], "layer": [], "number": [], "score": []}).astype(int)
    return Explanations("a", 1, frame, frame.iloc[:3], carried, LABELS, FAMILIES, 0.95)


def ranking(values: Any, universal: Any) -> Ranking:
    values = np.asarray(values, dtype=np.float64)
    return Ranking(LAYER, values, percentiles_in_layers(LAYER, values), universal, {}, 0.95)


def test_a_score_is_the_mean_of_both_halves() -> None:
    found = table(unigram_first=0.2, unigram_second=0.6)
    assert set(found.score("unigram")) == {0.4}


def test_a_neuron_without_a_label_is_of_no_family() -> None:
    labels = np.where(NEURON == 0, -1, 4)
    assert table(any_label=labels).family().tolist() == ["" if n == 0 else "predicate" for n in NEURON]


def test_the_difference_of_shares_is_matched_by_layer() -> None:
    dice = np.random.default_rng(0)
    universal = dice.random(len(LAYER)) < 0.2
    values = (dice.random(len(LAYER)) < np.where(universal, 0.7, 0.1 * LAYER)).astype(float)
    found = share_difference({"a": ranking(values, universal)})
    weights = [np.mean(LAYER[universal] == layer) for layer in range(LAYERS)]
    shares = [values[(layer == LAYER) & ~universal].mean() for layer in range(LAYERS)]
    assert found.value == pytest.approx(values[universal].mean() - np.dot(weights, shares))
    assert found.details == pytest.approx({"universal": values[universal].mean(), "others": np.dot(weights, shares)})
    assert found.low < found.value < found.high
    assert (found.n, found.over) == (int(universal.sum()), Over.NEURONS)


def test_of_one_layer_it_is_newcombes_interval() -> None:
    universal, values = NEURON < 10, (NEURON % 3 == 0).astype(float)
    one = ranking(values, universal).kept(LAYER == 0)
    found = share_difference({"a": one})
    # Method 10 of Newcombe 1998, as statsmodels and others have it.
    (p, (low, high)), (q, (below, above)) = (
        (one.value[flags].mean(), wilson(int(one.value[flags].sum()), int(flags.sum()), level=0.95))
        for flags in (one.universal, ~one.universal)
    )
    assert found.low == pytest.approx(p - q - np.hypot(p - low, above - q))
    assert found.high == pytest.approx(p - q + np.hypot(high - p, q - below))


def test_the_interval_covers_what_it_should() -> None:
    dice, covered = np.random.default_rng(1), 0
    for _ in range(400):
        universal = dice.random(len(LAYER)) < 0.2
        values = (dice.random(len(LAYER)) < np.where(universal, 0.3, 0.05)).astype(float)
        found = share_difference({"a": ranking(values, universal)})
        covered += found.low <= 0.25 <= found.high
    assert 0.92 < covered / 400 < 0.99


@pytest.mark.parametrize("universal", [NEURON < 0, NEURON >= 0])
def test_without_a_group_there_is_no_difference(universal: Any) -> None:
    assert share_difference({"a": ranking(np.ones(len(LAYER)), universal)}).is_missing


def test_directions_stand_in_the_place_of_universal_neurons() -> None:
    model = ranking(np.zeros(len(LAYER)), NEURON < 5)
    found = with_directions(model, np.array([0, 3]), np.array([1.0, 1.0]))
    assert len(found.layer) == LAYERS * (WIDTH - 5) + 2
    assert found.value[found.universal].tolist() == [1.0, 1.0]
    assert share_difference({"a": found}).value == 1.0


def test_unigrams_lead_by_the_share_of_the_next_family() -> None:
    explained = NEURON < 10
    label = np.where(NEURON < 6, 3, np.where(NEURON < 9, 4, 5))
    found = lead_of_unigrams(table(any_label=label, any_first=1.0 * explained, any_second=1.0 * explained))
    assert found.value == pytest.approx(0.6 - 0.3)
    assert found.n == 40
    low, high = wilson(24, 36, level=0.95)
    assert (found.low, found.high) == pytest.approx((0.9 * (2 * low - 1), 0.9 * (2 * high - 1)))
    assert found.details == pytest.approx(
        {"unigram": 0.6, "predicate": 0.3, "syntax": 0.1, "domain": 0.0, "previous": 0.0, "explained": 40.0}
    )
    assert lead_of_unigrams(table()).is_missing


def test_the_depth_of_unigrams_has_students_interval() -> None:
    chosen = (LAYER < 3) & (NEURON < LAYER + 2)
    made = table(any_label=3, any_first=1.0 * chosen, any_second=1.0 * chosen)
    depth, found = (LAYER[chosen] + 0.5) / LAYERS, depth_of_unigrams(made)
    expected = stats.t.interval(0.95, len(depth) - 1, depth.mean(), stats.sem(depth))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.details == {"layer_0": 2.0, "layer_1": 3.0, "layer_2": 4.0, "layer_3": 0.0}
    assert depth_of_unigrams(table()).is_missing


def test_a_letter_is_carried_by_a_universal_neuron_above_the_score() -> None:
    made = table()
    pairs = {"label": [0, 1, 1, 2, 7], "layer": [0, 1, 2, 0, 0], "number": [3, 4, 5, 3, 3]}
    scores = {"score": [0.5, 0.37, 0.9, 0.8, 0.9]}
    made = replace(made, carried=pd.DataFrame(pairs | scores))
    universal = ((LAYER == 0) & (NEURON == 3)) | ((LAYER == 1) & (NEURON == 4))
    letters, others = carried_letters(made, universal), carried_letters(made, universal, others=True)
    assert (letters.value, letters.n, letters.over) == (1.0, 26, Over.LABELS)
    assert (letters.low, letters.high) == pytest.approx([26 * end for end in wilson(1, 26, level=0.95)])
    assert (others.value, others.n) == (26.0, 1)


@pytest.mark.parametrize("by", ["previous", "position"])
def test_neurons_that_are_explained_early(by: str) -> None:
    share = np.where((LAYER < 2) & (NEURON < 3), 0.6, 0.1)
    made = table(**{f"{by}_share": share, f"{by}_share_{ELSEWHERE}": 1.0 - share})
    assert depth_of(made, by).value == 0.25
    assert depth_of(made, by).details["layer_1"] == 3.0
    assert early_share([made, made], by, 0.25).value == 0.5
    assert early_share([made], by, 0.25, elsewhere=True).value == pytest.approx((WIDTH - 3) / (LAYERS * WIDTH - 6))
    assert depth_of(table(), by).is_missing
    assert early_share([table()], by, 0.25).is_missing


def test_syntax_beyond_tokens_is_that_of_the_third_best_quarter() -> None:
    count = np.array([9, 0, 4, 7])[LAYER]
    syntax, token = np.where(count > NEURON, 0.4, 0.0), np.where(NEURON == 0, 0.35, 0.1)
    made = table(syntax_first=syntax, syntax_second=syntax, predicate_first=token, predicate_second=token)
    found = quarters_beyond_tokens(made)
    # The first neuron of each layer is explained by its token nearly as well.
    assert found.value == 3 / WIDTH
    assert found.details == {"quarter_1": 8.0, "quarter_2": 0.0, "quarter_3": 3.0, "quarter_4": 6.0}
    # Quarters are compared by their shares: of 10 neurons 3 are more than 6 of 50.
    few = made.frame[(made.frame["layer"] != 2) | (np.arange(LAYERS * WIDTH) % WIDTH < 10)]
    assert quarters_beyond_tokens(replace(made, frame=few)).value == 6 / WIDTH
    assert quarters_beyond_tokens(replace(made, families=("unigram", "predicate"))).is_missing
    assert quarters_beyond_tokens(replace(made, frame=made.frame[made.frame["layer"] < 3])).is_missing


def test_neurons_about_their_domain_are_counted_among_universal_ones() -> None:
    score = np.where(NEURON < 4, 0.3, 0.25)
    made, universal = table(domain_first=score, domain_second=score), NEURON < 10
    found = about_their_domain([made, made], [universal, universal])
    assert (found.value, found.n) == (0.4, 80)
    assert found.details == pytest.approx({"others": 0.0, "largest": 0.3})
    assert about_their_domain([made], [NEURON < 0]).is_missing
    assert about_their_domain([replace(made, families=("unigram",))], [universal]).is_missing


def test_labels_name_the_token_before_and_unpack_their_bits() -> None:
    flags = np.random.default_rng(2).random((3, 13)) < 0.5
    frame = LABELS.assign(row=[0, 1, 2, 0, 1, 0, 0, 2])
    labels = Labels(frame, {"token": packed(flags), "place": packed(flags)}, {"token": 13, "place": 13})
    assert [labels.name(number) for number in (-1, 0, 2, 7)] == ["", "a", ";", "prev_a"]
    np.testing.assert_array_equal(labels.flags("token"), flags[[0, 1, 2, 0, 1]])
    np.testing.assert_array_equal(labels.flags("previous token"), flags[[2]])
    assert len(labels) == 8
