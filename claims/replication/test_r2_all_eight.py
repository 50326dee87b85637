"""R2: all eight properties tell universal neurons from the others of their layers.

Rule (ours; mini's median percentiles were known, see G10 to G17): of each property the median percentile of universal
neurons, mean over models, is on the published side of 50; the smallest distance of the eight is above 0. The
replication took its numbers from the published table and measured none; the printed ones are the criteria of G10 to G17
on GPT-2 Small.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.properties import weakest_contrast
from universal_neurons.measures.study import Study


@claim(
    "R2",
    "All eight properties of universal neurons are on the published side of their layers.",
    source="the replication of Gurnee et al. 2024; the rule is ours",
    expect=GreaterThan(0.0),
    family="replication",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_all_eight_properties_are_on_the_published_side(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return weakest_contrast(study, checkpoint, threshold)


@control(of=test_all_eight_properties_are_on_the_published_side)
def test_not_of_the_numbers_of_another_model(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """The neurons with the numbers of the next model's universal ones; fails if a number in a layer means something."""
    return weakest_contrast(study, checkpoint, threshold, borrowed=True)
