"""A per-neuron table added in one file: planned, computed, killed and resumed, shared, rechecked, read by a claim.

Everything about the table is in :class:`Activity`, its kernel and its measure; nothing else of the project names it.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
import pytest

from tests.stages.suites import speed
from tests.stages.test_runner import Writes
from universal_neurons.artifacts.store import Store
from universal_neurons.errors import ArtifactMissing, UserError
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.intervals import wilson
from universal_neurons.stages import costs, recheck, registry
from universal_neurons.stages.base import (
    Case,
    StageGroup,
    example_count,
    example_dice,
    example_neurons,
    neuron_columns,
    step_of,
)
from universal_neurons.stages.comparison import EvidenceDiffers
from universal_neurons.stages.dry_run import needs_of
from universal_neurons.stages.model_table import ModelTable
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.plan import plan
from universal_neurons.stages.registry import suite_artifacts, where
from universal_neurons.stages.runner import compute
from universal_neurons.stages.sharing import export_suite, pull
from universal_neurons.stages.study import StoredStudy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from tests.miniature import Miniature
    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace


def positive_counts(values: Tensor) -> Tensor:
    """The kernel: (token, neuron) activations -> (neuron,) number of tokens at which each is positive."""
    return (values > 0).sum(dim=0)


def share_of_active_neurons(table: pd.DataFrame, least: float) -> Measurement:
    """The measure: the share of neurons that are positive at more than ``least`` of the tokens, Wilson's interval."""
    active, total = int((table["share_positive"] > least).sum()), len(table)
    return Measurement(active / total, *wilson(active, total, level=0.95), total, Over.NEURONS, 0.95, "share")


