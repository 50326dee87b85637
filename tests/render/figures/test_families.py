"""The figures of families say the numbers of all neurons, and what stands beside them as a control."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.render.fakes import MODELS
from tests.render.figures.test_parent import plain
from universal_neurons.measures.families import EXPLAINED
from universal_neurons.render.figures.families import BY_LAYER, alphabet, explained, families_figures
from universal_neurons.render.pages.paper import figures_of

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.render.figures.families import FamilyNumbers
    from universal_neurons.render.results import Results


@pytest.fixture(scope="module")
def numbers(found: Results) -> FamilyNumbers:
    assert found.families is not None
    return found.families


def rows(report: Path, name: str) -> list[dict[Any, Any]]:
    """The rows of the data of a figure."""
    return pd.read_csv(report / "data" / f"{name}.csv").to_dict("records")


def test_the_share_of_a_family_is_of_the_universal_neurons_of_all_models(numbers: FamilyNumbers, report: Path) -> None:
    families = numbers
    data = {str(row["what"]): row for row in rows(report, "parent-4")}
    hits = [one.score("unigram")[families.universal[name]] > EXPLAINED for name, one in families.tables.items()]
    assert data["unigram"]["value, %"] == pytest.approx(100 * np.concatenate(hits).mean(), abs=1e-3)
    assert data["unigram"]["labels of other rows"] == 0
    assert data["unigram"]["others"] < data["unigram"]["low"]


def test_a_figure_by_layer_has_universal_neurons_others_and_labels_of_other_rows(report: Path) -> None:
    for name in BY_LAYER:
        assert list(dict.fromkeys(row["set"] for row in rows(report, name))) == [
            "universal on average", "all others", "all neurons, labels of other rows",
        ]  # fmt: skip
    first, *rest = [row["value, %"] for row in rows(report, "parent-19") if row["set"] == "all others"]
    assert first > 0
    assert rest == [0] * len(rest)


def test_letters_are_counted_by_model(numbers: FamilyNumbers) -> None:
    caption = plain(alphabet(numbers).caption)
    assert all(f"({name})" in caption for name in MODELS)
    assert "explains more than 37 % of its variance" in caption


def test_of_no_universal_neuron_and_no_syntax_the_page_says_so(numbers: FamilyNumbers) -> None:
    none = replace(numbers, universal={name: flags & False for name, flags in numbers.universal.items()})
    assert explained(none).absence
    tables = {
        name: replace(one, families=tuple(family for family in one.families if family != "syntax"))
        for name, one in numbers.tables.items()
    }
    figures = figures_of(families_figures(replace(numbers, tables=tables)))
    assert {name for name, one in figures.items() if one.absence} == {"parent-20"}
    assert "the labels of the suite have no syntax" in figures["parent-20"].absence


def test_a_first_look_leaves_out_these_figures_and_no_others(numbers: FamilyNumbers) -> None:
    absent = families_figures(None)
    named = {group: [(one.name, one.label) for one in figures.figures] for group, figures in absent.items()}
    drawn = families_figures(numbers)
    assert {group: sorted(names) for group, names in named.items()} == {
        group: sorted((one.name, one.label) for one in figures.figures) for group, figures in drawn.items()
    }
    assert all(one.absence for figures in absent.values() for one in figures.figures)
