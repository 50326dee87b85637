"""F2, kinds of rotation: what is called a random rotation does not decide what is universal.

Rule (ours): orthogonal rotations instead of Gaussian matrices move the share by less than 0.5 percentage points, the
tolerance within which a share matches a printed one (claims/README.md, Decision rules), pooled over the pairs of the
reference, the only one that has variants, with the interval of the jackknife over its partners. The published matrices
are Gaussian although the text speaks of rotation. At the last checkpoint.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import without_baseline
from universal_neurons.measures.pooled import altered, beside, every_pair, own_pairs, pooled_growth, variant_pairs
from universal_neurons.measures.study import Study


@claim(
    "F2-rotation",
    "Orthogonal rotations instead of Gaussian matrices change the universal share by less than 0.5 percentage points.",
    source="Nandan et al. 2025 v1, section 3; Gurnee et al. 2024, section 4.1 ('approximate' rotation)",
    expect=Equivalent(0.0, 0.005),
    family="robustness",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_the_kind_of_rotation_does_not_matter(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_growth(variant_pairs(study, "rotation:orthogonal", checkpoint), threshold)


@control(of=test_the_kind_of_rotation_does_not_matter)
def test_a_baseline_that_is_left_out_matters(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Correlation instead of excess; fails if the tolerance would let pass that there is no baseline at all."""
    return pooled_growth(altered(every_pair(study, checkpoint, checkpoint), without_baseline), threshold)


@control(of=test_the_kind_of_rotation_does_not_matter)
def test_rotated_neurons_are_another_share(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """The reference itself rotated; fails if the tolerance is wider than the share that could be lost."""
    rotated = own_pairs(study, checkpoint, null="rotated")
    return pooled_growth(beside(own_pairs(study, checkpoint), rotated), threshold)
