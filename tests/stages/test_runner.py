from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal

from tests.cases import BRIEF, DRAWS, TABLES, keys_at, null_keys, pairs, table_parts
from tests.miniature import folder_zoo
from tests.refusals import refusal
from universal_neurons.artifacts.store import Store
from universal_neurons.measures.excess import with_excess
from universal_neurons.stages.ablation import ABLATIONS
from universal_neurons.stages.base import Case, read_artifact
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.registry import suite_cases, suite_keys
from universal_neurons.stages.resources import OutOfMemory
from universal_neurons.stages.runner import compute, recompute
from universal_neurons.stages.tokens import ONLY, TOKENS, token_set
from universal_neurons.stages.universality import CANDIDATES, UNIVERSALITY

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from tests.miniature import Miniature
    from universal_neurons.artifacts.store import Artifact
    from universal_neurons.stages.base import Need
    from universal_neurons.stages.workspace import Workspace

STEPS = (0, 15, 30)
# Artifacts of the smaller suite but TABLES, whose cases are all computed and committed alike.
FEWER = BRIEF - sum(table_parts({30}).values())
# What is written for these: besides them the rows of both token sets, and the draws and spreads of six tables.
WRITTEN = FEWER + 2 + 6 * 2
# Of a correlation of activations that two kernels compute in float32.
ROUNDING = 5e-6


