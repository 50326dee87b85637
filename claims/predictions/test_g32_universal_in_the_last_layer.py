"""G32: universal neurons of the last layer are prediction or suppression neurons more often than others.

Rule (catalogue, Mechanisms): in the last layers of all models together, the share above the threshold of kurtosis
(G30a) among universal neurons minus the share among the others is above 0. The paper's "almost all" (77 of 96 in the
last layer of GPT-2 Medium) is not asked for: mini has a handful of universal neurons there.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.predictions import (
    dealt_last_layer_contrast,
    every_model,
    last_layer_contrast,
    universal_flags,
)
from universal_neurons.measures.study import Study


@claim(
    "G32",
    "In the last layer more of the universal neurons than of the others write sharply into the vocabulary.",
    source="Gurnee et al. 2024, section 5.1 and figure 14",
    expect=GreaterThan(0.0),
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_universal_neurons_of_the_last_layer_are_sharp(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return last_layer_contrast(every_model(study, checkpoint), universal_flags(study, checkpoint, threshold))


@control(of=test_universal_neurons_of_the_last_layer_are_sharp)
def test_not_with_labels_dealt_out_anew(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """The labels shuffled within layers; fails if the interval excludes 0 more often than it should."""
    return dealt_last_layer_contrast(every_model(study, checkpoint), universal_flags(study, checkpoint, threshold))
