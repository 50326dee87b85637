"""Training of the shipped zoo on its corpus, one process per seed, and publication of the result as fixtures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.errors import UserError
from universal_neurons.files import replacing
from universal_neurons.inputs.corpus import CorpusRecipe, TokenRows, encode_documents, token_rows
from universal_neurons.inputs.recipe import TrainingRecipe
from universal_neurons.inputs.tokenization import end_of_text_id, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

    from universal_neurons.progress import Progress

ZOO = Path("fixtures") / "zoo" / "mini"
CORPUS = Path("fixtures") / "corpora" / "wheels.toml"
HELD_OUT_ROWS = 512


def train_zoo(
    root: Path, folder: Path, *, models: Sequence[str] | None, device: str, jobs: int, progress: Progress
) -> None:
    """Train the seeds of the shipped recipe into ``folder``, ``jobs`` at a time; finished ones are left alone.

    Raises UserError for a seed that the recipe does not have and if a seed's process fails.
    """
    recipe = TrainingRecipe.read(root / ZOO / "recipe.toml")
    names = list(recipe.seeds) if models is None else list(models)
    for name in names:
        if name not in recipe.seeds:
            raise UserError(f"model {name!r}: the recipe has seeds for {', '.join(recipe.seeds)}")
    rows, held_out = training_rows(root, folder, recipe)
    if len(names) == 1:
        _train_one(recipe, rows, held_out, folder, names[0], device, progress)
        return
    for start in range(0, len(names), jobs):
        _train_side_by_side(root, folder, names[start : start + jobs], device)


def training_rows(root: Path, folder: Path, recipe: TrainingRecipe) -> tuple[TokenRows, TokenRows]:
    """Rows of the training documents, and a seeded sample of rows of the held-out ones; kept in ``folder``."""
    corpus = CorpusRecipe.read(root / CORPUS)
    tokenizer = shipped_tokenizer(root, recipe)
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


def shipped_tokenizer(root: Path, recipe: TrainingRecipe) -> Tokenizer:
    """The zoo's tokenizer; trained on the corpus and written beside the recipe where there is none yet."""
    from tokenizers import Tokenizer

    path = root / ZOO / "tokenizer.json"
    if not path.exists():
        documents = CorpusRecipe.read(root / CORPUS).documents("train")
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
    from universal_neurons.inputs.training import TrainingPaths, train_seed

    progress.start(f"training {name}", recipe.steps)
    done = 0
    for record in train_seed(
        recipe, rows, held_out, TrainingPaths(folder / name), seed=recipe.seeds[name], device=device
    ):
        step = int(record["step"])
        progress.advance(step - done)
        done = step
    progress.finish()


def _train_side_by_side(root: Path, folder: Path, names: Sequence[str], device: str) -> None:
    # One thread each: two seeds on two cores train nearly twice as fast as one seed on both.
    command = [sys.executable, "-m", "universal_neurons.cli", "train", "--folder", str(folder), "--device", device]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([*command, "--model", name], cwd=root, env=variables) for name in names]
    failed = [name for name, process in zip(names, running, strict=True) if process.wait() != 0]
    if failed:
        raise UserError(f"training of {', '.join(failed)} stopped; run the same command again: it resumes")


def publish(root: Path, folder: Path) -> None:
    """Make ``fixtures/zoo/mini`` of the finished training in ``folder``, and pin the corpus as this machine has it.

    Raises ZooError for a training that is not finished, and CorpusError for a distribution that is not installed.
    """
    from universal_neurons.inputs.publication import publish_zoo

    manifest = CorpusRecipe.read(root / CORPUS).manifest()
    zoo = root / ZOO
    publish_zoo(folder, zoo, recipe=zoo / "recipe.toml", tokenizer=zoo / "tokenizer.json", corpus=manifest.fingerprint)
    # After the zoo: a training that is not finished must not move the pin.
    content = json.dumps(manifest.as_dict(), indent=2) + "\n"
    (root / CORPUS).with_suffix(".json").write_text(content, encoding="utf-8")
