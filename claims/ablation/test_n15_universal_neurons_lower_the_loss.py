"""N15: ablating universal neurons raises the cross-entropy loss more than ablating others.

Rule: N14 with the increase of the loss. A set may shift the distribution without costing anything, so this is a
stronger statement about what the neurons are good for; the tokens are the same held-out ones.
"""

from universal_neurons.harness import AboveDraws, Measurement, claim, control, reading, readings
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import single_draws, standing
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, every_ablation, untrained_ablation
from universal_neurons.measures.tables import Definition

LOSS = Quantity.LOSS


@claim(
    "N15",
    "Ablating the universal neurons raises the loss more than ablating as many non-universal ones.",
    source="Nandan et al. 2025 v1, appendix B.1 (lines 201-204) and figures 7-8",
    expect=AboveDraws(),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_universal_neurons_lower_the_loss(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return standing(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), quantity=LOSS)


@control(of=test_universal_neurons_lower_the_loss)
def test_their_labels_do_not_lower_the_loss_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if their number, layers or initial weights do it."""
    return standing(untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED), quantity=LOSS)


@control(of=test_universal_neurons_lower_the_loss)
def test_random_neurons_in_their_place_do_not_lower_the_loss(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped, one draw at a time judged by the others; fails if more of them stand out than chance allows."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner)
    return single_draws(table, which, SetKind.LAYER_MATCHED, quantities=(LOSS,))


@reading(
    of=test_universal_neurons_lower_the_loss,
    ambiguity="A4",
    says="(ii) non-universal: as many of the others, at random from all layers",
)
def test_loss_against_as_many_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    table = study.ablation(checkpoint=checkpoint)
    return standing(table, SetOf(threshold, partner), SetKind.RANDOM_OTHERS, quantity=LOSS)


@readings(
    of=test_universal_neurons_lower_the_loss,
    table={
        "test_loss_of_those_universal_on_average": (
            "A1",
            "(ii) universal: mean excess over the partners",
            SetKind.LAYER_MATCHED,
        ),
        "test_loss_against_others_of_like_norm": (
            "F5",
            "universal on average, against others of like layer and norm",
            SetKind.NORM_MATCHED,
        ),
    },
)
def loss_on_average(study: Study, checkpoint: Checkpoint, threshold: float, against: SetKind) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return standing(study.ablation(checkpoint=checkpoint), which, against, quantity=LOSS)


@reading(
    of=test_universal_neurons_lower_the_loss,
    ambiguity="A3",
    says="(ii) every model ablated in turn, its neurons universal on average; the weakest counts",
)
def test_loss_of_every_model_ablated_in_turn(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    tables = every_ablation(study, checkpoint=checkpoint)
    return weakest({model: standing(table, which, quantity=LOSS) for model, table in tables.items()})


@reading(
    of=test_universal_neurons_lower_the_loss,
    ambiguity="F6",
    says="replaced by their mean instead of zero; last checkpoint",
)
def test_loss_when_replaced_by_their_mean(study: Study, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, mode="mean")
    return standing(study.ablation(checkpoint=study.checkpoints[-1]), which, quantity=LOSS)
