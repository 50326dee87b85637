"""G10-training: the eight properties come with training, and are there at every checkpoint.

Rule (ours; the paper looks at the end of training only): every neuron has the mean over the eight properties of how far
it is on the published side of its layer's median. The neurons that are universal at a checkpoint have moved up in the
ranks of that mean since before training: the median movement is above 0, for the suite's reference at each checkpoint.
A first rule, that their median rank is above 50 at each checkpoint, was given up after measuring: it is so before
training already, if less, and a control that shows this makes the rule vacuous.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.properties import ALL, extreme_dealing, gained, median_percentile, since_untrained
from universal_neurons.measures.study import Study


@claim(
    "G10-training",
    "By every checkpoint universal neurons have moved to the published side of their layers, over eight properties.",
    source="Gurnee et al. 2024, section 4.2 and figure 3; checkpoints are ours",
    expect=GreaterThan(0.0),
    family="properties",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_the_properties_come_with_training(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return gained(study, checkpoint, threshold)


@control(of=test_the_properties_come_with_training)
def test_not_with_labels_dealt_out_anew(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """The labels shuffled within layers; fails if all neurons move, or the interval excludes 0 more than it should."""
    one = {study.reference: since_untrained(study, ALL, checkpoint, threshold)}
    return extreme_dealing(one, lambda models: median_percentile(list(models.values())), 1)
