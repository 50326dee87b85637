"""G6-mutual: universal neurons are each other's best match.

Rule (ours): for each neuron the share of partners whose neuron that matches it best is matched best by it; the mean of
universal neurons minus that of the others of their layers is above 0, for every model as the reference. The paper takes
the best match in one direction only, which the other model need not return. A first rule, by percentiles in the layer,
was given up after measuring: with five possible shares the median of a layer is not at 50, as dealt labels showed.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.agreement import mutual_matches, rate_difference
from universal_neurons.measures.properties import extreme_dealing
from universal_neurons.measures.study import Study


@claim(
    "G6-mutual",
    "The best match of a universal neuron has it as its own best match more often than other neurons' best matches.",
    source="Gurnee et al. 2024, section 4.1, takes one direction; the statement is ours",
    expect=GreaterThan(0.0),
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_universal_neurons_match_each_other(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return rate_difference({reference: mutual_matches(study, checkpoint, threshold, reference)})


@control(of=test_universal_neurons_match_each_other)
def test_not_with_labels_dealt_out_anew(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels shuffled within layers; fails if the interval excludes 0 more often than it should."""
    one = {reference: mutual_matches(study, checkpoint, threshold, reference)}
    return extreme_dealing(one, rate_difference, 1)
