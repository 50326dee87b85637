"""N12: persistence over depth is U-shaped, in every model.

Rule: mean(layers 0-1) > mean(layers 2-5) < mean(layers 9-11) in each pair and interval. Both contrasts must be above 0
over all three intervals between 25, 50 and 75 % of training, so the smallest of the six is judged; every pair is an
item. A rule of direction, the same on every suite; layers of twelve stand for layers of the same relative depth, in
mini layer 0 against 1 and 3 against 1. The quadratic contrast over all layers and Simonsohn's two-lines test stand in
the details: with four layers they can support a U, while the contrasts name where it is. Not evaluable where a layer
has fewer than ten universal neurons. The interval is over neurons.
"""

from collections.abc import Sequence

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.measures.controls import typical
from universal_neurons.measures.joint import smallest
from universal_neurons.measures.persistence_depth import MIDDLE, NARROW_MIDDLE, Band, u_shape
from universal_neurons.measures.spans import (
    TablesSpan,
    layers_dealt_anew,
    pair_spans,
    reference_spans,
)
from universal_neurons.measures.study import Study


@claim(
    "N12",
    "Universal neurons of early and of late layers persist more than those of the middle layers, in every pair.",
    source="Nandan et al. 2025 v1, appendix A.2 (lines 196-197) and figures 4-6",
    expect=GreaterThan(0.0),
    family="persistence",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_persistence_is_u_shaped_over_depth(study: Study, partner: str, threshold: float) -> Measurement:
    return _least(pair_spans(study, partner), threshold)


@control(of=test_persistence_is_u_shaped_over_depth)
def test_layers_dealt_out_anew_make_no_u(study: Study, partner: str, threshold: float) -> Measurement:
    """The same neurons with false layers; fails if few neurons per layer make a U by chance."""
    spans = pair_spans(study, partner)
    return typical(lambda seed: _least(layers_dealt_anew(spans, seed=seed), threshold, resampled=False))


@reading(of=test_persistence_is_u_shaped_over_depth, ambiguity="A10", says="all pairs pooled")
def test_of_all_pairs_together_a_u(study: Study, threshold: float) -> Measurement:
    return _least(reference_spans(study), threshold)


@reading(of=test_persistence_is_u_shaped_over_depth, ambiguity="A13", says="the middle layers are 3-5 of twelve")
def test_with_a_narrower_middle_a_u(study: Study, partner: str, threshold: float) -> Measurement:
    return _least(pair_spans(study, partner), threshold, NARROW_MIDDLE)


@reading(of=test_persistence_is_u_shaped_over_depth, ambiguity="A15", says="all pairs and the three intervals pooled")
def test_over_all_intervals_together_a_u(study: Study, threshold: float) -> Measurement:
    return u_shape(reference_spans(study), threshold)


def _least(
    spans: Sequence[TablesSpan], threshold: float, middle: Band = MIDDLE, *, resampled: bool = True
) -> Measurement:
    return smallest([u_shape([span], threshold, middle, resampled=resampled) for span in spans])
