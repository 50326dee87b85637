"""Effects of last-layer neurons on the entropy of predictions, in total and with the final layer norm's scale frozen.

Every model at the last checkpoint, on the first of the rows on which ablations are judged.  Every neuron of the last
layer is set to its mean; random directions and directions in the null space of the unembedding are ablated with the
activations of neurons of the layer.  Some neurons are set to fixed values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.entropy import CLAMPS, EntropyTables
from universal_neurons.measures.profiles import rounded_columns
from universal_neurons.stages import costs
from universal_neurons.stages.base import Case, Need, Reader, example_dice, step_of
from universal_neurons.stages.model_table import RelativeTable
from universal_neurons.stages.models import finite_logits, loaded
from universal_neurons.stages.neuron_sets import named_generator
from universal_neurons.stages.tokens import EVALUATION, ONLY, evaluation_digest, evaluation_tokens, token_set

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.entropy import FinalState, Prediction
    from universal_neurons.core.weights import NeuronWeights
    from universal_neurons.measures.arrays import Integers
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

ROWS = 8
# Random directions that are ablated, and others that are looked at only: percentiles take more of them than medians.
RANDOM, DIRECTIONS, PLANTED = 64, 448, 8
# Neurons of large norm with the least variance of logits that are set to values, and others of large norm beside them.
CANDIDATES, OTHERS = 4, 8
# Of the neurons the share with the largest norms among which candidates are, and of singular directions the smallest.
LARGEST, SMALLEST = 0.1, 0.01
COLUMNS = (
    "norm", "logit_variance", "null_share", "frequency_cosine", "total", "direct", "entropy_change", "loss_change",
    "scale_change", "first_kept",
)  # fmt: skip
CLAMPED = ("entropy", "loss", "scale", "reciprocal_rank", "first_kept")
BITS, TOLERANCE = 16, 2e-2


class Entropy(RelativeTable):
    """The neurons of one model's last layer, directions beside them, and some neurons at fixed values."""

    name: ClassVar[str] = "entropy"
    in_first_look: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ("entropy", "entropy-clamps")
    subject: ClassVar[str] = "last-layer neurons of {case.model}"
    named: ClassVar[tuple[str, ...]] = ("kind", "source", "role", "value")
    tolerance: ClassVar[float] = TOLERANCE

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The model, the rows, and what is drawn and set."""
        return {
            "model": case.model,
            "step": case.step,
            "rows": ROWS,
            "random": RANDOM,
            "directions": DIRECTIONS,
            "planted": PLANTED,
            "candidates": CANDIDATES,
            "others": OTHERS,
            "largest": LARGEST,
            "smallest": SMALLEST,
            "clamps": list(CLAMPS),
            "seed": work.suite.universality.seed,
            "dtype": "float32",
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights, the rows, and the tokens whose frequencies count."""
        return super().inputs(work, case) | {"rows": evaluation_digest(work, rows=ROWS)}

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The tokens and the rows for ablations."""
        return (*super().needs(work, case), (EVALUATION, ONLY))

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of a forward pass and of two passes over the logits per neuron."""
        shape = sizes.shape
        positions = ROWS * shape.row
        logits = float(positions * shape.vocabulary)
        passes = 2 * (shape.mlp + RANDOM + PLANTED) + (CANDIDATES + OTHERS + 1) * len(CLAMPS)
        stored = (shape.mlp + RANDOM + PLANTED + DIRECTIONS) * (8 + 4 * len(COLUMNS))
        return costs.per_case(
            sizes,
            cases,
            # In float32 on every device.
            costs.clean(replace(sizes, tf32=False), positions),
            {
                costs.WorkKind.MEMORY: 40 * passes * logits,
                costs.WorkKind.DOUBLE: 20.0 * shape.vocabulary * shape.width**2,
            },
            device=costs.SINGLE * positions * (4 * shape.vocabulary + 2 * shape.mlp)
            + 4 * costs.DOUBLE * shape.vocabulary * shape.width,
            host=stored,
            disk=stored,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The effects of one model's last layer."""
        import torch

        from universal_neurons.core.entropy import final_state
        from universal_neurons.core.weights import folded_weights, raw_weights

        ref = work.model(case.model, step_of(case))
        bridge = loaded(work, ref)
        device = next(bridge.parameters()).device
        rows = torch.from_numpy(evaluation_tokens(work).rows[:ROWS].astype(np.int64)).to(device)
        with finite_logits(ref):
            state = final_state(bridge, rows)
        count = state.activations.shape[1]
        layer = _Layer(work, case, folded_weights(bridge), raw_weights(bridge).w_out[-count:], state)
        work.progress.start(f"step {ref.step}: entropy neurons of {ref.name}", layer.kind.index("direction"))
        table = layer.table(work)
        clamps = layer.clamps(table)
        work.progress.finish()
        return {self.parts[0]: table, self.parts[1]: clamps}

    def read(self, reader: Reader, work: Workspace, case: Case) -> EntropyTables:
        """The neurons and directions, and the neurons at fixed values."""
        neurons, clamps = (one.table for one in reader(self, case))
        return EntropyTables(neurons, clamps, level=work.suite.resampling.level)

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up effects."""
        dice, kinds = example_dice(case), _kinds(work.zoo.recipe().mlp)
        roles = np.repeat(np.array(_clamped(), dtype=object), len(CLAMPS))
        value = np.tile(np.array(CLAMPS, dtype=np.float32), len(_clamped()))
        place = {"source": np.zeros(len(roles), dtype=np.int32), "role": roles, "value": value}
        return {
            self.parts[0]: pd.DataFrame(
                {
                    "kind": np.array(kinds, dtype=object),
                    "source": np.zeros(len(kinds), dtype=np.int32),
                    **rounded_columns({name: dice.uniform(0.1, 1.0, len(kinds)) for name in COLUMNS}, bits=BITS),
                }
            ),
            self.parts[1]: pd.DataFrame(
                {**place, **rounded_columns({name: dice.uniform(0.1, 1.0, len(roles)) for name in CLAMPED}, bits=BITS)}
            ),
        }


ENTROPY = Entropy()


def _kinds(neurons: int) -> list[str]:
    return ["neuron"] * neurons + ["random"] * RANDOM + ["planted"] * PLANTED + ["direction"] * DIRECTIONS


def _clamped() -> list[str]:
    return ["candidate"] * CANDIDATES + ["other"] * OTHERS + ["planted"]


def candidates_and_others(neurons: pd.DataFrame) -> tuple[Integers, Integers]:
    """Of the tenth with the largest ``norm`` the indices with the least ``logit_variance``, and some of the rest.

    The others are spread over the rest in the order of the variance.
    """
    large = neurons.nlargest(max(CANDIDATES + OTHERS, int(LARGEST * len(neurons))), "norm")
    ordered = large.sort_values("logit_variance", kind="stable").index.to_numpy(np.int64)
    rest = ordered[CANDIDATES:]
    return ordered[:CANDIDATES], rest[np.linspace(0, len(rest) - 1, OTHERS).astype(np.int64)]


class _Layer:
    """The neurons of the last layer, random and planted directions: weights, and whose activations they have."""

    def __init__(self, work: Workspace, case: Case, folded: NeuronWeights, w_out: Tensor, state: FinalState) -> None:
        import torch

        from universal_neurons.core.entropy import NullSpace, frequency_cosine
        from universal_neurons.core.predictions import random_directions

        count = len(w_out)
        dice = named_generator(("entropy", work.suite.universality.seed, case.model))
        generator = torch.Generator().manual_seed(int(dice.integers(2**62)))
        null = NullSpace.of(folded.unembedding)
        norm = torch.linalg.vector_norm(folded.w_out[-count:], dim=1)
        drawn = random_directions(RANDOM + DIRECTIONS, folded.unembedding, generator=generator)
        planted = null.directions[:1].expand(PLANTED, -1)
        self.state = state
        self.kind = _kinds(count)
        self.source = np.concatenate([np.arange(count), dice.integers(count, size=RANDOM + PLANTED + DIRECTIONS)])
        # Directions have a median norm.
        self.directions = torch.cat([w_out, torch.cat([drawn[:RANDOM], planted, drawn[RANDOM:]]) * norm.median()])
        unit = torch.nn.functional.normalize(self.directions - self.directions.mean(1, keepdim=True), dim=1)
        counts = torch.bincount(
            torch.from_numpy(token_set(work).rows.astype(np.int64)).flatten(), minlength=len(folded.unembedding)
        ).to(unit.device)
        smallest = max(1, int(SMALLEST * unit.shape[1]))
        self.weights = {
            "norm": torch.linalg.vector_norm(self.directions - self.directions.mean(1, keepdim=True), dim=1),
            "logit_variance": (unit @ folded.unembedding.T).var(1, correction=0),
            "null_share": null.share(unit, count=smallest),
            "frequency_cosine": frequency_cosine(unit, folded.unembedding, counts),
        }

    def table(self, work: Workspace) -> pd.DataFrame:
        """One row per neuron and direction."""
        from universal_neurons.core.entropy import changed_predictions

        state, rows = self.state, []
        clean = self._predicted(0, 0.0 * state.scale)
        for number, source in enumerate(self.source):
            if self.kind[number] == "direction":
                rows.append(dict.fromkeys(COLUMNS, np.nan))
                continue
            activation = state.activations[:, source]
            direction, change = self.directions[number].float(), activation.mean() - activation
            total, direct = (changed_predictions(state, direction, change, frozen=frozen) for frozen in (False, True))
            rows.append(mean_changes(clean, total, direct))
            work.progress.advance(1)
        effects = {name: np.array([row[name] for row in rows]) for name in COLUMNS[len(self.weights) :]}
        weights = {name: column.cpu().numpy() for name, column in self.weights.items()}
        kinds = {"kind": np.array(self.kind, dtype=object), "source": self.source.astype(np.int32)}
        return pd.DataFrame({**kinds, **rounded_columns(weights | effects, bits=BITS)})

    def clamps(self, table: pd.DataFrame) -> pd.DataFrame:
        """One row per chosen neuron and value: candidates, others of large norm, and the first planted direction."""
        candidates, others = candidates_and_others(table[table["kind"] == "neuron"])
        planted = self.kind.index("planted")
        clean = self._predicted(0, 0.0 * self.state.scale)
        rows = []
        for role, number in zip(_clamped(), [*candidates, *others, planted], strict=True):
            source = int(self.source[number])
            # A planted direction is not in the model: what is set is all that it writes.
            own = 0.0 if role == "planted" else self.state.activations[:, source]
            for value in CLAMPS:
                found = self._predicted(int(number), value - own + 0.0 * self.state.scale)
                rows.append({"source": source, "role": role, "value": value, **_means(clean, found)})
        frame = pd.DataFrame(rows)
        columns = rounded_columns({name: frame[name].to_numpy(np.float64) for name in CLAMPED}, bits=BITS)
        return frame.assign(source=frame["source"].astype(np.int32), value=frame["value"].astype(np.float32), **columns)

    def _predicted(self, number: int, change: Tensor) -> Prediction:
        from universal_neurons.core.entropy import changed_predictions

        return changed_predictions(self.state, self.directions[number].float(), change)


def mean_changes(clean: Prediction, total: Prediction, direct: Prediction) -> dict[str, float]:
    """The means over the tokens of what a total effect changes, and of the size of the direct one."""
    change = (total.entropy - clean.entropy).double()
    return {
        "total": float(change.abs().mean()),
        "direct": float((direct.entropy - clean.entropy).double().abs().mean()),
        "entropy_change": float(change.mean()),
        "loss_change": float((total.loss - clean.loss).double().mean()),
        "scale_change": float((total.scale / clean.scale).double().mean() - 1),
        "first_kept": float((total.first == clean.first).double().mean()),
    }


def _means(clean: Prediction, found: Prediction) -> dict[str, float]:
    return {
        "entropy": float(found.entropy.double().mean()),
        "loss": float(found.loss.double().mean()),
        "scale": float((found.scale / clean.scale).double().mean()),
        "reciprocal_rank": float(found.reciprocal_rank.double().mean()),
        "first_kept": float((found.first == clean.first).double().mean()),
    }
