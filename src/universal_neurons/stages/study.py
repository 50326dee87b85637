"""The study: read access to a suite's tables, for claims and the report.

A study opens in a second and imports no torch.  What is absent raises ArtifactMissing with the command that computes
it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from universal_neurons.artifacts.receipt import Imported, receipts_of
from universal_neurons.artifacts.store import Artifact, Entry, Origin, Store
from universal_neurons.errors import ArtifactMissing, NotOnSuite, UserError
from universal_neurons.inputs.published_neurons import published_neurons
from universal_neurons.measures.cache import caching
from universal_neurons.measures.tables import ReferenceTables
from universal_neurons.stages.base import (
    Artifacts,
    Case,
    Stage,
    check_one_of,
    check_reference,
    own_pairs,
    read_artifact,
)
from universal_neurons.stages.registry import stage_named, suite_keys
from universal_neurons.stages.schemas import check
from universal_neurons.stages.workspace import WORK_FOLDER, Workspace, check_pinned, open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from universal_neurons.artifacts.key import Key
    from universal_neurons.ids import CorpusRef, ModelRef
    from universal_neurons.inputs.suite import Checkpoint, Suite
    from universal_neurons.measures.ablation_table import AblationTable
    from universal_neurons.measures.extensions import Extensions
    from universal_neurons.measures.profiles import NeuronProfiles
    from universal_neurons.measures.study import HasStep, NullKind
    from universal_neurons.measures.tables import UniversalityTable
    from universal_neurons.progress import Progress, Warn
    from universal_neurons.stages.base import Need
    from universal_neurons.stages.variants import VariantTables

# The file of what measures computed, in the working folder; it may be removed at any time.
MEASURES = "measures.sqlite"


@dataclass
class StoredStudy:
    """Read access to the tables of a suite: the ``study`` of every claim.

    ``reads`` lists the digests of the artifacts read so far, in order, so that evidence can name what it rests on.
    """

    work: Workspace
    reads: list[str] = field(default_factory=list)

    @property
    def evidence(self) -> dict[str, str]:
        """The digest of the bytes of every artifact read so far, by the digest of its key."""
        return {digest: self.work.cache[digest].sha256 for digest in self.reads}

    @property
    def suite(self) -> Suite:
        """The suite as resolved (and perhaps narrowed)."""
        return self.work.suite

    @property
    def reference(self) -> str:
        """The suite's reference model."""
        return self.work.reference

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The trained checkpoints in order of training."""
        return self.suite.checkpoints

    @property
    def untrained(self) -> Checkpoint | None:
        """The checkpoint before the first step, where the suite has it."""
        return self.suite.untrained

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of the suite's variants, such as ``tokens:10000``."""
        return self.suite.variants.names

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        """The other models of the suite, in its order."""
        return self.work.partners(reference or self.reference)

    def model(self, name: str, checkpoint: HasStep) -> ModelRef:
        """The reference to one model's weights."""
        return self.work.model(name, checkpoint.step)

    def table(
        self,
        stage: str,
        *,
        model: str | None = None,
        partner: str | None = None,
        checkpoint: HasStep | None = None,
        text: str | None = None,
    ) -> Any:
        """The table of a stage by its name: ``table("profiles", model="a")``.

        The suite's reference and the last checkpoint by default.  Raises ArtifactMissing, UserError for one that the
        suite does not have, and NotOnSuite for one that a narrowed suite left out.
        """
        source = stage_named(stage)
        step = self.work.last_step if checkpoint is None else checkpoint.step
        return self.read(source, source.case(self.work, Case(step, model or self.reference, partner or "", text or "")))

    def read(self, stage: Stage, case: Case) -> Any:
        """The table of one case; made once, because claims ask for the same table many times."""
        name = ("table", stage.name, case)
        if name in self.work.cache:
            table, again = self.work.cache[name]
            self.reads.extend(again)
            return table
        before = len(self.reads)
        table = stage.read(self._artifacts, self.work, case)
        self.work.cache[name] = table, tuple(self.reads[before:])
        return table

    def _artifacts(self, stage: Stage, case: Case) -> Artifacts:
        """The artifacts of a case, noted in ``reads``."""
        artifacts = tuple(self._artifact(key) for key in stage.keys(self.work, case))
        checked = ("checked", stage.name, case)
        if checked not in self.work.cache:
            check(self.work, stage, case, artifacts)
            self.work.cache[checked] = True
        return artifacts

    def _artifact(self, key: Key) -> Artifact:
        artifact = self.work.cached(key.digest, lambda: read_artifact(self.work, key))
        self.reads.append(key.digest)
        return artifact

    def corpus(self) -> CorpusRef:
        """The identity of the scored tokens."""
        return cast("CorpusRef", self.table("corpus"))

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        """The universality table of one directed pair at one checkpoint."""
        table = self.table("universality", model=reference, partner=partner, checkpoint=checkpoint)
        return cast("UniversalityTable", table)

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        """The universality tables of one reference against all its partners at one checkpoint."""
        name = reference or self.reference
        check_reference(self.work, name)
        check_one_of(self.work, name, self.suite.references, what="references")
        source = stage_named("universality")
        tables = {pair.partner: self.read(source, pair) for pair in own_pairs(self.work, Case(checkpoint.step, name))}
        return ReferenceTables(reference=name, step=checkpoint.step, tables=tables)

    def null(
        self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
    ) -> UniversalityTable:
        """The table of a pair that shares nothing.

        ``untrained`` models, ``rotated`` against rotated activations, or ``permuted`` tokens (at the last checkpoint
        alone).  Raises NotOnSuite where the suite has no untrained checkpoint, and UserError where ``reference`` is not
        the suite's, for which alone they are computed.
        """
        if kind == "untrained":
            if self.untrained is None:
                raise NotOnSuite(f"suite {self.suite.name}: no untrained checkpoint, so there is no null of that kind")
            return self.universality(partner=partner, checkpoint=self.untrained, reference=reference)
        table = self.table(f"null-{kind}", model=reference, partner=partner, checkpoint=checkpoint)
        return cast("UniversalityTable", table)

    def variant(self, name: str, *, partner: str, checkpoint: HasStep) -> UniversalityTable:
        """The suite's reference against ``partner`` at a trained checkpoint, with one choice made otherwise.

        Raises NotOnSuite for a name of which the suite has no variant.
        """
        if name not in self.variants:
            known = f"expected one of {', '.join(self.variants)}" if self.variants else "it varies nothing"
            raise NotOnSuite(f"suite {self.suite.name}: {known}, got {name!r}")
        check_one_of(self.work, partner, self.partners())
        return self._variants(checkpoint).tables[name, partner]

    def variant_settings(self, checkpoint: HasStep) -> pd.DataFrame:
        """One row per variant: its name, the tokens that it counts, the rotation draws of its baseline."""
        nothing = pd.DataFrame({"variant": (), "tokens": (), "draws": ()})
        return self._variants(checkpoint).settings if self.variants else nothing

    def _variants(self, checkpoint: HasStep) -> VariantTables:
        return cast("VariantTables", self.table("variants", checkpoint=checkpoint))

    def beside(self, *suites: str) -> Mapping[str, StoredStudy]:
        """The studies of several suites by name, this one's among them, over the same stores.

        What is read of another suite is not among ``reads``, which are artifacts of this one.  Raises NotOnSuite where
        this suite is none of them.
        """
        if self.suite.name not in suites:
            raise NotOnSuite(f"it compares the suites {', '.join(suites)}, and this is {self.suite.name}")
        return {name: self if name == self.suite.name else self._another(name) for name in suites}

    def _another(self, suite: str) -> StoredStudy:
        def opened() -> StoredStudy:
            work = open_workspace(suite, root=self.work.root, warn=self.work.warn, progress=self.work.progress)
            return StoredStudy(replace(work, store=self.work.store))

        return self.work.cached(("beside", suite), opened)

    def ablation(self, *, checkpoint: HasStep, reference: str | None = None) -> AblationTable:
        """The effects of every ablated set of neurons of one model at one checkpoint.

        Untrained, the sets of the last checkpoint are ablated, in the suite's reference only.
        """
        return cast("AblationTable", self.table("ablation", model=reference, checkpoint=checkpoint))

    def extensions(self, *, checkpoint: HasStep) -> Extensions:
        """Families and patches of the suite's reference at a trained checkpoint."""
        return cast("Extensions", self.table("extensions", checkpoint=checkpoint))

    def profiles(self, *, model: str | None = None) -> NeuronProfiles:
        """The profile of every neuron of one model, the reference by default, at the last checkpoint."""
        return cast("NeuronProfiles", self.table("profiles", model=model))

    def published_neurons(self, *, checkpoint: HasStep) -> Mapping[str, npt.NDArray[np.float64]]:
        """The columns (neuron,) that were published of the reference's neurons at ``checkpoint``.

        No artifact, and so not among ``reads``: the file is pinned in ``fixtures/published``.  Raises NotOnSuite where
        none was published or its folder is not named, and PublishedNeuronsError for another file.
        """
        zoo = self.suite.zoo
        return published_neurons(self.work.root, family=zoo.path, model=zoo.reference, step=checkpoint.step)

    def training_log(self) -> pd.DataFrame:
        """One row per logged training step of each model: model, step, tokens, loss, held_out_loss, seconds, device."""
        return pd.DataFrame(self.work.zoo.training_log())

    def training_digest(self) -> str:
        """The sha256 of the training log's file; empty where there is none."""
        return self.work.zoo.training_digest

    def provenance(self) -> pd.DataFrame:
        """One row per artifact of the suite that is there: stage, digest, origin, device, seconds, peak memory.

        ``wall_seconds`` leaves out ``shared`` runs (a tuple of SharedRun), which several artifacts rest on.
        """
        rows = [
            {
                "stage": key.stage,
                "digest": key.digest,
                "origin": artifact.origin,
                **artifact.provenance.as_dict(),
                "shared": artifact.provenance.shared,
            }
            for key in suite_keys(self.work)
            if (artifact := self.work.cache.get(key.digest) or self.work.store.read(key)) is not None
        ]
        return pd.DataFrame(rows)

    def imported(self) -> Imported:
        """How much of the suite's evidence was computed elsewhere, where it came from, and what of it was checked."""
        return imported_evidence(self.work)


