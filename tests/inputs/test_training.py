from __future__ import annotations

import json
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from universal_neurons.inputs.training import (
    LOG,
    STATE,
    batch_rows,
    data_order,
    held_out_loss,
    initial_model,
    next_token_loss,
    train_seed,
)

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from universal_neurons.inputs.corpus import TokenRows
    from universal_neurons.inputs.recipe import TrainingRecipe

pytestmark = pytest.mark.usefixtures("_one_thread")


def train(recipe: TrainingRecipe, rows: TokenRows, folder: Path, *, records: int | None = None) -> list[dict[str, Any]]:
    """Train, saving the state as often as possible; stop after ``records`` as a kill would."""
    run = train_seed(recipe, rows, rows[:8], folder, seed=1, save_seconds=0.0, log_every=2)
    return list(islice(run, records))


def without_seconds(log: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def assert_equal_runs(first: Path, second: Path) -> None:
    assert without_seconds(first / LOG) == without_seconds(second / LOG)
    for step in (4, 8):
        files = [folder / f"step-{step}" / "model.safetensors" for folder in (first, second)]
        assert files[0].read_bytes() == files[1].read_bytes()
    states = [load_file(folder / STATE) for folder in (first, second)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


@pytest.mark.parametrize("records", [1, 2, 3])
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(
    recipe: TrainingRecipe, rows: TokenRows, tmp_path: Path, records: int
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    train(recipe, rows, undisturbed)
    train(recipe, rows, killed, records=records)
    assert (killed / STATE).exists() == (records > 1)
    train(recipe, rows, killed)
    assert_equal_runs(undisturbed, killed)


def test_a_kill_in_the_middle_of_a_log_line_is_survived(
    recipe: TrainingRecipe, rows: TokenRows, tmp_path: Path
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    train(recipe, rows, undisturbed)
    train(recipe, rows, killed, records=2)
    with (killed / LOG).open("a") as log:
        log.write('{"step": 6, "lo')
    train(recipe, rows, killed)
    assert_equal_runs(undisturbed, killed)


def test_a_finished_run_has_nothing_left_to_do(recipe: TrainingRecipe, rows: TokenRows, tmp_path: Path) -> None:
    train(recipe, rows, tmp_path)
    before = (tmp_path / LOG).read_text()
    assert train(recipe, rows, tmp_path) == []
    assert (tmp_path / LOG).read_text() == before


def test_training_learns(recipe: TrainingRecipe, rows: TokenRows, tmp_path: Path) -> None:
    records = train(recipe, rows, tmp_path)
    assert [record["step"] for record in records] == [2, 4, 6, 8]
    assert [record["tokens"] for record in records] == [128, 256, 384, 512]
    assert records[0]["loss"] == pytest.approx(np.log(300), abs=0.1)
    assert records[-1]["loss"] < records[0]["loss"] - 0.5
    assert records[3]["held_out_loss"] < records[1]["held_out_loss"]


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_forward_passes_have_the_precision_of_the_recipe(
    recipe: TrainingRecipe, rows: TokenRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    rounded: list[bool] = []

    def loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        rounded.append(torch.is_autocast_enabled("cpu"))
        return next_token_loss(model, batch)

    monkeypatch.setattr("universal_neurons.inputs.training.next_token_loss", loss)
    train(recipe.model_copy(update={"precision": precision}), rows, tmp_path, records=1)
    assert set(rounded) == {precision == "bfloat16"}


def test_the_loss_is_a_mean_over_the_steps_since_the_last_record(
    recipe: TrainingRecipe, rows: TokenRows, tmp_path: Path
) -> None:
    every = list(train_seed(recipe, rows, rows[:8], tmp_path / "1", seed=1, log_every=1))
    thirds = list(train_seed(recipe, rows, rows[:8], tmp_path / "3", seed=1, log_every=3))
    losses = [float(record["loss"]) for record in every]
    # A checkpoint at step 4 cuts the second group of three short and the steps after it are two.
    expected = [sum(losses[:3]) / 3, losses[3], sum(losses[4:6]) / 2, sum(losses[6:]) / 2]
    assert [record["step"] for record in thirds] == [3, 4, 6, 8]
    assert [record["loss"] for record in thirds] == pytest.approx(expected, abs=2e-5)


def test_initial_weights_follow_from_the_seed_alone(recipe: TrainingRecipe) -> None:
    torch.manual_seed(3)
    first = initial_model(recipe, seed=1).state_dict()
    torch.manual_seed(4)
    again, other = initial_model(recipe, seed=1).state_dict(), initial_model(recipe, seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    matrices = [name for name, tensor in first.items() if tensor.ndim == 2]
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


def test_initial_weights_are_those_of_gpt_2(recipe: TrainingRecipe) -> None:
    weights = initial_model(recipe, seed=1).state_dict()
    assert float(weights["transformer.wte.weight"].std()) == pytest.approx(0.02, rel=0.05)
    assert float(weights["transformer.h.0.mlp.c_proj.weight"].std()) == pytest.approx(0.02 / 2**0.5, rel=0.15)
    assert torch.equal(weights["transformer.ln_f.weight"], torch.ones(16))
    assert all(not tensor.any() for name, tensor in weights.items() if name.endswith("bias"))


def test_the_held_out_loss_does_not_depend_on_the_batch(recipe: TrainingRecipe, rows: TokenRows) -> None:
    model = initial_model(recipe, seed=1)
    losses = [held_out_loss(model, rows[:7], batch=batch) for batch in (1, 3, 7)]
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-6)


def test_every_epoch_shows_every_row_once_in_an_order_of_the_seed(recipe: TrainingRecipe) -> None:
    numbered = np.arange(12, dtype=np.uint16)[:, None].repeat(16, axis=1)
    seen = [batch_rows(numbered, recipe, seed=1, step=step)[:, 0].tolist() for step in range(6)]
    assert sorted(chain(*seen[:3])) == list(range(12))
    assert seen[:3] == seen[3:]
    assert data_order(12, seed=1).tolist() != data_order(12, seed=2).tolist()


@settings(deadline=None, derandomize=True, database=None, max_examples=50)
@given(rows=st.integers(1, 40), step=st.integers(0, 100))
def test_a_batch_is_always_full(recipe: TrainingRecipe, rows: int, step: int) -> None:
    numbered = np.arange(rows, dtype=np.uint16)[:, None]
    expected = [int(data_order(rows, seed=1)[i % rows]) for i in range(step * 4, step * 4 + 4)]
    assert batch_rows(numbered, recipe, seed=1, step=step)[:, 0].tolist() == expected
