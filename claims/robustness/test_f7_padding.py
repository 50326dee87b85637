"""F7, padding: the published padding does not decide what is universal.

Rule (ours): in rows cut to half the context and padded with token 0, counting the padding and the first position as
text moves the share by less than 0.5 percentage points, the tolerance within which a share matches a printed one
(claims/README.md, Decision rules), pooled over the pairs of the reference, the only one that has variants, with the
interval of the jackknife over its partners. Compared are the same rows with the padding counted and dropped: the
suite's own rows have several times as much text, and less text changes the share by itself (F8). Which way it would
move is not obvious: correlation and baseline both rise. At the last checkpoint, threshold 0.5.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import without_baseline
from universal_neurons.measures.pooled import altered, beside, every_pair, own_pairs, pooled_growth
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
def test_counted_padding_changes_little(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_growth(
        beside(*(own_pairs(study, checkpoint, variant=name) for name in ("padding:dropped", "padding:published"))),
        threshold,
    )


@control(of=test_counted_padding_changes_little)
def test_a_baseline_that_is_left_out_matters_of_padding(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Correlation instead of excess; fails if the tolerance would let pass that there is no baseline at all."""
    return pooled_growth(altered(every_pair(study, checkpoint, checkpoint), without_baseline), threshold)


@control(of=test_counted_padding_changes_little)
def test_rotated_neurons_are_another_share_of_padding(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The reference itself rotated; fails if the tolerance is wider than the share that could be lost."""
    rotated = own_pairs(study, checkpoint, null="rotated")
    return pooled_growth(beside(own_pairs(study, checkpoint), rotated), threshold)
