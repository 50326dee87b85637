"""The figures of the parent paper: each says which neurons it is about, has intervals, and a control beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from tests.render.fakes import MODELS
from tests.render.test_report import text_of
from universal_neurons.measures.properties import mean_median_percentile
from universal_neurons.render.figures.parent import NAMES
from universal_neurons.render.figures.parent import correlations as correlations_figure
from universal_neurons.render.figures.properties import alignment, properties, property_figures
from universal_neurons.render.pages.paper import figures_of
from universal_neurons.render.pages.parent import GROUPS, REQUIRED

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.render.pages.paper import Groups
    from universal_neurons.render.results import Results

# Figures of what neurons do are about no universal ones.
ROLES = {
    "parent-5-promotes", "parent-5-suppresses", "parent-6", "parent-24", "parent-7-entropy", "parent-7-scale",
    "parent-7-first-kept", "parent-8",
}  # fmt: skip
# The caption of a figure of all neurons names these, every other one the neurons it calls universal.
ALL_NEURONS = {"parent-2a", "parent-2c", "parent-11"}


def plain(caption: str) -> str:
    return caption.replace("\\", "").replace("−", "-").replace("\u00a0", " ").replace("\u202f", " ")


@pytest.fixture(scope="module")
def figures(drawn: Groups) -> dict[str, str]:
    return {one.name: one.caption for name in GROUPS for one in drawn[name].figures}


def test_every_caption_says_which_neurons_it_is_about(figures: dict[str, str]) -> None:
    assert len(figures) > 15
    unnamed = {name for name, caption in figures.items() if "universal on average" not in plain(caption)}
    assert unnamed - ALL_NEURONS == {"parent-9", *ROLES}
    assert {"all neurons" in figures[name].casefold() for name in (*ALL_NEURONS, "parent-9")} == {True}


def test_the_page_has_the_figures_and_says_which_are_not_drawn(report: Path) -> None:
    html = (report / "parent.html").read_text(encoding="utf-8")
    assert [f'id="{anchor}"' in html for anchor in REQUIRED] == [True] * len(REQUIRED)
    said = text_of(report / "parent.html")
    assert "Figures of the parent paper that are not drawn here" in said
    assert 'aria-current="page">The parent paper</a>' in html


def test_percentiles_are_those_of_the_claims_and_published_ones_stand_beside(found: Results, report: Path) -> None:
    data: dict[str, dict[Any, Any]] = {
        str(row["what"]): row for row in pd.read_csv(report / "data" / "parent-3.csv").to_dict("records")
    }
    for name, (_, called) in NAMES.items():
        own = mean_median_percentile(found.parent.rankings[name])
        assert data[called]["value"] == pytest.approx(own.value)
        assert data[called]["low"] <= own.value <= data[called]["high"]
        assert data[called]["lowest dealing"] < data[called]["highest dealing"]
    assert data["kurtosis of pre-activations"]["published for GPT-2 Small"] == 93.0
    assert data["kurtosis of pre-activations"]["value"] > 90
    assert {f"model {name}" for name in MODELS} < set(data["input bias"])


def test_the_control_of_the_correlations_is_in_their_caption(found: Results) -> None:
    caption = correlations_figure(found.parent).figures[0].caption
    assert "partners that read other tokens, has none above 0.0" in plain(caption)
    loud = replace(found.parent, permuted=found.parent.tables["a"])
    assert correlations_figure(loud).figures[0].caption != caption


def test_the_correlation_of_figure_9_stands_beside_dealt_and_printed_ones(found: Results) -> None:
    caption = plain(alignment(found.parent).caption)
    assert "with cosines dealt out within layers" in caption
    assert "-0.69 (GPT-2 Small), -0.63 (GPT-2 Medium) and -0.58 (Pythia 160M)" in caption


def test_of_no_universal_neuron_the_page_says_so_instead_of_drawing(found: Results) -> None:
    none = {
        name: {model: replace(one, universal=one.universal & False) for model, one in models.items()}
        for name, models in found.parent.rankings.items()
    }
    empty = replace(
        found.parent,
        rankings=none,
        over_training={
            c: replace(one, universal=one.universal & False) for c, one in found.parent.over_training.items()
        },
    )
    absent = {one.name for one in figures_of(property_figures(empty)).values() if one.absence}
    assert absent == {"properties-training", "parent-3"}


def test_of_one_model_figure_3_has_its_median_over_neurons(found: Results) -> None:
    alone = {name: {"a": models["a"]} for name, models in found.parent.rankings.items()}
    figure = properties(replace(found.parent, rankings=alone))
    assert "the median percentile, model a (" in plain(figure.caption)
    assert "Bars are intervals over neurons, diamonds" in plain(figure.caption)
