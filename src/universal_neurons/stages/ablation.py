"""Ablations: the effect of every set of neurons on a model's predictions, on rows that identified none of them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.ablation_table import AblationTable, SetKind
from universal_neurons.measures.cache import digest
from universal_neurons.measures.tables import Resampling
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Artifacts,
    Case,
    Need,
    Reader,
    Stage,
    check_reference_at,
    example_dice,
    own_pairs,
    reference_cases,
    step_of,
)
from universal_neurons.stages.comparison import TOLERANCE, Choices, Comparison, Difference, absolute_differences
from universal_neurons.stages.costs import Cost
from universal_neurons.stages.models import finite_logits, loaded
from universal_neurons.stages.neuron_sets import NeuronSet, Population, SetPlan, SetRole
from universal_neurons.stages.resources import device
from universal_neurons.stages.resume import Checkpoints
from universal_neurons.stages.tokens import EVALUATION, ONLY, evaluation_digest, evaluation_tokens
from universal_neurons.stages.universality import UNIVERSALITY, read_table, table_digests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.ablation import Ablation, AblationEffects, AblationSums
    from universal_neurons.core.matmul import PrecisionMode
    from universal_neurons.inputs.suite_file import AblationSpec
    from universal_neurons.stages.costs import Sizes
    from universal_neurons.stages.neuron_sets import Neurons
    from universal_neurons.stages.workspace import Workspace

# The share of sets that may be other neurons: a score so near its threshold that rounding decides changes the universal
# set of one model and everything that is compared with it.
SETS = 0.05
_TYPES = {"threshold": np.float32, "layer": np.int16, "draw": np.int16, "fraction": np.float32}
_NAMES = ["partner", "definition", "threshold", "layer", "neurons", "draw", "mode", "fraction", "labels_step"]


class Ablations(Stage):
    """The sets of neurons of one model with their mean effects, and the effects per block of rows.

    Untrained models are ablated where the neurons are that become universal, and only the suite's reference: no neuron
    of an untrained model is universal.
    """

    name: ClassVar[str] = "ablation"
    # 2 and 3: without sets that nothing reads.
    version: ClassVar[int] = 3
    parts: ClassVar[tuple[str, ...]] = ("ablation", "ablation-blocks")
    subject: ClassVar[str] = "sets of neurons of {case.model}"

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every reference at every trained step, and untrained the suite's reference."""
        return reference_cases(work)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The sets of neurons, the blocks of rows, and what decides the last bits."""
        suite, spec = work.suite, work.suite.ablation
        return {
            "model": case.model,
            "step": case.step,
            "labels_step": labels_step(work, case),
            "role": set_role(work, case),
            "pairs": list(ablated_partners(work, case)),
            "thresholds": list(suite.universality.thresholds),
            "threshold": suite.universality.threshold,
            "blocks": spec.blocks,
            "draws": spec.draws,
            "dose": list(spec.dose),
            "orders": spec.orders,
            "seed": spec.seed,
            "batch_rows": spec.batch_rows,
            "dtype": ablation_mode(work),
            # Keys with the default do not name it.
            **({} if spec.by_layer else {"by_layer": False}),
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights, the rows, and the tables that say which neurons are universal."""
        return {
            "model": work.model(case.model, step_of(case)).digest,
            "rows": evaluation_digest(work),
            **table_digests(work, label_pairs(work, case)),
        }

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The rows, and the tables that say which neurons are universal."""
        return ((EVALUATION, ONLY), *((UNIVERSALITY, pair) for pair in label_pairs(work, case)))

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of a clean run per batch, and of the layers above for each set, of every model."""
        parts = [model_cost(sizes, set_plan(work, case).sets(), work.suite.ablation) for case in cases]
        return Cost(
            costs.summed(*(part.work for part in parts)),
            device_bytes=max(part.device_bytes for part in parts),
            host_bytes=max(part.host_bytes for part in parts),
            disk_bytes=sum(part.disk_bytes for part in parts),
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Ablate every set of the case; raises ArtifactMissing without the tables."""
        return dict(zip(self.parts, ablations(work, case), strict=True))

    def case(self, work: Workspace, asked: Case) -> Case:
        """The case of a model at a checkpoint."""
        check_reference_at(work, asked, what="ablations")
        return asked

    def read(self, reader: Reader, work: Workspace, case: Case) -> AblationTable:
        """The sets with their effects per block."""
        table, blocks = reader(self, case)
        return ablation_table(work, case, table.table, blocks.arrays)

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up effects, larger for universal neurons than for others."""
        sets = set_plan(work, case).sets()
        dice, blocks = example_dice(case), work.suite.ablation.blocks
        larger = np.array([[3.0 if one.neurons is SetKind.UNIVERSAL else 1.0] for one in sets])
        arrays: dict[str, npt.NDArray[Any]] = {
            name: (larger * dice.uniform(0.01, 0.02, (len(sets), blocks))).astype(np.float32)
            for name in ("kl", "loss_increase")
        }
        arrays |= {"clean_loss": dice.uniform(2, 3, blocks), "predictions": np.full(blocks, 100)}
        members = [np.arange(4)] * len(sets)
        frame = set_table(sets, members, np.ones(4), labels_step=labels_step(work, case), effects=arrays)
        return dict(zip(self.parts, (frame, arrays), strict=True))

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored effects against the recomputed ones."""
        return compare_effects(stored, again)


ABLATIONS = Ablations()


def model_cost(sizes: Sizes, sets: Sequence[NeuronSet], spec: AblationSpec) -> Cost:
    """The cost of ablating ``sets`` of neurons of one model."""
    within = [one.layer for one in sets if one.layer >= 0]
    # Norms, and the means of what is ablated to its mean.
    forwards = 1 + any(one.mode == "mean" for one in sets)
    rows = sizes.evaluated // sizes.shape.row
    return Cost(
        costs.summed(
            costs.loading(sizes, 1),
            costs.forward(sizes, forwards * sizes.evaluated),
            costs.clean(sizes, sizes.evaluated),
            costs.reruns(sizes, [0] * (len(sets) - len(within)), sizes.evaluated, edited=True),
            costs.reruns(sizes, within, sizes.evaluated),
        ),
        device_bytes=sizes.shape.loaded_bytes + costs.clean_bytes(sizes, spec.batch_rows),
        host_bytes=len(sets) * (sizes.shape.neurons * costs.INDEX // 2 + rows * 16),
        disk_bytes=len(sets) * (costs.SET_BYTES + 2 * spec.blocks * costs.SINGLE),
    )


def compare_effects(stored: Artifacts, again: Artifacts) -> Comparison:
    """The effects of sets in nats against recomputed ones, of all rows together and of every block.

    A set has changed if its size or its norm has; its effects then belong to other neurons and are not compared.
    """
    mine, theirs = stored[0].table, again[0].table
    same, effects = np.zeros(len(mine), dtype=np.bool_), dict.fromkeys(("KL", "loss"), 0.0)
    if mine[_NAMES].equals(theirs[_NAMES]):
        is_near = np.isclose(mine["norm"], theirs["norm"], rtol=1e-4, atol=0)
        same = (mine["size"] == theirs["size"]).to_numpy() & is_near
        columns = zip(effects, ("kl", "loss_increase"), strict=True)
        effects = {name: _largest_effect(stored, again, column, same) for name, column in columns}
    largest = {name: Difference(effect, TOLERANCE) for name, effect in effects.items()}
    changed = Choices("sets changed", int((~same).sum()), len(mine), SETS)
    return Comparison("ablations", "sets", len(mine), largest, changed)


def _largest_effect(stored: Artifacts, again: Artifacts, column: str, same: npt.NDArray[np.bool_]) -> float:
    means = (side[0].table[column].to_numpy()[same] for side in (stored, again))
    blocks = (side[1].arrays[column][same].ravel() for side in (stored, again))
    pairs = (tuple(means), tuple(blocks))
    if any(len(mine) != len(theirs) for mine, theirs in pairs):
        return float("inf")
    return max(float(absolute_differences(mine, theirs).max(initial=0.0)) for mine, theirs in pairs)


def ablation_table(
    work: Workspace, case: Case, frame: pd.DataFrame, arrays: Mapping[str, Any], *, kl: str = "kl"
) -> AblationTable:
    """The table of claims from a frame of sets and the effects per block, the divergence under the name ``kl``."""
    spec = work.suite.resampling
    return AblationTable(
        reference=case.model,
        step=step_of(case),
        frame=frame,
        kl=arrays[kl],
        loss_increase=arrays["loss_increase"],
        clean_loss=arrays["clean_loss"],
        predictions=arrays["predictions"],
        resampling=Resampling(resamples=spec.resamples, level=spec.level, seed=spec.seed),
    )


def ablation_mode(work: Workspace) -> PrecisionMode:
    """The precision of ablated models' products: TF32 where the suite's products over tokens are, else float32."""
    return "tf32" if work.suite.universality.precision == "tf32" else "float32"


def set_role(work: Workspace, case: Case) -> SetRole:
    """The role of a step: the last checkpoint has more sets than the others, untrained models have fewer."""
    if case.step not in work.trained_steps:
        return "untrained"
    return "last" if case.step == work.last_step else "trained"


def labels_step(work: Workspace, case: Case) -> int:
    """The step whose universal neurons are ablated: the case's own, or the last one in untrained models."""
    return work.last_step if set_role(work, case) == "untrained" else step_of(case)


def label_pairs(work: Workspace, case: Case) -> tuple[Case, ...]:
    """The pairs whose tables say which neurons of the case are universal."""
    return own_pairs(work, Case(labels_step(work, case), case.model))


def ablated_partners(work: Workspace, case: Case) -> tuple[str, ...]:
    """The partners against which a model's universal neurons are also ablated pair by pair: the suite's reference's."""
    if case.model != work.reference or set_role(work, case) == "untrained":
        return ()
    return work.partners(case.model)


def ablations(work: Workspace, case: Case) -> tuple[pd.DataFrame, dict[str, npt.NDArray[Any]]]:
    """One row per set of neurons of the case, and kl, loss_increase (row, block), clean_loss and predictions (block,).

    Effects are means in nats over the predictions of a block, in the table over all of them (claims/README.md, A7).
    """
    import torch

    from universal_neurons.core.ablation import Ablation, activation_norms

    spec = work.suite.ablation
    bridge = loaded(work, work.model(case.model, step_of(case)))
    rows = torch.from_numpy(evaluation_tokens(work).rows.astype(np.int64))
    norm = activation_norms(bridge, rows, batch_rows=spec.batch_rows).numpy()
    sets = set_plan(work, case).sets()
    chosen = population(work, case, norm)
    neurons = [chosen.neurons(one) for one in sets]
    ablated = [Ablation(torch.from_numpy(members), one.mode) for members, one in zip(neurons, sets, strict=True)]
    effects = resumed_effects(
        (work, ABLATIONS, case),
        bridge,
        rows,
        ablated,
        title=f"step {case.step}: ablations of {case.model}",
        blocks=spec.blocks,
        batch_rows=spec.batch_rows,
        seed=spec.seed,
        mode=ablation_mode(work),
    )
    names = ("kl", "loss_increase", "clean_loss", "predictions")
    arrays: dict[str, npt.NDArray[Any]] = {name: getattr(effects, name).numpy() for name in names}
    frame = set_table(sets, neurons, norm, labels_step=labels_step(work, case), effects=arrays)
    return frame, arrays | {name: arrays[name].astype(np.float32) for name in names[:2]}


def resumed_effects(
    of: tuple[Workspace, Stage, Case],
    bridge: Any,
    rows: Tensor,
    ablated: Sequence[Ablation],
    *,
    title: str,
    **settings: Any,
) -> AblationEffects:
    """The effects of ablations on ``rows`` (row position), from where an interrupted computation of a case stands.

    ``settings``: as :func:`~universal_neurons.core.ablation.ablation_effects` has them.  Raises ModelNotFinite.
    """
    from universal_neurons.core.ablation import AblationSums, ablation_effects

    work, stage, case = of
    ref = work.model(case.model, step_of(case))
    checkpoints = Checkpoints(stage.state(work, case), title, work.resources.state_seconds)
    # What the key of the case does not say: the kernels, and the sets, whose labels are computed and not set.
    members = [(one.neurons.numpy(), one.mode) for one in ablated]
    name = digest((ref.digest, rows.numpy(), members, device(work).type, settings))
    state = checkpoints.folder.read()
    sums = None
    if state is not None and state.document["name"] == name:
        sums = AblationSums(state.tensors["effects"], state.tensors["loss"], state.document["done"])

    def keep(sums: AblationSums) -> None:
        if checkpoints.is_due():
            checkpoints.write({"name": name, "done": sums.done}, [("effects", sums.effects), ("loss", sums.loss)])

    work.progress.start(title, len(ablated) * len(rows))
    with finite_logits(ref):
        effects = ablation_effects(
            bridge, rows, ablated, progress=work.progress.advance, sums=sums, keep=keep, **settings
        )
    work.progress.finish()
    return effects


def set_plan(work: Workspace, case: Case) -> SetPlan:
    """The plan of the sets of neurons that are ablated in a case."""
    universality, spec = work.suite.universality, work.suite.ablation
    return SetPlan(
        role=set_role(work, case),
        partners=ablated_partners(work, case),
        thresholds=universality.thresholds,
        threshold=universality.threshold,
        layers=work.suite.layers,
        draws=spec.draws,
        dose=spec.dose,
        orders=spec.orders,
        by_layer=spec.by_layer,
    )


def population(work: Workspace, case: Case, norm: npt.NDArray[np.float64]) -> Population:
    """The neurons of a model with the scores that decide which are universal; raises ArtifactMissing.

    ``norm``: (neuron,) the mean of abs(v) ||w_out||.
    """
    tables = {pair.partner: read_table(work, pair) for pair in label_pairs(work, case)}
    return Population(
        seed=work.suite.ablation.seed,
        model=case.model,
        layer=next(iter(tables.values()))["layer"].to_numpy(),
        norm=norm,
        excess={partner: frame["excess"].to_numpy() for partner, frame in tables.items()},
    )


def set_table(
    sets: Sequence[NeuronSet],
    members: Sequence[Neurons],
    norm: npt.NDArray[np.float64],
    *,
    labels_step: int,
    effects: Mapping[str, npt.NDArray[Any]],
) -> pd.DataFrame:
    """One row per set: its definition, its size, the sum of its norms, and its mean effects over all predictions.

    ``effects``: kl and loss_increase (set, block), predictions (block,).
    """
    names = [field.name for field in fields(NeuronSet)]
    columns = {name: [getattr(one, name) for one in sets] for name in names}
    # Plain text: a StrEnum would go through pandas as an object that only looks like its text.
    text = {name: [str(value) for value in columns[name]] for name in ("partner", "definition", "neurons", "mode")}
    numbers = {name: np.array(columns[name], dtype=dtype) for name, dtype in _TYPES.items()}
    return pd.DataFrame({name: (text | numbers)[name] for name in names}).assign(
        labels_step=np.int32(labels_step),
        size=np.array([len(one) for one in members], dtype=np.int32),
        norm=np.array([norm[one].sum() for one in members]),
        **{name: np.average(effects[name], axis=1, weights=effects["predictions"]) for name in ("kl", "loss_increase")},
    )
