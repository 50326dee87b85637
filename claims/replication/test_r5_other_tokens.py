"""R5: neurons correlate perfectly across two halves of the text.

Rule (ours, before mini was measured): the median over the reference's neurons of their largest correlation with neurons
that read other tokens is above 0.9. The replication pairs the first half of its tokens with the second, one by one, and
reports a perfect correlation of a model with itself. Tokens that have nothing to do with each other leave none,
whichever model reads them; the suite's null of permuted tokens measures that.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.replication import typical_correlation
from universal_neurons.measures.study import Study, null_tables


@claim(
    "R5",
    "The activations of neurons on one text correlate perfectly with those on another.",
    source="the replication of Gurnee et al. 2024; the rule is ours",
    expect=GreaterThan(0.9),
    family="replication",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_neurons_correlate_across_texts(study: Study, checkpoint: Checkpoint) -> Measurement:
    return typical_correlation(null_tables(study, checkpoint=checkpoint, kind="permuted"))


@control(of=test_neurons_correlate_across_texts)
def test_not_with_random_directions(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Rotated directions instead of neurons; fails if anything correlates with anything."""
    tables = null_tables(study, checkpoint=checkpoint, kind="permuted")
    return typical_correlation(tables, of_directions=True)
