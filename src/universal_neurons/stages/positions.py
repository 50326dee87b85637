"""Pre-activations of single neurons at the first position of a row, and at one other position beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.errors import NotOnSuite
from universal_neurons.measures.profiles import rounded_columns
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Case,
    example_count,
    example_dice,
    example_neurons,
    neuron_columns,
    step_of,
)
from universal_neurons.stages.batches import FORWARD_COPIES
from universal_neurons.stages.model_table import RelativeTable
from universal_neurons.stages.models import finite_activations, loaded, read_batches
from universal_neurons.stages.neuron_sets import named_generator
from universal_neurons.stages.tokens import token_set
from universal_neurons.stages.workspace import row_cutting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.inputs.corpus import RowMask, TokenRows
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

COLUMNS = ("first", "elsewhere")
# Significant bits that are stored: one part in 65536.
BITS = 16
# Times that the row is read: in two ways, which must agree, and once for its activations.
READINGS = 3


class Positions(RelativeTable):
    """The pre-activations of all neurons of a model at two positions of one row, at the last checkpoint.

    One row per neuron: layer, neuron, first (at position 0) and elsewhere (at a scored position after it, drawn for
    each model).  Beginning-of-text stands at position 0, where a model sees nothing else, so that ``first`` is the same
    in every row.  A suite whose rows do not begin with it has no such table.
    """

    name: ClassVar[str] = "positions"
    in_first_look: ClassVar[bool] = False
    tolerance: ClassVar[float] = 1e-3

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every model at the last checkpoint; none where rows do not begin with beginning-of-text."""
        return super().cases(work) if row_cutting(work) == "documents" else ()

    def case(self, work: Workspace, asked: Case) -> Case:
        """The case that a reader asked for; raises NotOnSuite where rows do not begin with beginning-of-text."""
        if row_cutting(work) != "documents":
            raise NotOnSuite(
                f"suite {work.suite.name}: rows do not begin with beginning-of-text, so they have no first position"
            )
        return super().case(work, asked)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The model, its step, and the seed of the other position."""
        return {"model": case.model, "step": case.step, "seed": work.suite.universality.seed, "dtype": "float32"}

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of loading a model and of reading one row; no pass over the tokens."""
        shape, row = sizes.shape, 6 + 4 * len(COLUMNS)
        return costs.per_case(
            sizes,
            cases,
            costs.forward(sizes, READINGS * shape.row),
            passes=0,
            device=2 * sizes.activations(shape.row) + FORWARD_COPIES * costs.SINGLE * shape.row * shape.mlp,
            host=shape.neurons * row,
            disk=shape.neurons * row,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The pre-activations of one model."""
        from universal_neurons.core.activations import layer_widths

        ref = work.model(case.model, step_of(case))
        bridge = loaded(work, ref)
        rows, mask = _two_positions(work, case)
        work.progress.start(f"step {ref.step}: first position of {ref.name}", len(COLUMNS))
        with finite_activations(ref, layer_widths(bridge)):
            (values,) = (_finite(batch.values) for batch in read_batches(work, bridge, rows, mask, place="hook_pre"))
        work.progress.finish()
        return {self.name: _frame(neuron_columns(work), values.double().cpu().numpy())}

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up pre-activations."""
        made = example_dice(case).uniform(0.1, 1.0, (len(COLUMNS), example_count(work)))
        return {self.name: _frame(example_neurons(work), made)}


POSITIONS = Positions()


def _two_positions(work: Workspace, case: Case) -> tuple[TokenRows, RowMask]:
    """The first row that has a scored position after its first one, and the mask of position 0 and of one of them."""
    tokens = token_set(work)
    row = int(tokens.mask[:, 1:].any(axis=1).argmax())
    dice = named_generator(("positions", work.suite.universality.seed, case.model))
    mask = np.zeros_like(tokens.mask[:1])
    mask[0, [0, 1 + int(dice.choice(np.flatnonzero(tokens.mask[row, 1:])))]] = True
    return tokens.rows[row : row + 1], mask


def _finite(values: Tensor) -> Tensor:
    """``values`` (token neuron); raises NonFiniteActivationError."""
    from universal_neurons.core.moments import NonFiniteActivationError

    finite = values.isfinite().all(0)
    if not bool(finite.all()):
        raise NonFiniteActivationError(int((~finite).nonzero()[0]))
    return values


def _frame(neurons: Mapping[str, Any], values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({**neurons, **rounded_columns(dict(zip(COLUMNS, values, strict=True)), bits=BITS)})
