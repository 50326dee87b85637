"""The figures of the parent paper for models of another shape: the twenty-four layers of GPT-2 Medium, long names."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.render.fakes import CHECKOUT, FakeStudy, fake_suite
from universal_neurons.measures.predictions import PredictionTables
from universal_neurons.render.figures.parent import parent_figures, parent_of, printed_by_parent
from universal_neurons.render.figures.roles import printed_paths, role_figures, roles_of

if TYPE_CHECKING:
    from universal_neurons.measures.study import HasStep
    from universal_neurons.measures.tables import ReferenceTables, UniversalityTable
    from universal_neurons.render.figures.figure import FigureGroup

DEPTH = 24


def deepened(frame: pd.DataFrame) -> pd.DataFrame:
    """The same neurons in more layers, and their partners in the layers around theirs."""
    layer = np.arange(len(frame)) * DEPTH // len(frame)
    partners = {"partner_layer": np.clip(layer + np.arange(len(frame)) % 3 - 1, 0, DEPTH - 1)}
    return frame.assign(layer=layer, **(partners if "partner_layer" in frame else {}))


@cache
def deep_tables(found: ReferenceTables) -> ReferenceTables:
    tables = {name: replace(one, frame=deepened(one.frame)) for name, one in found.tables.items()}
    return replace(found, tables=tables)


class Deep(FakeStudy):
    """The made-up study, its neurons in as many layers as GPT-2 Medium has."""

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        return deep_tables(super().reference_tables(checkpoint=checkpoint, reference=reference))

    def null(self, **which: Any) -> UniversalityTable:
        found = super().null(**which)
        return replace(found, frame=deepened(found.frame))

    def table(self, stage: str, **which: Any) -> Any:
        found = super().table(stage, **which)
        if isinstance(found, PredictionTables):
            return replace(found, neurons=deepened(found.neurons))
        return deepened(found) if isinstance(found, pd.DataFrame) else found


@pytest.fixture(scope="module")
def groups() -> dict[str, FigureGroup]:
    study = Deep(suite=fake_suite(layers=DEPTH))
    parent, roles = parent_of(study, printed_by_parent(CHECKOUT)), roles_of(study, printed_paths(CHECKOUT))
    return parent_figures(parent) | role_figures(roles)


def test_every_figure_says_of_which_of_the_papers_models_it_is(groups: dict[str, FigureGroup]) -> None:
    labels = {one.label for group in groups.values() for one in group.figures if one.label}
    assert labels == {
        "Figures 2a, 12a and 13a of the parent paper.", "Figures 2b, 12b and 13b of the parent paper.",
        "Figures 2c, 12c and 13c of the parent paper.", "Figure 11 of the parent paper.",
        "Figures 5 and 23 of the parent paper.", "Figures 6 and 22 of the parent paper.",
        "Figure 24 of the parent paper.", "Figures 7 and 25 of the parent paper.",
        "Figures 8 and 26 of the parent paper.",
    }  # fmt: skip


def test_all_layers_are_in_the_data(groups: dict[str, FigureGroup]) -> None:
    (depths,), (roles,) = groups["depths"].figures, groups["roles_by_layer"].figures
    assert len(depths.data.rows) == DEPTH * DEPTH
    assert {row[1] for row in roles.data.rows} == {str(layer) for layer in range(DEPTH)}


def test_numbers_that_would_run_into_each_other_are_left_out_of_the_heat_map(groups: dict[str, FigureGroup]) -> None:
    (depths,) = groups["depths"].figures
    wide, narrow = (re.findall(r"<text[^>]*>\s*([\d.]+)\s*</text>", one) for one in depths.drawings)
    # Whole numbers have room on a wide page; on a narrow one every layer upwards and each second one along.
    assert len(wide) == DEPTH * DEPTH + 2 * DEPTH
    assert all(one.isdecimal() for one in wide)
    assert len(narrow) < 2 * DEPTH
