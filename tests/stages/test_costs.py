"""Planned costs against real ones: torch counts the operations, the store the bytes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from tests.cases import keys_at
from tests.stages.suites import shaped, speed, step_costs
from universal_neurons.artifacts.store import Store
from universal_neurons.core.tiling import BudgetTooSmall, Pass, Tile, memory_estimate
from universal_neurons.core.unwrapped import _has_kernel
from universal_neurons.stages.ablation import ABLATIONS
from universal_neurons.stages.base import Case, Stage
from universal_neurons.stages.costs import (
    EIGENVECTOR_OPERATIONS,
    OPERATIONS,
    QR_OPERATIONS,
    Cost,
    Shape,
    Sizes,
    WorkKind,
    streaming,
    summed,
)
from universal_neurons.stages.extensions import EXTENSIONS
from universal_neurons.stages.plan import sizes_of
from universal_neurons.stages.profiles import PROFILES
from universal_neurons.stages.runner import compute
from universal_neurons.stages.tokens import ONLY, TOKENS, evaluation_tokens, token_set
from universal_neurons.stages.universality import CANDIDATES, PERMUTED_NULL, ROTATED_NULL, SCORES, UNIVERSALITY
from universal_neurons.stages.variants import VARIANTS
from universal_neurons.stages.workspace import Resources, unpinned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace

LAST = 30
GIBIBYTE = 2**30


def attention_operations(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Of both products of an attention, without what causality would save."""
    # torch has no types here.
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def affine_operations(values: Any, weights: Any, *_: Any, **__: Any) -> int:
    """Of the product in an affine map; the shapes are (..., read) and (written, read)."""
    return int(2 * math.prod(values) * weights[0])


def counted(run: Callable[[], object]) -> int:
    """Operations of matrix products that torch counts in ``run``."""
    # What several steps in one kernel take is not among what torch counts on a CPU.
    mapping: dict[Any, Any] = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_operations}
    if _has_kernel():
        mapping[torch.ops.mkldnn._linear_pointwise] = affine_operations
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        run()
    return int(counter.get_total_flops())


def sizes(work: Workspace) -> Sizes:
    return sizes_of(work, speed(), sampled=TOKENS.is_present(work, ONLY))


def costs(work: Workspace, step: int = LAST) -> dict[str, Cost]:
    """The cost of every stage of one step where nothing is there."""
    return step_costs(work, sizes(work), step)


def with_precision(work: Workspace, name: str) -> Workspace:
    """The same workspace for a suite of another precision."""
    return replace(work, suite=work.suite.narrowed(precision=name), resources=work.resources)


def produce_all(work: Workspace, stage: Stage) -> None:
    """Compute a stage of the last checkpoint, whether or not it is there."""
    for case in keys_at(work, stage, LAST):
        stage.produce(work, case)


def score(work: Workspace) -> None:
    """Compute the tables, nulls and candidates of the last checkpoint."""
    stages = (CANDIDATES, ROTATED_NULL, PERMUTED_NULL)
    compute(work, [(stage, case) for stage in stages for case in keys_at(work, stage, LAST)])


@pytest.fixture(autouse=True)
def _kernel_without_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding out which kernel is exact takes products of its own, a hundred times as many as a miniature has."""
    monkeypatch.setattr("universal_neurons.core.matmul.checked_precision", lambda *_, **__: "highest")


@pytest.fixture(scope="module")
def work(miniature: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A suite with tokens and nothing else."""
    found = miniature.workspace(store=tmp_path_factory.mktemp("tokens"), local=True)
    token_set(found)
    evaluation_tokens(found)
    return found


@pytest.fixture(scope="module")
def scored(work: Workspace) -> Workspace:
    """The same with the tables of the last checkpoint."""
    score(work)
    return work


# --- shapes and kinds of work ----------------------------------------------------------------------------------------


def test_a_block_has_attention_and_both_matrices_of_the_mlp() -> None:
    shape = Shape(layers=3, width=4, heads=2, mlp=10, vocabulary=50, context=16, row=8)
    # Four matrices of attention, two of the MLP, and a row's queries against its keys and weights against its values.
    assert shape.block_operations == 2 * (4 * 16 + 2 * 40) + 2 * (2 * 8 * 4)
    assert shape.neurons == 30
    assert shape.parameters == 3 * (4 * 16 + 2 * 40) + (50 + 16) * 4
    # Without the last down projection, and without the unembedding.
    assert shape.forward_operations == 3 * (2 * 144 + 128) - 2 * 40
    assert shape.head_operations == 2 * 50 * 4


def test_work_adds_up_and_only_products_are_operations() -> None:
    forward, product = {WorkKind.FORWARD: 5.0}, {WorkKind.PRODUCT: 1.0, WorkKind.FORWARD: 2.0, WorkKind.TEXT: 0.0}
    assert summed(forward, product, times=2) == {WorkKind.FORWARD: 14.0, WorkKind.PRODUCT: 2.0}
    assert summed() == {}
    assert Cost(dict.fromkeys(WorkKind, 1.0)).operations == len(OPERATIONS) == 5


