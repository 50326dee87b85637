"""Token masks of the suite's variants: which tokens count under each other choice, and in which disjoint classes.

Moments add exactly, so the moments of every mask are sums over disjoint classes of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import MaskPolicy, RowMask, TokenRows, padded_rows, score_mask
from universal_neurons.stages.workspace import Workspace, row_cutting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.core.scoring import Baseline
    from universal_neurons.stages.models import LoadedModels

Classes = npt.NDArray[np.int64]
# The suite's own mask and all of its tokens.
OWN = "own"
UNUSED = -1


@dataclass(frozen=True, slots=True)
class VariantSetting:
    """One variant: the name of the mask of its tokens, the kind of its rotation baseline, its number of draws."""

    name: str
    mask: str
    baseline: Baseline
    draws: int

    @property
    def is_padded(self) -> bool:
        """Whether its tokens stand in padded rows."""
        return self.name.startswith("padding:")


def settings(work: Workspace) -> list[VariantSetting]:
    """The settings of every variant of the suite; each changes one choice."""
    spec, variants = work.suite.universality, work.suite.variants
    found = []
    for name in variants.names:
        choice, _, value = name.partition(":")
        match choice:
            case "rotation":
                found.append(VariantSetting(name, OWN, cast("Baseline", value), spec.draws))
            case "draws":
                found.append(VariantSetting(name, OWN, spec.rotation, int(value)))
            case _:
                found.append(VariantSetting(name, name, spec.rotation, variants.draws))
    return found


def suite_masks(models: LoadedModels, wanted: Sequence[VariantSetting]) -> dict[str, RowMask]:
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
    context, begun = work.zoo.recipe().context, row_cutting(work) == "documents"
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
    parts = {name: tuple(int(n) for n in number[patterns[:, column]]) for column, name in enumerate(masks)}
    return number[classes.reshape(-1)].reshape(wanted.shape[:-1]), parts
