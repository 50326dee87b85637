"""G62: universal neurons have a nearer twin in their own model by input weights.

Rule (catalogue, Properties): the percentile in the layer of the largest cosine of a neuron's input weights with those
of another neuron; the median over universal neurons lies above 50. Figure 10 prints no number.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.properties import borrowed_contrast, contrast, dealt_contrast
from universal_neurons.measures.study import Study


@claim(
    "G62",
    "By their input weights universal neurons have a nearer twin in their model than others of their layers.",
    source="Gurnee et al. 2024, section 6 and figure 10",
    expect=GreaterThan(50.0),
    family="properties",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_universal_neurons_have_nearer_twins(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return contrast(study, "twin_in", checkpoint, threshold, reference)


@control(of=test_universal_neurons_have_nearer_twins)
def test_not_with_labels_dealt_out_anew(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels shuffled within layers; fails if the interval excludes 50 more often than it should."""
    return dealt_contrast(study, "twin_in", checkpoint, threshold, reference)


@control(of=test_universal_neurons_have_nearer_twins)
def test_not_with_the_labels_of_other_models(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The neurons universal in a partner, by their numbers; fails if numbers mean anything across models."""
    return borrowed_contrast(study, "twin_in", checkpoint, threshold, reference)
