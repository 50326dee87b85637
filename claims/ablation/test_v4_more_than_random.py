"""V4: ablating universal neurons raises the loss more than random ablations.

Rule (catalogue, V4): the increase of the loss against random draws, unmatched and layer-matched: above the 95th
percentile of both, as in N14. Unmatched means drawn from all neurons, universal ones not excluded (A4 iv), which is how
version 2 describes its control. The suite's number of draws replaces the catalogue's hundred, and widens the interval.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import effect_over_each, effect_over_random
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition

LOSS = (Quantity.LOSS,)
RANDOM = (SetKind.RANDOM, SetKind.LAYER_MATCHED)


@claim(
    "V4",
    "Ablating the universal neurons raises the loss more than ablating as many random neurons.",
    source="Nandan et al. 2025 v2, summary (TL;DR)",
    expect=GreaterThan(0.0),
    family="ablation",
    axes={"threshold": (0.5,)},
)
def test_more_than_random(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return effect_over_each(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), RANDOM, quantities=LOSS)


@control(of=test_more_than_random)
def test_not_more_than_random_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if their number, layers or initial weights do it."""
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return effect_over_each(untrained_ablation(study), which, RANDOM, quantities=LOSS)


@control(of=test_more_than_random)
def test_others_in_their_place_are_not_more_than_random(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped: draws of non-universal neurons in their place; fails if what is drawn from does it."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return effect_over_each(table, which, RANDOM, of=SetKind.RANDOM_OTHERS, quantities=LOSS)


@control(of=test_more_than_random)
def test_shuffled_labels_are_not_more_than_random(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels dealt out anew, half of the dealings against the other half; fails if any set exceeds the rest."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return effect_over_each(table, which, RANDOM, of=SetKind.RANDOM, quantities=LOSS)


@reading(
    of=test_more_than_random, ambiguity="A4", says="(iv) random neurons of all layers only, universal not excluded"
)
def test_more_than_random_of_all(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return effect_over_random(table, which, SetKind.RANDOM, quantity=Quantity.LOSS)


@reading(
    of=test_more_than_random,
    ambiguity="A3",
    says="(ii) every model ablated in turn, its neurons universal on average; the weakest counts",
)
def test_more_than_random_in_every_model(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    tables = {
        model: study.ablation(checkpoint=checkpoint, reference=model) for model in (study.reference, *study.partners())
    }
    return weakest({model: effect_over_each(table, which, RANDOM, quantities=LOSS) for model, table in tables.items()})


@reading(
    of=test_more_than_random,
    ambiguity="F6",
    says="replaced by their mean instead of zero; last checkpoint, layer-matched draws",
)
def test_more_than_random_when_replaced_by_the_mean(study: Study, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, mode="mean")
    table = study.ablation(checkpoint=study.checkpoints[-1])
    return effect_over_random(table, which, SetKind.LAYER_MATCHED, quantity=Quantity.LOSS)
