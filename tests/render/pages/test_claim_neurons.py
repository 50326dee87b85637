"""A claim's page leads to the neurons that the claim is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.render.fakes import ARTIFACTS, CHECKPOINTS, FakeStudy, fake_tables, record, share
from universal_neurons.evidence.criteria import GreaterThan
from universal_neurons.evidence.summary import ClaimSummary, summaries
from universal_neurons.render.pages.claim_neurons import SHOWN, about, neurons_of

if TYPE_CHECKING:
    from collections.abc import Mapping

STAGES: Mapping[str, str] = {ARTIFACTS[1]: "universality"}


def claim(*parameters: dict[str, Any], **changes: Any) -> ClaimSummary:
    cases = [
        record("N2", GreaterThan(0.0), share(0.1, 0.01), parameters=given, test=f"c.py::t[{i}]", **changes)
        for i, given in enumerate(parameters)
    ]
    return summaries(cases)[0]


def test_they_are_the_universal_ones_with_the_partners_of_its_cases_the_largest_mean_excess_first() -> None:
    found = about(claim({"partner": "b", "checkpoint": {"step": 2000, "label": "50 %"}}), FakeStudy(), STAGES)
    assert found is not None
    frame = fake_tables(2000).tables["b"].frame
    universal = frame[frame["excess"] > 0.5].sort_values("excess", ascending=False, kind="stable")
    assert (found.model, found.partners, found.checkpoint, found.threshold) == ("a", ("b",), "50 %", 0.5)
    assert found.number == len(universal) > SHOWN
    expected = [f"L{row.layer}.{row.neuron}" for row in universal.head(SHOWN).itertuples()]
    assert [str(neuron) for neuron in found.best] == expected


def test_several_partners_layers_and_thresholds_are_taken_together() -> None:
    cases = [{"partner": p, "layer": layer, "threshold": t} for p in "bc" for layer in (2, 0) for t in (0.4, 0.5)]
    found = about(claim(*cases), FakeStudy(), STAGES)
    assert found is not None
    tables = fake_tables(4000).tables
    either = np.any([tables[p].frame["excess"] > 0.5 for p in "bc"], axis=0) & tables["b"].frame["layer"].isin([0, 2])
    assert (found.partners, found.layers, found.threshold, found.number) == (("b", "c"), (0, 2), 0.5, int(either.sum()))


@pytest.mark.parametrize(
    ("parameters", "checkpoint"),
    [
        ({}, "100 %"),
        ({"interval": {"earlier": {"label": "25 %"}, "later": {"label": "75 %"}}}, "75 %"),
        ({"checkpoint": "25 %"}, "25 %"),
        ({"checkpoint": {"label": "none of them"}}, "100 %"),
        ({"threshold": "x", "layer": "deep", "partner": ["b"]}, "100 %"),
    ],
)
def test_the_checkpoint_is_the_last_that_a_case_names(parameters: dict[str, Any], checkpoint: str) -> None:
    found = about(claim(parameters), FakeStudy(), STAGES)
    assert found is not None
    assert found.checkpoint == checkpoint
    assert found.partners == ("b", "c", "d", "e")


def test_a_claim_that_read_no_table_of_neurons_is_about_none() -> None:
    assert about(claim({}), FakeStudy(), {ARTIFACTS[1]: "null-rotated"}) is None
    assert about(claim({}, artifacts=()), FakeStudy(), STAGES) is None
    assert "not about single neurons" in neurons_of(None)


def test_the_page_links_to_each_of_them_and_to_the_list() -> None:
    found = about(claim({"partner": "b", "layer": 0}), FakeStudy(), STAGES)
    assert found is not None
    html = neurons_of(found)
    assert html.count('<li><a href="../neurons.html#a:L0.') == min(found.number, SHOWN)
    assert 'href="../neurons.html#?model=a&amp;least=1&amp;above=0.5&amp;layer=0"' in html
    assert (
        f"At 100\u00a0% of the training model a has {found.number} neurons that are universal with b above 0.50 in"
        in html
    )


def test_a_claim_about_neurons_of_which_there_is_none_says_so() -> None:
    found = about(claim({"threshold": 0.99}), FakeStudy(), STAGES)
    assert found is not None
    assert found.number == 0
    assert "model a has no neuron that is universal with at least one of b, c, d and e above 0.99." in neurons_of(found)
    assert "<li>" not in neurons_of(found)


def test_all_checkpoints_of_the_study_can_be_named() -> None:
    for checkpoint in CHECKPOINTS:
        found = about(claim({"checkpoint": {"label": checkpoint.label}}), FakeStudy(), STAGES)
        assert found is not None
        assert found.checkpoint == checkpoint.label
