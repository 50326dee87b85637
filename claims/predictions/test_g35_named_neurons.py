"""G35: the neurons that the paper names write into the vocabulary as it says.

Rule (written before any published model was measured): of GPT-2 Medium (a) the four named neurons have the role that
the paper shows, by a vocabulary kurtosis above 10 and the sign of the skewness, and for a partition neuron by a
variance above the 99.9th percentile of random directions: the lower end of the share's interval is above a half, which
takes all four. Layer 19, neuron 1169 promotes years; layer 23, neurons 2260 and 2042 suppress years and opening
brackets; layer 18, neuron 3483 parts tokens with a leading space from others (the code of the paper has the number 3482
once). Which tokens these are is for a reader to see in the neurons' profiles. No other model has these neurons.
"""

from universal_neurons.harness import GreaterThan, Measurement, NotJudged, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.predictions import WritingRole, named_share, unnamed_share, written
from universal_neurons.measures.study import Study

PUBLISHED = 10.0
NAMED: tuple[tuple[int, int, WritingRole], ...] = (
    (19, 1169, "prediction"),
    (23, 2260, "suppression"),
    (23, 2042, "suppression"),
    (18, 3483, "partition"),
)


@claim(
    "G35",
    "The named neurons of GPT-2 Medium are prediction, suppression and partition neurons, as the paper says.",
    source="Gurnee et al. 2024, figures 1, 5 and 23",
    expect=NotJudged("the named neurons are of GPT-2 Medium"),
    on={"gurnee_medium": GreaterThan(0.5)},
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_named_neurons_have_their_roles(study: Study, checkpoint: Checkpoint) -> Measurement:
    return named_share(written(study, checkpoint, study.reference, bound=PUBLISHED), NAMED)


@control(of=test_named_neurons_have_their_roles)
def test_not_other_neurons_of_their_layers(study: Study, checkpoint: Checkpoint) -> Measurement:
    """All other neurons of the same layers; fails if most neurons there have these roles."""
    return unnamed_share(written(study, checkpoint, study.reference, bound=PUBLISHED), NAMED)