# --- operations ------------------------------------------------------------------------------------------------------


def test_the_moments_are_one_pass_where_everything_fits(work: Workspace) -> None:
    assert costs(work)["moments"].passes == 1


def test_a_pass_reads_the_models_that_it_needs_up_to_the_last_layer_that_it_needs(work: Workspace) -> None:
    planned, shape = sizes(work), sizes(work).shape
    load = planned.workload(3, [(0, 2)], groups=2, row=shape.row)
    tile = Tile(0, 2, range(1), range(1, 2))
    read = streaming(planned, load, [Pass((tile,), memory_estimate(load, (tile,)))], 100, 90)
    down = 2 * shape.width * shape.mlp
    assert read[WorkKind.FORWARD] == 100 * (shape.block_operations - down + 2 * shape.block_operations - down)
    assert read[WorkKind.PRODUCT] == 90 * 2 * 3 * shape.mlp**2


def test_the_operations_of_a_whole_step_are_those_that_torch_counts(miniature: Miniature, tmp_path: Path) -> None:
    work = miniature.workspace(store=tmp_path, local=True)
    token_set(work)
    planned = costs(work)
    operations = sum(planned[stage].operations for stage in ("moments", "universality", "candidates"))
    assert operations == pytest.approx(counted(lambda: score(work)), rel=0.15)


def test_the_operations_of_the_variants_are_those_that_torch_counts(work: Workspace) -> None:
    variants = costs(work)["variants"]
    # Factorisations are none of what torch counts: per partner, of two layers, one whitening and four orthogonal draws.
    factorisations = 2 * 2 * 24**3 * (EIGENVECTOR_OPERATIONS + 4 * QR_OPERATIONS)
    done = counted(lambda: VARIANTS.produce(work, Case(LAST, "a")))
    assert variants.operations - factorisations == pytest.approx(done, rel=0.25)
    assert variants.passes == 2


def test_the_operations_of_ablations_are_those_that_torch_counts(scored: Workspace) -> None:
    ablation = costs(scored)["ablation"]
    assert ablation.operations == pytest.approx(counted(lambda: produce_all(scored, ABLATIONS)), rel=0.25)


def test_the_operations_of_extensions_are_at_most_those_of_families_without_an_empty_one(scored: Workspace) -> None:
    extensions = costs(scored)["extensions"]
    done = counted(lambda: EXTENSIONS.produce(scored, Case(LAST, "a")))
    # Hardly a neuron of a miniature is a unigram neuron, and what has no neurons is not run.
    assert done <= extensions.operations < 2 * done


def test_the_operations_of_profiles_are_those_that_torch_counts(scored: Workspace) -> None:
    profiles = costs(scored)["profiles"]
    assert profiles.operations == pytest.approx(counted(lambda: produce_all(scored, PROFILES)), rel=0.25)


# --- what is missing decides -----------------------------------------------------------------------------------------


def test_only_what_is_absent_has_a_cost(work: Workspace) -> None:
    few = step_costs(work, sizes(work), LAST, lacking={"profiles": [Case(LAST, "b")]})
    assert list(few) == ["profiles"]
    assert few["profiles"].disk_bytes * 3 == costs(work)["profiles"].disk_bytes


def test_every_stage_of_a_step_has_a_cost_of_its_own(work: Workspace) -> None:
    planned = costs(work)
    assert all(cost.work and cost.device_bytes > 0 for cost in planned.values())
    assert all(planned[stage].disk_bytes > 0 for stage in planned if stage != "moments")
    kinds = {kind for cost in planned.values() for kind in cost.work}
    assert kinds == {*WorkKind} - {WorkKind.TEXT, WorkKind.TENSOR}


def test_the_same_products_of_ablations_and_of_nothing_else_are_faster_in_tf32(work: Workspace) -> None:
    exact, rounded = costs(work), step_costs(work, replace(sizes(work), tf32=True), LAST)
    for stage in ("ablation", "extensions"):
        assert rounded[stage].operations == pytest.approx(exact[stage].operations)
        assert WorkKind.BASELINE not in rounded[stage].work
        # The elementwise work of a block is no longer hidden by its products.
        assert rounded[stage].work[WorkKind.MEMORY] > exact[stage].work[WorkKind.MEMORY]
    others = exact.keys() - {"ablation", "extensions"}
    assert {name: rounded[name] for name in others} == {name: exact[name] for name in others}
    (half,) = {sizes_of(one, speed(), sampled=True).tf32 for one in (work, with_precision(work, "bfloat16"))}
    assert (half, sizes_of(with_precision(work, "tf32"), speed(), sampled=True).tf32) == (False, True)


