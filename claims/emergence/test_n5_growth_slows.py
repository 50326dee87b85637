"""N5: growth slows: the second step is smaller than the first.

Rule: the difference of differences of the share, mean over all directed pairs of models, is below 0 at each threshold,
with the interval of the jackknife over models. A rule of direction, so it is the same on every suite; it is about the
course of a training, though, and mini's is shorter than GPT-2 Small's in every unit. Table 1 implies it of the pairs of
one reference, which is a reading (A2).
"""

from universal_neurons.harness import LessThan, Measurement, claim, control, reading
from universal_neurons.measures.pooled import every_pair, own_pairs, pooled_acceleration
from universal_neurons.measures.study import Study, quarter_checkpoints


@claim(
    "N5",
    "From 50 to 75 % of training the share of universal neurons grows less than from 25 to 50 %.",
    source="Nandan et al. 2025 v1, table 1 (implicit)",
    expect=LessThan(0.0),
    family="emergence",
    correction="holm",
)
def test_growth_slows(study: Study, threshold: float) -> Measurement:
    return pooled_acceleration(every_pair(study, *quarter_checkpoints(study)), threshold)


@control(of=test_growth_slows)
def test_the_share_of_rotated_neurons_does_not_slow(study: Study, threshold: float) -> Measurement:
    """Fails if a share that never grew seems to slow, by the falling baseline or by rounding."""
    return pooled_acceleration(own_pairs(study, *quarter_checkpoints(study), null="rotated"), threshold)


@reading(of=test_growth_slows, ambiguity="A2", says="the pairs of the reference alone")
def test_growth_of_one_reference_slows(study: Study, threshold: float) -> Measurement:
    return pooled_acceleration(own_pairs(study, *quarter_checkpoints(study)), threshold)
