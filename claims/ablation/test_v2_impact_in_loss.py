"""V2: the functional impact of universal neurons shows in the cross-entropy loss.

Rule: the increase of the loss by ablating the universal neurons is above 0, in every pair and at every checkpoint, and
above that of a matched set: as many others of the same layers are the control, which makes the claim vacuous where it
does not exceed them. That it exceeds nearly all of such sets is the stronger N15; its spread over layers is N17 to N19.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import effect
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition

LOSS = Quantity.LOSS


@claim(
    "V2",
    "Ablating the universal neurons raises the cross-entropy loss.",
    source="Nandan et al. 2025 v2, abstract",
    expect=GreaterThan(0.0),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_the_impact_shows_in_the_loss(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return effect(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), quantity=LOSS)


@control(of=test_the_impact_shows_in_the_loss)
def test_no_impact_shows_in_the_loss_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if ablating anything raises the loss."""
    return effect(untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED), quantity=LOSS)


@control(of=test_the_impact_shows_in_the_loss)
def test_as_many_others_have_no_such_impact(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """As many others of each layer; fails if their mean raises the loss as much as the universal neurons do."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return effect(table, which, SetKind.LAYER_MATCHED, quantity=LOSS)


@reading(of=test_the_impact_shows_in_the_loss, ambiguity="A1", says="(ii) universal: mean excess over the partners")
def test_the_impact_shows_in_the_loss_on_average(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return effect(
        study.ablation(checkpoint=checkpoint), SetOf(threshold, definition=Definition.AVERAGED), quantity=LOSS
    )
