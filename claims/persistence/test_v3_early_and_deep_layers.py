"""V3: persistence is high particularly in early and deeper layers.

Rule: the contrast of the mean persistence of layers 0-1 and 9-11 minus the mean of layers 2-5 is above 0, over every
interval between neighbouring checkpoints of the suite (v2 has five, of which mini has four). A rule of direction, the
same on every suite; layers of twelve stand for layers of the same relative depth, in mini 0 and 3 against 1. Pairs are
pooled; every interval is an item, and all must hold. Not evaluable where a layer has fewer than ten universal neurons.
The interval is over neurons.
"""

from universal_neurons.harness import GreaterThan, Interval, Measurement, claim, control, reading
from universal_neurons.measures.controls import typical
from universal_neurons.measures.persistence_depth import EARLY, LATE, MIDDLE, NARROW_MIDDLE, persistence_contrast
from universal_neurons.measures.spans import layers_dealt_anew, spans_between, spans_of
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import ReferenceTables


@claim(
    "V3",
    "Universal neurons of early and of deep layers together persist more than those of the middle layers.",
    source="Nandan et al. 2025 v2, abstract",
    expect=GreaterThan(0.0),
    family="persistence",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_early_and_deep_layers_are_more_persistent(study: Study, interval: Interval, threshold: float) -> Measurement:
    return persistence_contrast([_ends(study, interval)], threshold, [EARLY, LATE], [MIDDLE])


@control(of=test_early_and_deep_layers_are_more_persistent)
def test_layers_dealt_out_anew_have_no_edges(study: Study, interval: Interval, threshold: float) -> Measurement:
    """The same neurons with false layers; fails if neurons that stay anywhere lift the edges."""
    spans = [_ends(study, interval)]
    return typical(
        lambda seed: persistence_contrast(
            layers_dealt_anew(spans, seed=seed), threshold, [EARLY, LATE], [MIDDLE], resampled=False
        )
    )


@reading(of=test_early_and_deep_layers_are_more_persistent, ambiguity="A13", says="the middle layers are 3-5 of twelve")
def test_of_edges_around_a_narrower_middle(study: Study, interval: Interval, threshold: float) -> Measurement:
    return persistence_contrast([_ends(study, interval)], threshold, [EARLY, LATE], [NARROW_MIDDLE])


@reading(
    of=test_early_and_deep_layers_are_more_persistent,
    ambiguity="A15",
    says="every earlier and later checkpoint of the suite, pooled",
)
def test_of_edges_over_all_spans_together(study: Study, threshold: float) -> Measurement:
    spans = spans_of(spans_between(study.checkpoints), lambda stage: study.reference_tables(checkpoint=stage))
    return persistence_contrast(spans, threshold, [EARLY, LATE], [MIDDLE])


def _ends(study: Study, interval: Interval) -> tuple[ReferenceTables, ReferenceTables]:
    return (
        study.reference_tables(checkpoint=interval.earlier),
        study.reference_tables(checkpoint=interval.later),
    )
