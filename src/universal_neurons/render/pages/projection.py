"""Projection of a suite's running time from the speed measured by a benchmark.

Three parts are counted: products of the pass over the tokens, products of the rotation draws, and forward passes.
Candidates, ablations, variants and profiles are not included, and nothing was measured at the suite's own size: expect
the order of magnitude ("hours or weeks?"), not a promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.inputs.suite import available_suites, load_suite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from universal_neurons.inputs.benchmarks import Benchmark
    from universal_neurons.inputs.suite import Suite

_SIZES = {"models", "layers", "width", "residual", "tokens", "draws", "half_draws"}
_TIMES = {"pass_seconds", "scores_seconds", "forward_tokens_per_second"}

# Every pair of the suite's own reference has two null tables at a trained checkpoint, each with baselines of its own:
# permuted, which also takes a product of the pass, and rotated.
_NULLS = 2


@dataclass(frozen=True, slots=True)
class ComputationSize:
    """The size of what is computed.

    ``models`` of ``layers`` layers with ``width`` neurons each and a residual stream of ``residual``; ``tokens`` at
    each of ``trained`` checkpoints and ``untrained`` ones (0 or 1); ``draws`` rotations for a baseline, ``half_draws``
    for the baseline of each half; ``references`` models whose neurons look for partners.
    """

    models: int
    layers: int
    width: int
    residual: int
    tokens: int
    draws: int
    half_draws: int
    references: int
    trained: int = 1
    untrained: int = 0
    nulls: bool = True

    @property
    def neurons(self) -> int:
        """The neurons of one model."""
        return self.layers * self.width

    @property
    def pairs(self) -> int:
        """The undirected pairs of models of which at least one is a reference."""
        others = self.models - self.references
        return self.references * (self.references - 1) // 2 + self.references * others

    @property
    def product_operations(self) -> float:
        """Floating-point operations of the passes over the tokens.

        A checkpoint takes 2 t (p N^2 + m L w^2): p products of all N neurons of two models with each other, and every
        one of the m L layers with itself.  At a trained checkpoint the reference is in the stream once more, with
        permuted tokens, and has a product with each of the others.
        """
        checkpoints, permuted = self.trained + self.untrained, self.trained * self.nulls
        pairs = self.pairs * checkpoints + (self.models - 1) * permuted
        streams = self.models * checkpoints + permuted
        return 2.0 * self.tokens * (pairs * self.neurons**2 + streams * self.layers * self.width**2)

    @property
    def rotation_operations(self) -> float:
        """Floating-point operations of the baselines: 2 N^2 w a draw and directed pair, null tables included."""
        directed = self.references * (self.models - 1) * (self.trained + self.untrained)
        nulls = _NULLS * (self.models - 1) * self.trained * self.nulls
        return 2.0 * self.neurons**2 * self.width * (self.draws + 2 * self.half_draws) * (directed + nulls)

    @property
    def forward_operations(self) -> float:
        """Floating-point operations of the forward passes: 2 (4 d^2 + 2 d w) a layer and token, attention aside."""
        layer = 4 * self.residual**2 + 2 * self.residual * self.width
        return 2.0 * self.tokens * self.models * self.layers * layer * (self.trained + self.untrained)


@dataclass(frozen=True, slots=True)
class Projection:
    """The projected time of a suite at the speed of a benchmark, in seconds.

    ``published`` is the published way, re-implemented; None where the bench did not measure it.
    """

    suite: str
    extent: ComputationSize
    products: float
    rotations: float
    forward: float
    published: float | None

    @property
    def total(self) -> float:
        """The engine's part altogether."""
        return self.products + self.rotations + self.forward


def size_of(suite: Suite, root: Path) -> ComputationSize:
    """The size of a suite, narrowed or whole; needs no network.  Raises the UserErrors of its models."""
    recipe = suite.open_zoo(root, warn=lambda _: None).recipe()
    return ComputationSize(
        models=len(suite.zoo.models),
        layers=recipe.layers,
        width=recipe.mlp,
        residual=recipe.width,
        tokens=suite.corpus.tokens,
        draws=suite.universality.draws,
        half_draws=suite.universality.half_draws,
        references=len(suite.references),
        trained=len(suite.checkpoints),
        untrained=0 if suite.untrained is None else 1,
    )


def suite_sizes(root: Path) -> dict[str, ComputationSize]:
    """The size of every suite of the checkout ``root``, by name."""
    return {name: size_of(load_suite(name, root), root) for name in available_suites(root)}


def is_projectable(bench: Benchmark) -> bool:
    """Return whether a benchmark has the sizes and times that a projection needs."""
    return bench.settings.keys() >= _SIZES and bench.figures.keys() >= _TIMES


def size_of_bench(bench: Benchmark) -> ComputationSize:
    """The size of a benchmark of the engine; raises BenchmarkError if it is not recorded."""
    models = int(bench.size("models"))
    return ComputationSize(
        models=models,
        layers=int(bench.size("layers")),
        width=int(bench.size("width")),
        residual=int(bench.size("residual")),
        tokens=int(bench.size("tokens")),
        draws=int(bench.size("draws")),
        half_draws=int(bench.size("half_draws")),
        references=models,
        nulls=False,
    )


def projections(bench: Benchmark, extents: Mapping[str, ComputationSize]) -> tuple[Projection, ...]:
    """Project the time of suites of these sizes at the speeds of ``bench``; raises BenchmarkError if it lacks one.

    Each part is scaled by its own operations: seconds = measured seconds x operations of the suite / operations of the
    bench.  The published way passes over the tokens once for every pair and once more, in both directions, for every
    draw, so it is scaled by checkpoints x pairs x passes x tokens x N^2.
    """
    return tuple(_projection(bench, name, extent) for name, extent in extents.items())


def _projection(bench: Benchmark, suite: str, wanted: ComputationSize) -> Projection:
    there = size_of_bench(bench)
    published = None
    if "published_seconds" in bench.figures:
        share = _published_work(wanted) / _published_work(there)
        published = bench.value("published_seconds") * share
    forward_seconds = there.models * there.tokens / bench.value("forward_tokens_per_second")
    return Projection(
        suite=suite,
        extent=wanted,
        products=bench.value("pass_seconds") * wanted.product_operations / there.product_operations,
        rotations=bench.value("scores_seconds") * wanted.rotation_operations / there.rotation_operations,
        forward=forward_seconds * wanted.forward_operations / there.forward_operations,
        published=published,
    )


def _published_work(extent: ComputationSize) -> float:
    passes = 1 + 2 * extent.draws
    checkpoints = extent.trained + extent.untrained
    return float(checkpoints * extent.pairs * passes * extent.tokens * extent.neurons**2)
