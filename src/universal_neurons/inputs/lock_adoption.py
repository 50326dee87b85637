"""The lock that comes with evidence about published models, added to this checkout's lock.

The keys of such evidence are made of the digests of weights and text, which stand in the suite's lock.  Of a stranger's
lock only entries are taken that name the very repository, branch and files that the catalogue and the corpus recipe of
this checkout name, and none that contradicts the lock here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.files import shown
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.lock import Lock, LockedFiles, LockError
from universal_neurons.inputs.pinning import accept_command, fetch_command
from universal_neurons.inputs.weights import INDEX, WEIGHTS
from universal_neurons.inputs.zoo import CONFIG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from universal_neurons.inputs.hub_corpus import HubCorpus
    from universal_neurons.inputs.pinning import Pins
    from universal_neurons.inputs.suite import AnyZoo


class LockUnfit(LockError):
    """A lock that came with evidence pins other files than this checkout means or has pinned."""


def lock_text(zoo: AnyZoo, corpus: HubCorpus | None) -> str | None:
    """The lock of a suite as it travels with its evidence; None where models and text lie in the checkout."""
    pins = _pins(zoo, corpus)
    if pins is None:
        return None
    return Lock.read(pins.path).text(command=f"universal-neurons store export --suite {pins.suite}")


def adopt_lock(
    text: str, zoo: AnyZoo, corpus: HubCorpus | None, checkpoints: Iterable[tuple[str, int]], *, source: str
) -> int:
    """Add what the lock ``text`` from ``source`` pins of a suite to the lock here; returns the number of new entries.

    ``corpus`` is None where the text is not on a hub; ``checkpoints`` are models and steps.

    Raises :class:`LockUnfit` for an entry of another repository or with other files than are meant, and for one that
    contradicts the lock here; ``LockError`` and ``EqualWeights`` for a damaged lock.  The lock is written when all of
    it is sound, or not at all.
    """
    theirs, pins, news = Lock.parse(text, where=f"{source}: lock"), _pins(zoo, corpus), 0
    if pins is None:
        return news
    mine = merged = Lock.read(pins.path)
    for what, entry in list(_meant(theirs, zoo, corpus, checkpoints)):
        if (known := mine.entry(what)) is None:
            merged, news = merged.with_entry(what, entry), news + 1
        elif not known.succeeded_by(entry):
            raise LockUnfit(
                f"{source}: its evidence is about other files of {what} ({entry.commit[:12] or 'no commit'}) than "
                f"{shown(pins.path)} pins ({known.commit[:12] or 'no commit'}); to judge it remove that lock, to "
                f"have what the hub has now run: {accept_command(fetch_command(pins.suite))}"
            )
    merged.check(where=shown(pins.path))
    if news:
        merged.write(pins.path, command=f"universal-neurons store import --suite {pins.suite}")
    return news


def _pins(zoo: AnyZoo, corpus: HubCorpus | None) -> Pins | None:
    if isinstance(zoo, HubZoo):
        return zoo.pins
    return None if corpus is None else corpus.pins


def _meant(
    theirs: Lock, zoo: AnyZoo, corpus: HubCorpus | None, checkpoints: Iterable[tuple[str, int]]
) -> Iterator[tuple[str, LockedFiles]]:
    """The entries of a lock that a suite needs, by name; raises :class:`LockUnfit` for one of something else."""
    if isinstance(zoo, HubZoo):
        family = zoo.family
        for model, step in checkpoints:
            if (entry := theirs.find(model, step)) is not None:
                wanted = (family.models[model].repository, family.branch(step))
                shards = entry.shards if entry.weights == INDEX else ()
                files = [{CONFIG, entry.weights, *shards}] if entry.weights in WEIGHTS else []
                _check_meant(f"{model}@{step}", entry, wanted, files)
                yield f"{model}@{step}", entry
        if theirs.tokenizer is not None:
            tokenizer = family.tokenizer
            wanted = (tokenizer.repository, tokenizer.revision)
            _check_meant("tokenizer", theirs.tokenizer, wanted, [{tokenizer.file}])
            yield "tokenizer", theirs.tokenizer
    if corpus is not None and theirs.corpus is not None:
        recipe = corpus.recipe
        files = [set(recipe.files)] if set(theirs.corpus.bytes) == set(theirs.corpus.files) else []
        _check_meant("text", theirs.corpus, (recipe.repository, recipe.revision), files)
        yield "text", theirs.corpus


def _check_meant(what: str, entry: LockedFiles, wanted: tuple[str, str], files: Collection[set[str]]) -> None:
    if (entry.repository, entry.revision) != wanted or set(entry.files) not in files:
        names = ", ".join(sorted(entry.files))
        raise LockUnfit(
            f"{what}: the evidence's lock names {entry.repository}@{entry.revision} ({names}), this checkout"
            f" means {'@'.join(wanted)}; nothing was used"
        )
