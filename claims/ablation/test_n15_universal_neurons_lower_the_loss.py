"""N15: ablating universal neurons raises the cross-entropy loss more than ablating others.

Rule (catalogue, N15): N14 with the increase of the loss. A set may shift the distribution without costing anything, so
this is a stronger statement about what the neurons are good for; the tokens are the same held-out ones.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import contrast, effect_over_each, effect_over_random
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition

LOSS = (Quantity.LOSS,)


@claim(
    "N15",
    "Ablating the universal neurons raises the loss more than ablating as many non-universal ones.",
    source="Nandan et al. 2025 v1, appendix B.1 (lines 201-204) and figures 7-8",
    expect=GreaterThan(0.0),
    family="ablation",
    axes={"threshold": (0.5,)},
)
def test_universal_neurons_lower_the_loss(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return effect_over_each(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), quantities=LOSS)


@control(of=test_universal_neurons_lower_the_loss)
def test_their_labels_do_not_lower_the_loss_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if their number, layers or initial weights do it."""
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return effect_over_each(untrained_ablation(study), which, quantities=LOSS)


@control(of=test_universal_neurons_lower_the_loss)
def test_random_neurons_in_their_place_do_not_lower_the_loss(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped: half of the draws take the set's place; fails if any set exceeds the percentile of the others."""
    return effect_over_each(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), of=None, quantities=LOSS)


@control(of=test_universal_neurons_lower_the_loss)
def test_neurons_with_shuffled_labels_do_not_lower_the_loss(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels dealt out anew among all neurons; fails if not being drawn from the others is enough."""
    table = study.ablation(checkpoint=checkpoint)
    return effect_over_each(table, SetOf(threshold, partner), of=SetKind.RANDOM, quantities=LOSS)


@reading(
    of=test_universal_neurons_lower_the_loss,
    ambiguity="A4",
    says="(i) non-universal: literally all others, most of the network",
)
def test_loss_against_literally_all_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table = study.ablation(checkpoint=checkpoint)
    return contrast(table, SetOf(threshold, partner), SetKind.OTHERS, quantity=Quantity.LOSS)


@reading(
    of=test_universal_neurons_lower_the_loss,
    ambiguity="A4",
    says="(ii) non-universal: as many of the others, at random",
)
def test_loss_against_as_many_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table = study.ablation(checkpoint=checkpoint)
    return effect_over_random(table, SetOf(threshold, partner), SetKind.RANDOM_OTHERS, quantity=Quantity.LOSS)


@reading(
    of=test_universal_neurons_lower_the_loss,
    ambiguity="A4",
    says="(iii) non-universal: as many of the others in each layer",
)
def test_loss_against_as_many_others_of_each_layer(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table = study.ablation(checkpoint=checkpoint)
    return effect_over_random(table, SetOf(threshold, partner), SetKind.LAYER_MATCHED, quantity=Quantity.LOSS)


@reading(of=test_universal_neurons_lower_the_loss, ambiguity="A1", says="(ii) universal: mean excess over the partners")
def test_loss_of_those_universal_on_average(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return effect_over_each(study.ablation(checkpoint=checkpoint), which, quantities=LOSS)


@reading(
    of=test_universal_neurons_lower_the_loss,
    ambiguity="A3",
    says="(ii) every model ablated in turn, its neurons universal on average; the weakest counts",
)
def test_loss_of_every_model_ablated_in_turn(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return weakest(
        {
            model: effect_over_each(study.ablation(checkpoint=checkpoint, reference=model), which, quantities=LOSS)
            for model in (study.reference, *study.partners())
        }
    )


@reading(of=test_universal_neurons_lower_the_loss, ambiguity="F5", says="against others of like layer and norm")
def test_loss_against_others_of_like_norm(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    table = study.ablation(checkpoint=checkpoint)
    return effect_over_random(table, which, SetKind.NORM_MATCHED, quantity=Quantity.LOSS)


@reading(
    of=test_universal_neurons_lower_the_loss,
    ambiguity="F6",
    says="replaced by their mean instead of zero; last checkpoint, layer-matched draws",
)
def test_loss_when_replaced_by_their_mean(study: Study, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, mode="mean")
    table = study.ablation(checkpoint=study.checkpoints[-1])
    return effect_over_random(table, which, SetKind.LAYER_MATCHED, quantity=Quantity.LOSS)
