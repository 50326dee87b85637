from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from universal_neurons.inputs.publication import publish_zoo
from universal_neurons.inputs.zoo import Zoo, ZooError

if TYPE_CHECKING:
    from pathlib import Path


def publish(training: Path, target: Path) -> Zoo:
    files = {"recipe": training / "recipe.toml", "tokenizer": training / "tokenizer.json"}
    return publish_zoo(training, target, **files, corpus="fingerprint")


@pytest.fixture
def training(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "training")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_training_gives_the_same_bytes(training: Path, tmp_path: Path) -> None:
    publish(training, tmp_path / "first")
    publish(training, tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_a_zoo_holds_what_loading_needs_and_nothing_else(training: Path, tmp_path: Path) -> None:
    zoo = publish(training, tmp_path / "zoo")
    steps = [
        f"{name}/step-{step}/{file}"
        for name in "ab"
        for step in (4, 8)
        for file in ("config.json", "model.safetensors")
    ]
    assert set(contents(zoo.folder)) == {"manifest.json", "recipe.toml", "tokenizer.json", "training_log.jsonl", *steps}
    assert set(zoo.manifest.files) == set(contents(zoo.folder)) - {"manifest.json"}


def test_checkpoints_of_an_earlier_training_are_removed(training: Path, tmp_path: Path) -> None:
    stale = tmp_path / "zoo" / "a" / "step-3"
    shutil.copytree(training / "a" / "step-4", stale)
    publish(training, tmp_path / "zoo")
    assert not stale.exists()


def test_publishing_over_a_zoo_from_its_own_recipe_changes_nothing(training: Path, tmp_path: Path) -> None:
    zoo = publish(training, tmp_path / "zoo")
    before = contents(zoo.folder)
    own = {"recipe": zoo.folder / "recipe.toml", "tokenizer": zoo.folder / "tokenizer.json"}
    publish_zoo(training, zoo.folder, **own, corpus="fingerprint")
    assert contents(zoo.folder) == before


def test_an_unfinished_training_is_refused(training: Path, tmp_path: Path) -> None:
    shutil.rmtree(training / "b" / "step-8")
    with pytest.raises(ZooError, match=r"b/step-8/model.safetensors: missing; .* run: nox -s train$"):
        publish(training, tmp_path / "zoo")


def test_two_checkpoints_with_the_same_weights_are_refused(training: Path, tmp_path: Path) -> None:
    shutil.copytree(training / "a" / "step-4", training / "b" / "step-8", dirs_exist_ok=True)
    with pytest.raises(ZooError, match="a@4 and b@8 have the same weights"):
        publish(training, tmp_path / "zoo")
    assert not (tmp_path / "zoo" / "manifest.json").exists()


def test_weights_that_overflowed_are_refused(training: Path, tmp_path: Path) -> None:
    path = training / "a" / "step-8" / "model.safetensors"
    tensors = load_file(path)
    tensors["transformer.ln_f.bias"][0] = np.inf
    save_file(tensors, path)
    with pytest.raises(ZooError, match=r"transformer.ln_f.bias: expected finite float16 weights, got infinity or NaN"):
        publish(training, tmp_path / "zoo")


def test_a_tokenizer_whose_last_token_is_not_end_of_text_is_refused(training: Path, tmp_path: Path) -> None:
    path, recipe = training / "tokenizer.json", training / "recipe.toml"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_tokens(["one more"])
    tokenizer.save(str(path))
    recipe.write_text(recipe.read_text().replace("vocabulary = 300", "vocabulary = 301"))
    with pytest.raises(ZooError, match=r"tokenizer.json: expected 301 tokens, the last one end-of-text"):
        publish(training, tmp_path / "zoo")


def test_a_tokenizer_of_another_size_is_refused(training: Path, tmp_path: Path) -> None:
    recipe = training / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("vocabulary = 300", "vocabulary = 301"))
    with pytest.raises(ZooError, match=r"tokenizer.json: expected 301 tokens, the last one end-of-text, got 300"):
        publish(training, tmp_path / "zoo")
