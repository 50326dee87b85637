"""The first positions of the miniature models are what the backend's hooks say of them, and no later token matters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.refusals import refusal
from tests.sources import ROOT
from universal_neurons.errors import NotOnSuite, UserError
from universal_neurons.stages.base import Case, read_artifact
from universal_neurons.stages.models import ModelNotFinite
from universal_neurons.stages.positions import POSITIONS
from universal_neurons.stages.tokens import token_set
from universal_neurons.stages.workspace import open_workspace

if TYPE_CHECKING:
    import numpy.typing as npt

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace


@pytest.fixture(scope="module", params="abc")
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def table(computed: Miniature, model: str) -> pd.DataFrame:
    found: pd.DataFrame = computed.study().table("positions", model=model)
    return found


@pytest.fixture(scope="module")
def pre(work: Workspace, model: str) -> npt.NDArray[np.float64]:
    """Pre-activations at all positions (row, position, neuron), as the backend's hooks give them, in float64."""
    bridge = work.zoo.load(work.model(model, work.last_step))
    names = [f"blocks.{layer}.mlp.hook_pre" for layer in range(work.suite.layers)]
    rows = torch.from_numpy(token_set(work).rows.astype(np.int64))
    with torch.no_grad():
        _, cache = bridge.run_with_cache(rows, names_filter=names)
    return np.concatenate([cache[name].double().numpy() for name in names], axis=2)


def is_at(column: pd.Series[float], values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether the column has the values of a position (..., neuron), each within rounding (...,)."""
    return np.asarray((np.abs(column.to_numpy() - values) < 1e-4 * (1 + np.abs(values))).all(axis=-1))


def test_there_is_a_row_per_neuron(table: pd.DataFrame) -> None:
    assert list(table.columns) == ["layer", "neuron", "first", "elsewhere"]
    assert table["layer"].tolist() == [0] * 24 + [1] * 24
    assert table["neuron"].tolist() == [*range(24)] * 2


def test_the_first_position_is_the_one_of_every_row(table: pd.DataFrame, pre: npt.NDArray[np.float64]) -> None:
    assert is_at(table["first"], pre[:, 0]).all()
    assert not is_at(table["first"], pre[:, 1:]).any()


def test_the_other_position_is_a_scored_one_of_one_row(
    work: Workspace, table: pd.DataFrame, pre: npt.NDArray[np.float64]
) -> None:
    found = np.argwhere(is_at(table["elsewhere"], pre))
    assert len(found) == 1
    row, position = found[0]
    assert position > 0
    assert token_set(work).mask[row, position]


def computed_again(work: Workspace, model: str) -> pd.DataFrame:
    found: Any = POSITIONS.compute(work, Case(work.last_step, model))["positions"]
    assert isinstance(found, pd.DataFrame)
    return found


def with_seed(work: Workspace, seed: int) -> Workspace:
    universality = work.suite.universality.model_copy(update={"seed": seed})
    return replace(work, suite=work.suite.model_copy(update={"universality": universality}), cache={})


def test_the_seed_draws_the_other_position_alone_and_is_in_the_key(work: Workspace) -> None:
    seeded = [with_seed(work, seed) for seed in range(3)]
    drawn = [computed_again(one, "a") for one in seeded]
    assert all(one["first"].equals(drawn[0]["first"]) for one in drawn)
    assert len({float(one["elsewhere"].iloc[0]) for one in drawn}) > 1
    assert len({POSITIONS.key(one, Case(work.last_step, "a")).digest for one in seeded}) == 3


def test_a_row_without_a_scored_position_is_passed_over(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = token_set(work)
    mask = tokens.mask.copy()
    mask[0] = False
    mask[0, 0] = True
    mask[1] = np.arange(mask.shape[1]) == 5
    monkeypatch.setattr("universal_neurons.stages.positions.token_set", lambda _: replace(tokens, mask=mask))
    found = computed_again(work, "a")
    bridge = work.zoo.load(work.model("a", work.last_step))
    with torch.no_grad():
        _, cache = bridge.run_with_cache(
            torch.from_numpy(tokens.rows[1:2].astype(np.int64)), names_filter=["blocks.0.mlp.hook_pre"]
        )
    np.testing.assert_allclose(found["elsewhere"][:24], cache["blocks.0.mlp.hook_pre"][0, 5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["first", "elsewhere"])
def test_an_altered_number_is_found(work: Workspace, name: str) -> None:
    case = Case(work.last_step, "b")
    (artifact,) = (read_artifact(work, key) for key in POSITIONS.keys(work, case))
    changed = artifact.table.assign(**{name: artifact.table[name] * 1.01 + 1e-3})
    assert POSITIONS.comparison(work, case, (artifact,), (artifact,)).agrees
    assert not POSITIONS.comparison(work, case, (artifact,), (replace(artifact, value=changed),)).agrees


def test_a_model_whose_pre_activations_are_not_finite_is_named(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged: Any = work.zoo.load(work.model("b", 30))
    with torch.no_grad():
        damaged.blocks[1].mlp.b_in[5] = torch.inf
    monkeypatch.setattr("universal_neurons.stages.positions.loaded", lambda *_: damaged)
    said = refusal(ModelNotFinite, lambda: POSITIONS.compute(work, Case(30, "b")))
    assert said.startswith("model b at step 30, layer 1: activations are not finite")


def test_rows_that_do_not_begin_with_beginning_of_text_have_no_first_position() -> None:
    work = open_workspace("paper_published", root=ROOT)
    assert POSITIONS.cases(work) == ()
    said = refusal(NotOnSuite, lambda: POSITIONS.case(work, Case(work.last_step, "a")))
    assert said == ("suite paper_published: rows do not begin with beginning-of-text, so they have no first position")
    assert len(POSITIONS.cases(open_workspace("paper", root=ROOT))) == 5


def test_a_model_that_the_suite_does_not_have_is_one_line(computed: Miniature) -> None:
    with pytest.raises(UserError, match=r"^suite mini: positions: expected one of a@30, .*, got z@30$"):
        computed.study().table("positions", model="z")
