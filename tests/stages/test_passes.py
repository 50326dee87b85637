"""Few passes or one, undisturbed or killed, with little memory or much: the same scores; too inexact ones are none."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.cases import keys_at, pairs
from tests.refusals import refusal
from universal_neurons.core import tiling
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.tiling import Pass, memory_estimate
from universal_neurons.errors import UserError
from universal_neurons.stages import passes, resume
from universal_neurons.stages.models import LoadedModels, ModelNotFinite
from universal_neurons.stages.passes import chosen_layers
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.resume import STATES, deferred_interruption
from universal_neurons.stages.runner import compute
from universal_neurons.stages.scores import RequestedScores, step_scores
from universal_neurons.stages.tokens import TOKENS
from universal_neurons.stages.universality import CANDIDATES, PERMUTED_NULL, ROTATED_NULL, UNIVERSALITY
from universal_neurons.stages.workspace import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from tests.miniature import Miniature
    from universal_neurons.stages.scores import StepScores
    from universal_neurons.stages.workspace import Workspace

    Arrays = Mapping[str, npt.NDArray[Any]]

STEP = 30


class Killed(BaseException):
    """What a test raises where a process would be killed."""


@pytest.fixture
def workspace(computed: Miniature, tmp_path: Path) -> Callable[..., Workspace]:
    """Workspaces with a store of their own, in which the tokens lie and nothing else."""

    def opened(folder: str = "store", **resources: Any) -> Workspace:
        return with_tokens(computed, tmp_path / folder, Resources(**resources))

    return opened


def with_tokens(computed: Miniature, store: Path, resources: Resources) -> Workspace:
    for part in (*TOKENS.parts, *TOKENS.scratch):
        shutil.copytree(computed.working / part, store / part, dirs_exist_ok=True)
    return computed.workspace(store=store, local=True, resources=resources)


def requested(work: Workspace) -> RequestedScores:
    return RequestedScores(
        *(tuple(keys_at(work, stage, STEP)) for stage in (UNIVERSALITY, ROTATED_NULL, PERMUTED_NULL))
    )


def scores(work: Workspace, what: RequestedScores | None = None) -> StepScores:
    models = LoadedModels.of(work, STEP, work.suite.zoo.models)
    return step_scores(models, what or requested(work))


def arrays(found: StepScores) -> dict[str, npt.NDArray[Any]]:
    """Everything that the running scores say, by name."""
    return {name: tensor.clone().numpy() for name, tensor in found.running.state()}


def assert_equal(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def assert_close(found: Arrays, expected: Arrays) -> None:
    for name, array in expected.items():
        if "column" in name:
            # Of equal correlations either partner may come first.
            assert (found[name] == array).mean() > 0.99
        else:
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=2e-6, err_msg=name)


def reading(models: LoadedModels) -> passes.Reading:
    return passes.Reading("test", models.tokens.rows, models.tokens.mask, models.blocks())


@pytest.fixture(scope="module")
def undisturbed(computed: Miniature, tmp_path_factory: pytest.TempPathFactory) -> StepScores:
    return scores(with_tokens(computed, tmp_path_factory.mktemp("undisturbed"), Resources()))


class Batches:
    """Counts the batches that are accumulated, and raises at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, *, stop_at: int = -1, error: BaseException | None = None) -> None:
        self.seen = 0
        add = PairwiseAccumulator.add

        def counted(accumulator: PairwiseAccumulator, *arguments: Any) -> None:
            if self.seen == stop_at:
                self.seen += 1
                raise error or Killed
            self.seen += 1
            add(accumulator, *arguments)

        patch.setattr(PairwiseAccumulator, "add", counted)


