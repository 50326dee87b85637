"""A suite's workspace: what its stages read from and write to, and what every artifact is called.

This module decides the keys.  It reads manifests and the store and computes nothing, so that judging shipped evidence
starts in a second; what computes is in :mod:`universal_neurons.pipeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from universal_neurons.artifacts.key import Key
from universal_neurons.artifacts.receipt import Imported, receipts_of
from universal_neurons.artifacts.store import Artifact, Entry, Origin, Store
from universal_neurons.errors import ArtifactMissing, SuiteNotFetched
from universal_neurons.ids import CorpusRef, ModelRef
from universal_neurons.inputs.corpus import CorpusManifest, CorpusRecipe
from universal_neurons.inputs.hub_corpus import HubCorpus, is_on_hub
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.suite import CORPORA, AnyZoo, Suite, load_suite, project_root
from universal_neurons.measures.excess import with_excess as with_excess
from universal_neurons.measures.influence import read_influence as read_influence
from universal_neurons.measures.influence import stored_influence as stored_influence
from universal_neurons.measures.profiles import WINDOW
from universal_neurons.measures.study import NullKind as NullKind  # noqa: TC001 - imported from here by others

if TYPE_CHECKING:
    from pathlib import Path


Warn = Callable[[str], None]

TOKENS_VERSION = 1
UNIVERSALITY_VERSION = 1
CANDIDATES_VERSION = 1
VARIANTS_VERSION = 1
ABLATION_VERSION = 1
EXTENSIONS_VERSION = 1
# As rare as Gurnee et al. 2024 allow a unigram label to be: 3,000 occurrences in 10 million tokens.
UNIGRAM_RATE = 0.0003
# The score from which their families are counted (section 4.3).
UNIGRAM_THRESHOLD = 0.5
PROFILES_VERSION = 1
# Rows in one pass of an ablation.  Resampled activations come from the same batch, so this number changes results.
ABLATION_BATCH_ROWS = 16
WORK_FOLDER = ".universal-neurons"
# Where evidence lies that was computed elsewhere, apart from what is computed here.
IMPORTED = "imported"


class Progress(Protocol):
    """How a long computation says how far it is; the command line draws it, tests count it."""

    def start(self, title: str, total: int) -> None:
        """A task of ``total`` steps begins."""

    def advance(self, steps: int = 1) -> None:
        """``steps`` more of the current task are done."""

    def finish(self) -> None:
        """The current task is done."""


class Silence:
    """Progress that nobody sees."""

    def start(self, title: str, total: int) -> None:
        """Say nothing."""

    def advance(self, steps: int = 1) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a computation may use; none of it is part of what is computed, so none of it is part of a key.

    ``memory``: bytes of the device, None for what is free less a margin.  ``device``: its name for torch, None for a
    GPU where there is one.  ``state_seconds``: how long a pass over the tokens goes on before its state is written.
    """

    memory: int | None = None
    device: str | None = None
    state_seconds: float = 180.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A directed pair of models at one training step: ``reference``'s neurons look for partners in ``partner``."""

    reference: ModelRef
    partner: ModelRef


