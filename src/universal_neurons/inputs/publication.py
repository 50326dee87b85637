"""Publication of a finished training as a zoo: only what loading needs, every file pinned, the same bytes every day.

Not published are weights that are not finite in float16, two checkpoints with the same weights, and a tokenizer that
does not fit the recipe.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

from universal_neurons.inputs.recipe import TrainingRecipe
from universal_neurons.inputs.zoo import (
    CONFIG,
    MANIFEST,
    RECIPE,
    TOKENIZER,
    TRAINING_LOG,
    WEIGHTS,
    StoredCheckpoint,
    StoredModel,
    Zoo,
    ZooError,
    ZooManifest,
    untrained_digest,
    weights_digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def publish_zoo(training: Path, target: Path, *, recipe: Path, tokenizer: Path, corpus: str) -> Zoo:
    """Make the zoo ``target`` of the checkpoints and logs in ``training/<model>/`` (see ``training.train_seed``).

    ``recipe`` and ``tokenizer`` are the files that the training used (they may lie in ``target`` already); ``corpus``
    is the fingerprint of its text.  The same input gives the same bytes.  The manifest is written last: a target
    without one is no zoo.  Raises :class:`ZooError` if a checkpoint is missing or must not be shipped.
    """
    described = TrainingRecipe.read(recipe)
    if not described.seeds:
        raise ZooError(f"{recipe}: seeds: expected one seed per model, got none")
    _check_tokenizer(tokenizer, described)
    steps = dict(zip(described.checkpoint_steps, described.checkpoints, strict=True))
    models = {
        name: StoredModel(
            seed=seed,
            checkpoints={s: _stored_checkpoint(training, f"{name}/step-{s}", share) for s, share in steps.items()},
        )
        for name, seed in described.seeds.items()
    }
    target.mkdir(parents=True, exist_ok=True)
    (target / MANIFEST).unlink(missing_ok=True)
    _copy(recipe, target / RECIPE)
    _copy(tokenizer, target / TOKENIZER)
    for relative in _weights_files(models):
        _copy(training / relative, target / relative)
    (target / TRAINING_LOG).write_text("".join(_log_lines(training, described)), encoding="utf-8")
    return write_manifest(target, models, corpus=corpus)


def write_manifest(folder: Path, models: dict[str, StoredModel], *, corpus: str) -> Zoo:
    """Pin the files of ``models`` that lie in ``folder``, remove other checkpoints from it, and open the result.

    Raises :class:`ZooError` if the result would not be a zoo.
    """
    names = (RECIPE, TOKENIZER, TRAINING_LOG, *_weights_files(models))
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    manifest = ZooManifest(
        models=models,
        files=dict(sorted(files.items())),
        recipe=files[RECIPE],
        corpus=corpus,
        tokenizer=files[TOKENIZER],
        untrained=_untrained_digests(TrainingRecipe.read(folder / RECIPE)),
    )
    if (defect := manifest.defect()) is not None:
        raise ZooError(f"{folder}: {defect}")
    _remove_other_checkpoints(folder, models)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return Zoo.open(folder)


def _stored_checkpoint(training: Path, folder: str, share: float) -> StoredCheckpoint:
    import numpy as np
    from safetensors.numpy import load_file

    path = training / folder / WEIGHTS
    if not path.is_file():
        raise ZooError(f"{path}: missing; expected a finished training; run: nox -s train")
    tensors = load_file(path)
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ZooError(f"{path}: {name}: expected finite {array.dtype} weights, got infinity or NaN")
    return StoredCheckpoint(share=share, folder=folder, digest=weights_digest(tensors))


def _weights_files(models: dict[str, StoredModel]) -> tuple[str, ...]:
    folders = (c.folder for model in models.values() for c in model.checkpoints.values())
    return tuple(f"{folder}/{file}" for folder in folders for file in (CONFIG, WEIGHTS))


def _check_tokenizer(path: Path, recipe: TrainingRecipe) -> None:
    from tokenizers import Tokenizer

    from universal_neurons.inputs.tokenization import end_of_text_id

    if not path.is_file():
        raise ZooError(f"{path}: missing; expected the tokenizer of the training")
    tokenizer = Tokenizer.from_file(str(path))
    if (size := tokenizer.get_vocab_size()) != recipe.vocabulary or end_of_text_id(tokenizer) != size - 1:
        raise ZooError(f"{path}: expected {recipe.vocabulary} tokens, the last one end-of-text, got {size}")


def _log_lines(training: Path, recipe: TrainingRecipe) -> Iterator[str]:
    for name in recipe.seeds:
        path = training / name / "log.jsonl"
        if not path.is_file():
            raise ZooError(f"{path}: missing; expected the log of the training")
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.dumps({"model": name, **json.loads(line)}) + "\n"


def _untrained_digests(recipe: TrainingRecipe) -> dict[str, str]:
    import torch

    from universal_neurons.inputs.training import initial_model

    with torch.random.fork_rng(devices=[]):
        return {name: untrained_digest(initial_model(recipe, seed=seed)) for name, seed in recipe.seeds.items()}


def _remove_other_checkpoints(folder: Path, models: dict[str, StoredModel]) -> None:
    # A step of an earlier training would stay in the repository without anything naming it.
    kept = {folder / c.folder for model in models.values() for c in model.checkpoints.values()}
    for path in sorted(folder.glob("*/step-*")):
        if path not in kept:
            shutil.rmtree(path)


def _copy(source: Path, target: Path) -> None:
    if source.resolve() == target.resolve():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
