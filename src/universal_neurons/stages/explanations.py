"""Explanations of every neuron of a model by labels of the tokens, of random directions, and by labels of other rows.

One pass over the tokens, or one per block of layers where the sums of all would not fit.  Alternate rows are the two
halves of the tokens.  Labels of other rows stand at the same position of the next row; positions are dealt out anew
within each row, because another row has the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.families import ANY, ELSEWHERE, EXPLAINED_BY, LEAST_CARRIED, Explanations
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Artifacts,
    Case,
    Need,
    Reader,
    example_count,
    example_dice,
    example_neurons,
    step_of,
)
from universal_neurons.stages.comparison import Choices, Comparison, Difference
from universal_neurons.stages.label_scores import DIRECTIONS, MOST_CARRIED, explained_bytes, explanations
from universal_neurons.stages.labels import LABELS, families_of
from universal_neurons.stages.model_table import ModelTable
from universal_neurons.stages.tokens import ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.measures.labels import Labels
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

    Columns = dict[str, npt.NDArray[Any]]

# By how much a recomputed score may differ, and the share of best labels that are ties within that.
TOLERANCE, TIES = 1e-3, 0.01
# A made-up length of its own (EXAMPLE_WIDTH).
_CARRIED = 1049
# Bytes moved per activation in the time in which it is added to the sums of its groups, own and of another row.
_SUMMED_BYTES = 400


class ExplanationsOfNeurons(ModelTable):
    """The best label of every family for all neurons of a model at the last checkpoint, and for the untrained one."""

    name: ClassVar[str] = "explanations"
    parts: ClassVar[tuple[str, ...]] = ("explanations", "explanations-directions", "explanations-carried")

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every model at the last step, and the reference before training."""
        untrained = () if work.suite.untrained is None else (Case(work.suite.untrained.step, work.reference),)
        return (*untrained, *super().cases(work))

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
        per_neuron = explained_bytes(shape.vocabulary, shape.row, labels=2 * shape.vocabulary, of_places=256)
        blocks, largest = sizes.layer_blocks(per_neuron)
        row = 8 + 4 * 4 * (len(families_of(work)) + 2)
        return costs.per_case(
            sizes,
            cases,
            *(costs.reading(sizes, sizes.positions, list(layers)) for layers in blocks),
            {
                costs.WorkKind.MEMORY: float(sizes.tokens * shape.neurons * _SUMMED_BYTES),
                costs.WorkKind.DOUBLE: 8.0 * shape.vocabulary**2 * shape.neurons,
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
