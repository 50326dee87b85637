"""N5: growth slows: the second step is smaller than the first.

Rule (catalogue, N5): the difference of differences is below 0. Table 1 implies it of means over pairs, so it is
measured of the mean over pairs, at each threshold. A rule of direction, so it is the same on every suite; it is about
the course of a training, though, and mini's is shorter than GPT-2 Small's in every unit.
"""

from universal_neurons.harness import LessThan, Measurement, claim, control
from universal_neurons.measures.study import Study, null_tables, quarter_checkpoints
from universal_neurons.measures.universality import acceleration


@claim(
    "N5",
    "From 50 to 75 % of training the share of universal neurons grows less than from 25 to 50 %.",
    source="Nandan et al. 2025 v1, table 1 (implicit)",
    expect=LessThan(0.0),
    family="emergence",
    correction="holm",
)
def test_growth_slows(study: Study, threshold: float) -> Measurement:
    first, second, third = (study.reference_tables(checkpoint=checkpoint) for checkpoint in quarter_checkpoints(study))
    return acceleration(first, second, third, threshold)


@control(of=test_growth_slows)
def test_the_share_of_rotated_neurons_does_not_slow(study: Study, threshold: float) -> Measurement:
    """Fails if a share that never grew seems to slow, by the falling baseline or by rounding."""
    first, second, third = (
        null_tables(study, checkpoint=checkpoint, kind="rotated") for checkpoint in quarter_checkpoints(study)
    )
    return acceleration(first, second, third, threshold)
