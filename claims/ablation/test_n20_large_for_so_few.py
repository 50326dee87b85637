"""N20: the effect of universal neurons is large given how few they are.

Rule: N14 with the KL per neuron and the KL per unit of what is removed (mean activation times norm of the output
weights): both standings must be above the 95th percentile of the draws, so the smaller counts. The paper only says
"considering that only about 5 % of all neurons are universal"; the second is there because few neurons that write much
are not few in effect. Non-universal is read as an equally large set, matched in layers.
"""

from universal_neurons.harness import AboveDraws, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import Per, single_draws, weakest_standing
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition

BOTH: tuple[Per, ...] = ("neuron", "norm")


@claim(
    "N20",
    "Universal neurons shift the output more than others per neuron and per unit of what they write.",
    source="Nandan et al. 2025 v1, section 4 (below figure 2)",
    expect=AboveDraws(),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_the_effect_is_large_for_so_few_neurons(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return weakest_standing(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), per=BOTH)


@control(of=test_the_effect_is_large_for_so_few_neurons)
def test_the_effect_is_not_large_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if their layers or initial weights make them count more."""
    return weakest_standing(untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED), per=BOTH)


@control(of=test_the_effect_is_large_for_so_few_neurons)
def test_the_effect_of_others_in_their_place_is_not_large(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped, one draw at a time judged by the others; fails if more of them stand out than chance allows."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return single_draws(table, which, SetKind.LAYER_MATCHED, per=BOTH)


@reading(
    of=test_the_effect_is_large_for_so_few_neurons,
    ambiguity="A4",
    says="(ii) non-universal: as many of the others, at random from all layers",
)
def test_the_effect_against_as_many_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return weakest_standing(table, which, SetKind.RANDOM_OTHERS, per=BOTH)
