"""Variants: the reference's scores under other choices of tokens, padding and rotations, at every trained checkpoint.

One pass over all tokens that some mask counts keeps the moments apart by disjoint classes of tokens.  A second, shorter
pass reads rows that are padded as the published code pads them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.measures.excess import excess_correlation
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Artifacts,
    Case,
    Reader,
    check_trained,
    example_count,
    example_dice,
    step_of,
)
from universal_neurons.stages.costs import Cost
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.passes import Reading, Streamed, streamed, workload
from universal_neurons.stages.resources import device, rotation_workers
from universal_neurons.stages.rounding import (
    Excuse,
    compare_scores,
    distances_under_variants,
    neuron_names,
    threshold_crossings,
)
from universal_neurons.stages.token_masks import (
    UNUSED,
    VariantSetting,
    published_padding,
    settings,
    suite_masks,
    token_classes,
)
from universal_neurons.stages.tokens import TokenTable, corpus_ref
from universal_neurons.stages.universality import no_candidates, universality_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.scoring import Baseline, PartnerMaxima
    from universal_neurons.inputs.corpus import RowMask, TokenRows
    from universal_neurons.measures.tables import UniversalityTable
    from universal_neurons.stages.comparison import Comparison
    from universal_neurons.stages.costs import Sizes
    from universal_neurons.stages.workspace import Workspace

    # By variant and position of the partner.
    VariantScores = dict[tuple[VariantSetting, int], "Scored"]


@dataclass(frozen=True, eq=False)
class VariantTables:
    """The reference under every variant at one step, against every partner, by name of the variant."""

    tables: Mapping[tuple[str, str], UniversalityTable]
    settings: pd.DataFrame


class Variants(TokenTable):
    """The suite's reference against all its partners under every variant of the suite."""

    name: ClassVar[str] = "variants"
    version: ClassVar[int] = 2  # 2: layers are whitened by their correlations, no longer by their covariance
    subject: ClassVar[str] = "variants of {case.model}"

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every trained step, where the suite has variants."""
        return tuple(Case(step, work.reference) for step in work.trained_steps if work.suite.variants.names)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The variants, and how their baselines are estimated."""
        spec, variants = work.suite.universality, work.suite.variants
        return {
            "reference": case.model,
            "partners": list(work.partners(case.model)),
            "variants": list(variants.names),
            "draws": variants.draws,
            "padding": variants.padding,
            "padded_tokens": variants.padded_tokens,
            "rotation": spec.rotation,
            "rotation_draws": spec.draws,
            "seed": spec.seed,
            "dtype": spec.precision,
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights of all models, the tokens and the tokenizer."""
        return {
            **{f"model {ref.name}": ref.digest for ref in work.models(step_of(case))},
            "tokens": corpus_ref(work).sha256,
            "tokenizer": work.zoo.tokenizer_digest,
        }

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of two passes, and of rotations for each variant.

        Some mask counts every position, and most padding is counted.
        """
        every, spec = settings(work), work.suite.variants
        padded = [setting for setting in every if setting.is_padded]
        plain = [setting for setting in every if not setting.is_padded]
        context, row = sizes.shape.context, sizes.shape.row
        parts = [costs.loading(sizes, sizes.models)]
        device, count = 0, 0
        for chosen, row_length, positions in (
            (plain, row, sizes.positions),
            (padded, context, ceil(spec.padded_tokens / context) * context),
        ):
            whitened = any(setting.baseline == "whitened" for setting in chosen)
            pairs = [(0, other) for other in range(1, sizes.models)]
            load = sizes.workload(sizes.models, pairs, groups=_classes(chosen), row=row_length)
            planned = costs.planned_passes(replace(load, whitened=whitened), sizes.budget)
            parts.append(costs.streaming(sizes, load, planned, positions, positions))
            scored = _scoring_work(sizes, chosen, work.suite.universality.rotation)
            parts.append(costs.summed(scored, times=sizes.models - 1))
            device, count = max(device, *(one.memory.total for one in planned)), count + len(planned)
        # The draws of every setting against every partner, and its best correlations.
        kept = sum(one.draws * costs.SINGLE + costs.DOUBLE for one in every)
        scores = (sizes.models - 1) * sizes.shape.neurons * kept
        return Cost(
            costs.summed(*parts),
            passes=count,
            device_bytes=device,
            # The classes of all positions are numbers, found from what every mask says of them.
            host_bytes=sizes.token_bytes + sizes.positions * (2 * costs.INDEX + 2 * len(every)) + 2 * scores,
            disk_bytes=len(every) * (sizes.models - 1) * sizes.shape.neurons * 2 * costs.SINGLE,
        )

    def produce(self, work: Workspace, case: Case) -> None:
        """Compute and commit the variants of one step, with the precision of both passes; then forget their states."""
        with capture(device=str(device(work))) as run:
            scored, passes = variant_scores(work, case)
        precision = max(passes, key=lambda one: one.error).precision
        self.commit(work, case, {self.name: _stacked(work, scored)}, replace(run.provenance, precision=precision))
        for one in passes:
            one.forget()

    def case(self, work: Workspace, asked: Case) -> Case:
        """The case of the suite's reference at a trained checkpoint."""
        check_trained(work, asked, what=self.name)
        return Case(asked.step, work.reference)

    def read(self, reader: Reader, work: Workspace, case: Case) -> VariantTables:
        """The tables of all variants against all partners.

        Their frames have correlation and excess; partners and halves are not kept.  There are no candidates, so shares
        have no interval over tokens; ``draws`` (draw, none) still has the number of rotations of the baseline.
        """
        arrays, names = reader(self, case)[0].arrays, work.suite.variants.names
        tables = {
            (name, partner): _variant_table(work, case, partner, arrays, (row, column))
            for row, name in enumerate(names)
            for column, partner in enumerate(work.partners(case.model))
        }
        described = pd.DataFrame({"variant": names, "tokens": arrays["tokens"], "draws": arrays["draws"]})
        return VariantTables(tables, described)

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Scores of which about half are universal."""
        dice, names = example_dice(case), work.suite.variants.names
        shape = (len(names), len(work.partners(case.model)), example_count(work))
        correlation = dice.uniform(0.3, 1.0, shape).astype(np.float32)
        arrays = {
            "correlation": correlation,
            "excess": correlation - np.float32(0.05),
            "tokens": np.full(len(names), 1000, dtype=np.int64),
            "draws": np.full(len(names), work.suite.variants.draws, dtype=np.int32),
        }
        return {self.name: arrays}

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored scores against the recomputed ones, with what rounding explains excused.

        The baseline is not stored: it is correlation minus excess.
        """
        sides = (stored[0].arrays, again[0].arrays)
        step, others = step_of(case), work.partners(case.model)

        def excuse() -> Excuse:
            own, *partners = (distances_under_variants(work, work.model(name, step)) for name in (case.model, *others))
            return Excuse(
                own=own[:, None],
                # A variant's best partner is not stored: it may be the one that rounding moves furthest.
                partners=np.stack([one.max(axis=1) for one in partners], axis=1)[..., None],
                changed=threshold_crossings(work, *(side["excess"] for side in sides))[:, None],
                names=neuron_names(work, case.model),
            )

        scores = (
            {"correlation": side["correlation"], "baseline": side["correlation"] - side["excess"]} for side in sides
        )
        return compare_scores(f"{self.name} at step {step}", *scores, ties=0.0, excuse=excuse)


VARIANTS = Variants()


def _scoring_work(sizes: Sizes, chosen: Sequence[VariantSetting], rotation: str) -> costs.Work:
    """The scores of ``chosen`` variants against one partner: one correlation matrix per mask, rotations per kind.

    ``rotation``: the kind by which whitened layers are turned.
    """
    shape, matrix, cubes = sizes.shape, sizes.shape.neurons**2, sizes.shape.layers * sizes.shape.mlp**3
    parts: list[costs.Work] = []
    for mask in {setting.mask for setting in chosen}:
        masked = [setting for setting in chosen if setting.mask == mask]
        added = 3 * sizes.sum_bytes * _classes(chosen)
        parts.append({costs.WorkKind.MEMORY: float(matrix * (added + costs.SCORED_BYTES))})
        for baseline in {setting.baseline for setting in masked}:
            draws = max(setting.draws for setting in masked if setting.baseline == baseline)
            kind = rotation if baseline == "whitened" else baseline
            parts.append(costs.rotations(shape, kind, shape.layers, draws))
            parts.append(costs.baseline(sizes, draws))
            if baseline == "whitened":
                turned = 2 * matrix * shape.mlp + 3 * 2 * cubes
                parts.append({costs.WorkKind.DOUBLE: float(turned + costs.EIGENVECTOR_OPERATIONS * cubes)})
    return costs.summed(*parts)


def _classes(chosen: Sequence[VariantSetting]) -> int:
    """Disjoint classes of tokens that the masks are made of: about as many as there are masks."""
    return len({setting.mask for setting in chosen})


def _variant_table(
    work: Workspace, case: Case, partner: str, arrays: Mapping[str, Any], which: tuple[int, int]
) -> UniversalityTable:
    columns = {name: arrays[name][which] for name in ("correlation", "excess")}
    neurons, width = np.arange(len(columns["excess"])), len(columns["excess"]) // work.suite.layers
    nothing = np.full(len(neurons), np.nan, dtype=np.float32)
    frame = pd.DataFrame(
        {
            "layer": (neurons // width).astype(np.int16),
            "neuron": (neurons % width).astype(np.int32),
            "partner_layer": np.full(len(neurons), -1, dtype=np.int16),
            **columns,
            "excess_half_a": nothing,
            "excess_half_b": nothing,
        }
    )
    candidates = no_candidates(work, draws=int(arrays["draws"][which[0]]))
    return universality_table(work, replace(case, partner=partner), frame, **candidates)


@dataclass(frozen=True, eq=False)
class Scored:
    """One variant against one partner: best correlation and excess per neuron, over how many tokens."""

    correlation: npt.NDArray[np.float32]
    excess: npt.NDArray[np.float32]
    tokens: int


def variant_scores(work: Workspace, case: Case) -> tuple[VariantScores, tuple[Streamed, ...]]:
    """The scores of every variant, by variant and position of the partner, and the passes over the tokens."""
    plain, padded = ([one for one in settings(work) if one.is_padded is wanted] for wanted in (False, True))
    models = LoadedModels.of(work, step_of(case), (case.model, *work.partners(case.model)))
    scored, own = _scores(models, models.tokens.rows, suite_masks(models, plain), plain, title="variants")
    rows, masks = published_padding(models)
    more, cut = _scores(models, rows, {one.mask: masks[one.mask] for one in padded}, padded, title="padding")
    return scored | more, (own, cut)


def _stacked(work: Workspace, scored: VariantScores) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the artifact: scores (variant, partner, neuron), tokens and draws (variant,)."""
    chosen, partners = settings(work), range(len(work.suite.zoo.models) - 1)
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.stack([np.stack([getattr(scored[one, partner], name) for partner in partners]) for one in chosen])
        for name in ("excess", "correlation")
    }
    arrays["tokens"] = np.array([scored[one, 0].tokens for one in chosen], dtype=np.int64)
    arrays["draws"] = np.array([one.draws for one in chosen], dtype=np.int32)
    return arrays


def _scores(
    models: LoadedModels, rows: TokenRows, masks: Mapping[str, RowMask], wanted: Sequence[VariantSetting], *, title: str
) -> tuple[VariantScores, Streamed]:
    """The scores by setting and position of the partner, in one pass over the tokens that some setting counts."""
    import torch

    from universal_neurons.core.scoring import GroupScores

    classes, parts = token_classes(masks)
    used = classes != UNUSED
    reading = Reading(f"step {models.refs[0].step}: {title}", rows, used, torch.from_numpy(classes[used]))
    places = range(1, len(models.refs))
    spec, asked = models.work.suite.universality, _asked(wanted, parts)
    load = replace(
        workload(models, [(0, place) for place in places], reading, groups=int(classes.max()) + 1),
        whitened=any("whitened" in baselines for baselines in asked.values()),
    )
    scores = GroupScores(
        load,
        asked,
        names=tuple(ref.name for ref in models.refs),
        kind=spec.rotation,
        seed=spec.seed,
        workers=rotation_workers(models.device),
    )
    counts: list[JSON] = [[list(one), [[*of] for of in baselines.items()]] for one, baselines in asked.items()]
    name: dict[str, JSON] = {"asked": counts, "rotation": spec.rotation}
    passes = streamed(models, load, reading, scores, name=name)
    found = {
        (one, place - 1): _scored(scores.maxima(place, parts[one.mask]), one) for place in places for one in wanted
    }
    return found, passes


def _asked(
    wanted: Sequence[VariantSetting], parts: Mapping[str, tuple[int, ...]]
) -> dict[tuple[int, ...], dict[Baseline, int]]:
    """Which groups of tokens are scored against which baselines, over how many draws at most.

    Masks that are the same on these rows are scored once.
    """
    asked: dict[tuple[int, ...], dict[Baseline, int]] = {used: {} for used in sorted(set(parts.values()))}
    for one in sorted(wanted, key=lambda setting: setting.baseline):
        baselines = asked[parts[one.mask]]
        baselines[one.baseline] = max(one.draws, baselines.get(one.baseline, 0))
    return asked


def _scored(found: PartnerMaxima, setting: VariantSetting) -> Scored:
    correlation = found.best.float()
    baseline = found.draws[setting.baseline][: setting.draws].double().mean(0).float()
    return Scored(correlation.numpy(), excess_correlation(correlation, baseline).numpy(), int(found.tokens))
