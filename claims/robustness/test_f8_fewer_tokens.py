"""F8: the number of tokens is large enough.

Rule (ours): with the largest of the smaller numbers of tokens (half of all of them in mini) the share is within 0.5
percentage points of that of all, the tolerance within which a share matches a printed one (claims/README.md, Decision
rules), pooled over the pairs of the reference, the only one that has variants, with the interval of the jackknife over
its partners. The fewer tokens are the first of the same ones. At the last checkpoint, threshold 0.5; the whole curve is
a figure of the report.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import without_baseline
from universal_neurons.measures.pooled import altered, beside, every_pair, own_pairs, pooled_growth, variant_pairs
from universal_neurons.measures.robustness import longest_prefix
from universal_neurons.measures.study import Study


@claim(
    "F8",
    "Fewer tokens (half of them in mini) give a universal share within 0.5 percentage points of that of all tokens.",
    source="Nandan et al. 2025 v1, section 3 (5 million tokens); the comparison is ours",
    expect=Equivalent(0.0, 0.005),
    family="robustness",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_fewer_tokens_give_the_same_share(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_growth(variant_pairs(study, longest_prefix(study), checkpoint), threshold)


@control(of=test_fewer_tokens_give_the_same_share)
def test_a_baseline_that_is_left_out_matters_of_tokens(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Correlation instead of excess; fails if the tolerance would let pass that there is no baseline at all."""
    return pooled_growth(altered(every_pair(study, checkpoint, checkpoint), without_baseline), threshold)


@control(of=test_fewer_tokens_give_the_same_share)
def test_rotated_neurons_are_another_share_of_tokens(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The reference itself rotated; fails if the tolerance is wider than the share that could be lost."""
    rotated = own_pairs(study, checkpoint, null="rotated")
    return pooled_growth(beside(own_pairs(study, checkpoint), rotated), threshold)
