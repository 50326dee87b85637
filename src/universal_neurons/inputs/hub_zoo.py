"""A zoo on a hub: a family of the catalogue, each checkpoint pinned to a commit and to the digests of its files.

:class:`HubZoo` has the surface of :class:`~universal_neurons.inputs.zoo.Zoo`.  The digest of a checkpoint is known
after the hub was asked once (:meth:`HubZoo.pin`); the lock beside the suite remembers it.  No other weights are handed
out under that reference.

    fixtures/models.toml                   the catalogue
    fixtures/suites/<suite>.lock.toml      commits and digests
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from universal_neurons.characters import visible
from universal_neurons.files import shown
from universal_neurons.ids import ModelRef
from universal_neurons.inputs.catalogue import CATALOGUE, Catalogue
from universal_neurons.inputs.hub import Announced, FileMissing, HubError, RevisionMissing
from universal_neurons.inputs.lock import EqualWeights, Lock, LockedCheckpoint, LockedFiles, LockError
from universal_neurons.inputs.pinning import Pins, RepositoryChanged, accept_command, fields_of, revision_of
from universal_neurons.inputs.weights import INDEX, WEIGHTS, WeightsUnfit, published_model, sharded, shards
from universal_neurons.inputs.zoo import CONFIG, UNTRAINED, Tokenized, ZooError, untrained_digest
from universal_neurons.progress import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tokenizers import Tokenizer

    from universal_neurons.inputs.bridge import Bridge
    from universal_neurons.inputs.catalogue import Architecture, ModelFamily
    from universal_neurons.inputs.hub import Snapshot
    from universal_neurons.progress import Warn


@dataclass
class HubZoo(Tokenized):
    """The models of ``family`` as the lock of ``pins`` has them.

    Nothing is asked of the hub until something is pinned, fetched or loaded.
    """

    name: str
    family: ModelFamily
    pins: Pins
    lock: Lock
    _loaded: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, family: str, pins: Pins) -> HubZoo:
        """The ``family`` of the catalogue in the checkout of ``pins``, as these lock it.

        Raises :class:`CatalogueError` for an unknown family, :class:`LockError` for a damaged lock and
        :class:`EqualWeights` for one that has the same weights twice.
        """
        return cls(family, Catalogue.read(pins.root / CATALOGUE).family(family), pins, Lock.read(pins.path))

    @property
    def source(self) -> str:
        """The family's name."""
        return f"hub/{self.name}"

    @property
    def names(self) -> tuple[str, ...]:
        """The models, in the order of the catalogue."""
        return tuple(self.family.models)

    @property
    def has_untrained(self) -> bool:
        """True if the untrained models were published."""
        return UNTRAINED in self.family.every_step

    @property
    def shares(self) -> Mapping[int, float]:
        """Training step to share of the training, for every published step but the untrained one, in order."""
        return self.family.shares

    def recipe(self) -> Architecture:
        """The shape of the models, as the catalogue has it and every ``config.json`` is checked against."""
        return self.family.architecture

    def training_log(self) -> tuple[dict[str, Any], ...]:
        """Empty: a hub has weights and no logs of their training."""
        return ()

    @property
    def training_digest(self) -> str:
        """Empty, like the log."""
        return ""

    def ref(self, name: str, step: int) -> ModelRef:
        """The reference to model ``name`` at ``step`` as the lock has it: nothing is asked, nothing is loaded.

        Raises :class:`ZooError` for a model or a step that was not published, :class:`NotPinned` for one not locked.
        """
        self._check_published(name, step)
        entry = self._entry(name, step)
        return ModelRef(name, entry.source, step, entry.digest)

    def local_ref(self, name: str, step: int, *, warn: Warn) -> ModelRef:  # noqa: ARG002
        """:meth:`ref`, pinned first if it is not yet: published weights are the same on every machine."""
        self.pin_missing([name], [step])
        return self.ref(name, step)

    def pin(self, names: Iterable[str], steps: Iterable[int], *, accept: bool = False) -> None:
        """Ask the hub what ``names`` at ``steps`` and the tokenizer are, and write the lock if something is new.

        Each branch is resolved once; everything else is asked by commit, so that a branch that moves meanwhile cannot
        mix two commits.  The weights are not downloaded where the hub announces their sha256.  The lock is written when
        everything is known, or not at all; another process that pins the same suite waits.

        Raises :class:`RepositoryChanged` if hub and lock differ and ``accept`` is False, :class:`EqualWeights` if two
        checkpoints are equal, and :class:`HubError` for anything that the hub lacks.
        """
        with self.pins.turn():
            self.lock = self._pinned([(name, step) for step in steps for name in names], accept=accept)

    def _pinned(self, checkpoints: Sequence[tuple[str, int]], *, accept: bool) -> Lock:
        """The lock with ``checkpoints`` and the tokenizer as the hub has them now, written if something is new."""
        # As it is now and not as it was when this zoo was opened: the corpus is pinned in the same file.
        read = lock = Lock.read(self.pins.path)
        for name, step in checkpoints:
            self._check_published(name, step)
            ask, what = partial(self._resolved_checkpoint, name, step), f"{name}@{step}"
            lock = lock.with_entry(what, self.pins.renewed(what, lock.find(name, step), ask, accept=accept))
        tokenizer = self.pins.renewed("tokenizer", lock.tokenizer, self._resolved_tokenizer, accept=accept)
        lock = lock.with_entry("tokenizer", tokenizer)
        lock.check(where=shown(self.pins.path))
        if lock != read:
            self.pins.write(lock)
        return lock

    def pin_missing(self, names: Iterable[str], steps: Iterable[int]) -> None:
        """:meth:`pin` what the lock lacks, step by step, so that an error costs one step."""
        names = tuple(names)
        for step in steps:
            if absent := [name for name in names if self.lock.find(name, step) is None]:
                self.pin(absent, [step])

    def fetch(
        self, names: Iterable[str], steps: Iterable[int], *, done: Callable[[str], None] = discard, accept: bool = False
    ) -> None:
        """:meth:`pin`, and have every file here and verified; ``done`` gets a line for each.

        Raises TokenizerUnfit, besides what :meth:`pin` raises, if the models lack ids of the tokenizer.
        """
        names, steps = tuple(names), tuple(steps)
        self.pin(names, steps, accept=accept)
        # First, because a tokenizer that the models do not fit makes their weights, which take longest, useless.
        self.tokenizer()
        for step in steps:
            for name in names:
                self._have(self._entry(name, step), f"{name}@{step}", done)
        self._have(self._locked_tokenizer(), "tokenizer", done)

    def _have(self, entry: LockedFiles, what: str, done: Callable[[str], None]) -> None:
        for file in entry.files:
            self._content(entry, file)
            done(f"{what}: {entry}/{file}")

    def load(self, ref: ModelRef) -> Bridge:
        """The model behind ``ref``: raw weights in float32 on the CPU, in evaluation mode, attention by sdpa.

        Every file must have the sha256 of the lock.  Raises :class:`HubError` if a file cannot be had or differs, or if
        the lock pins something else than ``ref``; ``UnsafeWeights`` and ``WeightsUnfit`` if the files are no such
        model; :class:`EqualWeights` if a checkpoint with the same tensors was loaded before, in whatever format.
        """
        from universal_neurons.inputs.bridge import frozen_bridge

        pinned = self.ref(ref.name, ref.step)
        if pinned != ref:
            raise HubError(
                f"{self.pins.suite}: {ref}: expected what {shown(self.pins.path)} pins ({pinned.source}, "
                f"{pinned.digest[:12]}), got {ref.source}, {ref.digest[:12]}"
            )
        entry = self._entry(ref.name, ref.step)
        where = str(revision_of(entry))
        config = self._configuration(self._content(entry, CONFIG), where=f"{where}/{CONFIG}")
        parts = {name: self._content(entry, name) for name in entry.shards or (entry.weights,)}
        state = sharded(parts, where=where)
        model = published_model(config, state, self.family.architecture.name, where=where)
        self._refuse_equal(f"{ref} ({entry})", untrained_digest(model))  # type: ignore[arg-type]  # any causal model
        return frozen_bridge(model, name=f"{entry.repository}@{entry.revision}")

    @property
    def tokenizer_digest(self) -> str:
        """sha256 of the tokenizer's file; raises :class:`NotPinned`."""
        return self._locked_tokenizer().files[self.family.tokenizer.file]

    def tokenizer(self) -> Tokenizer:
        """The family's tokenizer, without truncation and padding; raises :class:`HubError` and TokenizerUnfit."""
        from universal_neurons.inputs.tokenization import read_tokenizer

        entry, file = self._locked_tokenizer(), self.family.tokenizer.file
        vocabulary = self.family.architecture.vocabulary
        return read_tokenizer(self._content(entry, file), where=f"{entry}/{file}", vocabulary=vocabulary)

    def _check_published(self, name: str, step: int) -> None:
        if name not in self.names:
            own = self.family.model_named(name)
            hint = f"{own!r}, whose alias this is" if own else f"one of {', '.join(self.names)}"
            raise ZooError(f"{self.source}: unknown model {name!r}; expected {hint}")
        if step not in self.family.every_step:
            near = sorted(sorted(self.family.every_step, key=lambda other: abs(other - step))[:4])
            raise ZooError(
                f"{self.source}: model {name} has no step {step}; expected one of "
                f"{len(self.family.every_step)} published ones, near it {', '.join(map(str, near))}"
            )

    def _resolved_checkpoint(self, name: str, step: int) -> LockedCheckpoint:
        snapshot = self.pins.source.snapshot(self.family.models[name].repository, self.family.branch(step))
        weights = next((file for file in WEIGHTS if file in snapshot.files), None)
        if weights is None or CONFIG not in snapshot.files:
            expected = CONFIG if weights else " or ".join(WEIGHTS)
            raise FileMissing(
                f"{snapshot.revision}: expected {expected}, got {', '.join(sorted(snapshot.files)) or 'no file'}"
            )
        content = self.pins.source.content(snapshot.revision, CONFIG, snapshot.files[CONFIG])
        self._configuration(content, where=f"{snapshot.revision}/{CONFIG}")
        files = {CONFIG: hashlib.sha256(content).hexdigest(), weights: self._digest(snapshot, weights)}
        if weights == INDEX:
            index = self.pins.source.content(snapshot.revision, INDEX, snapshot.files[INDEX])
            for name in shards(index, where=f"{snapshot.revision}/{INDEX}"):
                if name not in snapshot.files:
                    raise FileMissing(f"{snapshot.revision}: expected {name}, which {INDEX} names, got none")
                files[name] = self._digest(snapshot, name)
        return LockedCheckpoint(**fields_of(snapshot.revision), files=files, weights=weights)

    def _configuration(self, content: bytes, *, where: str) -> dict[str, Any]:
        config = self.family.architecture.configuration(content, where=where)
        # transformers would ask for the quantization's own package, and give other numbers than the papers' models.
        if quantization := config.get("quantization_config"):
            method = quantization.get("quant_method") if isinstance(quantization, dict) else None
            raise WeightsUnfit(
                f"{where}: expected weights of full precision, got quantized ones ({visible(str(method))})"
            )
        return config

    def _resolved_tokenizer(self) -> LockedFiles:
        file = self.family.tokenizer.file
        snapshot = self.pins.source.snapshot(self.family.tokenizer.repository, self.family.tokenizer.revision)
        if file not in snapshot.files:
            raise FileMissing(f"{snapshot.revision}: expected {file}, got {', '.join(sorted(snapshot.files))}")
        return LockedFiles(**fields_of(snapshot.revision), files={file: self._digest(snapshot, file)})

    def _digest(self, snapshot: Snapshot, name: str) -> str:
        announced = snapshot.files[name]
        if announced.sha256 is not None:
            return announced.sha256
        return hashlib.sha256(self.pins.source.content(snapshot.revision, name, announced)).hexdigest()

    def _refuse_equal(self, name: str, digest: str) -> None:
        first = self._loaded.setdefault(digest, name)
        if first != name:
            raise EqualWeights(f"{first} and {name} have the same tensors ({digest[:12]}); expected all to differ")

    def _entry(self, name: str, step: int) -> LockedCheckpoint:
        entry = self.lock.find(name, step)
        if entry is None:
            raise self.pins.not_pinned(f"{name}@{step}")
        model = self.family.models[name]
        self._check_meant(f"{name}@{step}", entry, f"{model.repository}@{self.family.branch(step)}", CONFIG)
        return entry

    def _locked_tokenizer(self) -> LockedFiles:
        if self.lock.tokenizer is None:
            raise self.pins.not_pinned("tokenizer")
        meant = self.family.tokenizer
        self._check_meant("tokenizer", self.lock.tokenizer, f"{meant.repository}@{meant.revision}", meant.file)
        return self.lock.tokenizer

    def _check_meant(self, what: str, entry: LockedFiles, meant: str, file: str) -> None:
        """Raise LockError for an entry of another repository or branch than the catalogue has now, or without file."""
        locked = f"{entry.repository}@{entry.revision}"
        if locked != meant or file not in entry.files:
            raise LockError(
                f"{shown(self.pins.path)}: {what}: expected {file} of {meant}, as the catalogue has it, got {locked} "
                f"({', '.join(sorted(entry.files))}); to accept it run: {accept_command(self.pins.command)}"
            )

    def _content(self, entry: LockedFiles, file: str) -> bytes:
        try:
            return self.pins.source.content(revision_of(entry), file, Announced(sha256=entry.files[file]))
        except RevisionMissing:
            # History was rewritten: the branch may still be there, and then its new commit belongs into the message.
            now = self.pins.source.snapshot(entry.repository, entry.revision).revision
            if now.commit == entry.commit:
                raise
            raise RepositoryChanged(
                f"{entry.repository}@{entry.revision} changed: commit {entry.commit} is locked and gone, the branch is "
                f"now {now.commit}; to accept it run: {accept_command(self.pins.command)}"
            ) from None