def test_whatever_of_the_scores_is_absent_takes_the_passes_and_all_scores(work: Workspace) -> None:
    every, few = costs(work), step_costs(work, sizes(work), LAST, lacking={"null-rotated": [Case(LAST, "a", "b")]})
    assert few["moments"] == every["moments"]
    assert few["universality"] == every["universality"]


def test_candidates_of_one_model_take_a_pass_of_their_own_over_all_models(work: Workspace) -> None:
    every, few = costs(work), step_costs(work, sizes(work), LAST, lacking={"candidates": [Case(LAST, "a")]})
    assert list(few) == ["candidates"]
    assert few["candidates"].work[WorkKind.FORWARD] == every["candidates"].work[WorkKind.FORWARD]
    assert few["candidates"].work[WorkKind.MEMORY] < every["candidates"].work[WorkKind.MEMORY]


def test_partners_are_rotated_once_for_all_who_look_for_them(work: Workspace) -> None:
    tables = {"universality": list(keys_at(work, UNIVERSALITY, LAST))}
    none: dict[str, list[Case]] = {stage.name: [] for stage in SCORES.stages}
    plain = SCORES.costs(work, sizes(work), tables, none)["universality"].work
    # Four draws of the whole and two of each half, of both layers of each of three partners, with unit variance.
    rotations = 3 * 2 * (4 + 2 * 2)
    assert plain[WorkKind.RANDOM] == rotations * 24**2
    assert plain[WorkKind.DOUBLE] == rotations * 2 * 24**3
    # Six pairs of 48 neurons.
    assert plain[WorkKind.BASELINE] == 6 * 2 * 48**2 * 24 * (4 + 2 * 2)


def test_untrained_models_have_no_candidates_to_weigh(work: Workspace) -> None:
    trained, untrained = (costs(work, step)["candidates"] for step in (LAST, 0))
    assert trained.work[WorkKind.FORWARD] > 0
    assert untrained == Cost({})


def test_positions_are_exact_where_the_tokens_are_there_and_nearly_so_before(
    work: Workspace, miniature: Miniature, tmp_path: Path
) -> None:
    exact, guessed = sizes(work), sizes(miniature.workspace(store=tmp_path))
    assert exact.positions == len(token_set(work).rows) * 32
    assert guessed.positions == pytest.approx(exact.positions, rel=0.15)


# --- memory and disk -------------------------------------------------------------------------------------------------


def test_the_bytes_on_disk_are_not_more_than_was_planned_and_not_much_less(computed: Miniature) -> None:
    work = computed.workspace()
    written: dict[str, int] = {}
    for entry in Store(computed.working, warn=print).entries():
        if entry.key.stage not in ("corpus", "evaluation", "tokens", "evaluation-tokens"):
            written[entry.key.stage] = written.get(entry.key.stage, 0) + entry.manifest.size
    scratch = unpinned(work)
    stages = [cost for step in work.steps for cost in step_costs(scratch, sizes(work), step).values()]
    planned = sum(cost.disk_bytes for cost in stages)
    # Tables of 48 neurons are mostly headers, so tables of this size take more than their rows.
    assert planned > 0.2 * sum(written.values())


def test_more_memory_than_the_budget_means_more_passes(tmp_path: Path) -> None:
    work = shaped(tmp_path, layers=12, mlp=3072, tokens=1_000_000)

    def moments(gibibytes: float) -> Cost:
        resources = Resources(memory=round(gibibytes * GIBIBYTE), device="cpu")
        within = replace(work, resources=resources)
        return step_costs(within, sizes_of(within, speed(), sampled=False), work.last_step)["moments"]

    planned = [moments(memory) for memory in (400, 16, 4)]
    passes = [cost.passes for cost in planned]
    assert passes[0] == 1
    assert passes[0] < passes[1] < passes[2]
    assert planned[1].device_bytes <= 16 * GIBIBYTE
    assert planned[2].device_bytes <= 4 * GIBIBYTE
    # Every entry of every pair's matrix is still summed up once; what is paid again is the forward passes of the models
    # that a pass needs, and the products of layers with themselves, which every tile of theirs needs.
    products = [cost.work[WorkKind.PRODUCT] for cost in planned]
    assert products[0] < products[1] < products[2] < 2 * products[0]
    assert 1 < planned[2].work[WorkKind.FORWARD] / planned[0].work[WorkKind.FORWARD] < passes[2]
    with pytest.raises(BudgetTooSmall):
        moments(0.01)


def test_labels_of_gpt2_small_fit_a_card_of_24_gb(tmp_path: Path) -> None:
    """A vocabulary of 50,257 is no reason for as many labels: only frequent tokens have one."""
    work = shaped(tmp_path, layers=12, width=768, mlp=3072, vocabulary=50_257, tokens=5_000_000)
    budget = 23 * 10**9
    device = replace(sizes_of(work, speed(), sampled=False), device="cuda", budget=budget)
    planned = step_costs(work, device, work.last_step)["explanations"]
    assert budget / 4 < planned.device_bytes < budget
