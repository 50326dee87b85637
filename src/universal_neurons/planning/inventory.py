"""What of a suite is in the store, step by step, and what would have to be computed.

This module mirrors :mod:`universal_neurons.pipeline.stages`: what it calls absent is what ``compute`` would make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from universal_neurons.workspace import (
    NullKind,
    Pair,
    Workspace,
    ablated_models,
    ablation_key,
    ablation_role,
    candidates_key,
    corpus_key,
    evaluation_key,
    extensions_key,
    null_cases,
    profiles_key,
    universality_key,
    variants_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from universal_neurons.artifacts.key import Key
    from universal_neurons.ids import ModelRef


Case = TypeVar("Case")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The store as a plan sees it; ``empty`` where nothing counts as present and no key is made.

    Keys rest on the digest of the tokens and of the weights: before the tokens are sampled and the models pinned there
    are none, and nothing that they would name can have been computed.
    """

    work: Workspace
    empty: bool

    @classmethod
    def of(cls, work: Workspace) -> Shelf:
        """The suite's store; empty before its tokens were sampled."""
        return cls(work, empty=not work.store.has(corpus_key(work, "corpus")))

    def lacking(self, cases: Iterable[Case], key: Callable[[Case], Key]) -> tuple[Case, ...]:
        """Those of ``cases`` whose artifact is not there."""
        return tuple(case for case in cases if self.empty or not self.work.store.has(key(case)))


@dataclass(frozen=True, slots=True)
class Absent:
    """What of one step is not there.

    ``scores``: whether some table, null or candidates are absent; all ``pairs`` and ``nulls`` of the step are then
    scored again, because they are made together.  ``missing`` counts absent artifacts by stage, ``artifacts`` all.
    """

    step: int
    scores: bool
    pairs: tuple[Pair, ...]
    nulls: tuple[tuple[Pair, NullKind], ...]
    candidates: tuple[ModelRef, ...]
    variants: bool
    ablations: tuple[ModelRef, ...]
    extensions: bool
    profiles: tuple[ModelRef, ...]
    artifacts: dict[str, int]
    missing: dict[str, int]


def absent_tokens(shelf: Shelf) -> tuple[str, ...]:
    """Which token sets are not there: ``corpus``, which identifies neurons, ``evaluation``, which judges ablations."""
    keys = {"corpus": corpus_key, "evaluation": evaluation_key}
    return shelf.lacking(keys, lambda stage: keys[stage](shelf.work, stage))


def absent(shelf: Shelf, step: int) -> Absent:
    """What ``compute`` would make at ``step``."""
    work = shelf.work
    pairs, cases, references = work.pairs(step), null_cases(work, step), work.references(step)
    trained = {checkpoint.step for checkpoint in work.suite.checkpoints}
    varied = [step] if step in trained and work.suite.variants.names else []
    ablated = [(ref, stage) for ref in ablated_models(work, step) for stage in ("ablation", "ablation-blocks")]
    profiled = work.models(step) if step == work.suite.checkpoints[-1].step else ()
    is_extended = ablation_role(work, step) != "untrained" and work.suite.ablation.extensions
    extended = ("extensions", "extensions-blocks") if is_extended else ()
    extended_model = work.model(work.suite.zoo.reference, step)

    tables = shelf.lacking(pairs, lambda pair: universality_key(work, pair))
    nulls = shelf.lacking(cases, lambda case: universality_key(work, case[0], f"null-{case[1]}"))
    candidates = shelf.lacking(references, lambda ref: candidates_key(work, ref))
    variants = shelf.lacking(varied, lambda at: variants_key(work, at))
    ablations = shelf.lacking(ablated, lambda part: ablation_key(work, *part))
    extensions = shelf.lacking(extended, lambda stage: extensions_key(work, extended_model, stage))
    profiles = shelf.lacking(profiled, lambda ref: profiles_key(work, ref))
    everything = {
        "universality": (*pairs, *cases),
        "candidates": references,
        "variants": varied,
        "ablation": ablated,
        "extensions": extended,
        "profiles": profiled,
    }
    missing = {
        "universality": (*tables, *nulls),
        "candidates": candidates,
        "variants": variants,
        "ablation": ablations,
        "extensions": extensions,
        "profiles": profiles,
    }
    return Absent(
        step=step,
        scores=bool(tables or nulls or candidates),
        pairs=pairs,
        nulls=cases,
        candidates=candidates,
        variants=bool(variants),
        ablations=tuple(dict.fromkeys(ref for ref, _ in ablations)),
        extensions=bool(extensions),
        profiles=profiles,
        artifacts={stage: len(found) for stage, found in everything.items()},
        missing={stage: len(found) for stage, found in missing.items()},
    )
