"""The workspace of a suite: its settings, models, store and resources.

Opening a workspace reads manifests and computes nothing, so shipped evidence is judged within a second of starting.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar, cast

from universal_neurons.artifacts.store import Store
from universal_neurons.errors import SuiteNotFetched
from universal_neurons.ids import ModelRef
from universal_neurons.inputs.corpus import CorpusManifest, CorpusRecipe
from universal_neurons.inputs.hub_corpus import HubCorpus, is_on_hub
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.pinning import Pins
from universal_neurons.inputs.suite import CORPORA, AnyZoo, Suite, load_suite, project_root
from universal_neurons.progress import NoProgress
from universal_neurons.stages.resume import STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from pathlib import Path

    from universal_neurons.inputs.corpus import Cutting
    from universal_neurons.progress import Progress, Warn

WORK_FOLDER = ".universal-neurons"
# Evidence computed elsewhere, apart from what is computed here.
IMPORTED = "imported"

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of a computation.  They change no result, so they are in no key.

    ``memory``: bytes of the device, None for what is free less a margin.  ``device``: its name for torch, None for a
    GPU where there is one.  ``state_seconds``: time between two writes of the state of a pass over the tokens.
    """

    memory: int | None = None
    device: str | None = None
    state_seconds: float = 180.0


@dataclass(frozen=True)
class Workspace:
    """A suite with its models, text, stores and resources.

    ``local``: whether keys name the corpus and the untrained weights of this machine (True) or the published ones
    (False: only manifests are read, so shipped evidence is found on any machine).
    """

    suite: Suite
    root: Path
    store: Store
    zoo: AnyZoo
    warn: Warn = print
    progress: Progress = field(default_factory=NoProgress)
    local: bool = False
    resources: Resources = field(default_factory=Resources)
    cache: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def cached(self, name: Hashable, make: Callable[[], _Value]) -> _Value:
        """The value called ``name``, made once per workspace."""
        if name not in self.cache:
            self.cache[name] = make()
        return cast("_Value", self.cache[name])

    @property
    def states(self) -> Path:
        """The folder of the states of the suite's unfinished computations."""
        return self.store.working / STATES / self.suite.name

    def model(self, name: str, step: int) -> ModelRef:
        """The reference to model ``name`` of the suite's zoo at ``step``."""
        return self.cached(
            (name, step),
            lambda: self.zoo.local_ref(name, step, warn=self.warn) if self.local else self.zoo.ref(name, step),
        )

    def models(self, step: int) -> tuple[ModelRef, ...]:
        """The references to all models of the suite at ``step``."""
        return tuple(self.model(name, step) for name in self.suite.zoo.models)

    def partners(self, model: str) -> tuple[str, ...]:
        """The other models of the suite, in its order."""
        return tuple(name for name in self.suite.zoo.models if name != model)

    @property
    def reference(self) -> str:
        """The suite's reference model."""
        return self.suite.zoo.reference

    @property
    def trained_steps(self) -> tuple[int, ...]:
        """The steps of the trained checkpoints, in order."""
        return tuple(checkpoint.step for checkpoint in self.suite.checkpoints)

    @property
    def steps(self) -> tuple[int, ...]:
        """Every step that is computed, the untrained one first."""
        untrained = self.suite.untrained
        return (*([] if untrained is None else [untrained.step]), *self.trained_steps)

    @property
    def last_step(self) -> int:
        """The step of the last checkpoint."""
        return self.trained_steps[-1]


def unpinned(work: Workspace) -> Workspace:
    """A copy of ``work`` whose model references name no weights, for questions about names and numbers only.

    No hub is asked, and keys made from these references are in no store.
    """
    refs: dict[Hashable, Any] = {
        (name, step): ModelRef(name, "unpinned", step, sha256(f"unpinned {name}@{step}".encode()).hexdigest())
        for name in work.suite.zoo.models
        for step in work.steps
    }
    return replace(work, cache=refs)


