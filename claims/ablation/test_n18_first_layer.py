"""N18: the universal neurons of the first layer matter far more than those of any deeper layer.

Rule (catalogue, N18): KL of the universal neurons of layer 0 alone over the largest KL of a deeper layer's alone
is above 2, with its interval. Layers hold different numbers of universal neurons and differ in how much anything in
them matters: the controls take sets of the same size per layer that are not universal, so the claim is vacuous where
layer 0 is sensitive to whatever is ablated there. The readings divide by the number of neurons and by what random
neurons of layer 0 do.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import effect_ratio, first_layer_ratio
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "N18",
    "The universal neurons of the first layer shift the output more than twice as much as those of any deeper layer.",
    source="Nandan et al. 2025 v1, section 4, appendix B.2 (lines 211-213) and figures 9 and 11",
    expect=GreaterThan(2.0),
    family="ablation",
    axes={"threshold": (0.5,)},
)
def test_the_first_layer_matters_most(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return first_layer_ratio(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner))


@control(of=test_the_first_layer_matters_most)
def test_the_first_layer_does_not_matter_most_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if their numbers per layer alone make layer 0 stand out."""
    return first_layer_ratio(untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED))


@control(of=test_the_first_layer_matters_most)
def test_the_first_layer_does_not_matter_most_with_others_in_their_place(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped: as many non-universal neurons of each layer; fails if layer 0 is sensitive in general."""
    return first_layer_ratio(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), SetKind.LAYER_MATCHED)


@control(of=test_the_first_layer_matters_most)
def test_the_first_layer_does_not_matter_most_with_shuffled_labels(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels dealt out anew within each layer; fails if what is universal does not matter to the ratio."""
    return first_layer_ratio(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), SetKind.RANDOM)


@reading(of=test_the_first_layer_matters_most, ambiguity="F6", says="the effect of a layer divided by its neurons")
def test_the_first_layer_per_neuron(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return first_layer_ratio(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), per="neuron")


@reading(of=test_the_first_layer_matters_most, ambiguity="F5", says="layer 0 against as many random others of layer 0")
def test_the_first_layer_against_random_neurons_of_it(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner, layer=0)
    return effect_ratio(table, which, SetKind.LAYER_MATCHED)


@reading(of=test_the_first_layer_matters_most, ambiguity="A1", says="(ii) universal: mean excess over the partners")
def test_the_first_layer_on_average(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return first_layer_ratio(study.ablation(checkpoint=checkpoint), which)
