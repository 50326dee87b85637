"""G21: most letters of the alphabet have a universal neuron.

Rule (ours; the paper names 18 of 26 of GPT-2 Medium, where a letter counts if a universal neuron's score by it is above
0.37): more than half of the letters, 13, for every model as the reference.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.families import carried_letters, explanations, universal_neurons
from universal_neurons.measures.study import Study


@claim(
    "G21",
    "Most letters of the alphabet have a universal neuron.",
    source="Gurnee et al. 2024, section 4.3 and figure 17",
    expect=GreaterThan(13.0),
    family="families",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_letters_have_universal_neurons(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table = explanations(study, checkpoint, reference)
    return carried_letters(table, universal_neurons(study, checkpoint, threshold, reference))


@control(of=test_letters_have_universal_neurons)
def test_not_of_other_neurons(study: Study, reference: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """As many neurons of the same layers; fails if any neurons carry the letters."""
    table = explanations(study, checkpoint, reference)
    return carried_letters(table, universal_neurons(study, checkpoint, threshold, reference, seed=0))


@control(of=test_letters_have_universal_neurons)
def test_not_of_other_characters(study: Study, reference: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """The other unigrams of one character, as if there were 26; fails if letters are nothing special."""
    table = explanations(study, checkpoint, reference)
    return carried_letters(table, universal_neurons(study, checkpoint, threshold, reference), others=True)