@dataclass(frozen=True)
class Workspace:
    """A suite with everything that its stages read from and write to.

    ``local`` says what the keys name: the corpus and the untrained weights as they were published (False: nothing is
    read but manifests, so shipped evidence is found on any machine) or as this machine really has them (True).
    """

    suite: Suite
    root: Path
    store: Store
    zoo: AnyZoo
    warn: Warn = print
    progress: Progress = field(default_factory=Silence)
    local: bool = False
    resources: Resources = field(default_factory=Resources)
    cache: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def model(self, name: str, step: int) -> ModelRef:
        """The reference to model ``name`` of the suite's zoo at ``step``."""
        found = self.cache.get((name, step))
        if found is None:
            found = self.zoo.local_ref(name, step, warn=self.warn) if self.local else self.zoo.ref(name, step)
            self.cache[name, step] = found
        return cast("ModelRef", found)

    def models(self, step: int) -> tuple[ModelRef, ...]:
        """The references to all models of the suite at ``step``."""
        return tuple(self.model(name, step) for name in self.suite.zoo.models)

    def references(self, step: int) -> tuple[ModelRef, ...]:
        """The models whose neurons look for partners at ``step``: all of the suite, unless it was narrowed."""
        return tuple(ref for ref in self.models(step) if ref.name in self.suite.references)

    def pairs(self, step: int) -> tuple[Pair, ...]:
        """All directed pairs at ``step`` of a reference with another model of the suite."""
        return tuple(Pair(x, y) for x, y in permutations(self.models(step), 2) if x.name in self.suite.references)

    @property
    def steps(self) -> tuple[int, ...]:
        """Every step that is computed, the untrained one first."""
        untrained = self.suite.untrained
        return (*([] if untrained is None else [untrained.step]), *(c.step for c in self.suite.checkpoints))


def unpinned(work: Workspace) -> Workspace:
    """``work`` with references that name no weights: for questions about names and numbers of models only.

    Nothing is asked of a hub, and keys made of them are in no store.
    """
    refs = {(name, step): _no_weights(name, step) for name in work.suite.zoo.models for step in work.steps}
    return replace(work, cache=dict(refs))


def _no_weights(name: str, step: int) -> ModelRef:
    return ModelRef(name, "unpinned", step, sha256(f"unpinned {name}@{step}".encode()).hexdigest())


def corpus_fingerprint(work: Workspace) -> str:
    """The fingerprint of the corpus that the keys name; one warning line if this machine's is not the shipped one.

    Raises CorpusError if the pinned manifest is missing or damaged, or, where the workspace is local, a distribution is
    not installed.
    """
    if (text := hub_corpus(work)) is not None:
        return text.fingerprint
    shipped = CorpusManifest.read(work.root / CORPORA / f"{work.suite.corpus.recipe}.json")
    if not work.local:
        return shipped.fingerprint
    if "fingerprint" not in work.cache:
        here = corpus_recipe(work).manifest()
        difference = shipped.difference(here)
        if difference is not None:
            work.warn(f"{difference}; results get keys of their own and are not compared with the shipped ones")
        work.cache["fingerprint"] = here.fingerprint
    return str(work.cache["fingerprint"])


def corpus_recipe(work: Workspace) -> CorpusRecipe:
    """Which distributions make up the suite's corpus, where it is one of installed distributions."""
    return CorpusRecipe.read(work.root / CORPORA / f"{work.suite.corpus.recipe}.toml")


def hub_corpus(work: Workspace) -> HubCorpus | None:
    """The suite's text where it is a data set of a hub, else None."""
    name = work.suite.corpus.recipe
    if "hub corpus" not in work.cache:
        there = is_on_hub(work.root / CORPORA / f"{name}.toml")
        fetch = work.suite.command("universal-neurons fetch")
        opened = (
            HubCorpus.open(work.root, name, suite=work.suite.name, command=fetch, warn=work.warn) if there else None
        )
        work.cache["hub corpus"] = opened
    return cast("HubCorpus | None", work.cache["hub corpus"])


def corpus_key(work: Workspace, stage: str) -> Key:
    """The key of the token set: of its identity (stage ``corpus``) or of the tokens themselves (``tokens``)."""
    spec = work.suite.corpus
    return Key(
        stage=stage,
        version=TOKENS_VERSION,
        parameters={
            "recipe": spec.recipe,
            "split": "held-out" if hub_corpus(work) is None else "streamed",
            "tokens": spec.tokens,
            "row_length": spec.row_length,
            "mask": spec.mask.value,
            "seed": spec.seed,
        },
        inputs={"corpus": corpus_fingerprint(work), "tokenizer": work.zoo.tokenizer_digest},
    )