class Activity(ModelTable):
    """The share of tokens at which each neuron of a model is positive, at every trained checkpoint."""

    name: ClassVar[str] = "activity"
    tolerances: ClassVar[Mapping[str, float]] = {"share_positive": 1e-3}

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        return tuple(Case(step, name) for step in work.trained_steps for name in work.suite.zoo.models)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        return {"model": case.model, "step": case.step, "dtype": "float32"}

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        one = costs.summed(costs.loading(sizes, 1), costs.forward(sizes, sizes.positions))
        return costs.Cost(
            costs.summed(one, times=len(cases)),
            passes=1,
            device_bytes=sizes.shape.loaded_bytes + costs.batch_bytes(sizes, 1),
            disk_bytes=12 * sizes.shape.neurons * len(cases),
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        models = LoadedModels.of(work, step_of(case), [case.model])
        title = f"step {case.step}: activity of {case.model}"
        counts = sum(positive_counts(values[0]) for values, _ in models.stream(title))
        share = np.asarray(counts) / models.tokens.scored
        return {self.name: pd.DataFrame(neuron_columns(work) | {"share_positive": share})}

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        share = example_dice(case).uniform(0, 1, example_count(work))
        return {self.name: pd.DataFrame(example_neurons(work) | {"share_positive": share})}


ACTIVITY = Activity()
CASES = [Case(step, name) for step in (15, 30) for name in "abc"]
MINE = [(ACTIVITY, case) for case in CASES]


@pytest.fixture(scope="module", autouse=True)
def _registered(computed: Miniature) -> Iterator[None]:
    """The one line in the registry that a new table takes; ``computed`` is computed without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "GROUPS", (*registry.GROUPS, StageGroup(ACTIVITY)))
        yield


@pytest.fixture(scope="module")
def project(computed: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    """A project whose suite is computed, the new table among it."""
    found = computed.copied(tmp_path_factory.mktemp("new") / "project")
    assert compute(found.workspace(local=True)) == len(CASES)
    return found


def claimed(study: StoredStudy) -> Measurement:
    """Model b is more active at the last checkpoint than nowhere: a claim as one file declares it."""
    return share_of_active_neurons(study.table("activity", model="b"), 0.1)


def test_it_is_planned(computed: Miniature) -> None:
    planned = plan(computed.workspace(), measure=lambda _: speed())
    rows = {row.stage: row for row in planned.stages}
    assert (rows["activity"].artifacts, rows["activity"].present) == (6, 0)
    assert (rows["activity"].seconds or 0) > 0
    assert all(not row.seconds for name, row in rows.items() if name != "activity")


def test_it_is_computed_once_and_its_numbers_are_right(project: Miniature) -> None:
    work = project.workspace(local=True)
    assert compute(work) == 0
    table = StoredStudy(work).table("activity", model="b")
    expected = StoredStudy(work).profiles(model="b").frame["share_positive"]
    np.testing.assert_allclose(table["share_positive"], expected, rtol=1e-3)


def test_a_killed_computation_resumes_with_what_is_missing(own: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Writes(patch, kill_at=3)
        with pytest.raises(KeyboardInterrupt):
            compute(own.workspace(local=True), MINE)
    writes = Writes(monkeypatch)
    assert compute(own.workspace(local=True), MINE) == 4
    assert writes.stages == ["activity"] * 4


def test_it_is_listed_exported_and_imported(project: Miniature, miniature: Miniature, tmp_path: Path) -> None:
    export_suite(project.workspace(), tmp_path / "evidence.zip")
    reader = miniature.copied(tmp_path / "reader")
    pull("mini", str(tmp_path / "evidence.zip"), root=reader.root, warn=print)
    work = reader.workspace()
    listed = [artifact for artifact in suite_artifacts(work) if artifact.stage is ACTIVITY]
    assert [ACTIVITY.describe(work, artifact.case) for artifact in listed] == [
        f"neurons of {name}" for name in "abcabc"
    ]
    assert {where(work, artifact.key) for artifact in listed} == {"imported"}
    assert claimed(StoredStudy(work)) == claimed(StoredStudy(project.workspace()))


def test_an_altered_number_is_found(project: Miniature, tmp_path: Path) -> None:
    altered = project.copied(tmp_path / "project")
    work = altered.workspace(local=True)
    work.store.export([key for case in CASES for key in ACTIVITY.keys(work, case)], work.root / "fixtures" / "evidence")
    (compared,) = recheck.check_recomputation(altered.workspace())
    assert compared.agrees
    key = ACTIVITY.key(work, CASES[0])
    found = work.store.read(key)
    assert found is not None
    shutil.rmtree(work.store.working / key.stage / key.digest)
    table = found.table.assign(share_positive=found.table["share_positive"] + 0.01)
    Store(work.store.working, warn=print).write(key, table, found.provenance)
    with pytest.raises(EvidenceDiffers, match=r"activity, 48 rows computed again: .*1\.0e-02 in share_positive"):
        recheck.check_recomputation(altered.workspace())


def test_a_claim_reads_it_and_needs_nothing_else(own: Miniature) -> None:
    work = own.workspace(local=True)
    (need,) = needs_of(work, [claimed])
    assert need == (ACTIVITY, Case(30, "b"))
    with pytest.raises(ArtifactMissing, match=r"^activity \(model b, step 30\): not computed; run: universal-neurons"):
        claimed(StoredStudy(work))
    assert compute(work, [need]) == 1
    study = StoredStudy(own.workspace())
    measured = claimed(study)
    assert 0 < measured.low < measured.value < measured.high <= 1
    assert study.reads == [ACTIVITY.key(study.work, Case(30, "b")).digest]


def test_a_model_that_the_suite_does_not_have_is_one_line(computed: Miniature) -> None:
    with pytest.raises(UserError, match=r"^suite mini: activity: expected one of a@15, .*, got z@30$"):
        StoredStudy(computed.workspace()).table("activity", model="z")


def test_nothing_else_of_the_project_names_it() -> None:
    from tests.sources import package_modules

    assert [name for name, source in package_modules().items() if '"activity"' in source] == []
