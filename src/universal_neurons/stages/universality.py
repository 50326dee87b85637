"""Universality tables: every neuron of one model against another, and the same where nothing can be shared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from universal_neurons.errors import NotOnSuite, UserError
from universal_neurons.measures.excess import with_excess
from universal_neurons.measures.influence import read_influence, stored_influence
from universal_neurons.measures.tables import Resampling, UniversalityTable
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Case,
    Lookup,
    Need,
    Reader,
    Stage,
    StageGroup,
    absent,
    check_one_of,
    check_reference_at,
    example_count,
    example_dice,
    example_neurons,
    own_pairs,
    read_artifact,
    reference_cases,
    step_of,
)
from universal_neurons.stages.costs import Cost
from universal_neurons.stages.influence import block_influence
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.rounding import Excuse, compare_scores, distances, neuron_names, threshold_crossings
from universal_neurons.stages.schemas import check
from universal_neurons.stages.scores import RequestedScores, StepScores, score_table, step_scores
from universal_neurons.stages.tokens import TokenTable, corpus_ref

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.artifacts.provenance import SharedRun
    from universal_neurons.core.tiling import Workload
    from universal_neurons.inputs.suite_file import UniversalitySpec
    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.study import NullKind
    from universal_neurons.stages.comparison import Comparison
    from universal_neurons.stages.costs import Sizes
    from universal_neurons.stages.workspace import Workspace

# The share of a trained model's neurons whose excess passes the floor against some partner: a quarter in mini.
CANDIDATE_SHARE = 0.25
# Bytes of a neuron's row in a table without its further partners, and of each of them; before compression.
TABLE_BYTES, RANK_BYTES = 44, 10
# Bytes moved per candidate and token, both neurons standardised, multiplied and summed by block.
INFLUENCE_BYTES = 80
# Correlations of best partners that are equal to within the tolerance, so that either may come first.
TIES = 0.002


DRAWS, SPREADS = "baseline-draws", "spreads"


class Universality(TokenTable):
    """The scores of every neuron of one model against another: partners, correlations, rotation baseline, halves."""

    name: ClassVar[str] = "universality"
    # Needed until candidates are chosen: the baseline of every neuron in every rotation draw, and mean and spread of
    # the neurons of both models.
    scratch: ClassVar[tuple[str, ...]] = (DRAWS, SPREADS)
    subject: ClassVar[str] = "{case.model} against {case.partner}"

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every reference against every partner at every trained step, and untrained the suite's reference."""
        return tuple(pair for case in reference_cases(work) for pair in own_pairs(work, case))

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The pair, and how its correlations and baselines are estimated."""
        spec = work.suite.universality
        return {
            "reference": case.model,
            "partner": case.partner,
            "rotation": spec.rotation,
            "draws": spec.draws,
            "half_draws": spec.half_draws,
            "seed": spec.seed,
            "top_k": spec.top_k,
            "blocks": spec.blocks,
            "dtype": spec.precision,
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights of both models, and the tokens."""
        return {
            "reference": work.model(case.model, step_of(case)).digest,
            "partner": work.model(case.partner, step_of(case)).digest,
            "tokens": corpus_ref(work).sha256,
        }

    def case(self, work: Workspace, asked: Case) -> Case:
        """The case of a reference against a partner at a checkpoint."""
        check_reference_at(work, asked, what=self.name)
        check_one_of(work, asked.partner, work.partners(asked.model))
        return asked

    def read(self, reader: Reader, work: Workspace, case: Case) -> UniversalityTable:
        """The table of a pair with its excess and its candidates' block influences."""
        candidates = reader(CANDIDATES, Case(case.step, case.model))[0].arrays
        position = work.partners(case.model).index(case.partner)
        return universality_table(
            work,
            case,
            with_excess(reader(self, case)[0].table),
            candidates=candidates["neuron"],
            influence=read_influence(candidates["influence"][position]),
            draws=candidates["draws"][position],
        )

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """A table in which about half of the neurons are universal."""
        dice, count, neurons = example_dice(case), example_count(work), example_neurons(work)

        def shares() -> npt.NDArray[np.float32]:
            return dice.uniform(0.3, 1.0, count).astype(np.float32)

        columns: dict[str, Any] = {**neurons}
        for rank in range(1, work.suite.universality.top_k + 1):
            prefix = "partner" if rank == 1 else f"partner_{rank}"
            for name, numbers in neurons.items():
                columns[f"{prefix}_{name}"] = dice.permutation(numbers)
            columns["correlation" if rank == 1 else f"correlation_{rank}"] = shares()
        for name in ("correlation_crossfit", "correlation_half_a", "correlation_half_b"):
            columns[name] = shares()
        for name in ("baseline", "baseline_half_a", "baseline_half_b", "baseline_sd"):
            columns[name] = shares() / 10
        return {self.name: pd.DataFrame(columns)}

    def compare(self, work: Workspace, case: Case, stored: Lookup, again: Lookup) -> Comparison | None:
        """The stored table of a pair against the recomputed one, with what rounding explains excused.

        The tables of the same model against its other partners are read too: whether a neuron's mean excess over
        partners exceeds a threshold must not change with one of them.
        """
        if not self.is_compared:
            return None
        sides = [
            {pair: with_excess(there[0].table) for pair in own_pairs(work, case) if (there := side(self, pair))}
            for side in (stored, again)
        ]
        if case not in sides[0] or case not in sides[1]:
            return None
        mine, theirs = sides[0][case], sides[1][case]
        pairs = [pair for pair in sides[0] if pair in sides[1] and len(sides[1][pair]) == len(sides[0][pair])]

        def excuse() -> Excuse:
            own, partners = (distances(work, work.model(name, step_of(case))) for name in (case.model, case.partner))
            return Excuse(
                own=own,
                partners=np.maximum(*(_of_partners(work, partners, frame) for frame in (mine, theirs))),
                changed=threshold_crossings(work, *(np.stack([side[p]["excess"] for p in pairs]) for side in sides)),
                names=neuron_names(work, case.model),
            )

        scores = ({str(name): frame[name].to_numpy() for name in frame} for frame in (mine, theirs))
        return compare_scores(str(case), *scores, ties=TIES, excuse=excuse)


