from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from universal_neurons.FIXME import (
    ablation_key,
    candidates_key,
    draws_key,
    null_keys,
    profiles_key,
    step_keys,
    table_keys,
    universality_key,
    variants_key,
)

from universal_neurons.planning.inventory import Shelf, absent, absent_tokens
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.workspace import unpinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.artifacts.key import Key
    from universal_neurons.stages.workspace import Workspace

STEPS = (0, 15, 30)
# What the plan calls universality is two kinds of tables for the store, and so on.
GROUPS = {
    "null-rotated": "universality",
    "null-permuted": "universality",
    "ablation-blocks": "ablation",
    "extensions-blocks": "extensions",
}


def by_stage(keys: Iterable[Key]) -> dict[str, int]:
    return dict(Counter(GROUPS.get(key.stage, key.stage) for key in keys))


def without(project: Miniature, *keys: Key) -> None:
    for key in keys:
        shutil.rmtree(project.working / key.stage / key.digest)


def numbers(found: dict[str, int]) -> dict[str, int]:
    return {stage: number for stage, number in found.items() if number}


def test_of_what_was_computed_nothing_is_absent(computed: Miniature) -> None:
    shelf = Shelf.of(computed.workspace())
    assert absent_tokens(shelf) == ()
    for step in STEPS:
        missing = absent(shelf, step)
        assert numbers(missing.missing) == {}
        assert numbers(missing.artifacts) == by_stage(step_keys(shelf.work, step))
        assert (missing.scores, missing.variants, missing.extensions) == (False, False, False)
        assert missing.ablations == missing.profiles == ()


def test_before_the_tokens_are_sampled_everything_is_absent(miniature: Miniature, tmp_path: Path) -> None:
    shelf = Shelf.of(miniature.workspace(store=tmp_path))
    assert shelf.empty
    assert absent_tokens(shelf) == ("corpus", "evaluation")
    for step in STEPS:
        missing = absent(shelf, step)
        assert missing.missing == missing.artifacts
        assert missing.scores
    assert not any(tmp_path.iterdir())


def test_from_scratch_counts_the_artifacts_that_the_keys_name(computed: Miniature) -> None:
    shelf = Shelf(unpinned(computed.workspace()), empty=True)
    for step in STEPS:
        assert numbers(absent(shelf, step).missing) == by_stage(step_keys(computed.workspace(), step))


def test_references_that_name_no_weights_are_in_no_store(computed: Miniature) -> None:
    real, made_up = (work.pairs(30) for work in (computed.workspace(), unpinned(computed.workspace())))
    assert [(pair.reference.name, pair.partner.name) for pair in made_up] == [
        (pair.reference.name, pair.partner.name) for pair in real
    ]
    assert not {pair.reference.digest for pair in made_up} & {pair.reference.digest for pair in real}
    assert len({pair.reference.digest for pair in made_up}) == 3


def _a_table(work: Workspace) -> Key:
    return universality_key(work, work.pairs(30)[0])


def _a_null(work: Workspace) -> Key:
    return next(iter(null_keys(work, 30).values()))


def _candidates(work: Workspace) -> Key:
    return candidates_key(work, work.models(30)[1])


def _variants(work: Workspace) -> Key:
    return variants_key(work, 30)


def _half_an_ablation(work: Workspace) -> Key:
    return ablation_key(work, work.models(30)[1], "ablation-blocks")


def _a_profile(work: Workspace) -> Key:
    return profiles_key(work, work.models(30)[2])


@pytest.mark.parametrize(
    ("lost", "stage", "scores"),
    [
        (_a_table, "universality", True),
        (_a_null, "universality", True),
        (_candidates, "candidates", True),
        (_variants, "variants", False),
        (_half_an_ablation, "ablation", False),
        (_a_profile, "profiles", False),
    ],
)
def test_what_was_lost_is_absent_and_nothing_else(
    own: Miniature, lost: Callable[[Workspace], Key], stage: str, scores: bool
) -> None:
    work = own.workspace()
    without(own, lost(work))
    missing = absent(Shelf.of(work), 30)
    assert numbers(missing.missing) == {stage: 1}
    assert missing.scores is scores
    assert len(missing.ablations) == (stage == "ablation")
    assert all(numbers(absent(Shelf.of(work), step).missing) == {} for step in (0, 15))


def test_draws_that_are_gone_are_missed_by_absent_candidates_only(own: Miniature) -> None:
    work = own.workspace()
    pair = next(pair for pair in work.pairs(30) if pair.reference.name == "b")
    without(own, draws_key(work, pair))
    assert not absent(Shelf.of(work), 30).scores
    without(own, candidates_key(work, pair.reference))
    missing = absent(Shelf.of(work), 30)
    assert (missing.scores, numbers(missing.missing)) == (True, {"candidates": 1})


def test_what_is_scored_again_is_all_of_the_step(own: Miniature) -> None:
    work = own.workspace()
    without(own, _a_null(work))
    missing = absent(Shelf.of(work), 30)
    assert missing.pairs == work.pairs(30)
    assert len(missing.nulls) == 4
    assert absent(Shelf.of(work), 0).nulls == ()


@pytest.mark.parametrize("lost", [_a_table, _a_null, _candidates, _variants, _half_an_ablation, _a_profile])
def test_compute_makes_as_many_artifacts_as_are_absent(own: Miniature, lost: Callable[[Workspace], Key]) -> None:
    work = own.workspace(local=True)
    without(own, lost(work))
    planned = sum(sum(absent(Shelf.of(work), step).missing.values()) for step in STEPS)
    assert stages.compute(work) == planned == 1


def test_the_keys_of_nulls_are_those_of_their_cases(computed: Miniature) -> None:
    work = computed.workspace()
    assert len(suite_keys(work)) == sum(sum(absent(Shelf.of(work), step).artifacts.values()) for step in STEPS) + 2
    assert list(table_keys(work, 0)) == list(work.pairs(0))