class Writes:
    """Counts what is written; with ``kill_at`` the k-th write is interrupted before it happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, kill_at: int = 0) -> None:
        self.stages: list[str] = []
        self.kill_at = kill_at
        write = Store.write

        def counted(store: Store, key: Any, value: Any, provenance: Any) -> Artifact:
            self.stages.append(key.stage)
            if len(self.stages) == self.kill_at:
                raise KeyboardInterrupt
            return write(store, key, value, provenance)

        monkeypatch.setattr(Store, "write", counted)


def test_compute_writes_every_artifact_that_judging_reads(computed: Miniature) -> None:
    work = computed.workspace()
    assert [key for key in suite_keys(work) if not work.store.has(key)] == []


def test_the_pass_that_feeds_all_pairs_is_named_by_everything_that_rests_on_it(computed: Miniature) -> None:
    work = computed.workspace()
    for step in STEPS:
        keys = [*keys_at(work, UNIVERSALITY, step).values(), *null_keys(work, step).values()]
        keys += keys_at(work, CANDIDATES, step).values()
        runs = {read_artifact(work, key).provenance.shared for key in keys}
        # One pass for the whole step, and its time is in no artifact's own.
        ((run,),) = runs
        assert run.what == "moments of all pairs"
        assert run.wall_seconds > 0
    tables = [key for step in STEPS for key in keys_at(work, UNIVERSALITY, step).values()]
    passes = {read_artifact(work, key).provenance.shared for key in tables}
    assert len(passes) == len(STEPS)


def test_a_second_compute_computes_nothing(computed: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Writes(monkeypatch)
    monkeypatch.setattr(LoadedModels, "of", _must_not_be_called)
    assert compute(computed.workspace(local=True)) == 0
    assert writes.stages == []


def test_shipped_evidence_makes_compute_read_no_text(shipped: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Writes(monkeypatch)
    monkeypatch.setattr(TOKENS, "token_set", _must_not_be_called)
    assert compute(shipped.workspace(local=True)) == 0
    assert writes.stages == []


def without_tables(work: Workspace) -> list[Need]:
    """The cases of the :data:`FEWER` artifacts."""
    return [(stage, case) for stage, case in suite_cases(work) if stage.name not in TABLES]


# Rows and record of two token sets, then draws, spreads and table of each pair, nulls, candidates, variants, and
# blocks and table of each ablated model.
@pytest.mark.parametrize("kill_at", [2, 4, 10, 27, 34])
def test_a_killed_compute_goes_on_and_ends_with_the_same_tables(
    miniature: Miniature, brief: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    undisturbed = brief.workspace("brief", local=True)
    with monkeypatch.context() as patch:
        Writes(patch, kill_at=kill_at)
        with pytest.raises(KeyboardInterrupt):
            compute(miniature.workspace("brief", store=tmp_path, local=True))
    work = miniature.workspace("brief", store=tmp_path, local=True)
    present = sum(work.store.has(key) for key in suite_keys(undisturbed))
    writes = Writes(monkeypatch)
    assert compute(work, without_tables(work)) == FEWER - present
    # What was committed is not written again, but for a part of what belongs together: tokens and their record, draws
    # and spreads and their table, blocks and their table.
    assert len(writes.stages) <= (WRITTEN - kill_at + 1) + 2
    assert suite_keys(work) == suite_keys(undisturbed)
    for key in (key for stage, case in without_tables(work) for key in stage.keys(work, case)):
        _assert_same(read_artifact(work, key), read_artifact(undisturbed, key))


def test_a_lack_of_memory_in_any_stage_is_one_line_and_loses_nothing(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    work = miniature.workspace("brief", store=tmp_path, local=True)
    ablations: list[Need] = [(ABLATIONS, case) for case in ABLATIONS.cases(work)]
    with monkeypatch.context() as patch:
        patch.setattr("universal_neurons.core.ablation.ablation_effects", full)
        said = refusal(OutOfMemory, lambda: compute(work, ablations))
    assert re.match(r"step \d+: ablation: out of memory on cpu; ", said)
    # Everything that they need is there; what is left are three of them, a table and blocks each.
    assert compute(work, ablations) == 3 * 2


def test_the_best_partners_are_those_of_a_dense_correlation_in_float64(computed: Miniature) -> None:
    work = computed.workspace()
    activations = {ref.name: _activations(work, ref.name, 30) for ref in work.models(30)}
    for pair, key in keys_at(work, UNIVERSALITY, 30).items():
        frame = read_artifact(work, key).table
        x, y = activations[pair.model], activations[pair.partner]
        dense = np.corrcoef(x, y, rowvar=False)[: x.shape[1], x.shape[1] :]
        best = dense.argmax(axis=1)
        np.testing.assert_allclose(frame["correlation"], dense.max(axis=1), rtol=0, atol=ROUNDING)
        np.testing.assert_array_equal(frame["partner_layer"] * 24 + frame["partner_neuron"], best)
        np.testing.assert_allclose(frame["correlation_3"], np.sort(dense, axis=1)[:, -3], rtol=0, atol=ROUNDING)


def test_the_halves_are_those_of_the_even_and_the_odd_token_blocks(computed: Miniature) -> None:
    work = computed.workspace()
    even = _even_blocks(work)
    x, y = _activations(work, "a", 30), _activations(work, "b", 30)
    frame = read_artifact(work, UNIVERSALITY.key(work, pairs(work, 30)[0])).table
    dense = {half: np.corrcoef(x[which], y[which], rowvar=False)[:48, 48:]
             for half, which in (("a", even), ("b", ~even))}  # fmt: skip
    for half, correlation in dense.items():
        np.testing.assert_allclose(frame[f"correlation_half_{half}"], correlation.max(axis=1), rtol=0, atol=ROUNDING)
    neurons = np.arange(48)
    crossfit = (dense["b"][neurons, dense["a"].argmax(axis=1)] + dense["a"][neurons, dense["b"].argmax(axis=1)]) / 2
    np.testing.assert_allclose(frame["correlation_crossfit"], crossfit, rtol=0, atol=ROUNDING)


def test_the_baseline_is_that_of_layers_that_were_really_rotated(computed: Miniature) -> None:
    work = computed.workspace()
    x, y = _activations(work, "a", 30), _activations(work, "b", 30)
    turned = [_rotated_layers(y, model="b", draw=draw) for draw in range(4)]
    draws = np.stack([_largest_correlations(x, rotated) for rotated in turned])
    pair = pairs(work, 30)[0]
    np.testing.assert_allclose(
        read_artifact(work, UNIVERSALITY.key(work, pair, DRAWS)).arrays["draws"], draws, rtol=0, atol=2e-6
    )
    frame = read_artifact(work, UNIVERSALITY.key(work, pair)).table
    np.testing.assert_allclose(frame["baseline"], draws.mean(axis=0), rtol=0, atol=2e-6)
    np.testing.assert_allclose(frame["baseline_sd"], draws.std(axis=0, ddof=1), rtol=0, atol=4e-6)
    even = _even_blocks(work)
    for half, which in (("a", even), ("b", ~even)):
        # The suite gives each half the first two of the four rotations.
        dense = np.mean([_largest_correlations(x[which], rotated[which]) for rotated in turned[:2]], axis=0)
        np.testing.assert_allclose(frame[f"baseline_half_{half}"], dense, rtol=0, atol=2e-6)


def test_every_table_has_a_row_per_neuron_in_layer_order(computed: Miniature) -> None:
    work = computed.workspace()
    for step in STEPS:
        for key in [*keys_at(work, UNIVERSALITY, step).values(), *null_keys(work, step).values()]:
            frame = read_artifact(work, key).table
            assert frame["layer"].tolist() == [0] * 24 + [1] * 24
            assert frame["neuron"].tolist() == [*range(24), *range(24)]


@pytest.mark.parametrize("step", STEPS)
def test_candidates_are_the_neurons_above_the_floor_against_some_partner(computed: Miniature, step: int) -> None:
    work = computed.workspace()
    for case, key in keys_at(work, CANDIDATES, step).items():
        own = [pair for pair in pairs(work, step) if pair.model == case.model]
        frames = [with_excess(read_artifact(work, UNIVERSALITY.key(work, pair)).table) for pair in own]
        above = np.any([frame["excess"] > 0.02 for frame in frames], axis=0)
        arrays = read_artifact(work, key).arrays
        np.testing.assert_array_equal(arrays["neuron"], np.flatnonzero(above))
        assert 0 < len(arrays["neuron"]) < 48
        assert arrays["influence"].shape == (2, 10, len(arrays["neuron"]))
        for place, (pair, frame) in enumerate(zip(own, frames, strict=True)):
            draws = read_artifact(work, UNIVERSALITY.key(work, pair, DRAWS)).arrays["draws"][:, arrays["neuron"]]
            np.testing.assert_array_equal(arrays["draws"][place], draws)
            mean = frame["baseline"].to_numpy()[arrays["neuron"]]
            np.testing.assert_allclose(draws.mean(axis=0), mean, rtol=0, atol=1e-6)


def test_influences_are_those_of_the_blocks_on_the_correlation(computed: Miniature) -> None:
    work = computed.workspace()
    tokens = token_set(work)
    block = np.nonzero(tokens.mask)[0] * 10 // len(tokens.rows)
    pair = pairs(work, 30)[0]
    table = read_artifact(work, UNIVERSALITY.key(work, pair)).table
    arrays = read_artifact(work, CANDIDATES.key(work, Case(pair.step, pair.model))).arrays
    x, y = _activations(work, "a", 30), _activations(work, "b", 30)
    u, v = ((z - z.mean(axis=0)) / z.std(axis=0) for z in (x, y))
    partner = (table["partner_layer"] * 24 + table["partner_neuron"]).to_numpy()[arrays["neuron"]]
    u, v = u[:, arrays["neuron"]], v[:, partner]
    terms = (u * v - (u * v).mean(axis=0) * (u**2 + v**2) / 2) / len(u)
    dense = np.stack([terms[block == b].sum(axis=0) for b in range(10)])
    np.testing.assert_allclose(arrays["influence"][0].astype(np.float64) / 10, dense, rtol=2e-3, atol=1e-6)


def test_null_tables_have_almost_no_excess(computed: Miniature) -> None:
    work = computed.workspace()
    for (_, kind), key in [*null_keys(work, 15).items(), *null_keys(work, 30).items()]:
        excess = with_excess(read_artifact(work, key).table)["excess"]
        assert abs(excess.mean()) < 0.05, kind
        assert excess.max() < 0.2, kind
        if kind == "permuted":
            assert excess.abs().max() < 0.05


def test_permuted_tokens_leave_hardly_any_correlation(computed: Miniature) -> None:
    work = computed.workspace()
    for (_, kind), key in null_keys(work, 30).items():
        if kind == "permuted":
            assert read_artifact(work, key).table["correlation"].max() < 0.15


def test_the_tokens_are_held_out_masked_and_as_many_as_were_asked_for(computed: Miniature) -> None:
    work = computed.workspace()
    tokens = token_set(work)
    assert 3000 <= tokens.scored < 3000 + 32
    assert not tokens.mask[:, 0].any()
    assert work.zoo.newline not in tokens.rows[tokens.mask]
    assert tokens.ref.revision == folder_zoo(work).manifest.corpus


def test_stored_tokens_are_the_ones_that_were_sampled(
    computed: Miniature, miniature: Miniature, tmp_path: Path
) -> None:
    stored, sampled = (token_set(work) for work in (computed.workspace(), miniature.workspace(store=tmp_path)))
    for name in ("rows", "mask", "domain"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(sampled, name))
    assert (stored.domains, stored.ref) == (sampled.domains, sampled.ref)


def test_a_recomputation_that_was_finished_begins_anew_and_one_that_was_killed_goes_on(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> Workspace:
        return miniature.workspace("brief", store=tmp_path / "again", recompute=True, local=True)

    with monkeypatch.context() as patch:
        Writes(patch, kill_at=16)
        with pytest.raises(KeyboardInterrupt):
            recompute(work(), without_tables(work()))
    with monkeypatch.context() as patch:
        writes = Writes(patch)
        recompute(work(), without_tables(work()))
    # A case is written whole: draws and spreads of the table that was not written come again with it.
    assert len(writes.stages) == WRITTEN - 13
    with monkeypatch.context() as patch:
        writes = Writes(patch, kill_at=WRITTEN - 1)
        with pytest.raises(KeyboardInterrupt):
            recompute(work(), without_tables(work()))
    # Begun anew, or nothing would have been left to write; and now this one goes on with the last case.
    writes = Writes(monkeypatch)
    recompute(work(), without_tables(work()))
    assert writes.stages == ["extensions-blocks", "extensions"]


def test_two_that_compute_at_once_share_the_work(miniature: Miniature, tmp_path: Path) -> None:
    lines: list[str] = []

    def computed(_: int) -> int:
        work = miniature.workspace("brief", store=tmp_path, local=True, warn=lines.append)
        return compute(work, without_tables(work))

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(computed, range(2))) == FEWER
    assert lines
    assert all("another process is at it; waiting" in line for line in lines)


def test_a_finished_store_that_is_only_half_removed_is_not_taken_for_an_unfinished_one(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = miniature.workspace("brief", store=tmp_path, recompute=True, local=True)
    recompute(work, [(TOKENS, ONLY)])

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("universal_neurons.stages.runner.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            recompute(work)
    assert (tmp_path / "finished").exists()


def _activations(work: Workspace, name: str, step: int) -> npt.NDArray[np.float64]:
    """What goes into every MLP's down projection at the scored tokens, by Hugging Face's own model."""
    import torch
    from transformers import GPT2LMHeadModel

    zoo = folder_zoo(work)
    folder = zoo.folder / zoo.manifest.models[name].checkpoints[step].folder
    model: Any = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    model.train(mode=False)
    caught: list[torch.Tensor] = []
    for block in model.transformer.h:
        block.mlp.c_proj.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    tokens = token_set(work)
    with torch.no_grad():
        model(torch.from_numpy(tokens.rows.astype(np.int64)))
    together: npt.NDArray[np.float64] = torch.cat(caught, dim=-1).double().numpy()[tokens.mask]
    return together


def _even_blocks(work: Workspace) -> npt.NDArray[np.bool_]:
    tokens = token_set(work)
    even: npt.NDArray[np.bool_] = (np.nonzero(tokens.mask)[0] * 10 // len(tokens.rows)) % 2 == 0
    return even


def _rotated_layers(y: npt.NDArray[np.float64], *, model: str, draw: int) -> npt.NDArray[np.float64]:
    from universal_neurons.core.nulls import rotation

    turns = [rotation("gaussian", 24, seed=1, draw=draw, model=model, layer=layer) for layer in range(2)]
    return np.hstack([part @ turn.double().numpy().T for part, turn in zip(np.hsplit(y, 2), turns, strict=True)])


def _largest_correlations(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    largest: npt.NDArray[np.float64] = np.corrcoef(x, y, rowvar=False)[:48, 48:].max(axis=1)
    return largest


def _assert_same(found: Artifact, expected: Artifact) -> None:
    if isinstance(expected.value, pd.DataFrame):
        assert_frame_equal(found.table, expected.table, check_exact=True)
    elif found.manifest.suffix == "safetensors":
        for name, array in expected.arrays.items():
            np.testing.assert_array_equal(found.arrays[name], array)
    else:
        assert found.document == expected.document


def _must_not_be_called(*_: object, **__: object) -> None:
    raise AssertionError("must not be called")
