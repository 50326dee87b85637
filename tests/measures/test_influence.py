from __future__ import annotations

import numpy as np

from universal_neurons.measures.influence import read_influence, stored_influence


def test_influences_survive_storage_up_to_the_rounding_of_half_precision() -> None:
    influence = np.random.default_rng(1).normal(0, 1e-4, (100, 7))
    stored = stored_influence(influence)
    assert stored.dtype == np.float16
    np.testing.assert_allclose(read_influence(stored), influence, rtol=1e-3, atol=1e-9)


def test_influences_too_small_for_half_precision_survive_because_they_are_scaled() -> None:
    tiny = np.full((100, 1), 1e-7)
    np.testing.assert_allclose(read_influence(stored_influence(tiny)), tiny, rtol=1e-2)
