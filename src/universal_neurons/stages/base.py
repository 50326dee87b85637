"""The base class of stages: one object per kind of table.

A stage names its cases (for which models and steps its table exists), their keys, what has to be there first, what a
case costs, how it is computed, read and compared.  Everything else is a loop over
:func:`universal_neurons.stages.registry.stages`: compute, plan, status, export, import, recheck and ``Study.table``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from universal_neurons.artifacts.key import Key
from universal_neurons.artifacts.provenance import capture
from universal_neurons.errors import ArtifactMissing, NotOnSuite, UserError
from universal_neurons.stages.comparison import Comparison, column_differences
from universal_neurons.stages.resume import StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.artifacts.provenance import Provenance
    from universal_neurons.artifacts.store import Artifact
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

# Neurons per layer of made-up artifacts.  A prime above 7, so that no axis of blocks, draws or tokens is as long as
# the made-up neurons are many: in a schema such an axis would be one of neurons.
EXAMPLE_WIDTH = 11
_NAMING = ("reference", "partner", "model", "text", "step")


@dataclass(frozen=True, slots=True)
class Case:
    """One unit of a stage, computed and committed whole.  Fields that do not apply keep their defaults.

    ``step``: training step.  ``model``: the model that the table is about.  ``partner``: the model it is compared with.
    ``text``: the text that all models read, where it is not the suite's own tokens.
    """

    step: int | None = None
    model: str = ""
    partner: str = ""
    text: str = ""

    def __str__(self) -> str:
        at = "" if self.step is None else f"@{self.step}"
        return " against ".join(f"{name}{at}" for name in (self.model, self.partner, self.text) if name)


Need: TypeAlias = "tuple[Stage, Case]"
Artifacts: TypeAlias = "tuple[Artifact, ...]"
# The artifacts of a case, one per part of the stage; raises ArtifactMissing.
Reader: TypeAlias = "Callable[[Stage, Case], Artifacts]"
# The same for comparisons: None where they are not there.
Lookup: TypeAlias = "Callable[[Stage, Case], Artifacts | None]"


class Stage(ABC):
    """One table of a suite.

    ``name`` and ``version`` are in every key: bump the version when the numbers change.  ``parts`` are the artifacts of
    a case, the table itself first; ``scratch`` are artifacts that only the computation needs, which stay in the working
    store.  ``tolerances`` say by how much a recomputed column may differ
    (:func:`universal_neurons.stages.comparison.column_differences`); without ``is_compared`` nothing is compared.
    ``subject``: what a case is about, with ``{case.model}`` in its place.  Without ``in_first_look`` a suite that was
    reduced for a first look (``--quick``) does without the table.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    parts: ClassVar[tuple[str, ...]] = ()
    scratch: ClassVar[tuple[str, ...]] = ()
    tolerances: ClassVar[Mapping[str, float]] = {}
    is_compared: ClassVar[bool] = True
    subject: ClassVar[str] = "neurons of {case.model}"
    in_first_look: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Name the only part of a stage after the stage, unless it says otherwise."""
        super().__init_subclass__()
        if "name" in vars(cls) and "parts" not in vars(cls):
            cls.parts = (cls.name,)

    def __repr__(self) -> str:
        return f"<stage {self.name}>"

    @abstractmethod
    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every case of the suite, in the order of ``work.steps``, first look or not."""

    def taken(self, work: Workspace) -> tuple[Case, ...]:
        """The cases that the suite has, whole or reduced for a first look."""
        return self.cases(work) if self.in_first_look or not work.suite.quick else ()

    @abstractmethod
    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """Every setting that changes the numbers of a case."""

    @abstractmethod
    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The digests of what a case is computed from; raises ArtifactMissing where the tokens are not sampled yet."""

    def key(self, work: Workspace, case: Case, part: str = "") -> Key:
        """The key of one part of a case, by default of the table itself."""
        name = part or self.parts[0]
        return work.cached(
            ("key", name, case),
            lambda: Key(name, self.version, self.parameters(work, case), self.inputs(work, case)),
        )

    def keys(self, work: Workspace, case: Case) -> tuple[Key, ...]:
        """The keys of all parts of a case."""
        return tuple(self.key(work, case, part) for part in self.parts)

    def needs(self, work: Workspace, case: Case) -> Iterable[Need]:
        """What has to be there before a case can be computed."""
        return ()

    def is_present(self, work: Workspace, case: Case) -> bool:
        """Whether every part of a case is in a store."""
        return all(work.store.has(key) for key in self.keys(work, case))

    def describe(self, work: Workspace, case: Case) -> str:
        """The subject of a case in a few words."""
        return self.subject.format(case=case)

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of computing some cases of one step."""
        raise NotImplementedError(f"{self} is planned together with its group")

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The artifacts of a case, by part."""
        raise NotImplementedError(f"{self} is computed together with its group, not case by case")

    def produce(self, work: Workspace, case: Case) -> None:
        """Compute and commit a case, with its provenance."""
        from universal_neurons.stages.resources import device

        with capture(device=str(device(work))) as run:
            payloads = self.compute(work, case)
        self.commit(work, case, payloads, run.provenance)
        self.state(work, case).remove()

    def state(self, work: Workspace, case: Case) -> StateFolder:
        """The folder for the state of a case whose computation is under way."""
        return StateFolder(work.states / self.key(work, case).digest[:32], work.warn)

    def commit(self, work: Workspace, case: Case, payloads: Mapping[str, Payload], made: Provenance) -> None:
        """Write the artifacts of a case to the working store, the table last: with it the case counts as present."""
        for part in sorted(payloads, key=lambda name: name == self.parts[0]):
            work.store.write(self.key(work, case, part), payloads[part], made)

    def case(self, work: Workspace, asked: Case) -> Case:
        """The case that a reader asked for, with the suite's reference and the last step where it named none.

        Raises UserError for one that the suite does not have, and NotOnSuite for one that a narrowed suite left out.
        """
        if not self.in_first_look and work.suite.quick:
            raise NotOnSuite(f"suite {work.suite.name}: a first look does without {self.name}")
        if asked not in self.cases(work):
            known = ", ".join(map(str, self.cases(work)))
            raise UserError(f"suite {work.suite.name}: {self.name}: expected one of {known}, got {asked}")
        return asked

    @abstractmethod
    def read(self, reader: Reader, work: Workspace, case: Case) -> Any:
        """The table of a case as claims measure it, from its artifacts; raises ArtifactMissing."""

    @abstractmethod
    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up artifacts of a case in a small shape, by part: what claims read in a dry run."""

    def open_lengths(self, work: Workspace) -> Mapping[str, Mapping[int, range]]:
        """The lengths of made-up axes that stand for any of a range, by part.

        Of other parts an axis as long as the made-up neurons are many is one of all neurons.
        """
        return {}

    def compare(self, work: Workspace, case: Case, stored: Lookup, again: Lookup) -> Comparison | None:
        """The stored artifacts of a case against recomputed ones; None where one of them is not there."""
        if not self.is_compared:
            return None
        old, new = stored(self, case), again(self, case)
        return None if old is None or new is None else self.comparison(work, case, old, new)

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The differences between the stored artifacts of a case and recomputed ones."""
        mine, theirs = stored[0].table, again[0].table
        return Comparison(self.name, "rows", len(mine), column_differences(mine, theirs, self.tolerances))


class StageGroup:
    """Stages that are computed together, step by step: one alone, or several that share passes over the tokens."""

    def __init__(self, *stages: Stage) -> None:
        self.stages = stages

    def costs(
        self,
        work: Workspace,
        sizes: Sizes,
        requested: Mapping[str, Sequence[Case]],
        lacking: Mapping[str, Sequence[Case]],
    ) -> dict[str, Cost]:
        """The cost of the ``lacking`` ones of the ``requested`` cases of one step, by the name of the stage.

        A cost that stages share has a name of its own.
        """
        return {
            stage.name: stage.cost(work, sizes, lacking[stage.name]) for stage in self.stages if lacking[stage.name]
        }

    def shares(self, cases: Mapping[str, Sequence[Case]]) -> Iterator[dict[str, list[Case]]]:
        """Split the ``cases`` of one step into parts that separate processes may compute: by default every case."""
        for stage in self.stages:
            yield from ({stage.name: [case]} for case in cases.get(stage.name, ()))

    def compute_step(self, work: Workspace, step: int | None, cases: Mapping[str, Sequence[Case]]) -> None:
        """Compute and commit the absent ones of the ``cases`` of one step, by the name of the stage."""
        for stage in self.stages:
            for case in absent(work, stage, cases):
                stage.produce(work, case)


def absent(work: Workspace, stage: Stage, cases: Mapping[str, Sequence[Case]]) -> list[Case]:
    """The ``cases`` of a stage that are in no store."""
    return [case for case in cases.get(stage.name, ()) if not stage.is_present(work, case)]


def references_at(work: Workspace, step: int | None) -> tuple[str, ...]:
    """The references at a step of the suite: untrained the suite's own alone, as in all that is a null."""
    if step in work.trained_steps:
        return work.suite.references
    return tuple(name for name in work.suite.references if name == work.reference and step in work.steps)


