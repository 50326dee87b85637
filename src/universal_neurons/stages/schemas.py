"""Schemas of the artifacts of a suite: the form of what a stage makes up, in the sizes of the suite's own models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.artifacts.schema import MalformedArtifact, Schema
from universal_neurons.files import shown
from universal_neurons.stages.base import EXAMPLE_WIDTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.store import Artifact
    from universal_neurons.stages.base import Case, Stage
    from universal_neurons.stages.workspace import Workspace

# Correlations and cosines, with the rounding of what they are stored as.
_CORRELATION = (-1.001, 1.001)
_CORRELATIONS = (
    "correlation", "correlation_crossfit", "correlation_half_a", "correlation_half_b",
    "baseline", "baseline_half_a", "baseline_half_b", "promoted_cosine", "suppressed_cosine", "cos_in_out",
)  # fmt: skip


def schemas(work: Workspace, stage: Stage, case: Case) -> dict[str, Schema]:
    """The form of each part of a case.

    Where the made-up artifact has an entry for each of its neurons, an artifact has one for each neuron of the models,
    unless its stage says that there may be any number of them.
    """

    def made() -> dict[str, Schema]:
        example = stage.example(work, case)
        opened = stage.open_lengths(work)
        return {part: _schema(work, example[part], opened.get(part)) for part in stage.parts}

    # Of pairs one form is enough for all partners of a model: they are as many for each, and have the same neurons.
    return work.cached(("schemas", stage.name, case.step, case.model), made)


def _schema(work: Workspace, example: Payload, opened: Mapping[int, range] | None) -> Schema:
    shape, small = work.zoo.recipe(), work.suite.layers * EXAMPLE_WIDTH
    count = shape.layers * shape.mlp
    ranges = _ranges(work, count)
    if opened is not None:
        return Schema.of(example, opened, ranges)
    neurons = (shape.layers, shape.mlp) if "neuron" in example else None
    return Schema.of(example, {small: frozenset({count})}, ranges, neurons)


def _ranges(work: Workspace, neurons: int) -> dict[str, tuple[float, float]]:
    """The least and the greatest value of every number whose name says what it counts or is a share of."""
    shape, suite = work.zoo.recipe(), work.suite
    tokens, last = max(suite.corpus.tokens, suite.ablation.tokens), suite.corpus.row_length - 1
    return dict.fromkeys(_CORRELATIONS, _CORRELATION) | {
        "layer": (-1, shape.layers - 1),
        "neuron": (0, neurons - 1),
        "partner_layer": (-1, shape.layers - 1),
        "partner_neuron": (-1, shape.mlp - 1),
        "size": (0, neurons),
        "fraction": (0, 1),
        "share_positive": (0, 1),
        "top_row": (-1, tokens),
        "top_position": (-1, last),
        "token": (-1, shape.vocabulary - 1),
        "promoted_token": (0, shape.vocabulary - 1),
        "suppressed_token": (0, shape.vocabulary - 1),
        "predictions": (1, tokens + last),
        "rows": (1, tokens),
        "ref.row_length": (last + 1, last + 1),
        # Rows are taken whole.
        "ref.tokens": (1, tokens + last),
    }


def check(work: Workspace, stage: Stage, case: Case, artifacts: Sequence[Artifact]) -> None:
    """Raise :class:`MalformedArtifact` unless the artifacts of a case have the form that its stage gives them."""
    for form, artifact in zip(schemas(work, stage, case).values(), artifacts, strict=True):
        try:
            form.check(artifact.value)
        except MalformedArtifact as malformed:
            key, store = artifact.key, work.store
            roots = (root for root in (store.working, *store.shipped, store.imported) if root is not None)
            places = (root / key.stage / key.digest for root in roots)
            where = next((shown(path) for path in places if path.is_dir()), str(key))
            said = f"{stage.name} of {stage.describe(work, case)}: {malformed}"
            raise MalformedArtifact(f"{where}: {said}; remove it and run again") from None
