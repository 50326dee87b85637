"""N16: the same holds at the thresholds 0.4 and 0.6.

Rule: N14 and N15 at each threshold. Both must hold, so the smaller of the two standings counts. The threshold changes
how many neurons are ablated, and with it how many are drawn.
"""

from universal_neurons.harness import AboveDraws, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import single_draws, weakest_standing
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import Definition

BOTH = tuple(Quantity)


@claim(
    "N16",
    "At thresholds 0.4 and 0.6 too, universal neurons shift the output and raise the loss more than as many others.",
    source="Nandan et al. 2025 v1, section 4, appendix C and figures 13-20",
    expect=AboveDraws(),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.4, 0.6)},
)
def test_universal_neurons_matter_at_other_thresholds(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return weakest_standing(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), quantities=BOTH)


@control(of=test_universal_neurons_matter_at_other_thresholds)
def test_random_neurons_in_their_place_do_not_matter_at_other_thresholds(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped, one draw at a time judged by the others; fails if more of them stand out than chance allows."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return single_draws(table, which, SetKind.LAYER_MATCHED, quantities=BOTH)


@reading(
    of=test_universal_neurons_matter_at_other_thresholds,
    ambiguity="F5",
    says="universal on average, against others of like layer and norm",
)
def test_other_thresholds_against_others_of_like_norm(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return weakest_standing(study.ablation(checkpoint=checkpoint), which, SetKind.NORM_MATCHED, quantities=BOTH)


@reading(
    of=test_universal_neurons_matter_at_other_thresholds,
    ambiguity="A1",
    says="(ii) universal: mean excess over the partners",
)
def test_other_thresholds_on_average(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return weakest_standing(study.ablation(checkpoint=checkpoint), which, quantities=BOTH)
