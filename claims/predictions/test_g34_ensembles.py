"""G34: neurons of a layer that fire alike write the same tokens, as members of an ensemble would.

Rule (written before it was measured): of each model, over pairs of prediction or suppression neurons of one layer of
which one is the neuron that fires most like the other, by a correlation above 0.5, the share of their ten most extreme
tokens that they have in common (0 where one promotes and the other suppresses), minus the mean of that share over all
pairs of such neurons of the layer, is above 0. Mean over pairs, then over models, interval over models. The paper shows
neurons of a layer with the same class and calls an ensemble a hypothesis; that they fire alike is what it adds to their
writing alike.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ensembles import common_writing, dealt_common_writing, writing_pairs
from universal_neurons.measures.study import Study


@claim(
    "G34",
    "Prediction and suppression neurons that fire alike write the same tokens more than others of their layer.",
    source="Gurnee et al. 2024, section 5.1 and figure 24; the comparison is ours",
    expect=GreaterThan(0.0),
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_neurons_that_fire_alike_write_alike(study: Study, checkpoint: Checkpoint) -> Measurement:
    return common_writing(writing_pairs(study, checkpoint))


@control(of=test_neurons_that_fire_alike_write_alike)
def test_not_dealt_pairs_of_the_layer(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Another neuron of the layer in the place of one of each pair; fails if any neurons of a layer write the same."""
    return dealt_common_writing(writing_pairs(study, checkpoint))