def in_tiles(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let no pass have more than ``most`` tiles; the number of passes of every plan is noted."""
    planned: list[int] = []
    plan = tiling.passes

    def cut(work: Any, within: Any, *, tiles: Any = None) -> Any:
        (whole,) = plan(work, 2**60, tiles=tiles)
        blocks = [
            replace(tile, x_layers=range(x, x + 1), y_layers=range(y, y + 1))
            for tile in whole.tiles
            for x in tile.x_layers
            for y in tile.y_layers
        ]
        parts = [tuple(blocks[start : start + most]) for start in range(0, len(blocks), most)]
        planned.append(len(parts))
        return tuple(Pass(part, memory_estimate(work, part)) for part in parts)

    monkeypatch.setattr(passes, "passes", cut)
    return planned


@pytest.mark.parametrize("most", [1, 3, 7])
def test_tiles_of_layers_give_the_scores_of_the_whole(
    workspace: Callable[..., Workspace], undisturbed: StepScores, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    planned = in_tiles(monkeypatch, most)
    found = scores(workspace())
    assert planned == [-(-20 // most)]
    assert found.passes.passes == planned[0]
    assert_close(arrays(found), arrays(undisturbed))


def test_a_budget_below_the_whole_is_kept_by_more_passes(
    workspace: Callable[..., Workspace], undisturbed: StepScores, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Scoring has a floor of some hundred megabytes, beside which a miniature is nothing.
    monkeypatch.setattr("universal_neurons.core.tiling._TileTotals._score_bytes", lambda *_: 0)
    monkeypatch.setattr("universal_neurons.core.tiling.FOLD_EVERY", 1)
    work = workspace()
    models = LoadedModels.of(work, STEP, work.suite.zoo.models)
    shape = passes.workload(models, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)],
                            replace(reading(models), shuffled=0), groups=2)  # fmt: skip
    whole, pair = memory_estimate(shape, shape.whole()).total, memory_estimate(shape, shape.whole()[:1]).total
    assert pair < whole
    found = scores(workspace(memory=(pair + whole) // 2))
    assert found.passes.passes > 1
    assert_close(arrays(found), arrays(undisturbed))


def test_too_little_memory_for_one_layer_is_one_line(workspace: Callable[..., Workspace]) -> None:
    with pytest.raises(UserError, match=r"memory: expected at least .* MiB .*, got 1 MiB; run again with more"):
        scores(workspace(memory=2**20))


@pytest.mark.parametrize(("most", "stop_at"), [(100, 1), (100, 3), (6, 3), (6, 8)])
def test_a_killed_run_goes_on_from_its_last_state_and_ends_with_the_same_bits(
    workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, most: int, stop_at: int
) -> None:
    in_tiles(monkeypatch, most)
    # As often as it is asked for, however long writing takes.
    monkeypatch.setattr(resume, "_SHARE", float("inf"))
    with monkeypatch.context() as patch:
        total = Batches(patch)
        expected = scores(workspace("expected"))
    assert total.seen > stop_at
    with monkeypatch.context() as patch:
        Batches(patch, stop_at=stop_at)
        with pytest.raises(Killed):
            scores(workspace(state_seconds=0.0))
    with monkeypatch.context() as patch:
        rest = Batches(patch)
        found = scores(workspace())
    # Every batch before the kill had been written with its state, so none is read twice.
    assert rest.seen == total.seen - stop_at
    assert_equal(arrays(found), arrays(expected))
    assert found.passes == replace(expected.passes, seconds=found.passes.seconds, folder=found.passes.folder)


def test_a_run_that_is_killed_while_it_scores_does_not_score_twice(
    workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    from universal_neurons.core.universality import RunningScores

    in_tiles(monkeypatch, 6)
    expected = scores(workspace("expected"))
    take, taken = RunningScores.take, count()

    def killed(*arguments: Any) -> None:
        if next(taken) == 9:
            raise Killed
        take(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RunningScores, "take", killed)
        with pytest.raises(Killed):
            scores(workspace(state_seconds=0.0))
    assert_equal(arrays(scores(workspace())), arrays(expected))


def test_a_damaged_state_is_not_used_and_costs_only_time(
    workspace: Callable[..., Workspace], undisturbed: StepScores, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Batches(patch, stop_at=2)
        with pytest.raises(Killed):
            scores(workspace(state_seconds=0.0))
    work = workspace()
    lines: list[str] = []
    (file,) = (work.store.working / STATES).rglob("0.safetensors")
    damaged = bytearray(file.read_bytes())
    damaged[-5] ^= 1
    file.write_bytes(bytes(damaged))
    found = scores(replace(work, warn=lines.append))
    assert lines == ["the state of an interrupted computation is damaged (0.safetensors has another digest); "
                     "it is not used"]  # fmt: skip
    assert_equal(arrays(found), arrays(undisturbed))


def test_a_state_is_forgotten_when_its_results_are_committed(workspace: Callable[..., Workspace]) -> None:
    work = workspace(state_seconds=0.0)
    compute(work, [(CANDIDATES, case) for case in CANDIDATES.cases(work) if case.step == STEP])
    assert not list((work.store.working / STATES).rglob("*.safetensors"))
    assert all(work.store.has(key) for key in keys_at(work, UNIVERSALITY, STEP).values())
    assert not work.store.verify()


def test_a_state_that_a_kill_left_behind_is_forgotten_once_the_suite_is_whole(
    own: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = own.workspace(local=True, resources=Resources(state_seconds=0.0))
    pair = pairs(work, STEP)[0]
    shutil.rmtree(own.working / UNIVERSALITY.name / UNIVERSALITY.key(work, pair).digest)
    with monkeypatch.context() as patch:
        patch.setattr(passes.Streamed, "forget", lambda _: None)
        assert compute(work, [(UNIVERSALITY, pair)]) == 1
    assert list((own.working / STATES).rglob("*.safetensors"))
    assert compute(own.workspace(local=True)) == 0
    assert not list((own.working / STATES).rglob("*"))


def test_a_disk_that_is_full_costs_the_state_and_not_the_run(
    workspace: Callable[..., Workspace], undisturbed: StepScores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    lines: list[str] = []
    monkeypatch.setattr("universal_neurons.stages.resume.write_file", full)
    found = scores(replace(workspace(state_seconds=0.0), warn=lines.append))
    assert lines[0] == "step 30: moments: the state cannot be written (No space left on device); going on"
    assert_equal(arrays(found), arrays(undisturbed))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal: who runs these tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_writes_the_state_of_the_last_batch_and_the_same_command_goes_on(
    workspace: Callable[..., Workspace], undisturbed: StepScores, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = PairwiseAccumulator.add
    seen = count()

    def interrupted(accumulator: PairwiseAccumulator, *arguments: Any) -> None:
        if next(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        add(accumulator, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PairwiseAccumulator, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            scores(workspace())
    assert next(seen) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with monkeypatch.context() as patch:
        rest = Batches(patch)
        found = scores(workspace())
    assert rest.seen > 0
    assert_equal(arrays(found), arrays(undisturbed))


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stays_ignored_where_it_is_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred_interruption() as asked_to_stop:
        os.kill(os.getpid(), signal.SIGINT)
    assert not asked_to_stop.wanted


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_is_not_waited_for() -> None:
    with pytest.raises(KeyboardInterrupt), deferred_interruption() as asked_to_stop:  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert asked_to_stop.wanted
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["gpu", "cpu", "python"],
)
def test_out_of_memory_halves_the_tiles_and_says_so(
    workspace: Callable[..., Workspace], undisturbed: StepScores, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    lines: list[str] = []
    Batches(monkeypatch, stop_at=2, error=error)
    found = scores(replace(workspace(), warn=lines.append))
    assert lines == ["step 30: moments: out of memory on cpu: tiles are halved, 2 passes are left"]
    assert found.passes.passes == 2
    assert_close(arrays(found), arrays(undisturbed))


def test_out_of_memory_while_scoring_does_not_take_anything_in_twice(
    workspace: Callable[..., Workspace], undisturbed: StepScores, monkeypatch: pytest.MonkeyPatch
) -> None:
    from universal_neurons.core.universality import RunningScores

    take, taken = RunningScores.take, count()

    def failing(*arguments: Any) -> None:
        if next(taken) == 4:
            raise MemoryError
        take(*arguments)

    monkeypatch.setattr(RunningScores, "take", failing)
    found = scores(replace(workspace(), warn=lambda _: None))
    assert found.passes.passes == 2
    assert_close(arrays(found), arrays(undisturbed))


def test_one_layer_that_does_not_fit_is_one_line(
    workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(PairwiseAccumulator, "add", never)
    with pytest.raises(UserError, match="out of memory on cpu with one layer against one layer"):
        scores(replace(workspace(), warn=lambda _: None))


def test_another_error_of_torch_is_not_taken_for_a_lack_of_memory(
    workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    Batches(monkeypatch, stop_at=0, error=RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        scores(workspace())


def test_less_memory_than_before_plans_what_is_left_again(
    workspace: Callable[..., Workspace], undisturbed: StepScores, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Batches(patch, stop_at=3)
        with pytest.raises(Killed):
            scores(workspace(state_seconds=0.0))
    lines: list[str] = []
    monkeypatch.setattr(LoadedModels, "budget", 1000)
    in_tiles(monkeypatch, 4)
    found = scores(replace(workspace(), warn=lines.append))
    assert lines == ["step 30: moments: less memory than before: what is left is planned again"]
    assert found.passes.passes == 5
    assert_close(arrays(found), arrays(undisturbed))


def test_the_measured_error_and_its_bound_are_stored_with_the_tables(computed: Miniature) -> None:
    work = computed.workspace()
    for key in suite_keys(work):
        precision = work.store.read(key).provenance.precision  # type: ignore[union-attr]
        if key.stage in {"universality", "null-rotated", "null-permuted", "variants"}:
            assert precision is not None
            assert precision["mode"] == "float32"
            assert 0 < precision["largest_error"] < precision["bound"] == 5e-6  # type: ignore[operator]
            assert key.parameters["dtype"] == "float32"
        else:
            assert precision is None


def test_results_beyond_the_bound_are_refused(
    workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PairwiseAccumulator, "largest_error", lambda *_: 6e-6)
    work = workspace()
    with pytest.raises(UserError, match=r"float32: expected sampled correlations within 5e-06 of float64, got 6e-06"):
        scores(work)
    assert not list((work.store.working / STATES).rglob("*.safetensors"))


def damaged(work: Workspace, model: str, layer: int) -> LoadedModels:
    """The models of a step, one of them with a weight that is not a number."""
    models = LoadedModels.of(work, STEP, work.suite.zoo.models)
    with torch.no_grad():
        models.bridges[models.position(model)].blocks[layer].mlp.b_in[5] = torch.nan
    return models


@pytest.mark.parametrize(("model", "layer"), [("a", 1), ("b", 0), ("c", 1)])
def test_a_model_whose_activations_are_not_finite_is_named(
    workspace: Callable[..., Workspace], model: str, layer: int
) -> None:
    work = workspace()
    models = damaged(work, model, layer)
    said = refusal(ModelNotFinite, lambda: step_scores(models, requested(work)))
    assert said.startswith(
        f"model {model} at step 30, layer {layer}: activations are not finite; expected numbers, got infinity or NaN"
    )
    assert "run again" in said


def test_bfloat16_is_less_exact_says_so_and_has_keys_of_its_own(
    workspace: Callable[..., Workspace], undisturbed: StepScores
) -> None:
    own = workspace()
    work = replace(own, suite=own.suite.narrowed(precision="bfloat16"), cache={})
    found = scores(work)
    assert found.passes.mode == "bfloat16"
    assert 10 * undisturbed.passes.error < found.passes.error < found.passes.bound
    pair = pairs(work, STEP)[0]
    difference = (found.table(pair).correlation - undisturbed.table(pair).correlation).abs().max()
    assert 1e-5 < float(difference) < 4e-3
    assert keys_at(work, UNIVERSALITY, STEP)[pair] != keys_at(own, UNIVERSALITY, STEP)[pair]
    assert work.suite.narrowing == "precision bfloat16"


def test_tf32_without_a_gpu_is_one_line(workspace: Callable[..., Workspace]) -> None:
    own = workspace()
    with pytest.raises(UserError, match="tf32 is a format of NVIDIA's GPUs, and the device is cpu; choose float32"):
        scores(replace(own, suite=own.suite.narrowed(precision="tf32")))


def test_the_layers_of_a_twin_are_chosen_from_those_of_its_model() -> None:
    values = torch.arange(12.0).reshape(2, 6)
    widths = (2, 1, 9, 3)
    assert chosen_layers(values, widths, (0, 1, 3), (0, 1, 3)) is values
    torch.testing.assert_close(chosen_layers(values, widths, (0, 1, 3), (1, 3)), values[:, 2:])
    assert chosen_layers(values, widths, (0, 1, 3), ()).shape == (2, 0)
