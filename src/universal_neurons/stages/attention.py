"""Attention heads that attend to the first position, and the neurons that turn them off and on.

Every model at the last checkpoint, over the first rows of the suite's tokens; positions in the second half of a row are
tested.  Of each head, the neurons of lower layers with the largest and the smallest relative score are taken out of
its query, beside others of their layers, random ones, and one that was planted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.attention import AttentionTables
from universal_neurons.measures.profiles import rounded_columns
from universal_neurons.stages import costs
from universal_neurons.stages.base import Artifacts, Case, Reader, example_dice, step_of
from universal_neurons.stages.comparison import Comparison, Difference, relative_difference
from universal_neurons.stages.model_table import ModelTable
from universal_neurons.stages.models import finite_activations, loaded
from universal_neurons.stages.neuron_sets import named_generator
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.attention import AttentionModel, Heads, HeadStatistics, LayerRun
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

# Rows that are read, and points of a scatter that are kept.
ROWS, POINTS = 64, 256
# Neurons of each head by role: of the largest and smallest relative score, one other of the layer of each of these,
# random ones of all lower layers, and a planted one.
SCORED, RANDOM = 4, 48
ROLES = ("top",) * SCORED + ("bottom",) * SCORED + ("matched",) * (2 * SCORED) + ("random",) * RANDOM + ("planted",)
# A neuron that is active at fewer tested tokens has no correlation to speak of.
ACTIVE = 20
HEAD_COLUMNS = (
    "to_first", "first_norm", "middle_norm", "other_norm", "raw_kurtosis", "relative_kurtosis", "random_kurtosis",
)  # fmt: skip
PATH_COLUMNS = (
    "raw", "relative", "r_activation_attention", "r_attention_norm", "r_activation_norm", "effect", "mean_attention",
)  # fmt: skip
SCATTERED = ("activation", "attention", "norm")
BITS, TOLERANCE = 16, 1e-2


class Attention(ModelTable):
    """The heads of one model, and path ablations of neurons from their queries."""

    name: ClassVar[str] = "heads"
    in_first_look: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ("heads", "paths", "path-points")
    subject: ClassVar[str] = "heads of {case.model}"

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The model, the rows, and the neurons of each head."""
        return {
            "model": case.model,
            "step": case.step,
            "rows": ROWS,
            "points": POINTS,
            "scored": SCORED,
            "random": RANDOM,
            "active": ACTIVE,
            "seed": work.suite.universality.seed,
            "dtype": "float32",
        }

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of a pass over some rows, and of the attention of every head for each of its neurons."""
        shape = sizes.shape
        positions = ROWS * shape.row
        heads, dim = (shape.layers - 1) * shape.heads, shape.width // shape.heads
        patterns = float(heads * len(ROLES) * positions // 2 * shape.row)
        kept = costs.SINGLE * positions * shape.layers * (2 * shape.width + shape.mlp)
        stored = heads * len(ROLES) * (16 + 4 * len(PATH_COLUMNS)) + 2 * heads * POINTS * 12
        return costs.per_case(
            sizes,
            cases,
            costs.forward(sizes, positions),
            {costs.WorkKind.BASELINE: 4 * dim * patterns, costs.WorkKind.MEMORY: 24 * patterns},
            device=2 * kept + 8 * costs.SINGLE * 8 * positions * shape.row // 2,
            host=stored,
            disk=stored,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The heads and paths of one model."""
        import torch

        from universal_neurons.core.activations import layer_widths
        from universal_neurons.core.attention import AttentionModel, head_statistics

        ref = work.model(case.model, step_of(case))
        bridge = loaded(work, ref)
        rows = torch.from_numpy(token_set(work).rows[:ROWS].astype(np.int64)).to(next(bridge.parameters()).device)
        first = rows.shape[1] // 2
        model = AttentionModel.of(bridge, positions=rows.shape[1])
        with finite_activations(ref, layer_widths(bridge)):
            runs = model.run(rows)
        generator = named_generator(("heads", work.suite.universality.seed, case.model))
        population = _Population.of(model, runs, first)
        heads: list[pd.DataFrame] = []
        paths: list[pd.DataFrame] = []
        points: list[pd.DataFrame] = []
        work.progress.start(f"step {ref.step}: heads of {ref.name}", len(runs))
        for layer, (own, run) in enumerate(zip(model.layers, runs, strict=True)):
            statistics = head_statistics(own, run, first=first)
            below = population.below(layer)
            heads.append(_heads(layer, statistics, below, generator))
            for head in range(len(statistics.raw)) if layer else ():
                chosen = _Chosen.of(layer, head, statistics, below, generator)
                table, scatter = _paths(chosen, own, run, first, generator)
                paths.append(table)
                points.append(scatter)
            work.progress.advance(1)
        work.progress.finish()
        tables = (pd.concat(one, ignore_index=True) for one in (heads, paths, points))
        return dict(zip(self.parts, tables, strict=True))

    def read(self, reader: Reader, work: Workspace, case: Case) -> AttentionTables:
        """The heads, the paths and the points of scatters."""
        heads, paths, points = (one.table for one in reader(self, case))
        return AttentionTables(heads, paths, points, level=work.suite.resampling.level)

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up heads and paths."""
        recipe, dice = work.zoo.recipe(), example_dice(case)
        of_heads = _numbered(range(recipe.layers), recipe.heads, 1)
        of_paths = _numbered(range(1, recipe.layers), recipe.heads, len(ROLES))
        of_points = _numbered(range(1, recipe.layers), recipe.heads, 2 * POINTS)
        count = len(of_paths["layer"])
        names = {
            "role": np.tile(np.array(ROLES, dtype=object), count // len(ROLES)),
            "source_layer": np.zeros(count, dtype=np.int16),
            "source_neuron": np.zeros(count, dtype=np.int32),
            "active": np.full(count, ACTIVE, dtype=np.int32),
        }
        sides = np.tile(
            np.repeat(np.array(["top", "bottom"], dtype=object), POINTS), len(of_points["layer"]) // (2 * POINTS)
        )

        def made(place: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
            return rounded_columns({name: dice.uniform(0.1, 1.0, len(place["layer"])) for name in columns}, bits=BITS)

        return {
            self.parts[0]: pd.DataFrame({**of_heads, **made(of_heads, HEAD_COLUMNS)}),
            self.parts[1]: pd.DataFrame({**of_paths, **names, **made(of_paths, PATH_COLUMNS)}),
            self.parts[2]: pd.DataFrame({**of_points, "role": sides, **made(of_points, SCATTERED)}),
        }

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored heads against recomputed ones; choices of neurons may be ties, so their paths are left out."""
        old, new = (one[0].table[list(HEAD_COLUMNS)] for one in (stored, again))
        mine, theirs = (one[1].table for one in (stored, again))
        names = ["layer", "head", "source_layer", "source_neuron"]
        both = mine[mine["role"] == "random"].merge(
            theirs[theirs["role"] == "random"], on=names, suffixes=("", "_again")
        )
        columns = ["raw", "relative", "effect"]
        after = both[[f"{name}_again" for name in columns]]
        paths = relative_difference(both[columns], after, TOLERANCE) if len(both) else Difference(np.inf, TOLERANCE)
        return Comparison(
            self.name, "heads", len(old), {"heads": relative_difference(old, new, TOLERANCE), "paths": paths}
        )


