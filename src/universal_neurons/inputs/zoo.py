"""A zoo: models of one recipe that differ in their seed, each at several training steps, every file pinned by sha256.

A reference names one set of weights, and no other is handed out under it.  Opening a zoo and naming its models reads
one JSON file; torch, transformers and transformer-lens are imported only to return a model, so that a plan or a verdict
from shipped evidence starts at once.

    <zoo>/manifest.json  recipe.toml  tokenizer.json  training_log.jsonl
          <model>/step-<n>/{config.json,model.safetensors}

Step 0 is not stored: its weights follow from the model's seed (``inputs.training.initial_model``).
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from universal_neurons.errors import UserError
from universal_neurons.files import shown as _shown
from universal_neurons.ids import ModelRef
from universal_neurons.inputs.recipe import TrainingRecipe
from universal_neurons.inputs.validation import Table, first_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from tokenizers import Tokenizer
    from transformers import GPT2LMHeadModel, PreTrainedModel

    from universal_neurons.inputs.bridge import Bridge
    from universal_neurons.progress import Warn

MANIFEST = "manifest.json"
RECIPE = "recipe.toml"
TOKENIZER = "tokenizer.json"
TRAINING_LOG = "training_log.jsonl"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
UNTRAINED = 0


class ZooError(UserError):
    """A zoo is missing, damaged, or lacks a model."""


class UntrainedWeightsDiffer(ZooError):
    """The seed gives other untrained weights than where the zoo was published; ``here`` names the ones it gives."""

    def __init__(self, message: str, *, here: ModelRef) -> None:
        super().__init__(message)
        self.here = here


class StoredCheckpoint(Table):
    """Weights after ``share`` of the training: their folder inside the zoo and :func:`weights_digest` of them."""

    share: float
    folder: str
    digest: str


class StoredModel(Table):
    """One model: its seed and its checkpoints by training step."""

    seed: int
    checkpoints: dict[int, StoredCheckpoint]


class ZooManifest(Table):
    """Everything that identifies a zoo.

    ``files`` maps every file (path inside the zoo) to the sha256 of its bytes; ``recipe`` and ``tokenizer`` repeat the
    two of them that other keys are made of; ``corpus`` is the fingerprint of the text that was trained on;
    ``untrained`` holds the digests of the weights that the seeds gave where the zoo was published.
    """

    models: dict[str, StoredModel]
    files: dict[str, str]
    recipe: str
    corpus: str
    tokenizer: str
    untrained: dict[str, str]

    def digests(self) -> Iterator[tuple[str, str]]:
        """Every set of weights as (``model@step``, digest)."""
        for name, model in self.models.items():
            yield f"{name}@{UNTRAINED}", self.untrained[name]
            for step, checkpoint in model.checkpoints.items():
                yield f"{name}@{step}", checkpoint.digest

    def defect(self) -> str | None:
        """The first defect of this manifest in one line, or None.

        Two names for the same weights are a defect: a loader once returned the same weights for every checkpoint label,
        and every comparison between them was a comparison of a model with itself.
        """
        if self.models.keys() != self.untrained.keys():
            return "untrained: expected one digest per model"
        grids = {tuple((step, c.share) for step, c in model.checkpoints.items()) for model in self.models.values()}
        if len(grids) != 1 or not next(iter(grids)):
            return "models: expected the same steps for every model, at least one"
        required = [RECIPE, TOKENIZER, TRAINING_LOG]
        required += [
            f"{c.folder}/{f}" for m in self.models.values() for c in m.checkpoints.values() for f in (CONFIG, WEIGHTS)
        ]
        if absent := [path for path in required if path not in self.files]:
            return f"files: expected a digest of {absent[0]}, got none"
        return equal_weights(self.digests())


def equal_weights(digests: Iterable[tuple[str, str]]) -> str | None:
    """The first two of the named ``digests`` that are equal, in one line, or None."""
    first: dict[str, str] = {}
    for name, digest in digests:
        if first.setdefault(digest, name) != name:
            return f"{first[digest]} and {name} have the same weights ({digest[:12]}); expected all to differ"
    return None


def weights_digest(tensors: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """sha256 over the tensors' names, types, shapes and values in the order of their names.

    It does not depend on the file format, so that a zoo written by another version of a library keeps its keys.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes())
    return digest.hexdigest()


def untrained_digest(model: GPT2LMHeadModel) -> str:
    """:func:`weights_digest` of a model in memory; tied tensors count once, under the name transformers lists first."""
    return weights_digest({name: p.detach().cpu().numpy() for name, p in model.named_parameters()})


