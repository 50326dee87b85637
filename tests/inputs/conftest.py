"""A zoo of two tiny models on a text that repeats itself, trained in a second, and a checkout with the mini suite."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.inputs.suites import MINI, write_zoo
from universal_neurons.inputs.corpus import Document, TokenRows, encode_documents, token_rows
from universal_neurons.inputs.recipe import TrainingRecipe
from universal_neurons.inputs.suite import load_suite
from universal_neurons.inputs.tokenization import end_of_text_id, train_tokenizer
from universal_neurons.inputs.zoo import Zoo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tokenizers import Tokenizer

    from universal_neurons.inputs.suite import Suite

RECIPE = """
layers = 1
width = 16
heads = 2
mlp = 32
context = 16
vocabulary = 300
tokens = 512
batch = 4
learning_rate = 1e-2
final_share = 0.1
warmup_steps = 2
weight_decay = 0.1
betas = [0.9, 0.95]
clip_norm = 1.0
checkpoints = [0.5, 1.0]

[seeds]
a = 1
b = 2
"""


@pytest.fixture(autouse=True)
def _offline_on_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    """Sixty documents that differ a little."""
    words = np.random.default_rng(0).choice(["neuron", "layer", "token", "model", "seed"], (60, 40))
    return [
        Document("text", f"{i}.py", f"def f{i}():\n    return " + " ".join(row) + "\n") for i, row in enumerate(words)
    ]


@pytest.fixture(scope="session")
def tokenizer(documents: list[Document]) -> Tokenizer:
    """A tokenizer of 300 tokens."""
    return train_tokenizer(documents, vocabulary=300, seed=0)


@pytest.fixture(scope="session")
def recipe() -> TrainingRecipe:
    """Eight steps, a checkpoint in the middle and one at the end."""
    return TrainingRecipe.parse(RECIPE, where="recipe.toml")


@pytest.fixture(scope="session")
def rows(documents: list[Document], tokenizer: Tokenizer) -> TokenRows:
    """Training rows of sixteen tokens."""
    return token_rows(encode_documents(documents, tokenizer).tokens, row_length=16, bos=end_of_text_id(tokenizer))


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    recipe: TrainingRecipe,
    tokenizer: Tokenizer,
    rows: TokenRows,
    _one_thread: None,
) -> Path:
    """The output of a training of both seeds, with recipe.toml and tokenizer.json beside it."""
    from universal_neurons.inputs.training import train_seed

    folder = tmp_path_factory.mktemp("training")
    for name, seed in recipe.seeds.items():
        list(train_seed(recipe, rows, rows[:8], folder / name, seed=seed, log_every=2))
    (folder / "recipe.toml").write_text(RECIPE)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def _published(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    from universal_neurons.inputs.publication import publish_zoo

    target = tmp_path_factory.mktemp("published") / "zoo" / "tiny"
    publish_zoo(
        trained, target, recipe=trained / "recipe.toml", tokenizer=trained / "tokenizer.json", corpus="fingerprint"
    )
    return target


@pytest.fixture
def zoo(_published: Path, tmp_path: Path) -> Zoo:
    """A zoo of one's own, that a test may damage."""
    return Zoo.open(shutil.copytree(_published, tmp_path / "zoo" / "tiny"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with the mini suite."""
    write_zoo(tmp_path / "fixtures" / "zoo" / "mini")
    for folder in ("suites", "corpora"):
        (tmp_path / "fixtures" / folder).mkdir()
    (tmp_path / "fixtures" / "suites" / "mini.toml").write_text(MINI)
    for name in ("wheels", "other_python", "english"):
        (tmp_path / "fixtures" / "corpora" / f"{name}.toml").write_text("")
    return tmp_path


@pytest.fixture
def mini(root: Path) -> Suite:
    """The mini suite."""
    return load_suite("mini", root)
