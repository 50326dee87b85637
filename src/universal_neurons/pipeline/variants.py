"""Variants: the reference's scores under other choices of tokens, padding and rotations, at every trained checkpoint.

One pass over all tokens that some mask wants, the moments kept apart by disjoint classes of tokens: moments add
exactly, so every mask policy and every number of tokens is a sum of classes.  A second, shorter pass reads rows that
are padded as the published code pads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from universal_neurons.artifacts.provenance import capture
from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import MaskPolicy, RowMask, TokenRows, padded_rows, score_mask
from universal_neurons.pipeline.models import LoadedModels
from universal_neurons.workspace import Workspace, hub_corpus, variants_key, variants_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from universal_neurons.core.moments import CrossMoments, PairwiseAccumulator
    from universal_neurons.core.nulls import Rotation

Baseline = Literal["gaussian", "orthogonal", "whitened"]
Classes = npt.NDArray[np.int64]
# The suite's own mask and all of its tokens.
OWN = "own"
UNUSED = -1


@dataclass(frozen=True, slots=True)
class Setting:
    """One variant: which tokens count (a name among the masks), what is rotated how, over how many draws."""

    name: str
    mask: str
    baseline: Baseline
    draws: int

    @property
    def is_padded(self) -> bool:
        """Whether its tokens stand in padded rows."""
        return self.name.startswith("padding:")


@dataclass(frozen=True, eq=False)
class Scored:
    """One variant against one partner: best correlation and excess per neuron, over how many tokens."""

    correlation: npt.NDArray[np.float32]
    excess: npt.NDArray[np.float32]
    tokens: int


def compute_variants(work: Workspace, step: int) -> None:
    """Compute and store the variants of one step, unless they are there or the step is untrained."""
    if all(work.store.has(key) for key in variants_keys(work, step)):
        return
    reference = work.suite.zoo.reference
    others = (name for name in work.suite.zoo.models if name != reference)
    models = LoadedModels.of(work, [work.model(name, step) for name in (reference, *others)])
    wanted = settings(work)
    with capture() as run:
        scored = suite_scores(models, [one for one in wanted if not one.is_padded])
        scored |= padded_scores(models, [one for one in wanted if one.is_padded])
    partners = range(len(models.refs) - 1)
    arrays: dict[str, Any] = {
        name: np.stack([np.stack([getattr(scored[one, partner], name) for partner in partners]) for one in wanted])
        for name in ("excess", "correlation")
    }
    arrays["tokens"] = np.array([scored[one, 0].tokens for one in wanted], dtype=np.int64)
    arrays["draws"] = np.array([one.draws for one in wanted], dtype=np.int32)
    work.store.write(variants_key(work, step), arrays, run.provenance)


def settings(work: Workspace) -> list[Setting]:
    """What each variant of the suite changes; everything else is as the suite has it."""
    spec, variants = work.suite.universality, work.suite.variants
    found = []
    for name in variants.names:
        choice, _, value = name.partition(":")
        match choice:
            case "rotation":
                found.append(Setting(name, OWN, cast("Baseline", value), spec.draws))
            case "draws":
                found.append(Setting(name, OWN, spec.rotation, int(value)))
            case _:
                found.append(Setting(name, name, spec.rotation, variants.draws))
    return found


def suite_scores(models: LoadedModels, wanted: Sequence[Setting]) -> dict[tuple[Setting, int], Scored]:
    """The variants on the suite's own rows, by setting and place of the partner."""
    rows = models.tokens.rows
    return _scores(models, rows, suite_masks(models, wanted), wanted, title="variants")


def suite_masks(models: LoadedModels, wanted: Sequence[Setting]) -> dict[str, RowMask]:
    """The scored positions of the suite's rows under each mask that ``wanted`` asks for."""
    work, tokens = models.work, models.tokens
    masks = {OWN: tokens.mask}
    for name in {one.mask for one in wanted} - {OWN}:
        choice, _, value = name.partition(":")
        if choice == "mask":
            special, newline = (work.zoo.end_of_text,), work.zoo.newline
            masks[name] = score_mask(tokens.rows, MaskPolicy(value), special=special, newline=newline)
        else:
            masks[name] = first_tokens(tokens.mask, int(value))
    return {one.mask: masks[one.mask] for one in wanted}


def first_tokens(mask: RowMask, tokens: int) -> RowMask:
    """``mask`` without all rows after the first ones that have ``tokens`` scored tokens; as a smaller suite's is."""
    kept = np.cumsum(mask.sum(axis=1))
    first = mask.copy()
    first[int(np.searchsorted(kept, tokens)) + 1 :] = False
    return first


def padded_scores(models: LoadedModels, wanted: Sequence[Setting]) -> dict[tuple[Setting, int], Scored]:
    """The variants on rows cut to half the context and padded, by setting and place of the partner."""
    rows, masks = published_padding(models)
    return _scores(models, rows, {one.mask: masks[one.mask] for one in wanted}, wanted, title="padding")