class Null(Universality):
    """The table of the suite's reference against a partner where nothing can be shared.

    Untrained models are a null themselves, so these exist for trained checkpoints only: ``steps``.
    """

    scratch: ClassVar[tuple[str, ...]] = ()
    # Which neuron of noise correlates most with which is decided by rounding.
    is_compared: ClassVar[bool] = False
    kind: ClassVar[NullKind]

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """The suite's reference against every partner, at every one of the null's steps, where the suite has it."""
        steps = self.steps(work) if self.kind in work.suite.universality.nulls else ()
        return tuple(pair for step in steps for pair in own_pairs(work, Case(step, work.reference)))

    def steps(self, work: Workspace) -> tuple[int, ...]:
        """Every trained step."""
        return work.trained_steps

    def case(self, work: Workspace, asked: Case) -> Case:
        """The case of the suite's reference against a partner at a checkpoint."""
        if self.kind not in work.suite.universality.nulls:
            raise NotOnSuite(f"suite {work.suite.name}: there is no null of the kind {self.kind}")
        if asked.model != work.reference:
            raise UserError(
                f"suite {work.suite.name}: {self.kind} null: expected reference {work.reference}, got {asked.model}"
            )
        case = super().case(work, asked)
        if case.step not in self.steps(work):
            known = ", ".join(map(str, self.steps(work)))
            raise UserError(f"suite {work.suite.name}: {self.kind} null: expected step {known}, got {case.step}")
        return case

    def read(self, reader: Reader, work: Workspace, case: Case) -> UniversalityTable:
        """The table, without candidates: its interval has no width."""
        candidates = no_candidates(work, draws=work.suite.universality.draws)
        return universality_table(work, case, with_excess(reader(self, case)[0].table), **candidates)


class RotatedNull(Null):
    """Both models with every layer rotated: no neuron is in them any more."""

    name: ClassVar[str] = "null-rotated"
    kind: ClassVar[NullKind] = "rotated"


class PermutedNull(Null):
    """The reference with its tokens permuted within every batch, at the last checkpoint.

    It takes the products of its pairs once more, and no claim asks for it at another checkpoint.
    """

    name: ClassVar[str] = "null-permuted"
    kind: ClassVar[NullKind] = "permuted"

    def steps(self, work: Workspace) -> tuple[int, ...]:
        """The last step."""
        return (work.last_step,)


