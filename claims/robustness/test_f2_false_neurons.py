"""F2: chance makes hardly any neuron universal.

Rule (ours, catalogue F2): of the directions of two rotated models at most 0.5 % pass the threshold, a tenth of the
share that the paper finds at 0.5. So at most one universal neuron in ten is false. No false one among n neurons still
leaves an upper end of about 4 / n (Wilson). At the last checkpoint, at every threshold.

Correlation without a baseline is no control of it: on mini neither untrained neurons nor, from 0.5 upwards, rotated
directions pass a threshold even so. There it is the threshold that keeps false neurons out, not the baseline.
"""

from universal_neurons.harness import AtMost, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.robustness import share_over_neurons
from universal_neurons.measures.study import Study


@claim(
    "F2",
    "At most 0.5 % of the directions of two rotated models count as universal, at any threshold.",
    source="Nandan et al. 2025 v1, section 3 (the baseline); the null distribution is ours",
    expect=AtMost(0.005),
    family="robustness",
    kind="method",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_rotated_directions_are_not_universal(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return share_over_neurons(study.null(partner=partner, checkpoint=checkpoint, kind="rotated"), threshold)


@control(of=test_rotated_directions_are_not_universal)
def test_neurons_as_they_are_are_universal(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Fails if no more neurons than directions are universal: then there is nothing that could be false."""
    return share_over_neurons(study.universality(partner=partner, checkpoint=checkpoint), threshold)