def corpus_ref(work: Workspace) -> CorpusRef:
    """The identity of the suite's token set, which is all that evidence knows of the text; raises ArtifactMissing."""
    if "corpus" not in work.cache:
        work.cache["corpus"] = corpus_ref_from(read(work, corpus_key(work, "corpus")).document)
    return cast("CorpusRef", work.cache["corpus"])


def evaluation_key(work: Workspace, stage: str) -> Key:
    """The key of the rows on which ablations are judged: of their identity (stage ``evaluation``) or of the rows
    themselves (``evaluation-tokens``).

    They follow the suite's own rows, so whatever chooses those is in this key too.
    """
    own = corpus_key(work, stage)
    return Key(
        stage=stage,
        version=ABLATION_VERSION,
        parameters={**own.parameters, "predictions": work.suite.ablation.tokens},
        inputs=dict(own.inputs),
    )


def evaluation_ref(work: Workspace) -> CorpusRef:
    """The identity of the rows on which ablations are judged; its tokens are predictions; raises ArtifactMissing."""
    return corpus_ref_from(read(work, evaluation_key(work, "evaluation")).document)


def corpus_ref_from(record: Mapping[str, Any]) -> CorpusRef:
    """The reference inside the record of a token set."""
    return CorpusRef(**record["ref"])


# --- keys ------------------------------------------------------------------------------------------------------------


def universality_key(work: Workspace, pair: Pair, stage: str = "universality") -> Key:
    """The key of one table of a pair (or, by another ``stage``, of its null or its draws): what changes its numbers."""
    spec = work.suite.universality
    return Key(
        stage=stage,
        version=UNIVERSALITY_VERSION,
        parameters={
            "reference": pair.reference.name,
            "partner": pair.partner.name,
            "rotation": spec.rotation,
            "draws": spec.draws,
            "half_draws": spec.half_draws,
            "seed": spec.seed,
            "top_k": spec.top_k,
            "blocks": spec.blocks,
            "dtype": spec.precision,
        },
        inputs={
            "reference": pair.reference.digest,
            "partner": pair.partner.digest,
            "tokens": corpus_ref(work).sha256,
        },
    )


def candidates_key(work: Workspace, reference: ModelRef) -> Key:
    """The key of the block influences of one reference's candidates; the tables that select them are its inputs."""
    tables = {pair.partner.name: universality_key(work, pair).digest for pair in pairs_of(work, reference)}
    return Key(
        stage="candidates",
        version=CANDIDATES_VERSION,
        parameters={"floor": work.suite.universality.floor},
        inputs=tables,
    )


def ablation_key(work: Workspace, model: ModelRef, stage: str = "ablation") -> Key:
    """The key of the ablations of one model (stage ``ablation-blocks``: their effects per block of rows).

    The universality tables that say which neurons are universal are inputs, those of the last checkpoint for untrained
    models.
    """
    suite, spec = work.suite, work.suite.ablation
    labels = work.model(model.name, labels_step(work, model.step))
    tables = {f"against {pair.partner.name}": universality_key(work, pair).digest for pair in pairs_of(work, labels)}
    return Key(
        stage=stage,
        version=ABLATION_VERSION,
        parameters={
            "model": model.name,
            "step": model.step,
            "labels_step": labels.step,
            "role": ablation_role(work, model.step),
            "pairs": ablated_pairs(work, model),
            "thresholds": list(suite.universality.thresholds),
            "threshold": suite.universality.threshold,
            "blocks": spec.blocks,
            "draws": spec.draws,
            "dose": list(spec.dose),
            "orders": spec.orders,
            "seed": spec.seed,
            "batch_rows": spec.batch_rows,
            "dtype": "float32",
            # Left out where it has its default: these keys were made before it was a setting.
            **({} if spec.by_layer else {"by_layer": False}),
        },
        # The rows by the key that chooses them and not by what they say: keys must not depend on text that is not here.
        inputs={"model": model.digest, "rows": evaluation_key(work, "evaluation").digest, **tables},
    )


