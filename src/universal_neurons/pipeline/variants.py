"""Variants: the reference's scores under other choices of tokens, padding and rotations, at every trained checkpoint.

One pass over all tokens that some mask wants, the moments kept apart by disjoint classes of tokens: moments add
exactly, so every mask policy and every number of tokens is a sum of classes.  A second, shorter pass reads rows that
are padded as the published code pads them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from universal_neurons.artifacts.provenance import capture
from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import MaskPolicy, RowMask, TokenRows, padded_rows, score_mask
from universal_neurons.pipeline.models import LoadedModels
from universal_neurons.pipeline.passes import Reading, Streamed, streamed, workload
from universal_neurons.pipeline.resources import ROTATION_WORKERS, device
from universal_neurons.workspace import Workspace, hub_corpus, variants_key, variants_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.scoring import Baseline, PartnerMaxima

    Found = dict[tuple["Setting", int], "Scored"]

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
    wanted = settings(work)
    with capture(device=str(device(work))) as run:
        models = LoadedModels.of(work, [work.model(name, step) for name in reference_first(work)])
        scored, own = suite_scores(models, [one for one in wanted if not one.is_padded])
        padded, cut = padded_scores(models, [one for one in wanted if one.is_padded])
        scored |= padded
    partners = range(len(models.refs) - 1)
    arrays: dict[str, Any] = {
        name: np.stack([np.stack([getattr(scored[one, partner], name) for partner in partners]) for one in wanted])
        for name in ("excess", "correlation")
    }
    arrays["tokens"] = np.array([scored[one, 0].tokens for one in wanted], dtype=np.int64)
    arrays["draws"] = np.array([one.draws for one in wanted], dtype=np.int32)
    precision = max((own, cut), key=lambda passes: passes.error).precision
    work.store.write(variants_key(work, step), arrays, replace(run.provenance, precision=precision))
    for passes in (own, cut):
        passes.forget()


def reference_first(work: Workspace) -> list[str]:
    """The models' names in the order in which variants have them: the reference, then its partners in the suite's."""
    return sorted(work.suite.zoo.models, key=lambda name: name != work.suite.zoo.reference)


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


def suite_scores(models: LoadedModels, wanted: Sequence[Setting]) -> tuple[Found, Streamed]:
    """The variants on the suite's own rows, by setting and place of the partner, and what reading them took."""
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


def padded_scores(models: LoadedModels, wanted: Sequence[Setting]) -> tuple[Found, Streamed]:
    """The variants on rows cut to half the context and padded, by setting and place of the partner; as before."""
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


def _scores(
    models: LoadedModels, rows: TokenRows, masks: Mapping[str, RowMask], wanted: Sequence[Setting], *, title: str
) -> tuple[Found, Streamed]:
    """The scores of several settings, in one pass over the tokens that some of them count."""
    import torch

    from universal_neurons.core.scoring import GroupScores

    classes, parts = token_classes(masks)
    used = classes != UNUSED
    reading = Reading(f"step {models.refs[0].step}: {title}", rows, used, torch.from_numpy(classes[used]))
    places = range(1, len(models.refs))
    spec, asked = models.work.suite.universality, _asked(wanted, parts)
    work = replace(
        workload(models, [(0, place) for place in places], reading, groups=int(classes.max()) + 1),
        whitened=any("whitened" in baselines for baselines in asked.values()),
    )
    scores = GroupScores(
        work,
        asked,
        names=tuple(ref.name for ref in models.refs),
        kind=spec.rotation,
        seed=spec.seed,
        workers=ROTATION_WORKERS if models.device.type == "cuda" else 0,
    )
    counts: list[JSON] = [[list(one), [[*of] for of in baselines.items()]] for one, baselines in asked.items()]
    name: dict[str, JSON] = {"asked": counts, "rotation": spec.rotation}
    passes = streamed(models, work, reading, scores, name=name)
    found = {
        (one, place - 1): _scored(scores.maxima(place, parts[one.mask]), one) for place in places for one in wanted
    }
    return found, passes


def _asked(
    wanted: Sequence[Setting], parts: Mapping[str, tuple[int, ...]]
) -> dict[tuple[int, ...], dict[Baseline, int]]:
    """Which groups of tokens are scored against which baselines, over how many draws at most.

    Masks that are the same on these rows are scored once.
    """
    asked: dict[tuple[int, ...], dict[Baseline, int]] = {used: {} for used in sorted(set(parts.values()))}
    for one in sorted(wanted, key=lambda setting: setting.baseline):
        baselines = asked[parts[one.mask]]
        baselines[one.baseline] = max(one.draws, baselines.get(one.baseline, 0))
    return asked


def _scored(found: PartnerMaxima, one: Setting) -> Scored:
    correlation = found.best.float()
    excess = correlation - found.draws[one.baseline][: one.draws].double().mean(0).float()
    return Scored(correlation.numpy(), excess.numpy(), int(found.tokens))