HEADS = Attention()


@dataclass(frozen=True)
class _Population:
    """Neurons with their layers, unit and own output weights, activations at tested positions, and how often active."""

    layer: Any
    neuron: Any
    w_out: Tensor
    unit: Tensor
    activations: Tensor
    active: Any

    @classmethod
    def of(cls, model: AttentionModel, runs: Sequence[LayerRun], first: int) -> _Population:
        import torch

        width = runs[0].activations.shape[-1]
        layer, neuron = np.divmod(np.arange(width * len(runs)), width)
        w_out = torch.cat([model.model.output_weights(number).float() for number in range(len(runs))])
        centred = (w_out - w_out.mean(1, keepdim=True)).double()
        activations = torch.cat([run.activations[:, first:].permute(2, 0, 1) for run in runs])
        active = (activations > 0).sum((1, 2)).cpu().numpy()
        return cls(layer, neuron, w_out, torch.nn.functional.normalize(centred, dim=1), activations, active)

    def below(self, layer: int) -> _Population:
        """The neurons of the layers below one."""
        count = int((self.layer < layer).sum())
        return _Population(*(getattr(self, name)[:count] for name in vars(self)))


@dataclass(frozen=True)
class _Chosen:
    """The neurons of one head, by role (all but the planted one): rows of the population, and their scores."""

    layer: int
    head: int
    rows: Any
    raw: Any
    relative: Any
    population: _Population
    direction: Tensor

    @classmethod
    def of(
        cls, layer: int, head: int, statistics: HeadStatistics, below: _Population, generator: np.random.Generator
    ) -> _Chosen:
        raw, relative = (
            (below.unit @ direction[head]).cpu().numpy() for direction in (statistics.raw, statistics.relative)
        )
        often = np.flatnonzero(below.active >= ACTIVE)
        often = often if len(often) >= 2 * SCORED else np.arange(len(relative))
        order = often[np.argsort(-relative[often], kind="stable")]
        scored = np.concatenate([order[:SCORED], order[::-1][:SCORED]])
        matched = [generator.choice(often[below.layer[often] == below.layer[row]]) for row in scored]
        # Fewer neurons than asked for occur several times.
        drawn = np.resize(generator.permutation(len(relative)), RANDOM)
        rows = np.concatenate([scored, matched, drawn]).astype(np.int64)
        return cls(layer, head, rows, raw, relative, below, statistics.relative[head])