def ablation_role(work: Workspace, step: int) -> Literal["untrained", "trained", "last"]:
    """What is ablated at ``step``: the last checkpoint has more sets than the others, untrained models have fewer."""
    if work.suite.untrained is not None and step == work.suite.untrained.step:
        return "untrained"
    return "last" if step == work.suite.checkpoints[-1].step else "trained"


def labels_step(work: Workspace, step: int) -> int:
    """The step whose universal neurons are ablated at ``step``: its own, or the last one in untrained models.

    No neuron of an untrained model is universal; what is asked there is what the same places do before training.
    """
    return work.suite.checkpoints[-1].step if ablation_role(work, step) == "untrained" else step


def ablated_models(work: Workspace, step: int) -> tuple[ModelRef, ...]:
    """The models that are ablated at ``step``: all references, or of untrained models the suite's reference alone."""
    every = ablation_role(work, step) != "untrained"
    return tuple(ref for ref in work.references(step) if every or ref.name == work.suite.zoo.reference)


def ablated_pairs(work: Workspace, model: ModelRef) -> list[str]:
    """The partners against whom a model's universal neurons are also ablated pair by pair: the suite's reference's."""
    if model.name != work.suite.zoo.reference or ablation_role(work, model.step) == "untrained":
        return []
    return [pair.partner.name for pair in pairs_of(work, model)]


def ablation_keys(work: Workspace, step: int) -> dict[ModelRef, tuple[Key, Key]]:
    """The table of sets and the effects per block, of every model that is ablated at ``step``."""
    return {
        ref: (ablation_key(work, ref), ablation_key(work, ref, "ablation-blocks")) for ref in ablated_models(work, step)
    }


def extensions_keys(work: Workspace, step: int) -> tuple[Key, ...]:
    """The families and patches of the suite's reference: table of sets, effects per block.

    There are none where models are untrained, and none where the suite does without.
    """
    if ablation_role(work, step) == "untrained" or not work.suite.ablation.extensions:
        return ()
    model = work.model(work.suite.zoo.reference, step)
    return extensions_key(work, model), extensions_key(work, model, "extensions-blocks")


def extensions_key(work: Workspace, model: ModelRef, stage: str = "extensions") -> Key:
    """The key of what is ablated by family and patched in one model (or of the effects per block of rows)."""
    spec = work.suite.ablation
    tables = {f"against {pair.partner.name}": universality_key(work, pair).digest for pair in pairs_of(work, model)}
    return Key(
        stage=stage,
        version=EXTENSIONS_VERSION,
        parameters={
            "model": model.name,
            "step": model.step,
            "threshold": work.suite.universality.threshold,
            "unigram_threshold": UNIGRAM_THRESHOLD,
            "unigram_rate": UNIGRAM_RATE,
            "draws": spec.draws,
            "seed": spec.seed,
            "batch_rows": spec.batch_rows,
            "dtype": "float32",
        },
        inputs={
            "model": model.digest,
            "rows": evaluation_key(work, "evaluation").digest,
            "tokens": corpus_ref(work).sha256,
            **tables,
        },
    )


def profiles_key(work: Workspace, model: ModelRef) -> Key:
    """The key of the profiles of one model's neurons."""
    spec = work.suite.profiles
    return Key(
        stage="profiles",
        version=PROFILES_VERSION,
        parameters={
            "model": model.name,
            "step": model.step,
            "top": spec.top,
            "window": list(WINDOW),
            "bins": spec.bins,
            "shown": spec.shown,
            "ablation_rows": spec.ablation_rows,
            "dtype": "float32",
        },
        # As of ablations: the rows by the key that chooses them, because keys must not depend on text that is not here.
        inputs={
            "model": model.digest,
            "tokens": corpus_ref(work).sha256,
            "rows": evaluation_key(work, "evaluation").digest,
        },
    )


