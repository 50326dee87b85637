"""G52-cause: how much a neuron's weights point to a head's first position is how much it moves the attention there.

Rule (catalogue, Mechanisms): over random neurons below a sink head, Spearman's correlation of the relative score with
the change of attention per activation and unit of output weights, where the neuron is taken out, is below -0.5; mean
over sink heads and models, interval over models. The bound was chosen after an independent measurement of mini (-0.79
to -0.93); published suites are judged by the same.
"""

from universal_neurons.harness import LessThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.attention import every_model, score_and_effect
from universal_neurons.measures.study import Study


@claim(
    "G52-cause",
    "The score that a neuron's weights have for a head tells how its activation moves the head's attention.",
    source="Gurnee et al. 2024, section 5.3; a summary of it says that weights show function, the test is ours",
    expect=LessThan(-0.5),
    family="attention",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_scores_tell_effects(study: Study, checkpoint: Checkpoint) -> Measurement:
    return score_and_effect(every_model(study, checkpoint))


@control(of=test_scores_tell_effects)
def test_not_the_scores_of_other_neurons(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Scores dealt out anew among a head's neurons; fails if the ranks of anything would agree."""
    return score_and_effect(every_model(study, checkpoint), seed=0)
