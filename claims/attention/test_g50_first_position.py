"""G50: what heads read at the first position is small.

Rule (catalogue, Mechanisms): the median over all heads of the mean norm of W_O v at later positions over its norm at
position 0 is above 1, mean over models, interval over models. The paper prints 19.4 for GPT-2 Medium (a); how far from
1 it is in other models is shown and not judged.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.attention import every_model, sink_norm_ratio
from universal_neurons.measures.study import Study


@claim(
    "G50",
    "A head that attends to the first position writes less than where it attends to others.",
    source="Gurnee et al. 2024, section 5.3",
    expect=GreaterThan(1.0),
    family="attention",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_the_first_position_is_small(study: Study, checkpoint: Checkpoint) -> Measurement:
    return sink_norm_ratio(every_model(study, checkpoint))


@control(of=test_the_first_position_is_small)
def test_another_position_is_not(study: Study, checkpoint: Checkpoint) -> Measurement:
    """The middle position in its place; fails if any single position is small beside the mean of all."""
    return sink_norm_ratio(every_model(study, checkpoint), at="middle")
