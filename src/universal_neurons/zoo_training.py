"""Training of a suite's own zoo on its corpus, one process per seed, and publication of the result as fixtures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Self

import numpy as np

from universal_neurons.errors import UserError
from universal_neurons.files import replacing
from universal_neurons.inputs.corpus import CorpusRecipe, TokenRows, encode_documents, token_rows
from universal_neurons.inputs.recipe import TrainingRecipe
from universal_neurons.inputs.suite import CORPORA, written_suite
from universal_neurons.inputs.tokenization import end_of_text_id, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Tokenizer

    from universal_neurons.progress import Progress

HELD_OUT_ROWS = 512


@dataclass(frozen=True, slots=True)
class Training:
    """The training of the zoo of ``suite`` in the checkout ``root``.

    ``zoo``: the folder with its recipe, where it is published; ``corpus``: the recipe of its text; ``folder``: of
    state, logs and checkpoints.
    """

    root: Path
    suite: str
    zoo: Path
    corpus: Path
    folder: Path

    @classmethod
    def of_suite(cls, suite: str, root: Path, *, folder: Path | None = None) -> Self:
        """The training of a suite, whose zoo need not be there yet; raises UserError for published models."""
        written = written_suite(suite, root)
        if written.zoo.kind != "fixtures":
            raise UserError(f"suite {suite}: its models are published, not trained here; run: universal-neurons fetch")
        corpus = root / CORPORA / f"{written.corpus.recipe}.toml"
        working = folder or root / ".universal-neurons" / "training" / suite
        return cls(root, suite, root / "fixtures" / written.zoo.path, corpus, working)

    @property
    def recipe(self) -> TrainingRecipe:
        """The architecture, the optimiser and the budget."""
        return TrainingRecipe.read(self.zoo / "recipe.toml")


def train_zoo(training: Training, *, models: Sequence[str] | None, device: str, jobs: int, progress: Progress) -> None:
    """Train the seeds of the recipe, ``jobs`` at a time; finished ones are left alone.

    Raises UserError for a seed that the recipe does not have and if a seed's process fails.
    """
    recipe = training.recipe
    names = list(recipe.seeds) if models is None else list(models)
    for name in names:
        if name not in recipe.seeds:
            raise UserError(f"model {name!r}: the recipe has seeds for {', '.join(recipe.seeds)}")
    rows, held_out = training_rows(training, recipe)
    if len(names) == 1:
        _train_one(recipe, rows, held_out, training.folder, names[0], device, progress)
        return
    for start in range(0, len(names), jobs):
        _train_side_by_side(training, names[start : start + jobs], device)


def training_rows(training: Training, recipe: TrainingRecipe) -> tuple[TokenRows, TokenRows]:
    """Rows of the training documents, and a seeded sample of rows of the held-out ones; kept in its folder."""
    folder, corpus = training.folder, CorpusRecipe.read(training.corpus)
    tokenizer = shipped_tokenizer(training, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    # Named by text and tokenizer: after an upgrade of a distribution the old tokens must not be taken for the new text.
    name = sha256(f"{corpus.manifest().fingerprint}{tokenizer.to_str()}".encode()).hexdigest()[:12]
    for split in ("train", "held-out"):
        path = folder / f"{split}-{name}.npy"
        if not path.exists():
            tokens = encode_documents(corpus.documents(split), tokenizer).tokens
            # Two seeds that are started side by side must not write into one file.
            with replacing(path) as temporary:
                np.save(temporary, tokens)
        parts.append(token_rows(np.load(path), row_length=recipe.context, bos=end_of_text_id(tokenizer)))
    order = np.random.default_rng(0).permutation(len(parts[1]))
    return parts[0], parts[1][order[:HELD_OUT_ROWS]]


def shipped_tokenizer(training: Training, recipe: TrainingRecipe) -> Tokenizer:
    """The zoo's tokenizer; trained on the corpus and written beside the recipe where there is none yet."""
    from tokenizers import Tokenizer

    path = training.zoo / "tokenizer.json"
    if not path.exists():
        documents = CorpusRecipe.read(training.corpus).documents("train")
        train_tokenizer(documents, vocabulary=recipe.vocabulary, seed=0).save(str(path), pretty=False)
    return Tokenizer.from_file(str(path))


def _train_one(
    recipe: TrainingRecipe,
    rows: TokenRows,
    held_out: TokenRows,
    folder: Path,
    name: str,
    device: str,
    progress: Progress,
) -> None:
    from universal_neurons.inputs.training import train_seed

    progress.start(f"training {name}", recipe.steps)
    done = 0
    for record in train_seed(recipe, rows, held_out, folder / name, seed=recipe.seeds[name], device=device):
        step = int(record["step"])
        progress.advance(step - done)
        done = step
    progress.finish()


def _train_side_by_side(training: Training, names: Sequence[str], device: str) -> None:
    # One thread each: two seeds on two cores train nearly twice as fast as one seed on both.
    options = ["--suite", training.suite, "--folder", str(training.folder), "--device", device]
    command = [sys.executable, "-m", "universal_neurons.cli", "train", *options]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([*command, "--model", name], cwd=training.root, env=variables) for name in names]
    failed = [name for name, process in zip(names, running, strict=True) if process.wait() != 0]
    if failed:
        raise UserError(f"training of {', '.join(failed)} stopped; run the same command again: it resumes")


def publish(training: Training) -> None:
    """Make the zoo of the finished training, and pin the corpus as this machine has it.

    Raises ZooError for a training that is not finished, and CorpusError for a distribution that is not installed.
    """
    from universal_neurons.inputs.publication import publish_zoo

    manifest, zoo = CorpusRecipe.read(training.corpus).manifest(), training.zoo
    files = {"recipe": zoo / "recipe.toml", "tokenizer": zoo / "tokenizer.json"}
    publish_zoo(training.folder, zoo, **files, corpus=manifest.fingerprint)
    # After the zoo: a training that is not finished must not move the pin.
    content = json.dumps(manifest.as_dict(), indent=2) + "\n"
    training.corpus.with_suffix(".json").write_text(content, encoding="utf-8")
