"""N9: universal neurons of the middle layers are less persistent.

Rule: the contrast of the mean persistence of the layers 3-5 minus the mean of all others is below 0. The text has no
number, so it is a rule of direction and the same on every suite. It is said of figure 1 with its three intervals, so it
is judged of the largest of the three contrasts, whose upper end must be below 0; pairs are pooled. Layers 3-5 of twelve
are, in a model of another depth, those whose middle lies in that quarter of the depth: in mini layer 1 alone. Not
evaluable where a layer has fewer than ten universal neurons. The interval is over neurons.
"""

from universal_neurons.harness import LessThan, Measurement, claim, control, reading
from universal_neurons.measures.controls import typical
from universal_neurons.measures.joint import largest
from universal_neurons.measures.persistence_depth import MIDDLE, NARROW_MIDDLE, persistence_contrast
from universal_neurons.measures.spans import layers_dealt_anew, pair_spans, reference_spans
from universal_neurons.measures.study import Study


@claim(
    "N9",
    "Universal neurons of the middle layers persist less than those of the other layers, over every interval.",
    source="Nandan et al. 2025 v1, section 4 (line 91), appendix A.2 and figure 1",
    expect=LessThan(0.0),
    family="persistence",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_middle_layers_are_less_persistent(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return largest([persistence_contrast([span], threshold, [NARROW_MIDDLE]) for span in spans])


@control(of=test_middle_layers_are_less_persistent)
def test_layers_dealt_out_anew_have_no_less_persistent_middle(study: Study, threshold: float) -> Measurement:
    """The same neurons with false layers; fails if neurons that are lost anywhere lower the middle."""

    def dealt(seed: int) -> Measurement:
        spans = layers_dealt_anew(reference_spans(study), seed=seed)
        return largest([persistence_contrast([span], threshold, [NARROW_MIDDLE], resampled=False) for span in spans])

    return typical(dealt)


@reading(of=test_middle_layers_are_less_persistent, ambiguity="A13", says="the middle layers are 2-5 of twelve")
def test_of_a_wider_middle(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return largest([persistence_contrast([span], threshold, [MIDDLE]) for span in spans])


@reading(of=test_middle_layers_are_less_persistent, ambiguity="A15", says="the three intervals are pooled")
def test_of_the_middle_over_all_intervals_together(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return persistence_contrast(spans, threshold, [NARROW_MIDDLE])


@reading(of=test_middle_layers_are_less_persistent, ambiguity="A15", says="in every pair, the three intervals pooled")
def test_of_the_middle_in_every_pair(study: Study, threshold: float) -> Measurement:
    return largest(
        [
            persistence_contrast(
                pair_spans(study, partner),
                threshold,
                [NARROW_MIDDLE],
            )
            for partner in study.partners()
        ]
    )
