"""R7: the weights of a neuron predict whether it is universal.

Rule (catalogue, Replication; its numbers of mini were seen before): from the four of the eight properties that are
weights, ranked in the layers, a logistic regression on all other models tells the universal neurons of a model from the
others of their layers better than chance (an area under the ROC curve above 0.5), on average over models. R7-eight is
the same of all eight properties.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.prediction import WEIGHTS, predicted_universality
from universal_neurons.measures.properties import EIGHT
from universal_neurons.measures.study import Study


@claim(
    "R7",
    "The weights of a neuron predict whether it is universal, by what the weights of other models' neurons say.",
    source="the replication of Gurnee et al. 2024; the test is ours",
    expect=GreaterThan(0.5),
    family="replication",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_weights_predict_universality(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return predicted_universality(study, checkpoint, threshold, WEIGHTS)


@control(of=test_weights_predict_universality)
def test_not_fitted_to_labels_dealt_out_anew(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Who is universal shuffled within the layers of the models that are fitted; fails if any fit predicts."""
    return predicted_universality(study, checkpoint, threshold, WEIGHTS, trained_on=0)


@control(of=test_weights_predict_universality)
def test_not_of_other_neurons(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Who is universal shuffled within the layers of the model that is judged; fails if any neurons are predicted."""
    return predicted_universality(study, checkpoint, threshold, WEIGHTS, judged_on=0)


@claim(
    "R7-eight",
    "The eight properties of a neuron predict whether it is universal, by what they say in other models.",
    source="the replication of Gurnee et al. 2024; the test is ours",
    expect=GreaterThan(0.5),
    family="replication",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_eight_properties_predict_universality(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return predicted_universality(study, checkpoint, threshold, tuple(EIGHT))


@control(of=test_eight_properties_predict_universality)
def test_eight_not_fitted_to_labels_dealt_out_anew(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Who is universal shuffled within the layers of the models that are fitted; fails if any fit predicts."""
    return predicted_universality(study, checkpoint, threshold, tuple(EIGHT), trained_on=0)


@control(of=test_eight_properties_predict_universality)
def test_eight_not_of_other_neurons(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Who is universal shuffled within the layers of the model that is judged; fails if any neurons are predicted."""
    return predicted_universality(study, checkpoint, threshold, tuple(EIGHT), judged_on=0)
