"""V2: what version 1 says of universal neurons holds by the cross-entropy loss alone.

Rule (catalogue, V2): N15 to N19 with the increase of the loss. Five rules are one claim here, so each is written as a
difference in nats that must be above 0, and the smallest counts: the excess over the percentile of random draws (N15,
and N16 at the suite's other thresholds), the contrast of every layer (N17), layer 0 minus twice the largest deeper
layer (N18), and a tenth of the universal neurons' increase minus the increase by as many others of the layer (N19).
Which of them fails stands in the details.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import contrast, effect_over_each, first_layer_margin, negligible_margin
from universal_neurons.measures.ablation_table import AblationTable, Quantity, SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition

LOSS = Quantity.LOSS


def impact(table: AblationTable, which: SetOf, of: SetKind) -> dict[str, Measurement]:
    """N15 and N17 with the loss: the impact of ablating beyond the impact of as many others."""
    layers = {
        f"N17_layer_{layer}": contrast(table, which.in_layer(layer), SetKind.LAYER_MATCHED, of=of, quantity=LOSS)
        for layer in table.layers(which)
    }
    return {"N15": effect_over_each(table, which, of=of, quantities=(LOSS,)), **layers}


def shape(table: AblationTable, which: SetOf) -> dict[str, Measurement]:
    """N18 and N19 with the loss: the spread of the impact over layers and neurons."""
    layers = {
        f"N19_layer_{layer}": negligible_margin(table, which.in_layer(layer), SetKind.LAYER_MATCHED, 0.1, quantity=LOSS)
        for layer in table.layers(which)
    }
    return {"N18": first_layer_margin(table, which, 2.0, quantity=LOSS), **layers}


@claim(
    "V2",
    "By the loss alone, the ablation findings hold: more than random, in every layer, most in the first.",
    source="Nandan et al. 2025 v2, abstract",
    expect=GreaterThan(0.0),
    family="ablation",
    axes={"threshold": (0.5,)},
)
def test_the_impact_shows_in_the_loss(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    others = {
        f"N16_{other:g}": effect_over_each(table, SetOf(other, partner), quantities=(LOSS,)) for other in (0.4, 0.6)
    }
    return weakest({**impact(table, which, SetKind.UNIVERSAL), **others, **shape(table, which)})


@control(of=test_the_impact_shows_in_the_loss)
def test_no_impact_shows_in_the_loss_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything, without N16; fails if their number or initial weights do it."""
    table, which = untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED)
    return weakest({**impact(table, which, SetKind.UNIVERSAL), **shape(table, which)})


@control(of=test_the_impact_shows_in_the_loss)
def test_shuffled_labels_have_no_impact_on_the_loss(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """N15 and N17 with the labels dealt out anew; fails if any set has more impact than as many others."""
    return weakest(impact(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), SetKind.RANDOM))


@reading(
    of=test_the_impact_shows_in_the_loss, ambiguity="A1", says="(ii) universal: mean excess over the partners; no N16"
)
def test_the_impact_shows_in_the_loss_on_average(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, definition=Definition.AVERAGED)
    return weakest({**impact(table, which, SetKind.UNIVERSAL), **shape(table, which)})