def corpus_fingerprint(work: Workspace, recipe: str = "") -> str:
    """The fingerprint of the suite's corpus, or of another ``recipe``, for keys.

    Warns in one line if this machine's text is not the shipped one.

    Raises CorpusError if the pinned manifest is missing or damaged, or, where the workspace is local, a distribution is
    not installed.
    """
    if not recipe and (text := hub_corpus(work)) is not None:
        return text.fingerprint
    name = recipe or work.suite.corpus.recipe
    shipped = corpus_manifest(work, name)
    if not work.local:
        return shipped.fingerprint

    def of_this_machine() -> str:
        here = corpus_recipe(work, name).manifest()
        difference = shipped.difference(here)
        if difference is not None:
            work.warn(f"{difference}; results get keys of their own and are not compared with the shipped ones")
        return here.fingerprint

    return work.cached(("fingerprint", name), of_this_machine)


def corpus_manifest(work: Workspace, recipe: str) -> CorpusManifest:
    """The pinned manifest of a text of installed distributions; raises CorpusError where it is missing or damaged."""
    return CorpusManifest.read(work.root / CORPORA / f"{recipe}.json")


def corpus_recipe(work: Workspace, name: str = "") -> CorpusRecipe:
    """The recipe of a text of installed distributions, by default the suite's; raises CorpusError where it is none."""
    return CorpusRecipe.read(work.root / CORPORA / f"{name or work.suite.corpus.recipe}.toml")


def hub_corpus(work: Workspace) -> HubCorpus | None:
    """The suite's text where it is a data set of a hub, else None."""
    name = work.suite.corpus.recipe

    def opened() -> HubCorpus | None:
        if not is_on_hub(work.root / CORPORA / f"{name}.toml"):
            return None
        fetch = work.suite.command("universal-neurons fetch")
        return HubCorpus.open(name, Pins.open(work.root, work.suite.name, command=fetch, warn=work.warn))

    return work.cached("hub corpus", opened)


def row_cutting(work: Workspace) -> Cutting:
    """The rule by which rows are cut from the suite's text; by ``documents`` they begin with beginning-of-text."""
    text = hub_corpus(work)
    return "documents" if text is None else text.recipe.cutting


def check_pinned(work: Workspace) -> None:
    """Raise SuiteNotFetched where the lock of published models or text has no checkpoint of the suite.

    Some checkpoints are enough, because a narrowed suite pins no more; evidence about the others is missing.
    """
    if isinstance(work.zoo, HubZoo):
        errors: list[SuiteNotFetched] = []
        for step in reversed(work.steps):
            try:
                for name in work.suite.zoo.models:
                    work.zoo.ref(name, step)
            except SuiteNotFetched as error:
                errors.append(error)
        if len(errors) == len(work.steps):
            raise errors[-1]
    if (text := hub_corpus(work)) is not None:
        _ = text.locked


def open_workspace(
    suite: str,
    *,
    root: Path | None = None,
    store: Path | None = None,
    recompute: bool = False,
    local: bool = False,
    warn: Warn = print,
    progress: Progress | None = None,
    narrowing: Mapping[str, Any] | None = None,
    resources: Resources | None = None,
) -> Workspace:
    """The workspace of a suite; raises UserError for an unknown suite, a bad suite file or a damaged zoo.

    ``recompute`` leaves out shipped and imported evidence and, unless ``store`` names one, uses a working store of its
    own, so that nothing computed before is read.  With fewer tokens (``narrowing`` as in ``Suite.narrowed``) of a
    corpus of this machine the workspace is local, because no shipped evidence is about them.
    """
    here = root or project_root()
    whole = load_suite(suite, here)
    resolved = whole.narrowed(**narrowing) if narrowing else whole
    fewer_tokens = resolved.corpus.tokens < whole.corpus.tokens
    working = store or here / WORK_FOLDER / ("recomputed" if recompute else "store")
    shipped = [] if recompute else [here / "fixtures" / "evidence"]
    return Workspace(
        suite=resolved,
        root=here,
        store=Store(working, shipped, imported=None if recompute else here / WORK_FOLDER / IMPORTED, warn=warn),
        zoo=resolved.open_zoo(here, warn=warn),
        warn=warn,
        progress=progress or NoProgress(),
        local=local or (fewer_tokens and resolved.zoo.kind == "fixtures"),
        resources=resources or Resources(),
    )