def published_padding(models: LoadedModels) -> tuple[TokenRows, dict[str, RowMask]]:
    """An emulation of the published padding on the suite's first rows, with the padding counted and with it dropped.

    Each row is cut to half the models' context, which is what the published default of 512 tokens is to GPT-2's
    context of 1024, and padded (:func:`universal_neurons.inputs.corpus.padded_rows`).  The published filter then drops
    end-of-text and newlines only, so padding and position 0 are data.  As many rows as give ``padded_tokens`` counted
    tokens, or all.  Raises UserError where the padding's text is not one token of the zoo's vocabulary.
    """
    work, spec = models.work, models.work.suite.variants
    padding = work.zoo.tokenizer().token_to_id(spec.padding)
    if padding is None:
        raise UserError(f"suite {work.suite.name}: variants.padding: expected a token of the zoo, got {spec.padding!r}")
    context, text = work.zoo.recipe().context, hub_corpus(work)
    begun = text is None or text.recipe.cutting == "documents"
    rows, is_text = padded_rows(models.tokens.rows, length=context // 2, context=context, padding=padding, begun=begun)
    special, newline = (work.zoo.end_of_text,), work.zoo.newline
    counted = score_mask(rows, MaskPolicy.PUBLISHED, special=special, newline=newline)
    stop = int(np.searchsorted(np.cumsum(counted.sum(axis=1)), spec.padded_tokens)) + 1
    counted, is_text = counted[:stop], is_text[:stop]
    return rows[:stop], {"padding:published": counted, "padding:dropped": counted & is_text}


def token_classes(masks: Mapping[str, RowMask]) -> tuple[Classes, dict[str, tuple[int, ...]]]:
    """The class of every position, and of which classes each mask is made.

    Two positions are in one class if the same masks want them, so the classes are disjoint, none is empty, and every
    mask is a union of some.  Positions that no mask wants are in none (-1).
    """
    wanted = np.stack(list(masks.values()), axis=-1)
    patterns, classes = np.unique(wanted.reshape(-1, len(masks)), axis=0, return_inverse=True)
    used = patterns.any(axis=1)
    number = np.where(used, np.cumsum(used) - 1, UNUSED)
    parts = {
        name: tuple(int(n) for n in number[patterns[:, place]]) for place, name in enumerate(masks)
    }  # fmt: skip
    return number[classes.reshape(-1)].reshape(wanted.shape[:-1]), parts


def class_moments(models: LoadedModels, rows: TokenRows, classes: Classes, *, title: str) -> PairwiseAccumulator:
    """One pass: the moments of the first model with each other one, in a group per class of tokens."""
    import torch

    from universal_neurons.core.moments import PairwiseAccumulator

    pairs = [(0, other) for other in range(1, len(models.refs))]
    accumulator = PairwiseAccumulator(models.widths, pairs=pairs, groups=int(classes.max()) + 1)
    used = classes != UNUSED
    label = torch.from_numpy(classes[used])
    for values, group in models.labelled_stream(f"step {models.refs[0].step}: {title}", rows, used, label):
        accumulator.add(values, group)
    return accumulator


def _scores(
    models: LoadedModels, rows: TokenRows, masks: Mapping[str, RowMask], wanted: Sequence[Setting], *, title: str
) -> dict[tuple[Setting, int], Scored]:
    from universal_neurons.core.matmul import fastest_checked_precision

    classes, parts = token_classes(masks)
    found: dict[tuple[Setting, int], Scored] = {}
    with fastest_checked_precision():
        accumulator = class_moments(models, rows, classes, title=title)
        for place in range(1, len(models.refs)):
            groups = accumulator.crosses(0, place)
            for used in sorted(set(parts.values())):
                # Masks that are the same on these rows are scored once.
                here = [one for one in wanted if parts[one.mask] == used]
                cross = reduce(add, (groups[number] for number in used))
                found |= {(one, place - 1): scored for one, scored in _scored(models, place, cross, here)}
    return found


def _scored(
    models: LoadedModels, place: int, cross: CrossMoments, wanted: Sequence[Setting]
) -> Iterator[tuple[Setting, Scored]]:
    """The scores of several settings that count the same tokens."""
    from universal_neurons.core.universality import best_partners

    correlation = best_partners(cross.correlation(), 1)[1][:, 0].float().cpu()
    for baseline in sorted({one.baseline for one in wanted}):
        here = [one for one in wanted if one.baseline == baseline]
        draws = _baseline_draws(models, place, cross, baseline, draws=max(one.draws for one in here))
        for one in here:
            excess = correlation - draws[: one.draws].double().mean(0).float()
            yield one, Scored(correlation.numpy(), excess.numpy(), cross.count)


def _baseline_draws(models: LoadedModels, place: int, cross: CrossMoments, baseline: Baseline, *, draws: int) -> Tensor:
    from universal_neurons.core.nulls import rotated_maxima, whitened

    spec = models.work.suite.universality
    kind: Rotation = spec.rotation if baseline == "whitened" else baseline
    turned = whitened(cross) if baseline == "whitened" else cross
    (maxima,) = rotated_maxima([turned], draws=draws, kind=kind, seed=spec.seed, model=models.refs[place].name)
    return maxima.float().cpu()
