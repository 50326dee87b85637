"""N16: the same holds at the thresholds 0.4 and 0.6.

Rule (catalogue, N16): N14 and N15 at each threshold. Both must hold, so the weaker of the two counts; they are both in
nats. The threshold changes how many neurons are ablated, and with it how many are drawn.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import contrast, effect_over_each
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import Definition

BOTH = tuple(Quantity)


@claim(
    "N16",
    "At thresholds 0.4 and 0.6 too, universal neurons shift the output and raise the loss more than as many others.",
    source="Nandan et al. 2025 v1, section 4, appendix C and figures 13-20",
    expect=GreaterThan(0.0),
    family="ablation",
    axes={"threshold": (0.4, 0.6)},
)
def test_universal_neurons_matter_at_other_thresholds(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return effect_over_each(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), quantities=BOTH)


@control(of=test_universal_neurons_matter_at_other_thresholds)
def test_random_neurons_in_their_place_do_not_matter_at_other_thresholds(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped: half of the draws take the set's place; fails if any set exceeds the percentile of the others."""
    return effect_over_each(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), of=None, quantities=BOTH)


@control(of=test_universal_neurons_matter_at_other_thresholds)
def test_neurons_with_shuffled_labels_do_not_matter_at_other_thresholds(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels dealt out anew among all neurons; fails if not being drawn from the others is enough."""
    table = study.ablation(checkpoint=checkpoint)
    return effect_over_each(table, SetOf(threshold, partner), of=SetKind.RANDOM, quantities=BOTH)


@reading(
    of=test_universal_neurons_matter_at_other_thresholds,
    ambiguity="A4",
    says="(i) non-universal: literally all others, most of the network",
)
def test_other_thresholds_against_literally_all_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return weakest({quantity: contrast(table, which, SetKind.OTHERS, quantity=quantity) for quantity in BOTH})


@reading(
    of=test_universal_neurons_matter_at_other_thresholds,
    ambiguity="A1",
    says="(ii) universal: mean excess over the partners",
)
def test_other_thresholds_on_average(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return effect_over_each(study.ablation(checkpoint=checkpoint), which, quantities=BOTH)
