"""N14-others: ablating all non-universal neurons changes little, as the paper's sentence says literally.

Rule (ours): the KL of ablating every neuron that is not universal is less than the KL of ablating the universal ones.
"Little" has no bound in the paper; a bound that the sentence cannot do without is that the others do less than the few
that it calls decisive, and a stricter one would be refuted wherever this one is. The others are most of the network, so
the opposite is expected; the sentence is tested because it is printed. Fair controls of equal size judge N14.
"""

from universal_neurons.harness import LessThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import effect_ratio
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import Definition


@claim(
    "N14-others",
    "Ablating all non-universal neurons shifts the output less than ablating the universal ones.",
    source="Nandan et al. 2025 v1, section 4 (lines 96-100)",
    expect=LessThan(1.0),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_all_others_change_little(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    table = study.ablation(checkpoint=checkpoint)
    return effect_ratio(table, SetOf(threshold, partner), SetKind.UNIVERSAL, of=SetKind.OTHERS)


@control(of=test_all_others_change_little)
def test_all_others_change_more_than_as_many_of_them(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """As many others in their place; fails if most of a network does less than any few of its neurons."""
    table = study.ablation(checkpoint=checkpoint)
    return effect_ratio(table, SetOf(threshold, partner), SetKind.RANDOM_OTHERS, of=SetKind.OTHERS)


@reading(of=test_all_others_change_little, ambiguity="A1", says="(ii) universal: mean excess over the partners")
def test_all_others_of_the_average_change_little(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return effect_ratio(study.ablation(checkpoint=checkpoint), which, SetKind.UNIVERSAL, of=SetKind.OTHERS)