def profiles_keys(work: Workspace, step: int) -> dict[ModelRef, Key]:
    """The profiles of every model of the suite at its last checkpoint; none at any other step."""
    is_last = step == work.suite.checkpoints[-1].step
    return {ref: profiles_key(work, ref) for ref in work.models(step)} if is_last else {}


def suite_keys(work: Workspace) -> tuple[Key, ...]:
    """The key of every artifact that judging the suite reads: of its tokens, then step by step."""
    return (*token_keys(work), *(key for step in work.steps for key in step_keys(work, step)))


def token_keys(work: Workspace) -> tuple[Key, ...]:
    """The identities of the two token sets: those that identify the neurons, and those that ablations are judged on."""
    return corpus_key(work, "corpus"), evaluation_key(work, "evaluation")


def step_keys(work: Workspace, step: int) -> tuple[Key, ...]:
    """The keys of one step: tables, nulls, candidates, variants, ablations, extensions, profiles."""
    candidates = (candidates_key(work, ref) for ref in work.references(step))
    ablations = (key for both in ablation_keys(work, step).values() for key in both)
    scores = (*table_keys(work, step).values(), *null_keys(work, step).values())
    extensions, profiles = extensions_keys(work, step), profiles_keys(work, step).values()
    return (*scores, *candidates, *variants_keys(work, step), *ablations, *extensions, *profiles)


def table_keys(work: Workspace, step: int) -> dict[Pair, Key]:
    """The universality tables of one step."""
    return {pair: universality_key(work, pair) for pair in work.pairs(step)}


def draws_key(work: Workspace, pair: Pair) -> Key:
    """The baseline of every neuron in every rotation draw: made with the table, needed until candidates are chosen."""
    return universality_key(work, pair, "baseline-draws")


def null_cases(work: Workspace, step: int) -> tuple[tuple[Pair, NullKind], ...]:
    """The suite's nulls of one step: its reference against each partner.

    There are none where models are untrained, because these are a null themselves.
    """
    if work.suite.untrained is not None and step == work.suite.untrained.step:
        return ()
    own = [pair for pair in work.pairs(step) if pair.reference.name == work.suite.zoo.reference]
    return tuple((pair, kind) for pair in own for kind in work.suite.universality.nulls)


def null_keys(work: Workspace, step: int) -> dict[tuple[Pair, NullKind], Key]:
    """The null tables of one step."""
    return {(pair, kind): universality_key(work, pair, f"null-{kind}") for pair, kind in null_cases(work, step)}


def variants_keys(work: Workspace, step: int) -> tuple[Key, ...]:
    """The key of the variants of one step; none where models are untrained, or where the suite varies nothing."""
    is_trained = step in {checkpoint.step for checkpoint in work.suite.checkpoints}
    return (variants_key(work, step),) if is_trained and work.suite.variants.names else ()


def variants_key(work: Workspace, step: int) -> Key:
    """The key of the suite's reference against all its partners under every variant."""
    spec, variants = work.suite.universality, work.suite.variants
    reference = work.suite.zoo.reference
    return Key(
        stage="variants",
        version=VARIANTS_VERSION,
        parameters={
            "reference": reference,
            "partners": [name for name in work.suite.zoo.models if name != reference],
            "variants": list(variants.names),
            "draws": variants.draws,
            "padding": variants.padding,
            "padded_tokens": variants.padded_tokens,
            "rotation": spec.rotation,
            "rotation_draws": spec.draws,
            "seed": spec.seed,
            "dtype": spec.precision,
        },
        inputs={
            **{f"model {ref.name}": ref.digest for ref in work.models(step)},
            "tokens": corpus_ref(work).sha256,
            "tokenizer": work.zoo.tokenizer_digest,
        },
    )


