from __future__ import annotations

import numpy as np

from universal_neurons.measures.arrays import ratio_or_nan


def test_a_ratio_to_nothing_is_not_a_number_and_warns_of_nothing() -> None:
    ratio = ratio_or_nan(np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([[2.0], [0.0]]))
    np.testing.assert_array_equal(ratio, [[0.5, 1.0], [np.nan, np.nan]])
