"""N18-random: the universal neurons of the first layer matter more than other neurons of that layer.

Rule (ours): the KL of ablating the universal neurons of layer 0 over the mean KL of as many others of layer 0 is above
1, over all reference models (geometric mean, Student's t), neurons universal on average. It asks of N18 what is not
explained by layer 0 being sensitive to anything. Not evaluable where N18 is not.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import first_layer_over_random, single_draws_of_first_layer
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.study import Study, every_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "N18-random",
    "The universal neurons of the first layer shift the output more than as many other neurons of that layer.",
    source="Nandan et al. 2025 v1, appendix B.2 (lines 211-213); the comparison is ours",
    expect=GreaterThan(1.0),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_the_first_layer_matters_by_its_universal_neurons(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    tables = every_ablation(study, checkpoint=checkpoint)
    return first_layer_over_random(tables, SetOf(threshold, definition=Definition.AVERAGED))


@control(of=test_the_first_layer_matters_by_its_universal_neurons)
def test_other_neurons_of_the_first_layer_do_not_exceed_themselves(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped: single draws of the others in their place; fails if any few neurons of layer 0 exceed the rest."""
    tables, which = every_ablation(study, checkpoint=checkpoint), SetOf(threshold, definition=Definition.AVERAGED)
    return single_draws_of_first_layer(
        tables, which, SetKind.LAYER_MATCHED, lambda draw: first_layer_over_random(tables, which, draw=draw)
    )
