"""F2, kinds of rotation: what is called a random rotation does not decide what is universal.

Rule (ours, catalogue F2 and A8): orthogonal rotations instead of Gaussian matrices move the share by less than 0.5
percentage points, the tolerance within which a share matches a printed one (catalogue, Decision rules). The published
matrices are Gaussian although the text speaks of rotation. At the last checkpoint.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import without_baseline
from universal_neurons.measures.robustness import share_change, variant_change
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
def test_the_kind_of_rotation_does_not_matter(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return variant_change(study, "rotation:orthogonal", partner=partner, checkpoint=checkpoint, threshold=threshold)


@control(of=test_the_kind_of_rotation_does_not_matter)
def test_a_baseline_that_is_left_out_matters(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Correlation instead of excess; fails if the tolerance would let pass that there is no baseline at all."""
    table = study.universality(partner=partner, checkpoint=checkpoint)
    return share_change(table, without_baseline(table), threshold)


@control(of=test_the_kind_of_rotation_does_not_matter)
def test_rotated_neurons_are_another_share(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The reference itself rotated; fails if the tolerance is wider than the share that could be lost."""
    table = study.universality(partner=partner, checkpoint=checkpoint)
    return share_change(table, study.null(partner=partner, checkpoint=checkpoint, kind="rotated"), threshold)
