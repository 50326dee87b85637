"""The writing of the miniature models is what the backend's own processing and direct ranks say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.refusals import refusal
from universal_neurons.stages.base import Case
from universal_neurons.stages.batches import batch_rows
from universal_neurons.stages.models import ModelNotFinite
from universal_neurons.stages.predictions import COMMON, DIRECTIONS, MOMENTS, PLANTED, PREDICTIONS, RARE
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    import numpy.typing as npt

    from tests.miniature import Miniature
    from universal_neurons.measures.predictions import PredictionTables
    from universal_neurons.stages.workspace import Workspace

# Numbers are stored to 16 bits.
STORED = 2e-5


@pytest.fixture(scope="module", params=[("a", 30), ("c", 30)], ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    model, step = request.param
    return Case(step, model)


@pytest.fixture(scope="module")
def tables(computed: Miniature, case: Case) -> PredictionTables:
    study = computed.study()
    found: PredictionTables = study.read(PREDICTIONS, PREDICTIONS.case(study.work, case))
    return found


@pytest.fixture(scope="module")
def cosine(work: Workspace, case: Case) -> npt.NDArray[np.float64]:
    """Cosines of output weights with the unembedding (neuron, token), of the backend's processed model."""
    processed = work.zoo.load(work.model(case.model, case.step or 0))
    processed.enable_compatibility_mode(disable_warnings=True)
    w_out = processed.W_out.flatten(0, 1).double().detach().numpy()
    tokens = processed.W_U.T.double().detach().numpy()
    return np.asarray(_unit(w_out) @ _unit(tokens).T)


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def following(work: Workspace) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Where a scored token has a next one in its row (row, position), and the next ones."""
    tokens = token_set(work)
    scored = tokens.mask.copy()
    scored[:, -1] = False
    return scored, np.concatenate(
        [tokens.rows[row, np.flatnonzero(scored[row]) + 1].astype(np.int64) for row in range(len(scored))]
    )


def test_moments_are_those_of_the_backends_weights_with_and_without_rare_tokens(
    tables: PredictionTables, cosine: npt.NDArray[np.float64], work: Workspace
) -> None:
    common = np.bincount(following(work)[1], minlength=cosine.shape[1]) >= RARE
    assert 0 < common.sum() < len(common)
    for prefix, chosen in (("", np.ones_like(common)), ("common_", common)):
        part = cosine[:, chosen]
        moments = (stats.kurtosis(part, axis=1, fisher=False), stats.skew(part, axis=1), part.var(1))
        for name, expected in zip(MOMENTS, moments, strict=True):
            found = tables.neurons[prefix + name]
            np.testing.assert_allclose(found, expected, rtol=STORED, atol=1e-4, err_msg=prefix + name)


def test_the_next_token_is_tested_by_ranks_within_batches(
    tables: PredictionTables, cosine: npt.NDArray[np.float64], work: Workspace, case: Case
) -> None:
    scored, tokens = following(work)
    bridge = work.zoo.load(work.model(case.model, case.step or 0))
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(work.suite.layers)]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.from_numpy(token_set(work).rows.astype(np.int64)), names_filter=names)
    values = np.concatenate([cache[name].numpy()[scored] for name in names], axis=1)
    batch = np.repeat(np.arange(len(scored)), scored.sum(1)) // batch_rows(scored.shape[1])
    assert len(np.unique(batch)) > 1
    for neuron in range(0, len(cosine), 7):
        z = stats.zscore(cosine[neuron])
        z = z if stats.skew(z) >= 0 else -z
        chosen = [token for token in np.argsort(-z)[:10] if z[token] > 3]
        positive = np.isin(tokens, chosen)
        row = tables.neurons.loc[neuron]
        assert (row["members"], row["positives"]) == (len(chosen), positive.sum())
        statistic, pairs = 0.0, 0
        for at in np.unique(batch):
            own, others = (values[(batch == at) & flags, neuron] for flags in (positive, ~positive))
            if len(own) and len(others):
                statistic += float(stats.mannwhitneyu(own, others).statistic)
                pairs += len(own) * len(others)
        expected = statistic / pairs if pairs else np.nan
        # Two activations within rounding may change places.
        np.testing.assert_allclose(row["auc"], expected, atol=2e-4)


def test_what_is_drawn_is_there_once_for_each_direction_and_planted_neuron(tables: PredictionTables) -> None:
    assert list(tables.directions) == [*MOMENTS, *COMMON]
    assert (len(tables.directions), len(tables.planted)) == (DIRECTIONS, PLANTED)
    assert not tables.directions.isna().to_numpy().any()
    assert tables.planted["positives"].gt(0).any()


def test_permuted_coordinates_change_every_neuron_and_no_rank_of_the_unembedding(tables: PredictionTables) -> None:
    own, permuted = (tables.neurons[f"{prefix}kurtosis"] for prefix in ("", "permuted_"))
    assert np.abs(own - permuted).min() > 0


@pytest.mark.parametrize(("part", "name"), [(0, "auc"), (0, "permuted_skewness"), (1, "variance"), (2, "kurtosis")])
def test_a_difference_beyond_the_tolerance_is_seen(work: Workspace, case: Case, part: int, name: str) -> None:
    artifacts = [work.store.read(key) for key in PREDICTIONS.keys(work, case)]
    stored = tuple(artifact for artifact in artifacts if artifact is not None)
    table = stored[part].table
    changed: Any = replace(stored[part], value=table.assign(**{name: table[name] * 1.01 + 1e-3}))
    assert PREDICTIONS.comparison(work, case, stored, stored).agrees
    again = (*stored[:part], changed, *stored[part + 1 :])
    assert not PREDICTIONS.comparison(work, case, stored, again).agrees


def test_a_model_whose_activations_are_not_finite_is_named(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = work.zoo.load(work.model("b", 30))
    with torch.no_grad():
        damaged.blocks[1].mlp.b_in[5] = torch.inf
    monkeypatch.setattr("universal_neurons.stages.predictions.loaded", lambda *_: damaged)
    said = refusal(ModelNotFinite, lambda: PREDICTIONS.compute(work, Case(30, "b")))
    assert said.startswith("model b at step 30, layer 1: activations are not finite")