def pairs_of(work: Workspace, reference: ModelRef) -> list[Pair]:
    """The directed pairs of one reference with all its partners."""
    return [pair for pair in work.pairs(reference.step) if pair.reference == reference]


def read(work: Workspace, key: Key) -> Artifact:
    """The verified artifact of ``key``; raises ArtifactMissing."""
    found = work.store.read(key)
    if found is None:
        raise missing(work, key)
    return found


_NAMING = ("reference", "partner", "model", "step")


def check_pinned(work: Workspace) -> None:
    """Raise SuiteNotFetched where the lock of published models or text has not even one checkpoint of the suite.

    Some checkpoints are enough, because whoever narrowed a suite pinned no more; evidence about others is missing.
    """
    if isinstance(work.zoo, HubZoo):
        _check_zoo_pinned(work, work.zoo)
    if (text := hub_corpus(work)) is not None:
        _ = text.locked


def _check_zoo_pinned(work: Workspace, zoo: HubZoo) -> None:
    unknown: SuiteNotFetched | None = None
    for step in reversed(work.steps):
        try:
            for name in work.suite.zoo.models:
                zoo.ref(name, step)
        except SuiteNotFetched as one:
            unknown = one
        else:
            return
    if unknown is not None:
        raise unknown


def missing(work: Workspace, key: Key) -> ArtifactMissing:
    """The error that says which artifact is absent and which command computes it."""
    command = work.suite.command("universal-neurons compute")
    names = ", ".join(f"{k} {v}" for k, v in key.parameters.items() if k in _NAMING)
    return ArtifactMissing(f"{key.stage} ({names or key.digest[:12]}): not computed; run: {command}", command=command)


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

    ``recompute`` leaves shipped and imported evidence out and, unless ``store`` names one, uses a working store of its
    own, so that nothing that was computed before can answer.  What ``narrowing`` (as in ``Suite.narrowed``) does to the
    tokens of a corpus of this machine makes the workspace local: nothing shipped is about them.
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
        progress=progress or Silence(),
        local=local or (fewer_tokens and resolved.zoo.kind == "fixtures"),
        resources=resources or Resources(),
    )


def describe(key: Key) -> str:
    """What an artifact is about, in a few words: ``a against b`` or the candidates' partners."""
    parameters = key.parameters
    if isinstance(variants := parameters.get("variants"), list | tuple):
        return f"{parameters['reference']} under {len(variants)} variants"
    if "reference" in parameters:
        return f"{parameters['reference']} against {parameters['partner']}"
    if "unigram_rate" in parameters:
        return f"families and patches of {parameters['model']}"
    if key.stage == "profiles":
        return f"neurons of {parameters['model']}"
    if "model" in parameters:
        return f"sets of neurons of {parameters['model']}"
    if "predictions" in parameters:
        return f"{parameters['predictions']} predictions of {parameters['recipe']}"
    if "tokens" in parameters:
        return f"{parameters['tokens']} tokens of {parameters['recipe']}"
    return f"partners {', '.join(sorted(key.inputs))}"


def where(work: Workspace, key: Key) -> str:
    """The store that has the artifact, ``working``, ``shipped`` or ``imported``, or ``absent``."""
    found = work.store.read(key)
    return "absent" if found is None else found.origin.value


def imported_evidence(work: Workspace) -> Imported:
    """How much of the suite's evidence was computed elsewhere, where it came from, and what of it was checked here.

    Raises ArtifactMissing where not even the identity of the tokens is there.
    """
    if work.store.imported is None or not work.store.imported.is_dir():
        return Imported()
    first: dict[str, Entry] = {}
    for entry in work.store.entries():
        first.setdefault(entry.key.digest, entry)
    found = (first[key.digest] for key in suite_keys(work) if key.digest in first)
    theirs = {entry.key.digest: entry.manifest.sha256 for entry in found if entry.origin is Origin.IMPORTED}
    return Imported.of(receipts_of(work.store.imported, work.suite.name), theirs)
