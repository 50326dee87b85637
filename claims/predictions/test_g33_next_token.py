"""G33: suppression neurons fire before the tokens that they suppress; prediction neurons before those they predict.

Rule (catalogue, Mechanisms): over the neurons of each role in the last quarter of the depth, in all models together,
the median of P(more active where the next token is in S than where it is not) is above a half. S: the ten tokens at
the end of the vocabulary that the skewness points to, as far as they are three standard deviations out. Prediction and
suppression are judged apart: the paper shows five suppression neurons. G33-planted makes sure that an effect of the
size that prediction neurons have would be seen in as few suppression neurons as a model has.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.predictions import PredictionTables, every_model, median_auc, planted_auc, planted_share
from universal_neurons.measures.study import Study


@claim(
    "G33",
    "Suppression neurons are more active where the next token is one that they suppress.",
    source="Gurnee et al. 2024, section 5.1 and figure 24",
    expect=GreaterThan(0.5),
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_suppression_neurons_fire_before_their_tokens(study: Study, checkpoint: Checkpoint) -> Measurement:
    return median_auc(every_model(study, checkpoint), "suppression")


@control(of=test_suppression_neurons_fire_before_their_tokens)
def test_not_before_other_tokens_of_their_frequency(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Sets of equal frequency; fails if frequent tokens are enough."""
    return median_auc(every_model(study, checkpoint), "suppression", matched=True)


@claim(
    "G33-prediction",
    "Prediction neurons are more active where the next token is one that they promote.",
    source="Gurnee et al. 2024, section 5.1; the statement is ours",
    expect=GreaterThan(0.5),
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_prediction_neurons_fire_before_their_tokens(study: Study, checkpoint: Checkpoint) -> Measurement:
    return median_auc(every_model(study, checkpoint), "prediction")


@control(of=test_prediction_neurons_fire_before_their_tokens)
def test_prediction_neurons_not_before_other_tokens(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Sets of equal frequency; fails if frequent tokens are enough."""
    return median_auc(every_model(study, checkpoint), "prediction", matched=True)


@claim(
    "G33-planted",
    "Planted suppression neurons that fire a little more before their tokens are seen to do so.",
    source="ours: a positive control",
    expect=GreaterThan(0.5),
    kind="method",
    axes={"checkpoint": "last"},
)
def test_planted_suppression_neurons_fire_before_their_tokens(
    study: Study, reference: str, checkpoint: Checkpoint
) -> Measurement:
    return planted_auc(planted(study, reference, checkpoint).planted_writing(), "suppression")


@control(of=test_planted_suppression_neurons_fire_before_their_tokens)
def test_planted_neurons_not_before_other_tokens(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """Sets of equal frequency; fails if the test favours any set."""
    return planted_auc(planted(study, reference, checkpoint).planted_writing(), "suppression", matched=True)


@claim(
    "G30-planted",
    "More than half of planted prediction and suppression neurons are found by kurtosis and skewness.",
    source="ours: a positive control",
    expect=GreaterThan(0.5),
    kind="method",
    axes={"checkpoint": "last"},
)
def test_planted_neurons_are_found(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return planted_share(planted(study, reference, checkpoint).planted_writing())


@control(of=test_planted_neurons_are_found)
def test_random_directions_are_not_found(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """As random directions; fails if most directions are above the threshold."""
    return planted_share(planted(study, reference, checkpoint).random_writing())


def planted(study: Study, reference: str, checkpoint: Checkpoint) -> PredictionTables:
    found: PredictionTables = study.table("predictions", model=reference, checkpoint=checkpoint)
    return found
