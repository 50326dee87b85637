"""N22: persistence is higher in later layers, on average.

Rule: Spearman's correlation of layer and persistence above 0. "On average" is read as over the three intervals between
25, 50 and 75 % of training, pooled like the pairs. A rule of direction, the same on every suite. It contradicts a pure
U-shape (N12) if early layers persist as much as late ones. With mini's four layers few correlations are possible, and
only a strict order of well separated layers excludes 0. Not evaluable where a layer has fewer than ten universal
neurons. The interval is over neurons.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.measures.controls import typical
from universal_neurons.measures.joint import smallest
from universal_neurons.measures.persistence_depth import persistence_rank_correlation
from universal_neurons.measures.spans import layers_dealt_anew, pair_spans, reference_spans
from universal_neurons.measures.study import Study


@claim(
    "N22",
    "Universal neurons persist more, the later their layer.",
    source="Nandan et al. 2025 v1, section 5 and section 4 (lines 89-90)",
    expect=GreaterThan(0.0),
    family="persistence",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_later_layers_are_more_persistent(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return persistence_rank_correlation(spans, threshold)


@control(of=test_later_layers_are_more_persistent)
def test_layers_dealt_out_anew_have_no_order(study: Study, threshold: float) -> Measurement:
    """The same neurons with false layers; fails if the order of a few noisy rates counts as a trend."""
    spans = reference_spans(study)
    return typical(
        lambda seed: persistence_rank_correlation(layers_dealt_anew(spans, seed=seed), threshold, resampled=False)
    )


@reading(of=test_later_layers_are_more_persistent, ambiguity="A15", says="over each of the three intervals")
def test_over_every_interval_later_layers(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return smallest([persistence_rank_correlation([span], threshold) for span in spans])


@reading(of=test_later_layers_are_more_persistent, ambiguity="A15", says="in every pair, the three intervals pooled")
def test_in_every_pair_later_layers(study: Study, threshold: float) -> Measurement:
    return smallest(
        [
            persistence_rank_correlation(
                pair_spans(study, partner),
                threshold,
            )
            for partner in study.partners()
        ]
    )
