"""G60: neurons whose output undoes what they read are active often.

Rule (catalogue, Properties): Pearson's correlation over all neurons of a model, of the cosine of input and output
weights with the share of tokens at which the neuron is above 0, is below -0.1; on published suites the printed number
within 0.1. Layers differ in both, which the control shows; G60-layers (ours, written after that was seen) asks for the
same of what both differ by from the means of their layers.
"""

from universal_neurons.harness import LessThan, Measurement, Near, Published, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.properties import alignment_and_frequency
from universal_neurons.measures.study import Study


@claim(
    "G60",
    "The more the output weights of a neuron are opposed to its input weights, the more often it is active.",
    source="Gurnee et al. 2024, section 6 and figure 9",
    expect=LessThan(-0.1),
    on={
        "gurnee_small": Near(Published("gurnee2024.alignment_and_frequency", model="gpt2-small-a"), 0.1, 0.0),
        "gurnee_medium": Near(Published("gurnee2024.alignment_and_frequency", model="gpt2-medium-a"), 0.1, 0.0),
        "pythia_160m": Near(Published("gurnee2024.alignment_and_frequency", model="pythia-160m"), 0.1, 0.0),
    },
    family="properties",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_opposed_neurons_are_active_often(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return measured(study, reference, checkpoint)


@control(of=test_opposed_neurons_are_active_often)
def test_not_with_output_weights_of_others(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """The cosines dealt out anew within layers; fails if layers that differ in both are enough."""
    return measured(study, reference, checkpoint, seed=0)


@claim(
    "G60-layers",
    "Within layers too, the more output weights are opposed to input weights, the more often a neuron is active.",
    source="Gurnee et al. 2024, section 6 and figure 9; within layers is ours",
    expect=LessThan(-0.1),
    family="properties",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_opposed_neurons_are_active_often_within_layers(
    study: Study, reference: str, checkpoint: Checkpoint
) -> Measurement:
    return measured(study, reference, checkpoint, within=True)


@control(of=test_opposed_neurons_are_active_often_within_layers)
def test_not_within_layers_with_output_weights_of_others(
    study: Study, reference: str, checkpoint: Checkpoint
) -> Measurement:
    """The cosines dealt out anew within layers; fails if differences between layers are left."""
    return measured(study, reference, checkpoint, seed=0, within=True)


def measured(
    study: Study, reference: str, checkpoint: Checkpoint, seed: int | None = None, *, within: bool = False
) -> Measurement:
    scores = study.reference_tables(checkpoint=checkpoint, reference=reference)
    level = next(iter(scores.tables.values())).resampling.level
    table = study.table("properties", model=reference, checkpoint=checkpoint)
    return alignment_and_frequency(table, level=level, seed=seed, within=within)
