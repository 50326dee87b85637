"""F7: which positions are scored does not decide what is universal.

Rule (ours): with every position scored, newlines, ends of text and the first position of each row among them, the share
moves by less than 0.5 percentage points, the tolerance within which a share matches a printed one (claims/README.md,
Decision rules), pooled over the pairs of the reference, the only one that has variants, with the interval of the
jackknife over its partners. At the last checkpoint, threshold 0.5; the other masks are rows of the report.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import without_baseline
from universal_neurons.measures.pooled import altered, beside, every_pair, own_pairs, pooled_growth, variant_pairs
from universal_neurons.measures.study import Study


@claim(
    "F7",
    "Scoring every position, the first and newlines too, changes the share by less than 0.5 percentage points.",
    source="Gurnee et al. 2024, appendix A.2 (the filter); the comparison is ours",
    expect=Equivalent(0.0, 0.005),
    family="robustness",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_scoring_every_position_changes_little(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_growth(variant_pairs(study, "mask:all", checkpoint), threshold)


@control(of=test_scoring_every_position_changes_little)
def test_a_baseline_that_is_left_out_matters_in_masks(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Correlation instead of excess; fails if the tolerance would let pass that there is no baseline at all."""
    return pooled_growth(altered(every_pair(study, checkpoint, checkpoint), without_baseline), threshold)


@control(of=test_scoring_every_position_changes_little)
def test_rotated_neurons_are_another_share_in_masks(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The reference itself rotated; fails if the tolerance is wider than the share that could be lost."""
    rotated = own_pairs(study, checkpoint, null="rotated")
    return pooled_growth(beside(own_pairs(study, checkpoint), rotated), threshold)
