"""G26-one-token: universal neurons say one thing about the token.

Rule (the catalogue's, before this was measured): of a neuron of whose variance the id of the token explains more than a
fifth, the share of that which a single unigram label explains; the mean of universal neurons minus the mean of the
others of their layers is above 0, for every model as the reference. That the token explains much alone says little: it
explains as much of random directions.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.agreement import rate_difference
from universal_neurons.measures.families import dealt_rate_difference, one_token, one_token_directions
from universal_neurons.measures.study import Study


@claim(
    "G26-one-token",
    "Of what the token explains of a universal neuron, one token explains more than it does of other neurons.",
    source="summary of Gurnee et al. 2024: universal neurons are monosemantic; the measure is ours",
    expect=GreaterThan(0.0),
    family="families",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_universal_neurons_say_one_thing(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return rate_difference({reference: one_token(study, checkpoint, threshold, reference)})


@control(of=test_universal_neurons_say_one_thing)
def test_not_with_labels_dealt_out_anew(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Who is universal shuffled within layers; fails if the interval excludes 0 more often than it should."""
    return dealt_rate_difference(reference, one_token(study, checkpoint, threshold, reference))


@control(of=test_universal_neurons_say_one_thing)
def test_not_of_random_directions(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Random directions of the layers in the place of universal neurons; fails if any direction says one thing."""
    return rate_difference({reference: one_token_directions(study, checkpoint, threshold, reference)})
