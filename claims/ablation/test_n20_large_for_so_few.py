"""N20: the effect of universal neurons is large given how few they are.

Rule (catalogue, N20): the KL per neuron and the KL per unit of what is removed (mean activation times norm of the
output weights), universal over non-universal neurons: both ratios above 1, so the smaller counts. The paper only says
"considering that only about 5 % of all neurons are universal"; the second ratio is there because few neurons that write
much are not few in effect. Non-universal is read as an equally large random set; literally all others is a reading.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import effect_ratio
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "N20",
    "Universal neurons shift the output more than others per neuron and per unit of what they write.",
    source="Nandan et al. 2025 v1, section 4 (below figure 2)",
    expect=GreaterThan(1.0),
    family="ablation",
    axes={"threshold": (0.5,)},
)
def test_the_effect_is_large_for_so_few_neurons(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return weakest(
        {
            "per_neuron": effect_ratio(table, which, SetKind.RANDOM_OTHERS, per="neuron"),
            "per_norm": effect_ratio(table, which, SetKind.RANDOM_OTHERS, per="norm"),
        }
    )


@control(of=test_the_effect_is_large_for_so_few_neurons)
def test_the_effect_is_not_large_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if their layers or initial weights make them count more."""
    table, which = untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED)
    return weakest(
        {
            "per_neuron": effect_ratio(table, which, SetKind.RANDOM_OTHERS, per="neuron"),
            "per_norm": effect_ratio(table, which, SetKind.RANDOM_OTHERS, per="norm"),
        }
    )


@control(of=test_the_effect_is_large_for_so_few_neurons)
def test_the_effect_of_shuffled_labels_is_not_large(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels dealt out anew among all neurons; fails if any set counts more than what is drawn from the others."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return weakest(
        {
            "per_neuron": effect_ratio(table, which, SetKind.RANDOM_OTHERS, of=SetKind.RANDOM, per="neuron"),
            "per_norm": effect_ratio(table, which, SetKind.RANDOM_OTHERS, of=SetKind.RANDOM, per="norm"),
        }
    )


@reading(
    of=test_the_effect_is_large_for_so_few_neurons,
    ambiguity="A4",
    says="(i) non-universal: literally all others, most of the network",
)
def test_the_effect_against_literally_all_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return weakest(
        {
            "per_neuron": effect_ratio(table, which, SetKind.OTHERS, per="neuron"),
            "per_norm": effect_ratio(table, which, SetKind.OTHERS, per="norm"),
        }
    )


@reading(
    of=test_the_effect_is_large_for_so_few_neurons,
    ambiguity="A4",
    says="(iii) non-universal: as many of the others in each layer",
)
def test_the_effect_against_as_many_others_of_each_layer(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return weakest(
        {
            "per_neuron": effect_ratio(table, which, SetKind.LAYER_MATCHED, per="neuron"),
            "per_norm": effect_ratio(table, which, SetKind.LAYER_MATCHED, per="norm"),
        }
    )
