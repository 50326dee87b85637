"""The lock that comes with evidence about published models: taken over where this checkout has none.

The names of such evidence are made of the digests of weights and text, and those stand in the suite's lock.  This
module decides which entries of a stranger's lock are believed: only those that name the very repository, branch and
files that the catalogue and the corpus recipe of this checkout name, and never one that contradicts the lock here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.artifacts.bundle import ExportUnfit
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.lock import LOCK_SUFFIX, Lock, LockedCorpus, LockedFiles
from universal_neurons.inputs.pinning import accept_command, shown
from universal_neurons.inputs.suite import SUITES
from universal_neurons.inputs.weights import WEIGHTS
from universal_neurons.inputs.zoo import CONFIG
from universal_neurons.stages.workspace import hub_corpus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from universal_neurons.stages.workspace import Workspace


def lock_path(work: Workspace) -> Path:
    """Where the suite's lock lies, if it has one."""
    return work.root / SUITES / f"{work.suite.name}{LOCK_SUFFIX}"


def lock_text(work: Workspace) -> str | None:
    """The lock that must travel with the suite's evidence; None where models and text lie in the checkout."""
    if not isinstance(work.zoo, HubZoo) and hub_corpus(work) is None:
        return None
    return Lock.read(lock_path(work)).text(command=f"universal-neurons store export --suite {work.suite.name}")


def adopted(work: Workspace, text: str, *, source: str) -> int:
    """Add what the lock ``text`` pins of the suite to the lock here; the number of entries that are new.

    Raises :class:`ExportUnfit` for an entry of another repository or with other files than are meant, and for one that
    contradicts the lock here; ``LockError`` and ``EqualWeights`` for a damaged lock.  The lock is written when all of
    it is sound, or not at all.
    """
    theirs, path = Lock.parse(text, where=f"{source}: lock"), lock_path(work)
    mine = Lock.read(path)
    checks = dict(_meant(work, theirs))
    for what, entry in checks.items():
        _agree(work, what, _known(mine, what), entry, source=source)
    merged = _merged(work, mine, theirs)
    merged.check(where=shown(path))
    news = sum(_known(mine, what) is None for what in checks)
    if news:
        merged.write(path, command=f"universal-neurons store import --suite {work.suite.name}")
    return news


def _meant(work: Workspace, theirs: Lock) -> Iterator[tuple[str, LockedFiles]]:
    """The entries of a lock that the suite needs, by name; raises :class:`ExportUnfit` for one of something else."""
    if isinstance(work.zoo, HubZoo):
        family = work.zoo.family
        for model, step in _checkpoints(work):
            if (entry := theirs.find(model, step)) is not None:
                wanted = (family.models[model].repository, family.branch(step))
                files = [{CONFIG, entry.weights}] if entry.weights in WEIGHTS else []
                _check(f"{model}@{step}", entry, wanted, files)
                yield f"{model}@{step}", entry
        if theirs.tokenizer is not None:
            place = family.tokenizer
            _check("tokenizer", theirs.tokenizer, (place.repository, place.revision), [{place.file}])
            yield "tokenizer", theirs.tokenizer
    corpus = hub_corpus(work)
    if corpus is not None and theirs.corpus is not None:
        recipe = corpus.recipe
        files = [set(recipe.files)] if set(theirs.corpus.bytes) == set(theirs.corpus.files) else []
        _check("text", theirs.corpus, (recipe.repository, recipe.revision), files)
        yield "text", theirs.corpus


def _checkpoints(work: Workspace) -> Iterator[tuple[str, int]]:
    return ((model, step) for step in work.steps for model in work.suite.zoo.models)


def _check(what: str, entry: LockedFiles, wanted: tuple[str, str], files: Collection[set[str]]) -> None:
    if (entry.repository, entry.revision) != wanted or set(entry.files) not in files:
        files_named = ", ".join(sorted(entry.files))
        raise ExportUnfit(
            f"{what}: the evidence's lock names {entry.repository}@{entry.revision} ({files_named}), this checkout"
            f" means {'@'.join(wanted)}; nothing was used"
        )


def _known(lock: Lock, what: str) -> LockedFiles | None:
    if what in ("tokenizer", "text"):
        return lock.tokenizer if what == "tokenizer" else lock.corpus
    model, _, step = what.rpartition("@")
    return lock.find(model, int(step))


def _agree(work: Workspace, what: str, mine: LockedFiles | None, theirs: LockedFiles, *, source: str) -> None:
    if mine is not None and not mine.succeeded_by(theirs):
        raise ExportUnfit(
            f"{source}: its evidence is about other files of {what} ({theirs.commit[:12] or 'no commit'}) than "
            f"{shown(lock_path(work))} pins ({mine.commit[:12] or 'no commit'}); to judge it remove that lock, to have "
            f"what the hub has now run: {accept_command(work.suite.name)}"
        )


def _merged(work: Workspace, mine: Lock, theirs: Lock) -> Lock:
    """``mine`` with what it lacks of the suite."""
    lock = mine
    if isinstance(work.zoo, HubZoo):
        for model, step in _checkpoints(work):
            entry = theirs.find(model, step)
            if entry is not None and mine.find(model, step) is None:
                lock = lock.with_checkpoint(model, step, entry)
        lock = lock.model_copy(update={"tokenizer": mine.tokenizer or theirs.tokenizer})
    if hub_corpus(work) is not None:
        corpus: LockedCorpus | None = mine.corpus or theirs.corpus
        lock = lock.model_copy(update={"corpus": corpus})
    return lock
