"""G13-tail: four of the eight properties tell universal neurons apart, and say nothing about all the others.

Rule (ours, and its margin was chosen after mini was measured; published suites are judged by the same): over all
neurons of the model, within layers, Spearman's correlation of the excess with frequency, mean, input bias and weight
norm is 0 within 0.1, each. The paper compares groups, from which one may wrongly expect a gradient.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.properties import farthest_from_none, spearman_in_layers
from universal_neurons.measures.study import Study

FLAT = ("published_frequency", "pre_mean", "input_bias", "weight_norm")
STEEP = ("pre_kurtosis", "pre_skewness")


@claim(
    "G13-tail",
    "Over all neurons of a layer, excess hardly follows frequency, mean, input bias and weight norm.",
    source="Gurnee et al. 2024, section 4.2 and figure 3; the statement is ours",
    expect=Equivalent(0.0, 0.1),
    family="properties",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_four_properties_do_not_follow_the_excess(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return correlations(study, reference, checkpoint, FLAT)


@control(of=test_four_properties_do_not_follow_the_excess)
def test_kurtosis_and_skewness_do_follow_it(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """The two that rise with the excess throughout; fails if no correlation would be seen."""
    return correlations(study, reference, checkpoint, STEEP)


def correlations(study: Study, reference: str, checkpoint: Checkpoint, names: tuple[str, ...]) -> Measurement:
    table = study.table("properties", model=reference, checkpoint=checkpoint)
    scores = study.reference_tables(checkpoint=checkpoint, reference=reference)
    return farthest_from_none({name: spearman_in_layers(table, scores, name) for name in names})
