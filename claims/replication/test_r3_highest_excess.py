"""R3: one neuron of the first layer of GPT-2 Small is more universal than all others.

Rule (written before any published model was measured): the excess of layer 0, neuron 2436, mean over partners, less the
largest of all other neurons, is above 0, with an interval over partners. The published table has 0.8212 for it. The
replication also says that it responds to rare words, and gives three words: that is for a reader to see in the neuron's
profile. No other model has this neuron.
"""

from universal_neurons.harness import GreaterThan, Measurement, NotJudged, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.agreement import lead
from universal_neurons.measures.study import Study, null_tables

NEURON = (0, 2436)


@claim(
    "R3",
    "Neuron 2436 of layer 0 of GPT-2 Small has the highest excess of all.",
    source="the replication of Gurnee et al. 2024; the published table of GPT-2 Small",
    expect=NotJudged("the neuron is of GPT-2 Small"),
    on={"gurnee_small": GreaterThan(0.0)},
    family="replication",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_the_neuron_has_the_highest_excess(study: Study, checkpoint: Checkpoint) -> Measurement:
    return lead(study.reference_tables(checkpoint=checkpoint), NEURON)


@control(of=test_the_neuron_has_the_highest_excess)
def test_not_over_permuted_tokens(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Partners read other tokens; fails if the neuron leads by its distribution alone."""
    return lead(null_tables(study, checkpoint=checkpoint, kind="permuted"), NEURON)