def imported_evidence(work: Workspace) -> Imported:
    """The share of the suite's evidence that was computed elsewhere, its source, and the share checked here.

    Raises ArtifactMissing where not even the identity of the tokens is there.
    """
    if work.store.imported is None or not work.store.imported.is_dir():
        return Imported()
    first: dict[str, Entry] = {}
    for entry in work.store.entries():
        first.setdefault(entry.key.digest, entry)
    entries = (first[key.digest] for key in suite_keys(work) if key.digest in first)
    theirs = {entry.key.digest: entry.manifest.sha256 for entry in entries if entry.origin is Origin.IMPORTED}
    return Imported.of(receipts_of(work.store.imported, work.suite.name), theirs)


def caching_measures(root: Path) -> AbstractContextManager[None]:
    """Keep what measures compute in the body for later commands in the checkout ``root``."""
    return caching(root / WORK_FOLDER / MEASURES)


def open_evidence(
    suite: str,
    *,
    store: Path,
    root: Path | None = None,
    recompute: bool = False,  # noqa: ARG001 - called like open_study
    warn: Warn = print,
    progress: Progress | None = None,
) -> StoredStudy:
    """Open the study of a suite over the folder of artifacts ``store`` alone; nothing is written.

    The signature of :func:`open_study`, so that the claims can be judged on it.  A damaged artifact is an error and
    stays where it is, because the evidence is somebody else's.
    """
    work = open_workspace(suite, root=root, warn=warn, progress=progress)
    # The working store is created when it is first written.
    return StoredStudy(replace(work, store=Store(work.root / WORK_FOLDER / "unused", [store], warn=warn), cache={}))


