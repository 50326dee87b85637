"""N4: the trend is the same at the thresholds 0.4 and 0.6.

Rule: N2 at each threshold. A rule of direction, so it is the same on every suite. The share over all
thresholds from 0.1 to 0.9 is a figure of the report, not a part of this claim.
"""

from universal_neurons.harness import GreaterThan, Interval, Measurement, claim, control, reading
from universal_neurons.measures.pooled import every_pair, own_pairs, pooled_growth
from universal_neurons.measures.study import Study


@claim(
    "N4",
    "The share of universal neurons also grows from each checkpoint to the next at thresholds 0.4 and 0.6.",
    source="Nandan et al. 2025 v1, section 4 (lines 84-85), section 5, appendix C and table 1",
    expect=GreaterThan(0.0),
    family="emergence",
    correction="holm",
    axes={"interval": (("25 %", "50 %"), ("50 %", "75 %")), "threshold": (0.4, 0.6)},
)
def test_the_share_grows_at_other_thresholds(study: Study, interval: Interval, threshold: float) -> Measurement:
    return pooled_growth(every_pair(study, interval.earlier, interval.later), threshold)


@control(of=test_the_share_grows_at_other_thresholds)
def test_rotated_neurons_do_not_become_universal_at_other_thresholds(
    study: Study, interval: Interval, threshold: float
) -> Measurement:
    """A lower threshold is nearer to the baseline; fails if the falling baseline alone lifts neurons over it."""
    return pooled_growth(own_pairs(study, interval.earlier, interval.later, null="rotated"), threshold)


@reading(of=test_the_share_grows_at_other_thresholds, ambiguity="A2", says="the pairs of the reference alone")
def test_the_share_of_one_reference_grows_at_other_thresholds(
    study: Study, interval: Interval, threshold: float
) -> Measurement:
    return pooled_growth(own_pairs(study, interval.earlier, interval.later), threshold)
