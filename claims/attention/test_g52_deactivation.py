"""G52 and G53: neurons with the largest relative score turn a head off, with the smallest on.

Rule (catalogue, Mechanisms): of each sink head the neuron below with the largest relative score, among those active at
twenty tested tokens or more, is taken out of the head's query with keys and values as they were. With v its activation
and dA, dz the changes of the attention to position 0 and of the norm of the head's output, r(v, dA) < 0, r(dA, dz) < 0
and r(v, dz) > 0; for the smallest score the first and the last are reversed. The smallest of the three correlations,
each with its sign, is above 0: mean over sink heads and models, interval over models. The paper shows examples, the
best of which is in the details. G52-planted is the same of a neuron whose weights were chosen to turn the head off.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.attention import every_model, weakest_sign
from universal_neurons.measures.study import Study


@claim(
    "G52",
    "The neuron with the largest score for a head moves its attention to the first position and its output to 0.",
    source="Gurnee et al. 2024, section 5.3 and figure 8",
    expect=GreaterThan(0.0),
    family="attention",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_the_largest_score_turns_a_head_off(study: Study, checkpoint: Checkpoint) -> Measurement:
    return weakest_sign(every_model(study, checkpoint), "deactivation")


@control(of=test_the_largest_score_turns_a_head_off)
def test_a_neuron_of_the_same_layer_does_not(study: Study, checkpoint: Checkpoint) -> Measurement:
    """A random neuron of the same layer; fails if most neurons turn heads off."""
    return weakest_sign(every_model(study, checkpoint), "deactivation", "matched")


@claim(
    "G53",
    "The neuron with the smallest score for a head takes its attention from the first position; the head writes more.",
    source="Gurnee et al. 2024, section 5.3 and figure 26",
    expect=GreaterThan(0.0),
    family="attention",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_the_smallest_score_turns_a_head_on(study: Study, checkpoint: Checkpoint) -> Measurement:
    return weakest_sign(every_model(study, checkpoint), "activation")


@control(of=test_the_smallest_score_turns_a_head_on)
def test_a_neuron_of_the_same_layer_does_not_turn_it_on(study: Study, checkpoint: Checkpoint) -> Measurement:
    """A random neuron of the same layer; fails if most neurons turn heads on."""
    return weakest_sign(every_model(study, checkpoint), "activation", "matched")


@claim(
    "G52-planted",
    "A planted neuron whose weights turn a head off is seen to turn it off.",
    source="ours: a positive control",
    expect=GreaterThan(0.5),
    kind="method",
    axes={"checkpoint": "last"},
)
def test_a_planted_neuron_turns_heads_off(study: Study, checkpoint: Checkpoint) -> Measurement:
    return weakest_sign(every_model(study, checkpoint), "deactivation", "planted")


@control(of=test_a_planted_neuron_turns_heads_off)
def test_a_planted_neuron_does_not_turn_them_on(study: Study, checkpoint: Checkpoint) -> Measurement:
    """By the signs of a neuron that turns a head on; fails if the test passes whatever a neuron does."""
    return weakest_sign(every_model(study, checkpoint), "deactivation", "planted", reverse=True)
