"""Everything that mini computes is read: every table by a claim, every ablated set by a claim or by a figure."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.sources import ROOT
from universal_neurons.errors import NotOnSuite
from universal_neurons.harness.needs import calls, declarations
from universal_neurons.measures.ablation_table import AblationTable, SetOf
from universal_neurons.render.figures.ablation import ablation_figures, ablations
from universal_neurons.stages.ablation import ABLATIONS, set_plan
from universal_neurons.stages.dry_run import DryRunStudy, without_checks
from universal_neurons.stages.registry import suite_cases, with_needs
from universal_neurons.stages.workspace import open_workspace

if TYPE_CHECKING:
    from universal_neurons.measures.ablation_table import AnyKind
    from universal_neurons.measures.arrays import Integers
    from universal_neurons.stages.neuron_sets import NeuronSet

# The model and the step of a table, the kind of set, and its definition.
Read = tuple[str, int, str, SetOf]


def set_of(one: NeuronSet) -> SetOf:
    return SetOf(one.threshold, one.partner or None, one.definition, one.layer, one.mode, one.fraction)


@pytest.fixture(scope="module")
def claimed() -> tuple[DryRunStudy, set[Read]]:
    """A study of made-up tables that every claim, control and reading has read, and the sets read of its ablations."""
    reads: set[Read] = set()
    study = DryRunStudy.of(without_checks(open_workspace("mini", root=ROOT)))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), np.errstate(all="ignore"):
        note_rows(patch, reads)
        warnings.simplefilter("ignore")
        # Not by needs_of, which counts every table as read where a claim breaks on made-up numbers.
        for declared in declarations(ROOT / "claims"):
            for call in calls(study.suite, declared):
                with suppress(NotOnSuite):
                    call(study)
    return study, reads


def note_rows(patch: pytest.MonkeyPatch, reads: set[Read]) -> None:
    rows = AblationTable.rows

    def noted(table: AblationTable, which: SetOf, kind: AnyKind) -> Integers:
        reads.add((table.reference, table.step, kind.value, which))
        return rows(table, which, kind)

    patch.setattr(AblationTable, "rows", noted)


def test_every_table_is_read_by_a_claim(claimed: tuple[DryRunStudy, set[Read]]) -> None:
    study, _ = claimed
    unread = set(suite_cases(study.work)) - set(with_needs(study.work, study.needs))
    assert sorted(map(str, unread)) == []


def test_every_ablated_set_is_read_by_a_claim_or_by_a_figure(
    claimed: tuple[DryRunStudy, set[Read]], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, reads = claimed
    note_rows(monkeypatch, found := set(reads))
    ablation_figures(ablations(study))
    computed = {
        (case.model, case.step or 0, one.neurons.value, set_of(one))
        for case in ABLATIONS.cases(study.work)
        for one in set_plan(study.work, case).sets()
    }
    assert found - reads
    assert computed
    assert sorted(map(str, computed - found)) == []
