"""N18-neuron: a universal neuron of the first layer matters far more than one of any deeper layer.

Rule: N18 with the KL of every layer divided by the number of its neurons, above 2 as well. The figures show layers with
different numbers of universal neurons; whether the first layer's are each more important is another question than
whether they are so together. Not evaluable where N18 is not.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import first_layer_ratio, single_draws_of_first_layer
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.study import Study, every_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "N18-neuron",
    "A universal neuron of the first layer shifts the output more than twice as much as one of any deeper layer.",
    source="Nandan et al. 2025 v1, appendix B.2 (lines 211-213) and figures 9 and 11; the division is ours",
    expect=GreaterThan(2.0),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_a_neuron_of_the_first_layer_matters_most(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    tables = every_ablation(study, checkpoint=checkpoint)
    return first_layer_ratio(tables, SetOf(threshold, definition=Definition.AVERAGED), per="neuron")


@control(of=test_a_neuron_of_the_first_layer_matters_most)
def test_another_neuron_of_the_first_layer_does_not_matter_most(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped: single draws of as many others of each layer; fails if any neuron of layer 0 matters so much."""
    tables, which = every_ablation(study, checkpoint=checkpoint), SetOf(threshold, definition=Definition.AVERAGED)
    kind = SetKind.LAYER_MATCHED
    return single_draws_of_first_layer(
        tables, which, kind, lambda draw: first_layer_ratio(tables, which, kind, per="neuron", draw=draw)
    )
