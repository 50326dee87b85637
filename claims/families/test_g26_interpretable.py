"""G26: universal neurons usually have clear interpretations.

Rule (catalogue, Families): the share of universal neurons whose best label scores above 0.5 minus the share of the
other neurons of their layers is above 0, for every model as the reference. The published code explains universal
neurons only, so it cannot say whether others are explained as often. The best label is chosen on one half of the tokens
and scored on the other.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.families import (
    dealt_share_difference,
    explained,
    explained_directions,
    share_difference,
)
from universal_neurons.measures.study import Study


@claim(
    "G26",
    "Universal neurons are explained by a label of the token more often than other neurons of their layers.",
    source="Gurnee et al. 2024, section 4.3; the comparison is ours",
    expect=GreaterThan(0.0),
    family="families",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_universal_neurons_are_explained(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return share_difference({reference: explained(study, checkpoint, threshold, reference)})


@control(of=test_universal_neurons_are_explained)
def test_not_with_labels_dealt_out_anew(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Who is universal shuffled within layers; fails if the interval excludes 0 more often than it should."""
    return dealt_share_difference(reference, explained(study, checkpoint, threshold, reference))


@control(of=test_universal_neurons_are_explained)
def test_not_of_random_directions(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Random directions of the layers in the place of universal neurons; fails if labels explain any direction."""
    return share_difference({reference: explained_directions(study, checkpoint, threshold, reference)})


@control(of=test_universal_neurons_are_explained)
def test_not_by_labels_of_other_rows(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels of the next row of tokens; fails if the best of many labels explains much by chance."""
    return share_difference({reference: explained(study, checkpoint, threshold, reference, elsewhere=True)})
