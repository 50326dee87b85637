"""N19: ablating the non-universal neurons of a layer is negligible.

Rule (catalogue, N19): KL of the non-universal neurons of a layer is less than 10 % of the KL of its universal ones, by
an equivalence test: the whole interval of the ratio within 10 % of zero. Non-universal is read as an equally large
random set of the layer (A4 iii), the interval being the one of a further such set; literally all others is a reading.
The catalogue's further bound, an absolute one, has no number: both effects stand in the details, in nats.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import effect_ratio, single_draw_ratio
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "N19",
    "In every layer, ablating non-universal neurons shifts the output by less than 10 % of what universal ones do.",
    source="Nandan et al. 2025 v1, appendix B.2 (line 213) and figures 10 and 12",
    expect=Equivalent(to=0.0, margin=0.1),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_the_others_of_a_layer_are_negligible(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner, layer=layer)
    return effect_ratio(table, which, SetKind.UNIVERSAL, of=SetKind.LAYER_MATCHED)


@control(of=test_the_others_of_a_layer_are_negligible)
def test_others_are_not_negligible_before_training(study: Study, threshold: float, layer: int) -> Measurement:
    """The same neurons before they learnt anything; fails if the initial weights already set them apart."""
    which = SetOf(threshold, definition=Definition.AVERAGED, layer=layer)
    return effect_ratio(untrained_ablation(study), which, SetKind.UNIVERSAL, of=SetKind.LAYER_MATCHED)


@control(of=test_the_others_of_a_layer_are_negligible)
def test_others_are_not_negligible_beside_one_draw_of_them(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    """Sets swapped: one draw of the others in their place; fails if the ratio is small whatever it is a ratio to."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner, layer=layer)
    return single_draw_ratio(table, which, SetKind.LAYER_MATCHED)


@reading(
    of=test_the_others_of_a_layer_are_negligible,
    ambiguity="A4",
    says="(i) non-universal: literally all others of the layer",
)
def test_literally_all_others_of_a_layer(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner, layer=layer)
    return effect_ratio(table, which, SetKind.UNIVERSAL, of=SetKind.OTHERS)


@reading(
    of=test_the_others_of_a_layer_are_negligible, ambiguity="A1", says="(ii) universal: mean excess over the partners"
)
def test_others_of_a_layer_on_average(
    study: Study, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, layer=layer)
    return effect_ratio(study.ablation(checkpoint=checkpoint), which, SetKind.UNIVERSAL, of=SetKind.LAYER_MATCHED)
