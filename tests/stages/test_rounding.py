"""Rounding is measured: it is nothing to a neuron that is on, and nearly everything to one that never is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.miniature import NEVER_ON, with_a_neuron_that_is_never_on
from universal_neurons.stages.rounding import distances, distances_under_variants
from universal_neurons.stages.token_masks import settings

if TYPE_CHECKING:
    import pytest

    from tests.miniature import Miniature


def test_a_neuron_that_is_never_on_stands_out(computed: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    with_a_neuron_that_is_never_on(monkeypatch, "a")
    work = computed.workspace()
    found = distances(work, work.model("a", 30))
    assert found.shape == (48,)
    assert found[NEVER_ON] > 0.01
    assert np.delete(found, NEVER_ON).max() < 5e-5
    assert distances(work, work.model("b", 30)).max() < 5e-5


def test_every_variant_is_measured_on_its_own_tokens(computed: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    with_a_neuron_that_is_never_on(monkeypatch, "a")
    work = computed.workspace()
    model, wanted = work.model("a", 30), settings(work)
    found = distances_under_variants(work, model)
    assert found.shape == (len(wanted), 48)
    own_tokens = [one.mask == "own" for one in wanted]
    assert any(own_tokens)
    # Sums over classes of tokens are added up in another order, so the last bits differ.
    np.testing.assert_allclose(found[own_tokens], np.stack([distances(work, model)] * sum(own_tokens)), atol=1e-6)
    assert (found[:, NEVER_ON] > 0.01).all()
    assert np.ptp(found[:, NEVER_ON]) > 0
    assert np.delete(found, NEVER_ON, axis=1).max() < 5e-5


def test_a_model_is_measured_once(computed: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    work = computed.workspace()
    first = distances(work, work.model("a", 30)), distances_under_variants(work, work.model("a", 30))
    monkeypatch.setattr("universal_neurons.stages.rounding.loaded", None)
    again = distances(work, work.model("a", 30)), distances_under_variants(work, work.model("a", 30))
    assert first[0] is again[0]
    assert first[1] is again[1]
