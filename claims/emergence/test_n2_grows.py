"""N2: the share of universal neurons grows at every checkpoint.

Rule (catalogue, N2): paired differences per neuron (McNemar) and per pair; both steps above 0 in all pairs, the
interval excluding 0. It is a rule of direction, so it is the same on every suite; the printed values are asked by N3.
The steps are those between 25, 50 and 75 % of training, as in the paper; every pair and step is an item, and all must
hold.
"""

from universal_neurons.harness import GreaterThan, Interval, Measurement, claim, control
from universal_neurons.measures.study import Study
from universal_neurons.measures.universality import mcnemar_difference


@claim(
    "N2",
    "The share of universal neurons grows from each checkpoint to the next.",
    source="Nandan et al. 2025 v1, section 4 (lines 81-84) and table 1",
    expect=GreaterThan(0.0),
    family="emergence",
    axes={"interval": (("25 %", "50 %"), ("50 %", "75 %")), "threshold": (0.5,)},
)
def test_the_share_grows(study: Study, partner: str, interval: Interval, threshold: float) -> Measurement:
    earlier, later = (
        study.universality(partner=partner, checkpoint=checkpoint) for checkpoint in (interval.earlier, interval.later)
    )
    return mcnemar_difference(earlier, later, threshold)


@control(of=test_the_share_grows)
def test_rotated_neurons_do_not_become_universal(
    study: Study, partner: str, interval: Interval, threshold: float
) -> Measurement:
    """The baseline falls as training goes on; fails if that alone makes a share grow."""
    earlier, later = (
        study.null(partner=partner, checkpoint=checkpoint, kind="rotated")
        for checkpoint in (interval.earlier, interval.later)
    )
    return mcnemar_difference(earlier, later, threshold)
