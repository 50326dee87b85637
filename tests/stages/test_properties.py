"""Properties of the miniature models are what hooks, whole matrices and the backend's own processing say of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.refusals import refusal
from universal_neurons.errors import UserError
from universal_neurons.stages.base import Case
from universal_neurons.stages.models import ModelNotFinite
from universal_neurons.stages.properties import COLUMNS, PROPERTIES, PUBLISHED_BOUND, WEIGHTS
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace

# Numbers are stored to 16 bits.
STORED = 2e-5


@pytest.fixture(scope="module", params=[("a", 0), ("a", 15), ("c", 30)], ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    model, step = request.param
    return Case(step, model)


@pytest.fixture(scope="module")
def found(computed: Miniature, case: Case) -> pd.DataFrame:
    study = computed.study()
    table: pd.DataFrame = study.read(PROPERTIES, PROPERTIES.case(study.work, case))
    return table


@pytest.fixture(scope="module")
def bridge(work: Workspace, case: Case) -> Any:
    return work.zoo.load(work.model(case.model, case.step or 0))


@pytest.fixture(scope="module")
def pre(work: Workspace, bridge: Any) -> npt.NDArray[np.float64]:
    """Pre-activations at the scored tokens (token, neuron), as the backend's hooks give them, in float64."""
    tokens = token_set(work)
    names = [f"blocks.{layer}.mlp.hook_pre" for layer in range(work.suite.layers)]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.from_numpy(tokens.rows.astype(np.int64)), names_filter=names)
    return np.concatenate([cache[name].double().numpy()[tokens.mask] for name in names], axis=1)


def test_there_is_a_row_per_neuron_and_no_number_is_missing(found: pd.DataFrame, case: Case) -> None:
    assert list(found.columns) == ["layer", "neuron", *COLUMNS]
    assert found["layer"].tolist() == [0] * 24 + [1] * 24
    assert found["neuron"].tolist() == [*range(24)] * 2
    assert not found.isna().to_numpy().any()


def test_moments_and_frequencies_are_those_of_all_pre_activations(
    found: pd.DataFrame, pre: npt.NDArray[np.float64]
) -> None:
    expected = {
        "pre_mean": pre.mean(0),
        "pre_variance": pre.var(0),
        "pre_skewness": stats.skew(pre),
        "pre_kurtosis": stats.kurtosis(pre, fisher=False),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-4, err_msg=name)
    # A pre-activation within rounding of the bound may be on either side.
    for name, bound in (("frequency", 0.0), ("published_frequency", PUBLISHED_BOUND)):
        np.testing.assert_allclose(found[name], (pre > bound).mean(0), atol=2 / len(pre), err_msg=name)


def test_weights_are_those_of_the_backend_raw_and_processed(
    found: pd.DataFrame, bridge: Any, work: Workspace, case: Case
) -> None:
    assert_weights(found, "raw_", bridge)
    processed = work.zoo.load(work.model(case.model, case.step or 0))
    processed.enable_compatibility_mode(disable_warnings=True)
    assert_weights(found, "", processed)


def assert_weights(found: pd.DataFrame, prefix: str, model: Any) -> None:
    w_in = model.W_in.transpose(1, 2).flatten(0, 1).double().detach().numpy()
    w_out = model.W_out.flatten(0, 1).double().detach().numpy()
    tokens = model.W_U.T.double().detach().numpy()
    cosine = _unit(w_out) @ _unit(tokens).T
    expected = {
        "input_bias": model.b_in.flatten().double().detach().numpy(),
        "w_in_norm": np.linalg.norm(w_in, axis=1),
        "w_out_norm": np.linalg.norm(w_out, axis=1),
        "cos_in_out": (_unit(w_in) * _unit(w_out)).sum(1),
        "vocabulary_mean": cosine.mean(1),
        "vocabulary_variance": cosine.var(1),
        "vocabulary_skewness": stats.skew(cosine, axis=1),
        "vocabulary_kurtosis": stats.kurtosis(cosine, axis=1, fisher=False),
    }
    assert set(expected) == set(WEIGHTS)
    for name, values in expected.items():
        np.testing.assert_allclose(found[prefix + name], values, rtol=STORED, atol=1e-4, err_msg=prefix + name)
    if not prefix:
        for name, vectors in (("twin_in", w_in), ("twin_out", w_out)):
            twins = _unit(vectors) @ _unit(vectors).T
            np.fill_diagonal(twins, -2)
            np.testing.assert_allclose(found[name], twins.max(1), rtol=STORED, atol=1e-4, err_msg=name)


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_the_reference_has_them_at_every_step_and_the_others_at_the_last(work: Workspace) -> None:
    cases = PROPERTIES.cases(work)
    assert [(case.model, case.step) for case in cases] == [("a", 0), ("a", 15), ("a", 30), ("b", 30), ("c", 30)]


def test_a_step_at_which_a_model_has_none_is_one_line(work: Workspace) -> None:
    with pytest.raises(UserError, match=r"^suite mini: properties: expected one of a@0, .*, got b@15$"):
        PROPERTIES.case(work, Case(15, "b"))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_difference_beyond_the_tolerance_is_seen(work: Workspace, case: Case, name: str) -> None:
    artifact = work.store.read(PROPERTIES.key(work, case))
    assert artifact is not None
    changed = artifact.table.assign(**{name: artifact.table[name] * 1.01 + 1e-3})
    assert PROPERTIES.comparison(work, case, (artifact,), (artifact,)).agrees
    assert not PROPERTIES.comparison(work, case, (artifact,), (replace(artifact, value=changed),)).agrees


def test_a_model_whose_pre_activations_are_not_finite_is_named(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = work.zoo.load(work.model("b", 30))
    with torch.no_grad():
        damaged.blocks[1].mlp.b_in[5] = torch.inf
    monkeypatch.setattr("universal_neurons.stages.properties.loaded", lambda *_: damaged)
    said = refusal(ModelNotFinite, lambda: PROPERTIES.compute(work, Case(30, "b")))
    assert said.startswith("model b at step 30, layer 1: activations are not finite")