def _heads(layer: int, statistics: HeadStatistics, below: _Population, generator: np.random.Generator) -> pd.DataFrame:
    """One row per head of a layer; the first layer has no scores."""
    columns = {
        name: getattr(statistics, name).double().cpu().numpy()
        for name in ("to_first", "first_norm", "middle_norm", "other_norm")
    }
    drawn = generator.standard_normal((len(below.layer), statistics.raw.shape[1]))
    drawn -= drawn.mean(1, keepdims=True)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    relative = statistics.relative.cpu().numpy()
    scores = (below.unit.cpu().numpy() @ statistics.raw.cpu().numpy().T, below.unit.cpu().numpy() @ relative.T)
    for name, values in zip(
        ("raw_kurtosis", "relative_kurtosis", "random_kurtosis"), (*scores, drawn @ relative.T), strict=True
    ):
        columns[name] = _kurtosis(values)
    return pd.DataFrame({**_numbered([layer], len(relative), 1), **rounded_columns(columns, bits=BITS)})


def _kurtosis(values: Any) -> Any:
    """Of every column, 3 for a Gaussian; NaN without rows."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    deviation = values - values.mean(0)
    return (deviation**4).mean(0) / (deviation**2).mean(0) ** 2


def _paths(
    chosen: _Chosen, heads: Heads, run: LayerRun, first: int, generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per neuron of a head, and the points of its first top and bottom neuron."""
    import torch

    from universal_neurons.core.attention import path_effects

    below = chosen.population
    rows = torch.from_numpy(chosen.rows).to(below.w_out.device)
    effects = path_effects(heads, run, chosen.head, below.activations[rows], below.w_out[rows], first=first)
    # As active as a random neuron that is active, along the direction of the largest score, with a median norm.
    often = np.flatnonzero(below.active >= ACTIVE)
    source = int(generator.choice(often if len(often) else np.arange(len(below.active))))
    planted = torch.nn.functional.normalize(chosen.direction, dim=0)
    norm = torch.linalg.vector_norm(below.w_out, dim=1).median()
    written = (planted * norm).float()[None]
    put_in = path_effects(heads, run, chosen.head, below.activations[source][None], written, first=first, added=True)
    activation = torch.cat([below.activations[rows], below.activations[source][None]]).flatten(1).double()
    attention, changed = (
        torch.cat([getattr(one, name) for one in (effects, put_in)]).double() for name in ("attention", "norm")
    )
    norms = torch.cat([torch.linalg.vector_norm(below.w_out[rows], dim=1), norm[None]]).double()
    slope = (activation * attention).sum(1) / (activation * activation).sum(1) / norms
    along = float(torch.linalg.vector_norm(chosen.direction))
    columns = {
        "raw": np.append(chosen.raw[chosen.rows], np.nan),
        "relative": np.append(chosen.relative[chosen.rows], along),
        "r_activation_attention": _correlation(activation, attention),
        "r_attention_norm": _correlation(attention, changed),
        "r_activation_norm": _correlation(activation, changed),
        "effect": slope.cpu().numpy(),
        "mean_attention": attention.mean(1).cpu().numpy(),
    }
    every = np.append(chosen.rows, source)
    table = pd.DataFrame(
        {
            **_numbered([chosen.layer], 1, len(ROLES), head=chosen.head),
            "role": np.array(ROLES, dtype=object),
            "source_layer": below.layer[every].astype(np.int16),
            "source_neuron": below.neuron[every].astype(np.int32),
            "active": below.active[every].astype(np.int32),
            **rounded_columns(columns, bits=BITS),
        }
    )
    return table, _scatter(chosen, activation, attention, changed)


def _scatter(chosen: _Chosen, *values: Tensor) -> pd.DataFrame:
    """Every so many-th point of the first top and the first bottom neuron."""
    count = values[0].shape[1]
    places = np.resize(np.linspace(0, count - 1, min(POINTS, count)).astype(np.int64), POINTS)
    columns = {
        name: np.concatenate([one[row].cpu().numpy()[places] for row in (0, SCORED)])
        for name, one in zip(SCATTERED, values, strict=True)
    }
    sides = np.repeat(np.array(["top", "bottom"], dtype=object), POINTS)
    place = _numbered([chosen.layer], 1, 2 * POINTS, head=chosen.head)
    return pd.DataFrame({**place, "role": sides, **rounded_columns(columns, bits=10)})


def _correlation(x: Tensor, y: Tensor) -> Any:
    """Pearson's of each row; NaN where one is constant."""
    u, v = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    scale = ((u * u).sum(1) * (v * v).sum(1)).sqrt()
    return ((u * v).sum(1) / scale.where(scale > 0, float("nan"))).clamp(-1, 1).cpu().numpy()


def _numbered(layers: Sequence[int] | range, heads: int, each: int, *, head: int | None = None) -> dict[str, Any]:
    """Layer and head of ``each`` rows per head."""
    own = np.arange(heads) if head is None else np.array([head])
    return {
        "layer": np.repeat(np.array(layers, dtype=np.int16), len(own) * each),
        "head": np.tile(np.repeat(own.astype(np.int16), each), len(layers)),
    }
