from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from universal_neurons.measures.excess import excess_correlation, with_excess


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_excess_is_the_difference_in_the_precision_of_the_scores(dtype: npt.DTypeLike) -> None:
    correlation, baseline = np.array([0.7, 0.3, -0.1], dtype=dtype), np.array([0.2, 0.4, 0.1], dtype=dtype)
    excess = excess_correlation(correlation, baseline)
    assert excess.dtype == dtype
    np.testing.assert_array_equal(excess, correlation - baseline)


def test_a_neuron_without_correlation_or_baseline_has_no_excess() -> None:
    excess = excess_correlation(np.array([np.nan, 0.5, 0.5]), np.array([0.2, np.nan, 0.2]))
    np.testing.assert_array_equal(np.isnan(excess), [True, True, False])


def test_a_table_gets_an_excess_for_all_tokens_and_for_each_half_of_them() -> None:
    parts = {"": 0.5, "_half_a": 0.25, "_half_b": 0.75}
    columns = {f"correlation{part}": np.array([value, np.nan], dtype=np.float32) for part, value in parts.items()}
    baselines = {f"baseline{part}": np.full(2, 0.125, dtype=np.float32) for part in parts}
    frame = with_excess(pd.DataFrame({**columns, **baselines}))
    for part, value in parts.items():
        assert frame[f"excess{part}"].dtype == np.float32
        np.testing.assert_array_equal(frame[f"excess{part}"], [np.float32(value - 0.125), np.nan])
    assert list(frame.columns[-3:]) == ["excess", "excess_half_a", "excess_half_b"]