def open_study(
    suite: str,
    *,
    root: Path | None = None,
    store: Path | None = None,
    recompute: bool = False,
    remote: str | None = None,
    warn: Warn = print,
    progress: Progress | None = None,
    narrowing: Mapping[str, Any] | None = None,
    only: Callable[[Workspace], Iterable[Need]] | None = None,
) -> StoredStudy:
    """Open the study of a suite, or of what ``narrowing`` leaves of it, over working, shipped and imported evidence.

    With ``remote`` missing artifacts are imported from there first (:func:`universal_neurons.stages.sharing.pull`).
    Raises SuiteNotFetched for a published suite that is not pinned yet.  With ``recompute`` everything, or ``only``
    some cases and their needs, is computed from the weights first, and nothing else is read: an interrupted
    recomputation resumes, a finished one starts again.  It is compared with the shipped evidence; raises
    EvidenceDiffers beyond the stated tolerances.
    """
    if remote is not None:
        if recompute:
            raise UserError("--recompute reads nothing that was computed elsewhere; leave out --remote")
        from universal_neurons.stages.sharing import pull

        pull(suite, remote, root=root, store=store, warn=warn, progress=progress, narrowing=narrowing)
    work = open_workspace(
        suite,
        root=root,
        store=store,
        recompute=recompute,
        local=recompute,
        warn=warn,
        progress=progress,
        narrowing=narrowing,
    )
    if not recompute:
        check_pinned(work)
    else:
        from universal_neurons.stages.recheck import check_recomputation
        from universal_neurons.stages.runner import recompute as compute_again

        compute_again(work, None if only is None else only(work))
        checks = "; ".join(map(str, check_recomputation(work)))
        warn(f"recomputed: {checks or 'nothing shipped to compare with'}")
    # Where not even the tokens are known nothing can be judged, and every claim says so.
    with suppress(ArtifactMissing):
        unchecked = imported_evidence(work).unchecked
        if unchecked:
            work.warn(
                f"{len(unchecked)} artifacts of suite {work.suite.name} were imported, and no sample of them was "
                f"computed again here; run: {work.suite.command('universal-neurons store verify --recompute-sample')}"
            )
    return StoredStudy(work)
