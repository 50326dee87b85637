from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from universal_neurons.errors import UserError
from universal_neurons.inputs.recipe import RecipeError, TrainingRecipe

if TYPE_CHECKING:
    from pathlib import Path


def test_steps_and_checkpoints_follow_from_the_budget(recipe: TrainingRecipe) -> None:
    assert recipe.steps == 8
    assert recipe.checkpoint_steps == (4, 8)
    assert recipe.seeds == {"a": 1, "b": 2}


def test_the_rate_rises_linearly_and_falls_as_a_cosine(recipe: TrainingRecipe) -> None:
    recipe = recipe.model_copy(update={"warmup_steps": 4, "tokens": 64 * 104})
    assert recipe.rate(0) == pytest.approx(0.25e-2)
    assert [recipe.rate(3), recipe.rate(4)] == pytest.approx([1e-2, 1e-2])
    assert recipe.rate(54) == pytest.approx(0.55e-2)
    assert recipe.rate(104) == pytest.approx(0.1e-2)


def test_the_rate_is_kept_at_its_peak_and_at_its_end(recipe: TrainingRecipe) -> None:
    schedule = {"warmup_steps": 4, "tokens": 64 * 100, "falls_from": 0.1, "falls_until": 0.3}
    recipe = recipe.model_copy(update=schedule)
    assert recipe.rate(0) == pytest.approx(0.25e-2)
    assert [recipe.rate(step) for step in (4, 10)] == pytest.approx([1e-2, 1e-2])
    assert recipe.rate(20) == pytest.approx(0.55e-2)
    assert [recipe.rate(step) for step in (30, 31, 99)] == pytest.approx([0.1e-2] * 3)


def test_the_architecture_is_gpt_2_without_dropout(recipe: TrainingRecipe) -> None:
    config = recipe.config()
    assert (config.n_layer, config.n_embd, config.n_head, config.n_inner, config.n_positions) == (1, 16, 2, 32, 16)
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0, 0, 0)
    assert config.bos_token_id == config.eos_token_id == 299


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layers = ", r"^r.toml: not TOML: "),
        ("layers = 1", r"^r.toml: width: Field required$"),
        ("depth = 1", r"^r.toml: depth: Extra inputs are not permitted$"),
    ],
)
def test_a_bad_recipe_is_one_line(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said) as raised:
        TrainingRecipe.parse(text, where="r.toml")
    assert isinstance(raised.value, UserError)
    assert "\n" not in str(raised.value)


def test_a_missing_recipe_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe.toml: cannot be read \(No such file or directory\)"):
        TrainingRecipe.read(tmp_path / "recipe.toml")
