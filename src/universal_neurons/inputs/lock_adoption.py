"""The lock that comes with evidence about published models, added to this checkout's lock.

The keys of such evidence are made of the digests of weights and text, which stand in the suite's lock.  Of a stranger's
lock only entries are taken that name the very repository, branch and files that the catalogue and the corpus recipe of
this checkout name, and none that contradicts the lock here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.files import shown
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.lock import LOCK_SUFFIX, Lock, LockedFiles, LockError
from universal_neurons.inputs.pinning import accept_command, fetch_command
from universal_neurons.inputs.suite import SUITES
from universal_neurons.inputs.weights import INDEX, WEIGHTS
from universal_neurons.inputs.zoo import CONFIG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from universal_neurons.inputs.hub_corpus import HubCorpus
    from universal_neurons.inputs.suite import AnyZoo


class LockUnfit(LockError):
    """A lock that came with evidence pins other files than this checkout means or has pinned."""


@dataclass(frozen=True)
class SuiteLock:
    """The lock of one suite in the checkout ``root``, and what it must pin.

    ``corpus`` is None where the text is not on a hub; ``checkpoints`` are models and steps.
    """

    root: Path
    suite: str
    zoo: AnyZoo
    corpus: HubCorpus | None
    checkpoints: Collection[tuple[str, int]]

    @property
    def path(self) -> Path:
        """The file of the lock, which need not exist."""
        return self.root / SUITES / f"{self.suite}{LOCK_SUFFIX}"

    def text(self) -> str | None:
        """The lock as it travels with the suite's evidence; None where models and text lie in the checkout."""
        if not isinstance(self.zoo, HubZoo) and self.corpus is None:
            return None
        return Lock.read(self.path).text(command=f"universal-neurons store export --suite {self.suite}")

    def adopt(self, text: str, *, source: str) -> int:
        """Add what the lock ``text`` from ``source`` pins of the suite; returns the number of new entries.

        Raises :class:`LockUnfit` for an entry of another repository or with other files than are meant, and for one
        that contradicts the lock here; ``LockError`` and ``EqualWeights`` for a damaged lock.  The lock is written when
        all of it is sound, or not at all.
        """
        theirs, mine = Lock.parse(text, where=f"{source}: lock"), Lock.read(self.path)
        merged, news = mine, 0
        for what, entry in list(self._meant(theirs)):
            if (known := mine.entry(what)) is None:
                merged, news = merged.with_entry(what, entry), news + 1
            elif not known.succeeded_by(entry):
                raise LockUnfit(
                    f"{source}: its evidence is about other files of {what} ({entry.commit[:12] or 'no commit'}) than "
                    f"{shown(self.path)} pins ({known.commit[:12] or 'no commit'}); to judge it remove that lock, to "
                    f"have what the hub has now run: {accept_command(fetch_command(self.suite))}"
                )
        merged.check(where=shown(self.path))
        if news:
            merged.write(self.path, command=f"universal-neurons store import --suite {self.suite}")
        return news

    def _meant(self, theirs: Lock) -> Iterator[tuple[str, LockedFiles]]:
        """The entries of a lock that the suite needs, by name; raises :class:`LockUnfit` for one of something else."""
        if isinstance(self.zoo, HubZoo):
            family = self.zoo.family
            for model, step in self.checkpoints:
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
        if self.corpus is not None and theirs.corpus is not None:
            recipe = self.corpus.recipe
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
