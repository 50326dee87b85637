"""Spans of training from an earlier to a later checkpoint, and the tables at their two ends."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.controls import shuffled_layers
from universal_neurons.measures.study import (
    HasStep,
    Study,
    TrainedCheckpoint,
    ends_of,
    null_tables,
    paper_checkpoints,
)
from universal_neurons.measures.tables import StepTables, UniversalityTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TablesSpan = tuple[StepTables, StepTables]


def paper_spans(study: Study) -> tuple[tuple[TrainedCheckpoint, TrainedCheckpoint], ...]:
    """The spans of the paper: every earlier and later one of :func:`paper_checkpoints`.

    Raises NotOnSuite where there is one checkpoint alone.
    """
    return spans_between(paper_checkpoints(study))


def spans_between(
    checkpoints: Sequence[TrainedCheckpoint],
) -> tuple[tuple[TrainedCheckpoint, TrainedCheckpoint], ...]:
    """Every earlier and later one of ``checkpoints``; raises NotOnSuite where there is one checkpoint alone."""
    ends_of(checkpoints)
    return tuple(combinations(checkpoints, 2))


def spans_of(
    checkpoints: Sequence[tuple[HasStep, HasStep]], tables_of: Callable[[HasStep], StepTables]
) -> list[TablesSpan]:
    """The tables at both ends of each span, read once where two spans share an end."""
    read: dict[int, StepTables] = {}
    for checkpoint in (checkpoint for span in checkpoints for checkpoint in span):
        if checkpoint.step not in read:
            read[checkpoint.step] = tables_of(checkpoint)
    return [(read[earlier.step], read[later.step]) for earlier, later in checkpoints]


def reference_spans(study: Study) -> list[TablesSpan]:
    """The spans of the paper, of the suite's reference against all its partners."""
    return spans_of(paper_spans(study), lambda checkpoint: study.reference_tables(checkpoint=checkpoint))


def pair_spans(study: Study, partner: str) -> list[TablesSpan]:
    """The spans of the paper, of the suite's reference against one partner."""
    return spans_of(paper_spans(study), lambda checkpoint: study.universality(partner=partner, checkpoint=checkpoint))


def untrained_spans(study: Study) -> list[TablesSpan]:
    """The spans of the paper between untrained models, which are the same at both ends: what is universal persists."""
    return spans_of(paper_spans(study), lambda checkpoint: null_tables(study, checkpoint=checkpoint, kind="untrained"))


def layers_dealt_anew(spans: Sequence[TablesSpan], *, seed: int) -> list[TablesSpan]:
    """The same spans with the layers dealt out anew among the neurons, the same at every checkpoint and partner."""

    def dealt(tables: StepTables) -> StepTables:
        if isinstance(tables, UniversalityTable):
            return shuffled_layers(tables, seed=seed)
        return tables.each(lambda table: shuffled_layers(table, seed=seed))

    altered = {id(tables): tables for span in spans for tables in span}
    altered = {key: dealt(tables) for key, tables in altered.items()}
    return [(altered[id(given)], altered[id(then)]) for given, then in spans]


def distance_from_share(study: Study, checkpoint: HasStep, *, named: HasStep) -> Measurement:
    """Share of all training steps done at ``checkpoint``, minus the share after which ``named`` is called.

    The steps of the whole training are the last checkpoint's over its share.  n is that number; nothing is sampled.
    Missing where ``named`` is no checkpoint of the study.
    """
    last = study.checkpoints[-1]
    steps = last.step / last.share
    shares = {trained.step: trained.share for trained in study.checkpoints}
    if named.step not in shares:
        return Measurement.missing(unit="share")
    distance = checkpoint.step / steps - shares[named.step]
    return Measurement(distance, distance, distance, round(steps), Over.NOTHING, unit="share")
