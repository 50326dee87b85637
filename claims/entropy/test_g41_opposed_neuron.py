"""G41: a neuron below the last layer that is opposed to the entropy neuron lowers entropy.

Rule (written before it was measured): of each model, the neuron of the layer before the last whose output weights have
the smallest cosine with the last layer's candidate (G40) is set from 0 to 6, by running the last block again; entropy
falls: mean over models, interval over models. In GPT-2 Medium (a) the paper's neuron, 2882 of layer 22, is the one with
the cosine of -0.886 with its entropy neuron, 945 of layer 23. On other suites it is measured and not judged: where no
candidate is an entropy neuron there is nothing to be opposed to.
"""

from universal_neurons.harness import LessThan, Measurement, NotJudged, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.entropy import entropy_raised, every_layer_below
from universal_neurons.measures.study import Study


@claim(
    "G41",
    "The neuron below the last layer that is most opposed to the entropy neuron lowers entropy as it is more active.",
    source="Gurnee et al. 2024, section 5.2 and figure 7",
    expect=NotJudged("the neuron is of GPT-2 Medium"),
    on={"gurnee_medium": LessThan(0.0)},
    family="entropy",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_an_opposed_neuron_lowers_entropy(study: Study, checkpoint: Checkpoint) -> Measurement:
    return entropy_raised(every_layer_below(study, checkpoint), "opposed")


@control(of=test_an_opposed_neuron_lowers_entropy)
def test_other_neurons_of_the_layer_do_not(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Other neurons of large norm; fails if any large activation lowers entropy."""
    return entropy_raised(every_layer_below(study, checkpoint), "other")
