"""V4: ablating universal neurons raises the loss more than random ablations.

Rule: the standing of the increase of the loss among random draws matched in layers, as in N14. Version 2 calls its
control random, which says neither from which layers nor whether universal neurons are excluded; of these two, a random
set of other layers mixes what layers do with what neurons do, so it is a reading (A4 ii).
"""

from universal_neurons.harness import AboveDraws, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import single_draws, standing
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, every_ablation, untrained_ablation
from universal_neurons.measures.tables import Definition

LOSS = Quantity.LOSS


@claim(
    "V4",
    "Ablating the universal neurons raises the loss more than ablating as many random neurons.",
    source="Nandan et al. 2025 v2, summary (TL;DR)",
    expect=AboveDraws(),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_more_than_random(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return standing(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), quantity=LOSS)


@control(of=test_more_than_random)
def test_not_more_than_random_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if their number, layers or initial weights do it."""
    return standing(untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED), quantity=LOSS)


@control(of=test_more_than_random)
def test_others_in_their_place_are_not_more_than_random(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped, one draw at a time judged by the others; fails if more of them stand out than chance allows."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return single_draws(table, which, SetKind.LAYER_MATCHED, quantities=(LOSS,))


@reading(
    of=test_more_than_random,
    ambiguity="A4",
    says="(ii) non-universal: as many of the others, at random from all layers",
)
def test_more_than_random_of_all(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return standing(table, which, SetKind.RANDOM_OTHERS, quantity=LOSS)


@reading(
    of=test_more_than_random,
    ambiguity="A3",
    says="(ii) every model ablated in turn, its neurons universal on average; the weakest counts",
)
def test_more_than_random_in_every_model(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    tables = every_ablation(study, checkpoint=checkpoint)
    return weakest({model: standing(table, which, quantity=LOSS) for model, table in tables.items()})


@reading(of=test_more_than_random, ambiguity="F6", says="replaced by their mean instead of zero; last checkpoint")
def test_more_than_random_when_replaced_by_the_mean(study: Study, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, mode="mean")
    return standing(study.ablation(checkpoint=study.checkpoints[-1]), which, quantity=LOSS)
