"""What is stored of profiles comes back to the precision that is promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from universal_neurons.artifacts.codec import decode, encode
from universal_neurons.measures.ablation_table import Quantity
from universal_neurons.measures.profiles import (
    LEVELS,
    WINDOW,
    NeuronProfiles,
    coded_shares,
    rounded,
    share_codes,
    stored_profiles,
)

if TYPE_CHECKING:
    import numpy.typing as npt

NEURONS, TOP, BINS, SHOWN, BLOCKS = 30, 3, 12, 4, 5


def arrays() -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 40, (NEURONS, BINS)) ** 2
    cosines = np.sort(rng.uniform(-1, 1, (NEURONS, 2 * SHOWN)), axis=1)
    return {
        "top_row": rng.integers(0, 200_000, (NEURONS, TOP)),
        "top_position": rng.integers(0, 1024, (NEURONS, TOP)),
        "top_value": -np.sort(-rng.gamma(2, 3, (NEURONS, TOP)), axis=1),
        "top_window": rng.random((NEURONS, TOP * (sum(WINDOW) + 1))),
        "below_row": rng.integers(0, 200_000, (NEURONS, len(LEVELS))),
        "below_position": rng.integers(0, 1024, (NEURONS, len(LEVELS))),
        "below_value": rng.gamma(2, 3, (NEURONS, len(LEVELS))),
        "below_window": rng.random((NEURONS, len(LEVELS) * (sum(WINDOW) + 1))),
        "histogram": counts / counts.sum(axis=1, keepdims=True),
        "promoted_token": rng.integers(0, 50_257, (NEURONS, SHOWN)),
        "promoted_cosine": cosines[:, : -SHOWN - 1 : -1],
        "suppressed_token": rng.integers(0, 50_257, (NEURONS, SHOWN)),
        "suppressed_cosine": cosines[:, :SHOWN],
        "kl": np.exp(rng.normal(-9, 3, (NEURONS, BLOCKS))),
        "loss_increase": rng.normal(0, 1e-3, (NEURONS, BLOCKS)),
    }


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    names = ("mean", "kurtosis", "maximum")
    numbers = {name: np.exp(rng.normal(0, 4, NEURONS)).astype(np.float32) for name in names}
    layers, neurons = np.arange(NEURONS) // 10, np.arange(NEURONS) % 10
    return pd.DataFrame({"layer": layers.astype(np.int16), "neuron": neurons.astype(np.int32), **numbers})


def profiles(table: pd.DataFrame | None = None) -> NeuronProfiles:
    stored = stored_profiles(frame(), arrays()) if table is None else table
    return NeuronProfiles.from_table(stored, model="a", step=7, tokens="0f", predictions=127, level=0.9)


def test_what_is_stored_comes_back_to_the_stated_precision() -> None:
    suffix, content = encode(stored_profiles(frame(), arrays()))
    table = decode(suffix, content)
    assert isinstance(table, pd.DataFrame)
    found, expected = profiles(table), arrays()
    for name in ("top_row", "top_position", "below_row", "below_position", "promoted_token", "suppressed_token"):
        np.testing.assert_array_equal(getattr(found, name), expected[name])
    for of in ("top", "below"):
        window = expected[f"{of}_window"].reshape(NEURONS, -1, sum(WINDOW) + 1)
        np.testing.assert_allclose(getattr(found, f"{of}_window"), window, rtol=0, atol=1 / 30 + 1e-9)
        np.testing.assert_allclose(getattr(found, f"{of}_value"), expected[f"{of}_value"], rtol=1 / 512, atol=0)
    for name in ("promoted_cosine", "suppressed_cosine"):
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=0, atol=1 / 1024)
    np.testing.assert_allclose(found.histogram, expected["histogram"], rtol=0.0443, atol=0)
    for name in ("kl", "loss_increase"):
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1 / 256, atol=1e-9)
    np.testing.assert_allclose(found.frame.to_numpy(), frame().to_numpy(), rtol=1 / 4096)
    assert (found.model, found.step, found.tokens, found.predictions, len(found)) == ("a", 7, "0f", 127, NEURONS)
    assert list(found.frame) == list(frame())


def test_a_place_that_is_none_comes_back_as_none() -> None:
    given = arrays()
    given["top_row"][:, -1] = given["top_position"][:, -1] = -1
    given["top_value"][:, -1] = np.nan
    found = profiles(stored_profiles(frame(), given))
    assert set(found.top_row[:, -1]) == set(found.top_position[:, -1]) == {-1}
    assert np.isnan(found.top_value[:, -1]).all()


@pytest.mark.parametrize(("name", "value"), [("top_value", 7e4), ("kl", 17.0), ("loss_increase", -17.0)])
def test_what_half_precision_does_not_hold_is_kept_in_a_wider_type(name: str, value: float) -> None:
    given = arrays()
    given[name][3, 1] = value
    found = profiles(stored_profiles(frame(), given))
    assert getattr(found, name)[3, 1] == pytest.approx(value, rel=0.005)


def test_what_single_precision_does_not_hold_is_refused() -> None:
    given, name = arrays(), "top_value"
    given[name][3, 1] = 1e39
    with pytest.raises(ValueError, match=f"profiles: {name} of"):
        stored_profiles(frame(), given)


def test_a_share_of_nothing_stays_nothing_and_a_single_token_does_not_vanish() -> None:
    shares = np.array([0.0, 2.0**-40, 1e-8, 0.5, 1.0])
    codes = share_codes(shares)
    assert (codes == np.round(codes)).all()
    assert codes.min() == 0
    assert codes[-2:].tolist() == [247, 255]
    np.testing.assert_allclose(coded_shares(codes)[2:], shares[2:], rtol=0.0443)
    assert coded_shares(codes)[0] == 0
    assert coded_shares(codes)[1] > 0


def test_rounding_keeps_the_leading_bits() -> None:
    assert rounded(np.array([0b1011011, -0b1011011, 0, 0.375]), bits=4).tolist() == [0b1011000, -0b1011000, 0, 0.375]
    assert np.isnan(rounded(np.array([np.nan]), bits=4)).all()


@pytest.mark.parametrize("quantity", list(Quantity))
def test_an_effect_is_a_mean_over_blocks_with_the_interval_of_student(quantity: Quantity) -> None:
    found = profiles()
    blocks = found.kl if quantity is Quantity.KL else found.loss_increase
    effect = found.effect(quantity)
    for neuron in (0, 17):
        expected = stats.ttest_1samp(blocks[neuron], 0).confidence_interval(0.9)
        assert effect["value"].iloc[neuron] == pytest.approx(blocks[neuron].mean())
        assert effect[["low", "high"]].iloc[neuron].tolist() == pytest.approx([expected.low, expected.high])


def test_one_block_has_no_interval() -> None:
    given = arrays()
    found = profiles(stored_profiles(frame(), given | {"kl": given["kl"][:, :1]})).effect(Quantity.KL)
    assert found["value"].notna().all()
    assert found[["low", "high"]].isna().all(axis=None)
