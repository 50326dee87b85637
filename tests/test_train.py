"""The command that trains a suite's own models, from a recipe to models that a suite opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from universal_neurons.cli import app
from universal_neurons.errors import UserError
from universal_neurons.inputs.suite import load_suite
from universal_neurons.zoo_training import Training

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature


@pytest.fixture
def other(miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a second suite, whose zoo has a recipe and nothing else yet."""
    root = miniature.copied(tmp_path / "project").root
    monkeypatch.setenv("UNIVERSAL_NEURONS_ROOT", str(root))
    suite = (root / "fixtures" / "suites" / "mini.toml").read_text().replace("zoo/mini", "zoo/other")
    (root / "fixtures" / "suites" / "other.toml").write_text(suite)
    zoo = root / "fixtures" / "zoo"
    (zoo / "other").mkdir()
    recipe = (zoo / "mini" / "recipe.toml").read_text().replace("mlp = 24", "mlp = 20")
    (zoo / "other" / "recipe.toml").write_text(recipe)
    return root


def test_a_zoo_of_ones_own_is_trained_side_by_side_and_opened_by_its_suite(other: Path) -> None:
    result = CliRunner().invoke(app, ["train", "--suite", "other", "--jobs", "2", "--publish"])
    assert (result.exit_code, result.stdout) == (
        0, "published: fixtures/zoo/other; run: universal-neurons compute --suite other\n",
    )  # fmt: skip
    zoo = load_suite("other", other).open_zoo(other, warn=pytest.fail)
    assert zoo.recipe().mlp == 20
    assert [zoo.recipe().mlp, load_suite("mini", other).open_zoo(other, warn=pytest.fail).recipe().mlp] == [20, 24]
    logs = sorted(
        path.parent.name for path in (other / ".universal-neurons" / "training" / "other").glob("*/log.jsonl")
    )
    assert logs == ["a", "b", "c"]


def test_a_seed_that_the_recipe_does_not_have_is_one_line(other: Path) -> None:
    result = CliRunner().invoke(app, ["train", "--suite", "other", "--model", "z"])
    assert result.exit_code != 0
    assert "model 'z': the recipe has seeds for a, b, c" in str(result.exception) + result.output


def test_published_models_are_not_trained(other: Path) -> None:
    suite = other / "fixtures" / "suites" / "other.toml"
    suite.write_text(suite.read_text().replace('"fixtures"', '"hub"'))
    with pytest.raises(UserError, match=r"^suite other: its models are published, .*; run: universal-neurons fetch$"):
        Training.of_suite("other", other)
