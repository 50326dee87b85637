"""Rosetta neurons of real, tiny models: pairs, classes and their null, from one reading of the text."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import universal_neurons as un
from tests import tiny_models
from tests.matching.tiny import TEXT, letters, model, pieces
from universal_neurons.errors import UserError
from universal_neurons.measurement import CEILING

SETTINGS: dict[str, Any] = {"tokens": 400, "context": 48, "blocks": 10, "draws": 3, "half_draws": 2, "resamples": 20}


def related(seed: int) -> Any:
    """Half of the neurons are those of one model, the others are drawn anew."""
    return tiny_models.relative(_BASE, seed)


_BASE = model("GPT2LMHeadModel", 0, layers=1, mlp=40)


@pytest.fixture(scope="module")
def found() -> Any:
    three = [(copy.deepcopy(_BASE), letters()), (related(1), letters()), (related(2), letters())]
    return un.rosetta(*three, text=TEXT, quick=True, **SETTINGS)


def test_planted_neurons_form_classes_over_all_models(found: Any) -> None:
    classes = found.classes
    planted = classes[(classes["neuron_1"] % 2 == 1)]
    # Those that never varied on this text have no partner.
    assert len(planted) >= 18
    assert (planted["neuron_1"] == planted["neuron_2"]).all()
    assert (planted["neuron_1"] == planted["neuron_3"]).all()
    np.testing.assert_allclose(planted["correlation"], 1, atol=1e-5)
    assert (classes[classes["neuron_1"] % 2 == 0]["correlation"] < 0.99).all()


def test_a_pair_is_mutual_in_the_tables_of_both_directions(found: Any) -> None:
    pairs = found.pairs
    assert set(pairs["model"]) | set(pairs["partner_model"]) == {one.name for one in found.models}
    first = pairs[(pairs["model"] == found.models[0].name) & (pairs["partner_model"] == found.models[1].name)]
    forward, backward = found.matches[0, 1].forward.table, found.matches[0, 1].backward.table
    for pair in first.itertuples():
        assert forward["partner_neuron"][pair.neuron] == pair.partner_neuron
        assert backward["partner_neuron"][pair.partner_neuron] == pair.neuron
    mutual = sum(
        backward["partner_neuron"][partner] == neuron for neuron, partner in enumerate(forward["partner_neuron"])
    )
    assert len(first) == mutual


def test_every_share_stands_beside_its_null_and_its_ceiling(found: Any) -> None:
    measured = found.measurements
    assert len(measured) == 6 + 6 + 1
    for name, share in measured.items():
        assert share.low <= share.value <= share.high, name
        assert 0 <= share.details[CEILING] <= 1, name
        if "classes" not in name:
            assert share.details["null"] > 0, name
    classes = measured["classes over 3 models"]
    assert classes.value > classes.details["null"]
    assert len(found.summary) == 13
    for text in (str(found), found._repr_html_()):
        assert all(
            str(direction) in text.replace("&gt;", ">").replace("\u00a0", " ") for _, direction in found.directions()
        )


def test_models_of_different_sizes_and_tokenizers() -> None:
    found = un.rosetta(
        (model("GPT2LMHeadModel", 0), letters()), (model("LlamaForCausalLM", 1, layers=3), pieces()),
        text=TEXT, quick=True, **SETTINGS,
    )  # fmt: skip
    assert [len(one.widths) for one in found.models] == [2, 3]
    assert found.classes.equals(found.classes.drop_duplicates())
    assert len(found.classes) == len(found.pairs)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [(1, {}, "expected at least 2 models, got 1"), (2, {"top_k": 1}, "top_k: expected at least 2")],
)
def test_too_few_models_or_partners_is_one_line(count: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        un.rosetta(*[(_BASE, letters())] * count, text=TEXT, quick=True, **options)
