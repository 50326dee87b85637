"""N17: layer by layer, universal neurons matter more than as many others of the layer.

Rule (catalogue, N17): per layer and checkpoint the paired contrast with as many non-universal neurons of the layer, in
KL and in loss, corrected after Holm. Both must hold, so the weaker of the two counts. The contrast is paired over
tokens, and its interval is the one of a further draw of others: half of all sets exceed a mean of draws.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import contrast, single_draw_contrast
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "N17",
    "In every layer, ablating the universal neurons shifts the output and raises the loss more than as many others.",
    source="Nandan et al. 2025 v1, appendix B.2 (lines 206-211) and figures 9-12",
    expect=GreaterThan(0.0),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_universal_neurons_of_every_layer_matter(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner, layer=layer)
    return weakest(
        {quantity: contrast(table, which, SetKind.LAYER_MATCHED, quantity=quantity) for quantity in Quantity}
    )


@control(of=test_universal_neurons_of_every_layer_matter)
def test_their_labels_do_not_matter_in_every_layer_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything, the weakest layer: one layer of several may differ by chance."""
    table, which = untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED)
    return weakest(
        {
            f"{quantity}_{layer}": contrast(table, which.in_layer(layer), SetKind.LAYER_MATCHED, quantity=quantity)
            for quantity in Quantity
            for layer in table.layers(which)
        }
    )


@control(of=test_universal_neurons_of_every_layer_matter)
def test_other_neurons_of_the_layer_do_not_matter(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    """Sets swapped, one draw at a time against the others; fails if more of them stand out than chance allows."""
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner, layer=layer)
    return single_draw_contrast(table, which, SetKind.LAYER_MATCHED)


@reading(
    of=test_universal_neurons_of_every_layer_matter,
    ambiguity="A4",
    says="(i) non-universal: literally all others of the layer",
)
def test_layers_against_literally_all_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, partner, layer=layer)
    return weakest({quantity: contrast(table, which, SetKind.OTHERS, quantity=quantity) for quantity in Quantity})


@reading(
    of=test_universal_neurons_of_every_layer_matter,
    ambiguity="A1",
    says="(ii) universal: mean excess over the partners",
)
def test_layers_on_average(study: Study, checkpoint: Checkpoint, threshold: float, layer: int) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, definition=Definition.AVERAGED, layer=layer)
    return weakest(
        {quantity: contrast(table, which, SetKind.LAYER_MATCHED, quantity=quantity) for quantity in Quantity}
    )


@reading(
    of=test_universal_neurons_of_every_layer_matter, ambiguity="F5", says="against others of like norm in the layer"
)
def test_layers_against_others_of_like_norm(
    study: Study, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    table, which = study.ablation(checkpoint=checkpoint), SetOf(threshold, definition=Definition.AVERAGED, layer=layer)
    return weakest({quantity: contrast(table, which, SetKind.NORM_MATCHED, quantity=quantity) for quantity in Quantity})
