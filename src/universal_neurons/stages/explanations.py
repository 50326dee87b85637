"""Explanations of every neuron of a model by labels of the tokens, of random directions, and by labels of other rows.

Scores come from sums over the groups of tokens that labels are unions of, in one pass over the tokens, or in one per
block of layers where the sums of all would not fit.  Alternate rows are the two halves of the tokens.  Labels of other
rows stand at the same position of the next row; positions are dealt out anew within each row, because another row has
the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.families import ANY, ELSEWHERE, EXPLAINED_BY, LEAST_CARRIED, Explanations
from universal_neurons.measures.labels import BEFORE, KINDS
from universal_neurons.measures.profiles import rounded
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Artifacts,
    Case,
    Need,
    Reader,
    example_count,
    example_dice,
    example_neurons,
    read_artifact,
    step_of,
)
from universal_neurons.stages.batches import batch_rows
from universal_neurons.stages.comparison import Choices, Comparison, Difference
from universal_neurons.stages.labels import LABELS, LEAST_SHARE, families_of, labels_of
from universal_neurons.stages.model_table import ModelTable
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.tokens import ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.explanations import LabelSums, Members
    from universal_neurons.inputs.corpus import TokenSet
    from universal_neurons.measures.labels import Labels
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

    Columns = dict[str, npt.NDArray[Any]]
    Groups = dict[str, Tensor]

# Random directions per layer.
DIRECTIONS = 50
# The most labels that carry a neuron's activation, per neuron.
MOST_CARRIED = 64
# Significant bits of a score: one part in 4096.
BITS = 12
# Copies of scores that are held to choose the best of them.
_SCORE_COPIES = 8
# Sums over own labels and those of another row in two halves, then over both halves, and their means as they are made.
_SETS = 7
# Of the labels of own and of other rows, products with the sums over each half and over all.
_PRODUCTS = 6
# Labels besides unigrams, about as many as English and Python have: predicates, parts of speech or of syntax.
_OTHER_LABELS = 250
# By how much a recomputed score may differ, and the share of best labels that are ties within that.
TOLERANCE, TIES = 1e-3, 0.01
# A made-up length of its own (EXAMPLE_WIDTH).
_CARRIED = 1049
# Bytes moved per activation in the time in which it is added to the sums of its groups, own and of another row.
_SUMMED_BYTES = 400


class ExplanationsOfNeurons(ModelTable):
    """The best label of every family for all neurons of a model at the last checkpoint."""

    name: ClassVar[str] = "explanations"
    in_first_look: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ("explanations", "explanations-directions", "explanations-carried")

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The model, the directions and their seed."""
        return {
            "model": case.model,
            "step": case.step,
            "directions": DIRECTIONS,
            "least_carried": LEAST_CARRIED,
            "seed": work.suite.universality.seed,
            "dtype": "float32",
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights, the tokens and their labels."""
        return super().inputs(work, case) | {"labels": LABELS.key(work, ONLY).digest}

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The tokens and their labels."""
        return (*super().needs(work, case), (LABELS, ONLY))

    def open_lengths(self, work: Workspace) -> Mapping[str, Mapping[int, range]]:
        """Any number of labels that carry a neuron; the directions are as many in every model."""
        shape = work.zoo.recipe()
        return {
            self.parts[1]: {},
            self.parts[2]: {_CARRIED: range(shape.layers * shape.mlp * MOST_CARRIED + 1)},
        }

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of one pass per block of layers, of its sums and of the scores of all labels."""
        shape = sizes.shape
        # Of the token and of the one before.
        labels = 2 * (costs.frequent_tokens(shape.vocabulary, LEAST_SHARE) + _OTHER_LABELS)
        per_neuron = explained_bytes(shape.vocabulary, shape.row, labels=labels, of_places=256)
        blocks, largest = sizes.layer_blocks(per_neuron)
        row = 8 + 4 * 4 * (len(families_of(work)) + 2)
        return costs.per_case(
            sizes,
            cases,
            *(costs.reading(sizes, sizes.positions, list(layers)) for layers in blocks),
            {
                costs.WorkKind.MEMORY: float(sizes.tokens * shape.neurons * _SUMMED_BYTES),
                costs.WorkKind.DOUBLE: 2.0 * _PRODUCTS * labels * shape.vocabulary * shape.neurons,
            },
            passes=len(blocks),
            device=largest,
            host=4 * sizes.positions * 64,
            disk=shape.neurons * 2 * row,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The explanations of one model."""
        return dict(zip(self.parts, explanations(work, case), strict=True))

    def read(self, reader: Reader, work: Workspace, case: Case) -> Explanations:
        """The explanations, with the labels that they name."""
        neurons, directions, carried = (artifact.table for artifact in reader(self, case))
        labels: Labels = LABELS.read(reader, work, ONLY)
        return Explanations(
            model=case.model,
            step=step_of(case),
            frame=neurons,
            directions=directions,
            carried=carried,
            labels=labels.frame,
            families=families_of(work),
            level=work.suite.resampling.level,
        )

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up explanations."""
        dice, layers, neurons = example_dice(case), work.suite.layers, example_neurons(work)
        direction = np.divmod(np.arange(DIRECTIONS * layers), DIRECTIONS)

        def scores(count: int, *, elsewhere: bool) -> Columns:
            names = _names(families_of(work), elsewhere=elsewhere)
            return {
                name: np.zeros(count, np.int32) if "label" in name else dice.uniform(0, 1, count).astype(np.float32)
                for name in names
            }

        carried = {"label": 41, "layer": layers, "number": 1}
        made = {name: np.resize(np.arange(most), _CARRIED).astype(np.int32) for name, most in carried.items()}
        return {
            self.parts[0]: pd.DataFrame(neurons | scores(example_count(work), elsewhere=True)),
            self.parts[1]: pd.DataFrame(
                {"layer": direction[0].astype(np.int16), "direction": direction[1].astype(np.int32)}
                | scores(len(direction[0]), elsewhere=False)
            ),
            self.parts[2]: pd.DataFrame({**made, "score": dice.uniform(0.3, 1, _CARRIED).astype(np.float32)}),
        }

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored scores against recomputed ones, and the best labels that changed."""
        mine, theirs = stored[0].table, again[0].table
        chosen = [str(name) for name in mine if "label" in str(name)]
        scored = [name for name in mine if name not in (*chosen, "layer", "neuron")]
        changed = int((mine[chosen].to_numpy() != theirs[chosen].to_numpy()).sum())
        # Where another label is best in a half its score in the other one is another score.
        same = np.isclose(mine[scored], theirs[scored], atol=TOLERANCE, rtol=0, equal_nan=True)
        return Comparison(
            self.name,
            "neurons",
            len(mine),
            {"explained shares": Difference(_largest(mine, theirs), TOLERANCE)},
            Choices(
                "best labels and their scores changed",
                changed + int((~same).sum()),
                mine[chosen].size + mine[scored].size,
                TIES,
            ),
        )


EXPLANATIONS = ExplanationsOfNeurons()


def _largest(mine: pd.DataFrame, theirs: pd.DataFrame) -> float:
    names = [f"{name}_share" for name in EXPLAINED_BY]
    differences = np.abs(mine[names].to_numpy() - theirs[names].to_numpy())
    return float(np.nanmax(differences)) if np.isfinite(differences).any() else 0.0


def _names(known: Sequence[str], *, elsewhere: bool) -> list[str]:
    """The columns of a table of explanations besides layer and number."""
    names = [f"{family}_{what}" for family in (*known, ANY) for what in ("label", "first", "second")]
    names += [f"{name}_share" for name in EXPLAINED_BY]
    if elsewhere:
        names += [f"{family}_{ELSEWHERE}" for family in (*known, ANY)]
        names += [f"{ANY}_label_{ELSEWHERE}", *(f"{name}_share_{ELSEWHERE}" for name in EXPLAINED_BY)]
    return names


def explained_bytes(vocabulary: int, row_length: int, *, labels: int, of_places: int) -> int:
    """Bytes per neuron of its sums over all groups, of the scores of ``labels`` labels, and of a batch."""
    groups = 2 * vocabulary + row_length + 256 + 2 * of_places
    return 8 * (_SETS * groups + _SCORE_COPIES * labels) + 8 * 3 * batch_rows(row_length) * row_length


def explanations(work: Workspace, case: Case) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tables of neurons, of random directions, and of labels that carry a neuron."""
    labels = labels_of(work, tuple(read_artifact(work, key) for key in LABELS.keys(work, ONLY)))
    models = LoadedModels.of(work, step_of(case), (case.model,))
    tokens, vocabulary = models.tokens, work.zoo.recipe().vocabulary
    own = token_groups(tokens, labels, vocabulary)
    other = groups_of_other_rows(tokens, labels, vocabulary, seed=work.suite.universality.seed)
    members = label_members(labels)
    per_neuron = explained_bytes(
        vocabulary, tokens.rows.shape[1], labels=len(labels), of_places=len(labels.flags("place"))
    )
    blocks = models.layer_blocks(per_neuron)
    work.progress.start(f"step {case.step}: explanations of {case.model}", len(blocks) * tokens.scored)
    found = [_block(work, models, layers, own, other, members, labels) for layers in blocks]
    work.progress.finish()
    neurons, directions, carried = (pd.concat([one[part] for one in found], ignore_index=True) for part in range(3))
    return neurons, directions, carried.sort_values(["label", "layer", "number"], ignore_index=True)


def token_groups(tokens: TokenSet, labels: Labels, vocabulary: int, *, rows_on: int = 0) -> Groups:
    """The groups of the scored tokens by kind: numbers (token,), or flags of the labels of places (token, label).

    Position 0 has no token before it, and is in a group of its own.  ``rows_on``: the groups of what stands at the same
    position so many rows further on, scored or not.
    """
    import torch

    mask = tokens.mask
    before = np.concatenate([np.full((len(tokens.rows), 1), vocabulary), tokens.rows[:, :-1]], axis=1)
    position = np.broadcast_to(np.arange(mask.shape[1]), mask.shape)
    ids = {"token": tokens.rows, "previous token": before, "position": position, "domain": tokens.domain}
    groups = {
        kind: torch.from_numpy(np.roll(values, -rows_on, axis=0)[mask].astype(np.int64)) for kind, values in ids.items()
    }
    for kind in ("place", "previous place"):
        flags = labels.flags(kind)[:, : mask.size].reshape(-1, *mask.shape)
        if kind.startswith(BEFORE):
            flags = np.concatenate([np.zeros_like(flags[..., :1]), flags[..., :-1]], axis=-1)
        moved = np.roll(flags, -rows_on, axis=1)[:, mask]
        groups[kind] = torch.from_numpy(np.ascontiguousarray(moved.T))
    return groups


def groups_of_other_rows(tokens: TokenSet, labels: Labels, vocabulary: int, *, seed: int) -> Groups:
    """The groups of the next row at the same position; positions are dealt out in the row."""
    import torch

    rows, length = tokens.mask.shape
    order = np.broadcast_to(np.arange(1, length), (rows, length - 1))
    dealt = np.random.default_rng(seed).permuted(order, axis=1)
    position = np.concatenate([np.zeros((rows, 1), dtype=np.int64), dealt], axis=1)
    groups = token_groups(tokens, labels, vocabulary, rows_on=1)
    return groups | {"position": torch.from_numpy(position[tokens.mask])}


def label_members(labels: Labels) -> list[Members]:
    """The groups that each label is the union of, in the order of the labels' table."""
    import torch

    from universal_neurons.core.explanations import Members

    found: list[Members] = []
    for kind in KINDS:
        flags = labels.flags(kind)
        if kind.endswith("place"):
            # A set of labels, each a group of its own.
            flags = np.eye(len(flags), dtype=np.bool_)
        elif kind == "previous token":
            flags = np.concatenate([flags, np.zeros((len(flags), 1), dtype=np.bool_)], axis=1)
        found.append(Members(kind, torch.from_numpy(np.ascontiguousarray(flags))))
    return found


def _block(
    work: Workspace,
    models: LoadedModels,
    layers: range,
    own: Groups,
    other: Groups,
    members: Sequence[Members],
    labels: Labels,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The three tables of some layers."""
    import torch

    from universal_neurons.core.explanations import LabelSums
    from universal_neurons.core.moments import layer_slices

    (widths,) = models.widths
    here = [widths[layer] for layer in layers]
    neurons = sum(here)
    directions = _directions(work, layers, widths)
    sizes = {one.kind: one.flags.shape[1] for one in members}
    sums = {
        (name, half): LabelSums(sizes, neurons=neurons + DIRECTIONS * len(layers), device=models.device)
        for name in ("own", "other")
        for half in (0, 1)
    }
    half_of = torch.from_numpy(np.nonzero(models.tokens.mask)[0] % 2)
    everyone = torch.arange(models.tokens.scored)
    tokens = models.tokens
    for (values,), number in models.labelled_stream(tokens.rows, tokens.mask, everyone, layers=[list(layers)]):
        rotated = [
            values[:, part] @ one.to(values.device).T for part, one in zip(layer_slices(here), directions, strict=True)
        ]
        joined = torch.cat([values, *rotated], dim=1)
        for half in (0, 1):
            chosen = half_of[number] == half
            exact = joined[chosen.to(joined.device)].double()
            for name, groups in (("own", own), ("other", other)):
                at = {kind: group[number[chosen]].to(joined.device) for kind, group in groups.items()}
                sums[name, half].add(exact, at)
        work.progress.advance(len(number))
        del values, rotated, joined, exact
    families = families_of(work)
    mine, scores = _columns(sums["own", 0], sums["own", 1], members, labels, families)
    theirs, _ = _columns(sums["other", 0], sums["other", 1], members, labels, families)
    layer = np.repeat(list(layers), here)
    number_in_layer = np.concatenate([np.arange(width) for width in here])
    frame = pd.DataFrame(
        {"layer": layer.astype(np.int16), "neuron": number_in_layer.astype(np.int32)}
        | {name: values[:neurons] for name, values in (mine | _elsewhere(theirs, families)).items()}
    )
    rotated_frame = pd.DataFrame(
        {
            "layer": np.repeat(list(layers), DIRECTIONS).astype(np.int16),
            "direction": np.tile(np.arange(DIRECTIONS, dtype=np.int32), len(layers)),
        }
        | {name: values[neurons:] for name, values in mine.items()}
    )
    return frame, rotated_frame, _carried(scores[:, :neurons], layer, number_in_layer)


def _directions(work: Workspace, layers: range, widths: Sequence[int]) -> list[Tensor]:
    """Random unit directions (direction, neuron) of each layer, the same for every model."""
    import torch

    found: list[Tensor] = []
    for layer in layers:
        dice = torch.Generator().manual_seed(work.suite.universality.seed + layer)
        drawn = torch.randn(DIRECTIONS, widths[layer], generator=dice)
        found.append(drawn / torch.linalg.vector_norm(drawn, dim=1, keepdim=True))
    return found


def _columns(
    first: LabelSums, second: LabelSums, members: Sequence[Members], labels: Labels, families: Sequence[str]
) -> tuple[Columns, npt.NDArray[np.float64]]:
    """The columns of a table of explanations, and the scores of all labels over all tokens (label, neuron)."""
    import torch

    from universal_neurons.core.explanations import Members, best_labels, cross_fitted, variance_reduction

    on_device = [Members(one.kind, one.flags.to(first.sum.device)) for one in members]
    first_half, second_half = (variance_reduction(sums, on_device) for sums in (first, second))
    whole = variance_reduction(first + second, on_device)
    family = labels.frame["family"].to_numpy()
    columns: Columns = {}
    for name in (*families, ANY):
        chosen = torch.from_numpy(np.flatnonzero((family == name) | (name == ANY))).to(whole.device)
        best = best_labels(whole, first_half, second_half, chosen)
        columns[f"{name}_label"] = best.label.cpu().numpy().astype(np.int32)
        columns[f"{name}_first"] = _stored(best.first)
        columns[f"{name}_second"] = _stored(best.second)
    for name, kind in EXPLAINED_BY.items():
        columns[f"{name}_share"] = _stored(cross_fitted(first, second, kind))
    return columns, whole.cpu().numpy()


def _stored(values: Tensor) -> npt.NDArray[np.float32]:
    return rounded(values.cpu().numpy(), bits=BITS).astype(np.float32)


def _elsewhere(columns: Columns, families: Sequence[str]) -> Columns:
    """The scores with labels of other rows, halves averaged."""
    found: Columns = {
        f"{name}_{ELSEWHERE}": (columns[f"{name}_first"] + columns[f"{name}_second"]) / 2 for name in (*families, ANY)
    }
    found[f"{ANY}_label_{ELSEWHERE}"] = columns[f"{ANY}_label"]
    return found | {f"{name}_share_{ELSEWHERE}": columns[f"{name}_share"] for name in EXPLAINED_BY}


def _carried(
    scores: npt.NDArray[np.float64], layer: npt.NDArray[np.integer], number: npt.NDArray[np.integer]
) -> pd.DataFrame:
    """Every label that explains more than the least share of a neuron, at most so many of the best per neuron."""
    label, neuron = np.nonzero(scores > LEAST_CARRIED)
    score = scores[label, neuron]
    order = np.lexsort((-score, neuron))
    rank = np.arange(len(order)) - np.searchsorted(neuron[order], neuron[order])
    kept = order[rank < MOST_CARRIED]
    return pd.DataFrame(
        {
            "label": label[kept].astype(np.int32),
            "layer": layer[neuron[kept]].astype(np.int32),
            "number": number[neuron[kept]].astype(np.int32),
            "score": rounded(score[kept], bits=BITS).astype(np.float32),
        }
    )
