"""G30b: at the very end prediction neurons give way to suppression neurons.

Rule (catalogue, Mechanisms): of the neurons above the threshold of kurtosis (G30a) the share with a negative skewness
is larger in the last layer than in the layer before, over the neurons of all models together, because a layer has few.
That suppression becomes the majority, as in GPT-2, is not asked for; the share is shown.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.predictions import every_model, suppression_shift
from universal_neurons.measures.study import Study


@claim(
    "G30b",
    "In the last layer a larger share of the neurons that write sharply into the vocabulary suppress tokens.",
    source="Gurnee et al. 2024, section 5.1 and figure 6",
    expect=GreaterThan(0.0),
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_suppression_neurons_come_last(study: Study, checkpoint: Checkpoint) -> Measurement:
    return suppression_shift(every_model(study, checkpoint))


@control(of=test_suppression_neurons_come_last)
def test_not_with_signs_dealt_out_anew(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Signs of skewness dealt among both layers' neurons; fails if the sizes of the layers are enough."""
    return suppression_shift(every_model(study, checkpoint), seed=0)