def reference_cases(work: Workspace) -> tuple[Case, ...]:
    """The references at every step."""
    return tuple(Case(step, name) for step in work.steps for name in references_at(work, step))


def own_pairs(work: Workspace, case: Case) -> tuple[Case, ...]:
    """The model of ``case`` against each of its partners, at the step of ``case``."""
    return tuple(Case(case.step, case.model, other) for other in work.partners(case.model))


def step_of(case: Case) -> int:
    """The step of a case that has one."""
    if case.step is None:
        raise ValueError(f"{case!r}: expected a training step")
    return case.step


def check_reference(work: Workspace, name: str) -> None:
    """Raise NotOnSuite for a model of the suite whose neurons a narrowed suite does not look at.

    A claim about every model as the reference asks for those too.
    """
    if name in work.suite.zoo.models and name not in work.suite.references:
        known = ", ".join(work.suite.references)
        raise NotOnSuite(f"suite {work.suite.name}: references: expected one of {known}, got {name!r}")


def check_reference_at(work: Workspace, case: Case, *, what: str) -> None:
    """Raise as :func:`check_reference` does, and UserError for a model that is no reference at the step of ``case``."""
    check_reference(work, case.model)
    check_one_of(work, case.model, references_at(work, case.step), what=f"{what} at step {case.step}")


