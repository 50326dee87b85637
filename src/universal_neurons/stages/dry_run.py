"""Dry run of claims: which cases of which stages they read, found on made-up tables.

A claim declares nothing about its needs: it is called with a study whose tables are made up
(:meth:`universal_neurons.stages.base.Stage.example`) and which notes each case that is read.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from universal_neurons.errors import ArtifactMissing, NotOnSuite
from universal_neurons.stages.registry import suite_cases
from universal_neurons.stages.study import StoredStudy
from universal_neurons.stages.tokens import ONLY, TOKENS, corpus_ref_from
from universal_neurons.stages.workspace import Workspace, unpinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from universal_neurons.stages.base import Artifacts, Case, Need, Stage


@dataclass
class DryRunStudy(StoredStudy):
    """A study of made-up tables; ``needs`` are the cases that were read, in order, each when it was first."""

    needs: list[Need] = field(default_factory=list)

    @classmethod
    def of(cls, work: Workspace) -> DryRunStudy:
        """The dry run of a suite; neither its hub nor its store is asked."""
        dry = unpinned(work)
        (record,) = TOKENS.example(dry, ONLY).values()
        dry.cache["corpus"] = corpus_ref_from(cast("Any", record))
        return cls(dry)

    def _another(self, suite: str) -> StoredStudy:
        # This suite in place of every other, whose evidence is no need of this one.
        return self

    def _artifacts(self, stage: Stage, case: Case) -> Artifacts:
        self.needs.append((stage, case))
        payloads = self.work.cached(("example", stage.name, case), lambda: stage.example(self.work, case))
        # A payload is read as an artifact is: as a table, as arrays or as a record.
        made = (dict.fromkeys(("table", "arrays", "document"), payloads[part]) for part in stage.parts)
        return cast("Artifacts", tuple(SimpleNamespace(**names) for names in made))


def needs_of(work: Workspace, calls: Iterable[Callable[[StoredStudy], object]]) -> tuple[Need, ...]:
    """The cases that ``calls`` read of a suite, each once, in the order of the stages.

    A call that breaks on made-up numbers may have read more than was noted, so then every case is needed.
    """
    study = DryRunStudy.of(work)
    for call in calls:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                call(study)
        except (NotOnSuite, ArtifactMissing):
            continue
        except Exception:  # noqa: BLE001 - claims are anybody's code
            return suite_cases(work)
    known = set(study.needs)
    return tuple(need for need in suite_cases(work) if need in known)


def without_checks(work: Workspace) -> Workspace:
    """``work`` with the fewest resamples that a suite may have: a dry run needs no interval."""
    resampling = work.suite.resampling.model_copy(update={"resamples": 100})
    return replace(work, suite=work.suite.model_copy(update={"resampling": resampling}), cache={})
