"""The numbers about persistence that the report shows, from a study's universality tables.

Decides which spans of time, which pairs and which layers are shown; asks ``measures.persistence`` and
``measures.robustness`` for each number, as the claims do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from universal_neurons.inputs.published import published
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.persistence import SHARE, ceiling, persistence, persistence_by_layer
from universal_neurons.measures.persistence_depth import DEEPEST
from universal_neurons.measures.study import paper_checkpoints

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from universal_neurons.measures.study import TrainedCheckpoint
    from universal_neurons.measures.tables import ReferenceTables, StepTables
    from universal_neurons.render.study import Study

Span = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PrintedPersistence:
    """What the paper printed: the lower bound of the persistence overall, and that of the two deepest layers."""

    overall: float
    deepest: float


@dataclass(frozen=True)
class Persistence:
    """Persistence between checkpoints, named by their labels.

    ``pooled`` is over all partners and ``layers`` the same of every layer; ``by_partner`` and ``partner_layers`` are of
    one pair, over the spans that the paper looks at (``paper``): three, one of two checkpoints, none of one.
    ``all_spans`` are all later checkpoints from all earlier ones; ``ceilings`` the agreement of the two halves of the
    tokens at one checkpoint.
    """

    spans: tuple[Span, ...]
    depth: int
    partners: tuple[str, ...]
    layers: Mapping[Span, tuple[Measurement, ...]]
    by_partner: Mapping[tuple[Span, str], Measurement]
    partner_layers: Mapping[tuple[Span, str], tuple[Measurement, ...]]
    all_spans: Mapping[Span, Measurement]
    ceilings: Mapping[str, Measurement]
    printed: PrintedPersistence
    deepest: tuple[int, ...]
    threshold: float
    artifacts: tuple[str, ...]

    @property
    def longest(self) -> Span:
        """The span from the first to the last of the paper's checkpoints."""
        return self.spans[-1]


def printed_persistence(root: Path) -> PrintedPersistence:
    """The two numbers of the paper's text; raises PublishedError where they are not among the published ones."""
    overall = published("nandan2025.text", root=root, quantity="persistence, lower bound")
    deepest = published("nandan2025.text", root=root, quantity="persistence of layers 10 and 11, lower bound")
    return PrintedPersistence(overall, deepest)


def persistence_results(study: Study, printed: PrintedPersistence) -> Persistence:
    """All numbers about persistence; raises the study's own errors where an artifact is missing."""
    before = len(study.reads)
    threshold = study.suite.universality.threshold
    tables = {c.label: study.reference_tables(checkpoint=c) for c in study.checkpoints}
    labels = [str(c) for c in _shown(paper_checkpoints(study))]
    spans = _in_the_papers_order(labels)
    partners = study.partners()
    return Persistence(
        spans=spans,
        depth=study.suite.layers,
        partners=partners,
        layers={span: _layers(tables[span[0]], tables[span[1]], threshold) for span in spans},
        by_partner={
            (span, partner): persistence(tables[span[0]].tables[partner], tables[span[1]].tables[partner], threshold)
            for span in spans
            for partner in partners
        },
        partner_layers={
            (span, partner): _layers(tables[span[0]].tables[partner], tables[span[1]].tables[partner], threshold)
            for span in spans
            for partner in partners
        },
        all_spans=_all_spans(tables, threshold),
        ceilings={label: ceiling(found, threshold) for label, found in tables.items()},
        printed=printed,
        deepest=DEEPEST.layers(study.suite.layers),
        threshold=threshold,
        artifacts=tuple(dict.fromkeys(study.reads[before:])),
    )


def _shown(stages: Sequence[TrainedCheckpoint]) -> tuple[TrainedCheckpoint, ...]:
    """Three checkpoints, as the paper's figures have; where the suite lacks the paper's own, both ends and the middle.

    All of twelve would be sixty-six spans, which no figure shows.
    """
    return tuple(stages) if len(stages) <= 3 else (stages[0], stages[len(stages) // 2], stages[-1])


def _in_the_papers_order(labels: list[str]) -> tuple[Span, ...]:
    """Neighbours first, then the long spans, as figures 4 to 6 have them."""
    places = sorted(combinations(range(len(labels)), 2), key=lambda span: (span[1] - span[0], span))
    return tuple((labels[given], labels[then]) for given, then in places)


def _all_spans(tables: Mapping[str, ReferenceTables], threshold: float) -> dict[Span, Measurement]:
    return {
        (given, then): persistence(tables[given], tables[then], threshold)
        for given, then in combinations(list(tables), 2)
    }


def _layers(given: StepTables, then: StepTables, threshold: float) -> tuple[Measurement, ...]:
    found = persistence_by_layer(given, then, threshold)
    return tuple(measured(row, over=Over.NEURONS, unit=SHARE, level=_level(given)) for row in _records(found))


def _level(tables: StepTables) -> float:
    first = tables if hasattr(tables, "resampling") else next(iter(tables.tables.values()))
    return first.resampling.level


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


def measured(row: Mapping[Any, Any], *, over: Over, unit: str, level: float) -> Measurement:
    """A row of a table of measurements as a measurement; its other finite numbers are the details."""
    n = int(row.get("n", 0) or 0)
    if math.isnan(row["value"]):
        return Measurement.missing(n=n, over=over, unit=unit)
    details = {
        str(k): float(v)
        for k, v in row.items()
        if k not in {"value", "low", "high", "n"} and isinstance(v, int | float) and not math.isnan(v)
    }
    return Measurement(row["value"], row["low"], row["high"], n, over, level, unit, details)