class Tokenized(ABC):
    """A zoo by its tokenizer: the ids that rows of tokens need."""

    __slots__ = ()

    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of every model of the zoo."""

    @property
    def end_of_text(self) -> int:
        """The id that ends every document and begins every row."""
        from universal_neurons.inputs.tokenization import end_of_text_id

        return end_of_text_id(self.tokenizer())

    @property
    def newline(self) -> int:
        """The id of a single newline."""
        from universal_neurons.inputs.corpus import token_id
        from universal_neurons.inputs.tokenization import NEWLINE

        return token_id(self.tokenizer(), NEWLINE)


@dataclass(frozen=True, slots=True)
class Zoo(Tokenized):
    """The zoo in ``folder``; :meth:`open` reads and checks its manifest, never its weights."""

    folder: Path
    manifest: ZooManifest

    @classmethod
    def open(cls, folder: Path) -> Zoo:
        """The zoo in ``folder``.

        Raises :class:`ZooError` if there is none, if its manifest is damaged or if two checkpoints are equal.
        """
        path = folder / MANIFEST
        try:
            manifest = ZooManifest.model_validate_json(_bytes(path, ", or train a zoo: nox -s train"))
        except ValidationError as error:
            raise ZooError(f"{_shown(path)}: damaged ({first_problem(error)}); run: {_restore(path)}") from None
        if (defect := manifest.defect()) is not None:
            raise ZooError(f"{_shown(path)}: {defect}; run: {_restore(path)}")
        return cls(folder, manifest)

    @property
    def source(self) -> str:
        """The zoo's name in references (``zoo/mini``): the same in every checkout."""
        folder = self.folder.resolve()
        return f"{folder.parent.name}/{folder.name}"

    @property
    def names(self) -> tuple[str, ...]:
        """The models, in the order of the manifest."""
        return tuple(self.manifest.models)

    @property
    def has_untrained(self) -> bool:
        """True: the seeds give the untrained models."""
        return True

    @property
    def shares(self) -> Mapping[int, float]:
        """Training step to share of the training, for every stored checkpoint, in order; the same for every model."""
        model = next(iter(self.manifest.models.values()))
        return {step: model.checkpoints[step].share for step in sorted(model.checkpoints)}

    def ref(self, name: str, step: int) -> ModelRef:
        """The reference to model ``name`` at ``step`` as the manifest has it: nothing is loaded, nothing is verified.

        For step 0 the digest is of the weights that the seed gave where the zoo was published; see :meth:`local_ref`.
        Raises :class:`ZooError` for a model or a step that the zoo does not have.
        """
        if name not in self.manifest.models:
            raise ZooError(f"{_shown(self.folder)}: unknown model {name!r}; expected one of {', '.join(self.names)}")
        if step == UNTRAINED:
            return ModelRef(name, self.source, step, self.manifest.untrained[name])
        checkpoint = self.manifest.models[name].checkpoints.get(step)
        if checkpoint is None:
            steps = ", ".join(map(str, (UNTRAINED, *self.shares)))
            raise ZooError(f"{_shown(self.folder)}: model {name} has no step {step}; expected one of {steps}")
        return ModelRef(name, self.source, step, checkpoint.digest)

    def local_ref(self, name: str, step: int, *, warn: Warn) -> ModelRef:
        """The reference to compute under: :meth:`ref`, except that for step 0 the seed is asked (this imports torch).

        Another version of torch, or another processor, may draw other numbers from the same seed.  Evidence about the
        published weights is then still found under :meth:`ref`; what is computed here is about other weights and must
        have another key, so the reference carries their true digest and ``warn`` gets one line.  :meth:`load` accepts
        no other: it raises rather than hand out weights under a digest that is not theirs.
        """
        ref = self.ref(name, step)
        if step != UNTRAINED:
            return ref
        here = ModelRef(name, self.source, step, untrained_digest(self._untrained(name)))
        if here != ref:
            warn(f"{_difference(ref, here)}; results about it get keys of their own")
        return here

    def load(self, ref: ModelRef) -> Bridge:
        """The model behind ``ref``: raw weights in float32 on the CPU, in evaluation mode, attention by sdpa.

        The files' bytes and the weights' digest are verified, nothing is fetched, the global generator is left alone.

        Raises :class:`ZooError` if a file is missing or damaged, if the weights are not those that ``ref`` names, or if
        ``ref`` belongs to another zoo, and :class:`UntrainedWeightsDiffer` if a seed gives other weights here.
        """
        if ref.source != self.source:
            raise ZooError(f"{_shown(self.folder)}: {ref} belongs to {ref.source}; expected a model of {self.source}")
        from universal_neurons.inputs.bridge import frozen_bridge

        model: PreTrainedModel = self._regenerated(ref) if ref.step == UNTRAINED else self._stored(ref)
        return frozen_bridge(model, name=f"{ref.source}/{ref}")

    def recipe(self) -> TrainingRecipe:
        """The training recipe of the models; raises :class:`ZooError` if the file is missing or damaged."""
        return TrainingRecipe.parse(self.content(RECIPE).decode(), where=_shown(self.folder / RECIPE))

    @property
    def tokenizer_digest(self) -> str:
        """sha256 of the tokenizer's file, without reading it."""
        return self.manifest.tokenizer

    def tokenizer(self) -> Tokenizer:
        """The tokenizer of every model of the zoo, without truncation and padding.

        Raises :class:`ZooError` if its file is missing or damaged, and TokenizerUnfit if it is not the models'.
        """
        from universal_neurons.inputs.tokenization import read_tokenizer

        where, vocabulary = _shown(self.folder / TOKENIZER), self.recipe().vocabulary
        return read_tokenizer(self.content(TOKENIZER), where=where, vocabulary=vocabulary)

    def training_log(self) -> tuple[dict[str, Any], ...]:
        """The records of all seeds: model, step, tokens, loss (nats), learning rate, seconds, device."""
        return tuple(json.loads(line) for line in self.content(TRAINING_LOG).decode().splitlines())

    @property
    def training_digest(self) -> str:
        """sha256 of the training log's file, without reading it."""
        return self.manifest.files[TRAINING_LOG]

    def content(self, relative: str) -> bytes:
        """The bytes of a file of the zoo; raises :class:`ZooError` unless they are the ones in the manifest."""
        path = self.folder / relative
        content = _bytes(path)
        expected, got = self.manifest.files[relative], hashlib.sha256(content).hexdigest()
        if got != expected:
            raise ZooError(
                f"{_shown(path)}: damaged: sha256 {expected[:12]} expected, got {got[:12]}; run: {_restore(path)}"
            )
        return content

    def _stored(self, ref: ModelRef) -> PreTrainedModel:
        import torch
        from safetensors.numpy import load

        from universal_neurons.inputs.weights import published_model

        known = self.ref(ref.name, ref.step)
        folder = self.manifest.models[ref.name].checkpoints[ref.step].folder
        tensors = load(self.content(f"{folder}/{WEIGHTS}"))
        got = weights_digest(tensors)
        if not ref.digest == known.digest == got:
            raise ZooError(
                f"{_shown(self.folder / folder)}: {_difference(ref, ModelRef(ref.name, ref.source, ref.step, got))}"
            )
        config = json.loads(self.content(f"{folder}/{CONFIG}"))
        state = {name: torch.from_numpy(array) for name, array in tensors.items()}
        return published_model(config, state, "GPT2LMHeadModel", where=_shown(self.folder / folder))

    def _regenerated(self, ref: ModelRef) -> GPT2LMHeadModel:
        self.ref(ref.name, ref.step)
        model = self._untrained(ref.name)
        here = ModelRef(ref.name, ref.source, ref.step, untrained_digest(model))
        if here != ref:
            raise UntrainedWeightsDiffer(
                f"{_shown(self.folder)}: {_difference(ref, here)}; expected the same torch as in constraints.txt",
                here=here,
            )
        return model

    def _untrained(self, name: str) -> GPT2LMHeadModel:
        import torch

        from universal_neurons.inputs.training import initial_model

        recipe = self.recipe()
        with torch.random.fork_rng(devices=[]):
            return initial_model(recipe, seed=self.manifest.models[name].seed)


def _difference(expected: ModelRef, got: ModelRef) -> str:
    kind = "untrained weights from the seed" if expected.step == UNTRAINED else "weights"
    return f"{expected}: {kind}: digest {expected.digest[:12]} expected, got {got.digest[:12]}"


def _bytes(path: Path, otherwise: str = "") -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ZooError(f"{_shown(path)}: missing; run: {_restore(path)}{otherwise}") from None
    except OSError as error:
        raise ZooError(f"{_shown(path)}: cannot be read ({error.strerror})") from None


def _restore(path: Path) -> str:
    return f"git checkout -- {_shown(path)}"
