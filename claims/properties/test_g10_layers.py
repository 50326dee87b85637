"""G10-layers: the eight properties hold in every layer.

Rule (ours; the paper shows them by layer in figure 14): as G10-training, at the last checkpoint, for all models
together and layer by layer. A layer with fewer than twenty universal neurons is not judged: its median may be anywhere.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.properties import (
    ALL,
    enough_median_percentile,
    extreme_dealing,
    in_layer,
    ranked_models,
)
from universal_neurons.measures.study import Study


@claim(
    "G10-layers",
    "In every layer universal neurons are on the published side of the others, over the eight properties.",
    source="Gurnee et al. 2024, section 4.2 and figure 14; the rule is ours",
    expect=GreaterThan(50.0),
    family="properties",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_the_properties_are_there_in_every_layer(
    study: Study, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    return enough_median_percentile(in_layer(ranked_models(study, ALL, checkpoint, threshold), layer))


@control(of=test_the_properties_are_there_in_every_layer)
def test_not_with_labels_dealt_out_anew(
    study: Study, checkpoint: Checkpoint, threshold: float, layer: int
) -> Measurement:
    """The labels shuffled within layers; fails if the interval excludes 50 more often than it should."""
    models = in_layer(ranked_models(study, ALL, checkpoint, threshold), layer)
    return extreme_dealing(models, enough_median_percentile, 1)
