"""What a suite costs: operations, memory and seconds per stage, and what of it is there already."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from universal_neurons.pipeline.ablation import set_plan
from universal_neurons.pipeline.extensions import PATCHED, family_kinds
from universal_neurons.pipeline.fetching import pin
from universal_neurons.pipeline.tokens import token_set
from universal_neurons.workspace import (
    Workspace,
    ablated_models,
    ablation_keys,
    candidates_key,
    corpus_key,
    extensions_keys,
    null_keys,
    profiles_keys,
    table_keys,
    variants_keys,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from universal_neurons.artifacts.key import Key

# Bytes per pair of neurons in the sums of one half: float64.
SUM_BYTES = 8
# A forward pass of a small model reaches about this share of the speed of a large product.
FORWARD_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage at one step: its artifacts, how many are there, and what the missing ones cost.

    ``teraflop``: 10^12 floating-point operations; ``seconds``: at this machine's measured speed; ``megabytes``: sums
    held in memory.  All are 0 where nothing is missing.
    """

    stage: str
    step: int
    artifacts: int
    present: int
    teraflop: float
    seconds: float
    megabytes: float

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only, rounded for reading."""
        return {name: round(v, 2) if isinstance(v, float) else v for name, v in asdict(self).items()}


def plan(work: Workspace) -> list[PlannedStage]:
    """Every stage of a suite, step by step.

    Where nobody has sampled the tokens yet they are, and where nobody has pinned the models: keys depend on them.
    """
    pin(work)
    if not work.store.has(corpus_key(work, "corpus")):
        token_set(work)
    speed = product_speed()
    stages = []
    for step in work.steps:
        tables, nulls = table_keys(work, step).values(), null_keys(work, step).values()
        candidates = [candidates_key(work, ref) for ref in work.references(step)]
        ablations = [key for both in ablation_keys(work, step).values() for key in both]
        passes = _passes(work, null=bool(nulls))
        stages += [
            _stage(work, "universality", step, [*tables, *nulls], passes, speed),
            _stage(work, "candidates", step, candidates, _forward(work), speed * FORWARD_SHARE),
            _stage(work, "variants", step, variants_keys(work, step), _variants(work), speed),
            _stage(work, "profiles", step, profiles_keys(work, step).values(), _profiles(work), speed * FORWARD_SHARE),
            _stage(work, "ablation", step, ablations, _ablations(work, step), speed * FORWARD_SHARE),
            _stage(work, "extensions", step, extensions_keys(work, step), _extensions(work), speed * FORWARD_SHARE),
        ]
    return stages


def product_speed(width: int = 1024) -> float:
    """Floating-point operations per second of a float32 product on this machine, with the kernel that compute uses."""
    import torch

    from universal_neurons.core.matmul import fastest_checked_precision

    x = torch.randn(2 * width, width, generator=torch.Generator().manual_seed(0))
    with fastest_checked_precision():
        best = min(_seconds(x) for _ in range(5))
    return 2 * 2 * width**3 / best


def _seconds(x: Any) -> float:
    start = time.perf_counter()
    x.T @ x
    return time.perf_counter() - start


def _neurons(work: Workspace) -> int:
    recipe = work.zoo.recipe()
    return recipe.layers * recipe.mlp


def _passes(work: Workspace, *, null: bool) -> float:
    """Operations of one pass over the tokens and of the rotations, in floating-point operations."""
    models, neurons, width = len(work.suite.zoo.models), _neurons(work), work.zoo.recipe().mlp
    products = models * (models - 1) / 2 + (models - 1) * null
    rotations = models * (models - 1) + (models - 1) * 4 * null
    spec = work.suite.universality
    per_rotation = 2 * neurons * neurons * width * (spec.draws + 2 * spec.half_draws)
    within = models * 2 * neurons * width * work.suite.corpus.tokens
    return products * 2 * neurons**2 * work.suite.corpus.tokens + within + rotations * per_rotation


def _variants(work: Workspace) -> float:
    """Operations of the variants: both passes over the tokens, and the rotations of every variant."""
    recipe, neurons = work.zoo.recipe(), _neurons(work)
    spec, variants, models = work.suite.universality, work.suite.variants, len(work.suite.zoo.models)
    per_token = 2 * neurons * ((models - 1) * neurons + models * recipe.mlp)
    draws = variants.draws * (len(variants.masks) + len(variants.tokens) + 2) + spec.draws * len(variants.rotations)
    rotations = 2 * neurons * recipe.mlp * (neurons + recipe.mlp) * draws * (models - 1)
    return float(per_token * (work.suite.corpus.tokens + variants.padded_tokens) + rotations)


def _forward(work: Workspace) -> float:
    recipe = work.zoo.recipe()
    weights = recipe.layers * (4 * recipe.width**2 + 2 * recipe.width * recipe.mlp)
    return 2.0 * weights * work.suite.corpus.tokens * len(work.suite.zoo.models)


def _ablations(work: Workspace, step: int) -> float:
    """Operations of every set that is ablated at ``step``."""
    sets = [one for ref in ablated_models(work, step) for one in set_plan(work, ref).sets()]
    return sum(_rerun(work, first=max(one.layer, 0)) for one in sets)


def _extensions(work: Workspace) -> float:
    """Operations of one pass over the tokens and of every set that is ablated by family or patched."""
    sets = sum(work.suite.ablation.draws if kind.is_random else 1 for kind in (*family_kinds(), *PATCHED))
    return _forward(work) / len(work.suite.zoo.models) + sets * _rerun(work, first=0)


def _rerun(work: Workspace, *, first: int) -> float:
    """Operations of one ablated run: the blocks above the ``first`` ablated layer, and the unembedding."""
    recipe = work.zoo.recipe()
    block, head = 4 * recipe.width**2 + 2 * recipe.width * recipe.mlp, recipe.width * recipe.vocabulary
    return 2.0 * ((recipe.layers - 1 - first) * block + head) * work.suite.ablation.tokens


def _profiles(work: Workspace) -> float:
    """Operations of two passes over the tokens, and of every neuron's ablation: as those of sets of one."""
    recipe, rows = work.zoo.recipe(), work.suite.profiles.ablation_rows
    block, head = 4 * recipe.width**2 + 2 * recipe.width * recipe.mlp, recipe.width * recipe.vocabulary
    above = sum((recipe.layers - 1 - layer) * block + head for layer in range(recipe.layers))
    alone = 2.0 * above * recipe.mlp * rows * work.suite.corpus.row_length * len(work.suite.zoo.models)
    return 2 * _forward(work) + alone


def _stage(work: Workspace, name: str, step: int, keys: Iterable[Key], operations: float, speed: float) -> PlannedStage:
    wanted = list(keys)
    present = sum(work.store.has(key) for key in wanted)
    cost = operations if present < len(wanted) else 0.0
    models, neurons = len(work.suite.zoo.models), _neurons(work)
    sums = 2 * SUM_BYTES * neurons**2 * (models * (models - 1) / 2 + models - 1)
    forward = _forward(work) / (speed * FORWARD_SHARE) if name in ("universality", "variants") and cost else 0.0
    return PlannedStage(
        stage=name,
        step=step,
        artifacts=len(wanted),
        present=present,
        teraflop=cost / 1e12,
        seconds=cost / speed + forward,
        megabytes=sums / 1e6 if cost and name == "universality" else 0.0,
    )