class Candidates(Stage):
    """The influence of every token block on the scores that may decide, of one reference against all its partners."""

    name: ClassVar[str] = "candidates"
    # They follow from tables that are compared.
    is_compared: ClassVar[bool] = False
    subject: ClassVar[str] = "candidates of {case.model}"

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every reference at every trained step, and untrained the suite's reference."""
        return reference_cases(work)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The excess from which a neuron is a candidate."""
        return {"floor": work.suite.universality.floor}

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The tables that select the candidates."""
        return {pair.partner: UNIVERSALITY.key(work, pair).digest for pair in own_pairs(work, case)}

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The tables that select the candidates."""
        return tuple((UNIVERSALITY, pair) for pair in own_pairs(work, case))

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of the pass that weighs each block of tokens in candidates' scores; untrained models have none."""
        if cases[0].step not in work.trained_steps:
            return Cost({})
        spec, each = work.suite.universality, round(sizes.shape.neurons * CANDIDATE_SHARE)
        selected = each * len(cases) * (sizes.models - 1)
        # Of one pair at a time both sides of its candidates, their products and their squares.
        standardised = 4 * costs.SINGLE * sizes.batch * each
        return Cost(
            costs.summed(
                costs.loading(sizes, sizes.models),
                costs.forward(sizes, sizes.positions, models=sizes.models),
                {costs.WorkKind.MEMORY: float(sizes.tokens * selected * INFLUENCE_BYTES)},
            ),
            passes=1,
            device_bytes=sizes.models * sizes.shape.loaded_bytes
            + costs.batch_bytes(sizes, sizes.models)
            + standardised,
            # Products and squares per block, then the influences that they become.
            host_bytes=sizes.token_bytes + selected * spec.blocks * 3 * costs.DOUBLE,
            disk_bytes=selected * (2 * spec.blocks + costs.SINGLE * spec.draws),
        )

    def read(self, reader: Reader, work: Workspace, case: Case) -> Mapping[str, npt.NDArray[Any]]:
        """Arrays neuron (candidate,), influence (partner, block, candidate) and draws (partner, draw, candidate)."""
        return reader(self, case)[0].arrays

    def open_lengths(self, work: Workspace) -> Mapping[str, Mapping[int, range]]:
        """Any number of candidates."""
        shape = work.zoo.recipe()
        return {self.name: {example_count(work): range(shape.layers * shape.mlp + 1)}}

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Every neuron as a candidate."""
        spec, dice, partners = work.suite.universality, example_dice(case), len(work.partners(case.model))
        count = example_count(work)
        return {
            self.name: {
                "neuron": np.arange(count, dtype=np.int32),
                "influence": stored_influence(dice.normal(0, 0.01, (partners, spec.blocks, count))),
                "draws": dice.uniform(0.03, 0.1, (partners, spec.draws, count)).astype(np.float32),
            }
        }


UNIVERSALITY, ROTATED_NULL, PERMUTED_NULL, CANDIDATES = Universality(), RotatedNull(), PermutedNull(), Candidates()


class Scores(StageGroup):
    """Tables and nulls: the same passes over the tokens feed all of one step."""

    def costs(
        self,
        work: Workspace,
        sizes: Sizes,
        requested: Mapping[str, Sequence[Case]],
        lacking: Mapping[str, Sequence[Case]],
    ) -> dict[str, Cost]:
        """The costs of the shared passes (``moments``) and of scoring all that is requested."""
        cases = [case for stage in self.stages for case in requested.get(stage.name, ())]
        involved = {name for case in cases for name in (case.model, case.partner)}
        positions = {name: at for at, name in enumerate(name for name in work.suite.zoo.models if name in involved)}
        sizes = replace(sizes, models=len(positions))
        pairs, rotated, permuted = (
            [(positions[case.model], positions[case.partner]) for case in requested.get(stage.name, ())]
            for stage in self.stages
        )
        both = {(min(pair), max(pair)) for pair in (*pairs, *rotated)}
        both |= {(partner, sizes.models) for _, partner in permuted}
        load = sizes.workload(sizes.models + bool(permuted), sorted(both), groups=2, row=sizes.shape.row)
        load = replace(load, rotated_null=bool(rotated))
        return {
            "moments": moments_cost(sizes, load),
            UNIVERSALITY.name: scoring_cost(
                sizes, load, work.suite.universality, [*pairs, *permuted], tables=len(pairs), nulls=len(rotated)
            ),
        }

    def shares(self, cases: Mapping[str, Sequence[Case]]) -> Iterator[dict[str, list[Case]]]:
        """Two models against each other, in both directions and with their nulls: one product feeds all of these."""
        both: dict[frozenset[str], dict[str, list[Case]]] = {}
        for name, own in cases.items():
            for case in own:
                both.setdefault(frozenset((case.model, case.partner)), {}).setdefault(name, []).append(case)
        yield from both.values()

    def compute_step(self, work: Workspace, step: int | None, cases: Mapping[str, Sequence[Case]]) -> None:
        """Score every case of ``cases`` and commit the absent ones.

        Also what is there is scored again: what is missing is then what an undisturbed run would have written (with as
        many threads to the last bit), and an unfinished computation is found by one name.
        """
        requested = RequestedScores(*(tuple(cases.get(stage.name, ())) for stage in self.stages))
        scores = step_scores(_loaded(work, Case(step), requested.models), requested)
        for pair in requested.tables:
            if not (UNIVERSALITY.is_present(work, pair) and has_scratch(work, pair)):
                UNIVERSALITY.commit(work, pair, _scored(scores, pair), scores.scoring(pair))
        for null, scored in ((ROTATED_NULL, scores.rotated), (PERMUTED_NULL, scores.permuted)):
            for pair in absent(work, null, cases):
                null.commit(work, pair, {null.name: score_table(scored(pair))}, scores.scoring(pair, null.kind))
        scores.passes.forget()


class CandidateGroup(StageGroup):
    """The candidates of all references at a step, from one more pass over the tokens."""

    def shares(self, cases: Mapping[str, Sequence[Case]]) -> Iterator[dict[str, list[Case]]]:
        """All cases of the step together."""
        yield {name: list(own) for name, own in cases.items()}

    def compute_step(self, work: Workspace, step: int | None, cases: Mapping[str, Sequence[Case]]) -> None:
        """Compute and commit the absent candidates of one step.

        Tables that came without their draws and spreads, which evidence does not have, are scored again for these.
        """
        candidates = absent(work, CANDIDATES, cases)
        pairs = [pair for case in candidates for pair in own_pairs(work, case)]
        if lacking := [pair for pair in pairs if not has_scratch(work, pair)]:
            SCORES.compute_step(work, step, {UNIVERSALITY.name: lacking})
        if not candidates:
            return
        models = _loaded(work, Case(step), RequestedScores(tuple(pairs)).models)
        tables = {pair: read_table(work, pair) for pair in pairs}
        chosen, influence, made = block_influence(models, tables, _spreads(work, pairs), shared=_shared(work, pairs))
        for case in candidates:
            own = own_pairs(work, case)
            neurons = chosen[case.model]
            arrays: dict[str, npt.NDArray[Any]] = {
                "neuron": neurons.astype(np.int32),
                "influence": np.stack([stored_influence(influence[pair]) for pair in own]),
                "draws": np.stack([_scratch(work, pair, DRAWS)["draws"][:, neurons] for pair in own]),
            }
            CANDIDATES.commit(work, case, {CANDIDATES.name: arrays}, made)


SCORES = Scores(UNIVERSALITY, ROTATED_NULL, PERMUTED_NULL)


def has_scratch(work: Workspace, pair: Case) -> bool:
    """Whether the store has what the candidates take over of the computation of a table."""
    return all(work.store.has(UNIVERSALITY.key(work, pair, part)) for part in UNIVERSALITY.scratch)


def _loaded(work: Workspace, at: Case, names: Collection[str]) -> LoadedModels:
    return LoadedModels.of(work, step_of(at), [name for name in work.suite.zoo.models if name in names])


def _scored(scores: StepScores, pair: Case) -> dict[str, Payload]:
    """The table of a pair, the baseline of each draw, and the spreads of both models (count mean squares, neuron)."""
    table = scores.table(pair)
    spreads: dict[str, Any] = {name: scores.spread(getattr(pair, name)) for name in ("model", "partner")}
    return {UNIVERSALITY.name: score_table(table), DRAWS: {"draws": table.baseline_draws.numpy()}, SPREADS: spreads}


def _scratch(work: Workspace, pair: Case, part: str) -> Mapping[str, npt.NDArray[Any]]:
    return read_artifact(work, UNIVERSALITY.key(work, pair, part)).arrays


def _spreads(work: Workspace, pairs: Iterable[Case]) -> dict[str, npt.NDArray[np.float64]]:
    """The spreads of all models of ``pairs``, by name."""
    return {getattr(pair, side): spread for pair in pairs for side, spread in _scratch(work, pair, SPREADS).items()}


def _shared(work: Workspace, pairs: Iterable[Case]) -> tuple[SharedRun, ...]:
    """The runs that the tables of ``pairs`` rest on."""
    made = (read_artifact(work, UNIVERSALITY.key(work, pair)).provenance for pair in pairs)
    return tuple(dict.fromkeys(run for one in made for run in one.shared))


def table_digests(work: Workspace, pairs: Iterable[Case]) -> dict[str, str]:
    """The tables of ``pairs`` of one model as inputs of a key, by the name of the input."""
    return {f"against {pair.partner}": UNIVERSALITY.key(work, pair).digest for pair in pairs}


def moments_cost(sizes: Sizes, load: Workload) -> Cost:
    """The cost of the passes over the tokens that feed all pairs: models loaded, their forward passes, the products."""
    planned = costs.planned_passes(load, sizes.budget)
    return Cost(
        costs.summed(
            costs.loading(sizes, sizes.models),
            costs.streaming(sizes, load, planned, sizes.positions, sizes.tokens),
        ),
        passes=len(planned),
        device_bytes=max(one.memory.streaming for one in planned),
        host_bytes=sizes.token_bytes,
    )


def scoring_cost(
    sizes: Sizes,
    load: Workload,
    spec: UniversalitySpec,
    scored: Sequence[tuple[int, int]],
    *,
    tables: int,
    nulls: int,
) -> Cost:
    """The cost of scoring pairs, ``tables`` of them not permuted, and of so many rotated ``nulls``.

    A partner is rotated once for all models that look for it in a pass.
    """
    shape, neurons, planned = sizes.shape, sizes.shape.neurons, costs.planned_passes(load, sizes.budget)
    draws, count = spec.draws + 2 * spec.half_draws, len(scored) + nulls
    parts = [costs.summed(costs.scoring(sizes, draws), times=count)]
    for partner in {partner for _, partner in scored}:
        layers = sum(len(one.layers(partner)) for one in planned)
        parts.append(costs.rotations(shape, spec.rotation, layers, draws))
    # Of a null both sides of both halves are really turned, in float64: the pair's matrix, and every layer with itself.
    turned = 4 * (2 * neurons**2 * shape.mlp + 2 * 2 * shape.layers * shape.mlp**3)
    null = costs.summed(
        {costs.WorkKind.DOUBLE: float(turned)}, costs.rotations(shape, spec.rotation, shape.layers, draws)
    )
    parts.append(costs.summed(null, times=nulls))
    # Of every pair in the whole and in both halves, kept until the last pass is scored: its draws, its best partners
    # with their correlations, and the partners of a half in the other half.
    ranks = (spec.top_k + 2) * (costs.DOUBLE + costs.INDEX) + 2 * costs.DOUBLE
    kept = neurons * (draws * costs.SINGLE + ranks)
    return Cost(
        costs.summed(*parts),
        device_bytes=max(one.memory.scoring for one in planned),
        # Once more while a pass is scored, so that nothing is taken in twice where memory runs out.
        host_bytes=sizes.token_bytes + 2 * count * kept,
        disk_bytes=count * neurons * (TABLE_BYTES + RANK_BYTES * (spec.top_k - 1))
        + tables * neurons * (spec.draws * costs.SINGLE + 2 * 3 * costs.DOUBLE),
    )


def read_table(work: Workspace, pair: Case) -> pd.DataFrame:
    """The stored universality table of a pair, with its excess; raises ArtifactMissing."""
    artifact = read_artifact(work, UNIVERSALITY.key(work, pair))
    check(work, UNIVERSALITY, pair, [artifact])
    return with_excess(artifact.table)


def no_candidates(work: Workspace, *, draws: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a table without candidates; they still have the numbers of blocks and of rotation ``draws``."""
    return {
        "candidates": np.empty(0, dtype=np.int32),
        "influence": np.empty((work.suite.universality.blocks, 0)),
        "draws": np.empty((draws, 0), dtype=np.float32),
    }


def universality_table(
    work: Workspace,
    case: Case,
    frame: pd.DataFrame,
    *,
    candidates: npt.NDArray[np.integer],
    influence: npt.NDArray[np.floating],
    draws: npt.NDArray[np.floating],
) -> UniversalityTable:
    """The table of a pair as claims measure it, from a ``frame`` with excess."""
    spec = work.suite.resampling
    return UniversalityTable(
        reference=case.model,
        partner=case.partner,
        step=step_of(case),
        frame=frame,
        candidates=candidates,
        influence=influence,
        draws=draws,
        resampling=Resampling(resamples=spec.resamples, level=spec.level, seed=spec.seed),
    )


def _of_partners(work: Workspace, distance: Floats, frame: pd.DataFrame) -> Floats:
    """(neuron,) the distance of the partner that a table names for each neuron."""
    layer, neuron = (frame[name].to_numpy().astype(np.int64) for name in ("partner_layer", "partner_neuron"))
    # Clipped: an altered table may name a neuron that does not exist, and a missing partner is -1.
    reached: Floats = np.take(distance, layer * work.zoo.recipe().mlp + neuron, mode="clip")
    return reached
