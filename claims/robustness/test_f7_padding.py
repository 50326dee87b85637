"""F7, padding: the published padding does not decide what is universal.

Rule (ours, catalogue F7; Published code): rows cut to half the context and padded with token 0, the padding and the
first position counted as text, move the share by less than 0.5 percentage points, the tolerance within which a share
matches a printed one (catalogue, Decision rules). Which way it would move is not obvious: correlation and baseline both
rise. That fewer rows are read here is asked apart, by F8. At the last checkpoint, threshold 0.5.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import without_baseline
from universal_neurons.measures.robustness import share_change, variant_change
from universal_neurons.measures.study import Study


@claim(
    "F7-padding",
    "Rows padded with a counted token change the universal share by less than 0.5 percentage points.",
    source="Nandan et al. 2025 v1, published code (adv06/universal-neurons-new, correlations_fast.py)",
    expect=Equivalent(0.0, 0.005),
    family="robustness",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_counted_padding_changes_little(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return variant_change(study, "padding:published", partner=partner, checkpoint=checkpoint, threshold=threshold)


@control(of=test_counted_padding_changes_little)
def test_a_baseline_that_is_left_out_matters_of_padding(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Correlation instead of excess; fails if the tolerance would let pass that there is no baseline at all."""
    table = study.universality(partner=partner, checkpoint=checkpoint)
    return share_change(table, without_baseline(table), threshold)


@control(of=test_counted_padding_changes_little)
def test_rotated_neurons_are_another_share_of_padding(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The reference itself rotated; fails if the tolerance is wider than the share that could be lost."""
    table = study.universality(partner=partner, checkpoint=checkpoint)
    return share_change(table, study.null(partner=partner, checkpoint=checkpoint, kind="rotated"), threshold)
