"""Agreement with published neurons, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy

from tests.claims.test_properties import LAST, TRUE
from tests.measures.tables import table
from universal_neurons.measures.published_neurons import (
    EQUAL,
    agreeing_weights,
    same_universal_neurons,
    slope_on_published_excess,
)
from universal_neurons.measures.tables import ReferenceTables

LAYER = np.repeat([0, 2], 4)
EXCESS = np.array([0.7, 0.1, 0.6, 0.2, 0.1, 0.8, 0.3, 0.9])
TABLES = ReferenceTables.of([table(EXCESS, layer=LAYER)])


def rows(layer: list[int], neuron: list[int], **columns: list[float]) -> dict[str, Any]:
    return {
        name: np.array(values, dtype=float) for name, values in {"layer": layer, "neuron": neuron, **columns}.items()
    }


def test_recall_and_precision_are_shares_of_theirs_and_of_ours() -> None:
    # Ours: L0.0, L0.2, L2.1, L2.3; two of their three are among them.
    found = same_universal_neurons(TABLES, rows([0, 2, 2], [0, 1, 0]), 0.5)
    assert (found.details["recall"], found.details["precision"], found.value) == (2 / 3, 0.5, 0.5)
    assert same_universal_neurons(TABLES, rows([0], [0]), 0.95).is_missing


def test_the_slope_is_least_squares_of_ours_on_theirs() -> None:
    theirs = [0.55, 0.9, 0.75, 0.95]
    found = slope_on_published_excess(TABLES, rows([0, 0, 2, 2], [2, 0, 1, 3], excess_corr=theirs))
    ours = [0.6, 0.7, 0.8, 0.9]
    fitted = scipy.stats.linregress(theirs, ours)
    assert found.value == pytest.approx(fitted.slope, rel=1e-6)
    assert found.high - found.low == pytest.approx(2 * scipy.stats.t.ppf(0.975, 2) * fitted.stderr, rel=1e-5)
    assert found.details["rmse"] == pytest.approx(np.sqrt(np.mean((np.array(theirs) - ours) ** 2)), rel=1e-6)
    assert slope_on_published_excess(TABLES, rows([0, 2], [0, 1], excess_corr=[0.6, 0.7])).is_missing


def test_neurons_that_the_model_lacks_are_refused() -> None:
    for layer, neuron in ((1, 0), (0, 4), (2, -1)):
        with pytest.raises(ValueError, match="neurons that the model does not have"):
            same_universal_neurons(TABLES, rows([layer], [neuron]), 0.5)


@pytest.mark.parametrize(("error", "share"), [(0.5 * EQUAL, 1.0), (2 * EQUAL, 0.0)])
def test_a_statistic_is_equal_within_one_part_in_ten_thousand(error: float, share: float) -> None:
    study = replace(TRUE, error=error)
    properties = study.table("properties", checkpoint=LAST)
    found = agreeing_weights(properties, study.published_neurons(checkpoint=LAST), level=0.95)
    assert found.value == pytest.approx(share, abs=0.3)
    assert max(found.details.values()) == pytest.approx(error, rel=1e-3)


def test_one_wrong_statistic_of_a_neuron_is_enough() -> None:
    properties, published = TRUE.table("properties", checkpoint=LAST), TRUE.published_neurons(checkpoint=LAST)
    published["vocab_skew"][0] += 1
    found = agreeing_weights(properties, published, level=0.95)
    assert found.value == 1 - 1 / found.n