def check_trained(work: Workspace, case: Case, *, what: str) -> None:
    """Raise UserError for a step at which the models are not trained."""
    if case.step not in work.trained_steps:
        raise UserError(f"suite {work.suite.name}: no {what} at step {case.step}, only where it is trained")


def check_one_of(work: Workspace, name: str, known: Sequence[str], *, what: str = "") -> None:
    """Raise UserError unless ``name`` is one of ``known``."""
    if name not in known:
        about = f"{what}: " if what else ""
        raise UserError(f"suite {work.suite.name}: {about}expected one of {', '.join(known)}, got {name!r}")


def neuron_columns(work: Workspace) -> dict[str, npt.NDArray[Any]]:
    """Layer and number of every neuron of a model of the suite: the columns that a table with a row per neuron has."""
    return _neuron_columns(work.suite.layers, work.zoo.recipe().mlp)


def example_neurons(work: Workspace) -> dict[str, npt.NDArray[Any]]:
    """The same columns in the small shape of made-up artifacts: all layers, few neurons in each."""
    return _neuron_columns(work.suite.layers, EXAMPLE_WIDTH)


def example_count(work: Workspace) -> int:
    """The number of neurons in the small shape of made-up artifacts."""
    return work.suite.layers * EXAMPLE_WIDTH


def _neuron_columns(layers: int, width: int) -> dict[str, npt.NDArray[Any]]:
    layer, neuron = np.divmod(np.arange(layers * width), width)
    return {"layer": layer.astype(np.int16), "neuron": neuron.astype(np.int32)}


def example_dice(case: Case) -> np.random.Generator:
    """A seeded generator for the made-up artifacts of a case."""
    return np.random.default_rng(int(sha256(repr(case).encode()).hexdigest()[:12], 16))


def read_artifact(work: Workspace, key: Key) -> Artifact:
    """The verified artifact of ``key``; raises ArtifactMissing."""
    artifact = work.store.read(key)
    if artifact is None:
        raise missing(work, key)
    return artifact


def missing(work: Workspace, key: Key) -> ArtifactMissing:
    """The error that says which artifact is absent and which command computes it."""
    command = work.suite.command("universal-neurons compute")
    names = ", ".join(f"{k} {v}" for k, v in key.parameters.items() if k in _NAMING)
    return ArtifactMissing(f"{key.stage} ({names or key.digest[:12]}): not computed; run: {command}", command=command)
