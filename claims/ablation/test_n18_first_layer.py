"""N18: the universal neurons of the first layer matter far more than those of any deeper layer.

Rule: KL of the universal neurons of layer 0 alone over the largest KL of a deeper layer's alone is above 2, over all
reference models (geometric mean, Student's t): models are what differs, and within one model the largest of several
layers, sought anew on few blocks, has no honest interval. Neurons are universal on average (A1). Where the layers 0 of
all models have fewer than ten universal neurons together, the question is not evaluable. Layers hold different numbers
of universal neurons and differ in how much anything in them matters: the controls take sets of the same size per layer
that are not universal, so the claim is vacuous where layer 0 is sensitive to whatever is ablated there. Per neuron it
is N18-neuron, against what random neurons of layer 0 do it is N18-random.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import first_layer_ratio, single_draws_of_first_layer
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.study import Study, every_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "N18",
    "The universal neurons of the first layer shift the output more than twice as much as those of any deeper layer.",
    source="Nandan et al. 2025 v1, section 4, appendix B.2 (lines 211-213) and figures 9 and 11",
    expect=GreaterThan(2.0),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_the_first_layer_matters_most(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    tables = every_ablation(study, checkpoint=checkpoint)
    return first_layer_ratio(tables, SetOf(threshold, definition=Definition.AVERAGED))


@control(of=test_the_first_layer_matters_most)
def test_the_first_layer_does_not_matter_most_with_others_in_their_place(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped: single draws of as many others of each layer; fails if layer 0 is sensitive in general."""
    tables, which = every_ablation(study, checkpoint=checkpoint), SetOf(threshold, definition=Definition.AVERAGED)
    kind = SetKind.LAYER_MATCHED
    return single_draws_of_first_layer(
        tables, which, kind, lambda draw: first_layer_ratio(tables, which, kind, draw=draw)
    )
