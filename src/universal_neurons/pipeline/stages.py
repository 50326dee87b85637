"""All stages of a suite, in the order in which data flows.

    tokens -> universality (one pass over the tokens per checkpoint, all pairs) -> candidates (a second, cheap pass)
           -> ablation (of the universal neurons and of what they are compared with, on rows of its own)
           -> extensions (families and patches: the suite's reference only)
           -> variants (other masks, paddings, rotations: the suite's reference only)
           -> profiles (of every single neuron at the last checkpoint)

Nothing is computed that the store already holds: every table is committed when it is done, and a killed run goes on
with what is missing.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from universal_neurons.pipeline.ablation import write_ablations
from universal_neurons.pipeline.candidates import write_candidates
from universal_neurons.pipeline.extensions import write_extensions
from universal_neurons.pipeline.fetching import pin
from universal_neurons.pipeline.models import LoadedModels
from universal_neurons.pipeline.passes import STATES
from universal_neurons.pipeline.profiles import write_profiles
from universal_neurons.pipeline.resources import enough_memory, give_back
from universal_neurons.pipeline.resume import sweep
from universal_neurons.pipeline.tokens import evaluation_tokens, token_set
from universal_neurons.pipeline.universality import Asked, step_scores, write_tables
from universal_neurons.pipeline.variants import compute_variants
from universal_neurons.workspace import (
    Workspace,
    candidates_key,
    corpus_key,
    draws_key,
    evaluation_key,
    null_keys,
    suite_keys,
    table_keys,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def compute(work: Workspace) -> int:
    """Compute every artifact that the suite still lacks; returns how many of ``suite_keys`` that were.

    The tokens are not sampled where all evidence is there: only their identity is needed then.  Ablations come last:
    the neurons ablated in untrained models are those of the last checkpoint.

    Published models that nobody pinned yet are pinned first, for which a hub or a local folder must be there.
    """
    pin(work)
    sweep(work.store.working / STATES, work.warn)
    sampled = not work.store.has(corpus_key(work, "corpus"))
    if sampled:
        token_set(work)
    absent = sum(not work.store.has(key) for key in suite_keys(work))
    if not work.store.has(evaluation_key(work, "evaluation")):
        evaluation_tokens(work)
    give_back()
    for stages in _STAGES:
        for step in work.steps:
            for name, stage in stages:
                with enough_memory(work, f"step {step}: {name}"):
                    stage(work, step)
                give_back()
    return absent + sampled


def recomputed(work: Workspace) -> None:
    """Compute the whole suite into an empty store; one that was left unfinished by a kill goes on instead."""
    finished = work.store.working / "finished"
    if finished.exists():
        # The mark goes last: without it, what a kill leaves of the old store would pass for the beginning of a new one.
        for folder in work.store.working.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
        finished.unlink()
    compute(work)
    finished.touch()


def compute_step(work: Workspace, step: int) -> None:
    """The tables, null tables and candidates of one training step, as far as they are missing."""
    store = work.store
    candidates = {ref: key for ref in work.references(step) if not store.has(key := candidates_key(work, ref))}
    nulls = {case: key for case, key in null_keys(work, step).items() if not store.has(key)}
    # A list: the order of a set differs from run to run, and with it the last bits of what is computed together.
    tables = [
        pair
        for pair, key in table_keys(work, step).items()
        if not store.has(key) or (pair.reference in candidates and not store.has(draws_key(work, pair)))
    ]
    if not tables and not nulls and not candidates:
        return
    models = LoadedModels.of(work, work.models(step))
    # Everything, also where a part of it is there: what is missing is then, to the last bit, what an undisturbed run
    # would have written, and an unfinished computation is found by one name.
    scores = step_scores(models, Asked.of(tuple(table_keys(work, step)), tuple(null_keys(work, step))))
    write_tables(work, scores, tables, nulls)
    if candidates:
        write_candidates(work, scores, candidates)
    scores.passes.forget()


# What is computed of every step; what lies below needs what lies above at every step.
_STAGES: tuple[tuple[tuple[str, Callable[[Workspace, int], None]], ...], ...] = (
    (("universality", compute_step), ("variants", compute_variants)),
    (("ablations", write_ablations), ("extensions", write_extensions), ("profiles", write_profiles)),
)
