"""What the plan says against what really happens: torch counts the operations, the store the bytes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from tests.planning.suites import shaped
from universal_neurons.artifacts.store import Store
from universal_neurons.core.tiling import BudgetTooSmall
from universal_neurons.core.unwrapped import _has_kernel
from universal_neurons.pipeline import stages as pipeline
from universal_neurons.pipeline.ablation import write_ablations
from universal_neurons.pipeline.extensions import write_extensions
from universal_neurons.pipeline.profiles import write_profiles
from universal_neurons.pipeline.tokens import evaluation_tokens, token_set
from universal_neurons.pipeline.variants import compute_variants
from universal_neurons.planning.efforts import Effort
from universal_neurons.planning.inventory import Shelf, absent
from universal_neurons.planning.stages import (
    NOTHING,
    Demand,
    Sizes,
    ablation_demand,
    candidates_demand,
    extensions_demand,
    moments_demand,
    profiles_demand,
    token_demand,
    universality_demand,
    variants_demand,
)
from universal_neurons.workspace import Resources, unpinned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.workspace import Workspace

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
    return Sizes.of(work, sampled=not Shelf.of(work).empty)


def operations(found: Demand, of: Sizes, *, without: tuple[Effort, ...] = ()) -> float:
    return of.shape.total_operations({e: amount for e, amount in found.efforts.items() if e not in without})


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
    pipeline.compute_step(work, LAST)
    return work


# --- operations ------------------------------------------------------------------------------------------------------


def test_the_moments_are_one_pass_where_everything_fits(work: Workspace) -> None:
    found = moments_demand(sizes(work), absent(Shelf(work, empty=True), LAST))
    assert found.passes == 1
    # A pass brings every model's activations at every scored token.
    assert found.streamed == 4 * 3000 * 3 * 48


def test_the_operations_of_a_whole_step_are_those_that_torch_counts(miniature: Miniature, tmp_path: Path) -> None:
    work = miniature.workspace(store=tmp_path, local=True)
    token_set(work)
    missing = absent(Shelf.of(work), LAST)
    parts = (moments_demand, universality_demand, candidates_demand)
    planned = sum(operations(demand(sizes(work), missing), sizes(work)) for demand in parts)
    assert planned == pytest.approx(counted(lambda: pipeline.compute_step(work, LAST)), rel=0.15)


def test_the_operations_of_the_variants_are_those_that_torch_counts(work: Workspace) -> None:
    found = variants_demand(sizes(work), absent(Shelf(work, empty=True), LAST))
    # Factorisations are none of what torch counts.
    planned = operations(found, sizes(work), without=(Effort.ORTHOGONAL, Effort.WHITENING))
    assert planned == pytest.approx(counted(lambda: compute_variants(work, LAST)), rel=0.25)
    assert found.passes == 2


def test_the_operations_of_ablations_are_those_that_torch_counts(scored: Workspace) -> None:
    found = ablation_demand(sizes(scored), scored.models(LAST))
    assert operations(found, sizes(scored)) == pytest.approx(counted(lambda: write_ablations(scored, LAST)), rel=0.25)


def test_the_operations_of_extensions_are_at_most_those_of_families_without_an_empty_one(scored: Workspace) -> None:
    found = extensions_demand(sizes(scored), absent(Shelf(scored, empty=True), LAST))
    done = counted(lambda: write_extensions(scored, LAST))
    # Hardly a neuron of a miniature is a unigram neuron, and what has no neurons is not run.
    assert done <= operations(found, sizes(scored)) < 2 * done


def test_the_operations_of_profiles_are_those_that_torch_counts(scored: Workspace) -> None:
    found = profiles_demand(sizes(scored), scored.models(LAST))
    assert operations(found, sizes(scored)) == pytest.approx(counted(lambda: write_profiles(scored, LAST)), rel=0.25)


# --- what is missing decides -----------------------------------------------------------------------------------------


def test_nothing_absent_takes_nothing(computed: Miniature) -> None:
    work = computed.workspace()
    missing, of = absent(Shelf.of(work), LAST), sizes(work)
    demands = [
        moments_demand(of, missing),
        universality_demand(of, missing),
        candidates_demand(of, missing),
        variants_demand(of, missing),
        ablation_demand(of, missing.ablations),
        extensions_demand(of, missing),
        profiles_demand(of, missing.profiles),
        token_demand(of, ()),
    ]
    assert all(demand is NOTHING for demand in demands)


def test_whatever_of_the_scores_is_absent_takes_the_passes_and_all_scores(work: Workspace) -> None:
    of, missing = sizes(work), absent(Shelf(work, empty=True), LAST)
    only = replace(missing, candidates=missing.candidates[:1])
    assert moments_demand(of, only) == moments_demand(of, missing)
    assert universality_demand(of, only) == universality_demand(of, missing)
    assert (
        candidates_demand(of, only).efforts[Effort.INFLUENCE] < candidates_demand(of, missing).efforts[Effort.INFLUENCE]
    )
    nothing = replace(missing, scores=False)
    assert moments_demand(of, nothing) is universality_demand(of, nothing) is NOTHING


def test_partners_are_rotated_once_for_all_who_look_for_them(work: Workspace) -> None:
    of, missing = sizes(work), absent(Shelf(work, empty=True), LAST)
    plain = universality_demand(of, replace(missing, nulls=())).efforts
    # Four draws of the whole and two of each half, of both layers of each of three partners; six pairs of 48 neurons.
    assert plain[Effort.TURN] == 3 * 2 * (4 + 2 * 2) * 24**3
    assert plain[Effort.SCORE] == 6 * 3 * 48**2
    assert Effort.DOUBLE not in plain


def test_untrained_models_have_no_candidates_to_weigh(work: Workspace) -> None:
    trained, untrained = (candidates_demand(sizes(work), absent(Shelf(work, empty=True), at)) for at in (LAST, 0))
    assert trained.efforts[Effort.INFLUENCE] > 0
    assert Effort.INFLUENCE not in untrained.efforts
    assert trained.efforts[Effort.ABREAST] == untrained.efforts[Effort.ABREAST]


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
    shelf, of, planned = Shelf(unpinned(work), empty=True), sizes(work), 0
    for step in work.steps:
        missing = absent(shelf, step)
        demands = [
            universality_demand(of, missing),
            candidates_demand(of, missing),
            variants_demand(of, missing),
            ablation_demand(of, missing.ablations),
            extensions_demand(of, missing),
            profiles_demand(of, missing.profiles),
        ]
        planned += sum(demand.disk for demand in demands)
    # Tables of 48 neurons are mostly headers, so those of this size take more than their rows.
    assert planned > 0.2 * sum(written.values())


def test_more_memory_than_the_budget_means_more_passes(tmp_path: Path) -> None:
    work = shaped(tmp_path, layers=12, mlp=3072, tokens=1_000_000)
    missing = absent(Shelf(work, empty=True), work.steps[-1])
    demands = [moments_demand(within(work, memory), missing) for memory in (400, 16, 4)]
    passes = [demand.passes for demand in demands]
    assert passes[0] == 1
    assert passes[0] < passes[1] < passes[2]
    assert demands[1].device <= 16 * GIBIBYTE
    assert demands[2].device <= 4 * GIBIBYTE
    # Every entry of every pair's matrix is still summed up once; what is paid again is the forward passes, and the
    # products of layers with themselves, which every tile of theirs needs.
    products = [demand.efforts[Effort.PRODUCT] for demand in demands]
    assert products[0] < products[1] < products[2] < 2 * products[0]
    assert demands[2].efforts[Effort.ABREAST] == passes[2] * demands[0].efforts[Effort.ABREAST]
    with pytest.raises(BudgetTooSmall):
        moments_demand(within(work, 0.01), missing)


def within(work: Workspace, gibibytes: float) -> Sizes:
    resources = Resources(memory=round(gibibytes * GIBIBYTE), device="cpu")
    return Sizes.of(replace(work, resources=resources), sampled=False)
