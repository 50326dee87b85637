"""F4: neurons that one half of the tokens identifies are universal on the other half.

Rule (ours, catalogue F4): of the neurons identified in half A, each half with a partner and a baseline of its own,
at least as many are universal in half B as the paper says remain universal over training. A neuron that does not
even survive a second look at the same weights cannot be said to persist. At the last checkpoint, threshold 0.5.
"""

from universal_neurons.harness import AtLeast, Measurement, Published, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import with_second_half_of, with_second_half_shuffled
from universal_neurons.measures.robustness import split_half_agreement
from universal_neurons.measures.study import Study


@claim(
    "F4",
    "At least 80 % of the neurons that half of the tokens identify are universal on the other half too.",
    source="Nandan et al. 2025 v1, section 1 (line 28) for the bound; cross-fitting is ours",
    expect=AtLeast(Published("nandan2025.text", quantity="persistence, lower bound")),
    family="robustness",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_the_other_half_of_the_tokens_agrees(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return split_half_agreement(study.universality(partner=partner, checkpoint=checkpoint), threshold)


@control(of=test_the_other_half_of_the_tokens_agrees)
def test_scores_dealt_out_anew_do_not_agree(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Half B shuffled within layers; fails if some layers are so universal that any neuron in them agrees."""
    table = study.universality(partner=partner, checkpoint=checkpoint)
    return split_half_agreement(with_second_half_shuffled(table, seed=0), threshold)


@control(of=test_the_other_half_of_the_tokens_agrees)
def test_neurons_of_another_model_do_not_agree(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Half B of the partner's own neurons, number by number; fails if the number of a neuron tells how it scores."""
    table = study.universality(partner=partner, checkpoint=checkpoint)
    other = study.universality(partner=study.reference, checkpoint=checkpoint, reference=partner)
    return split_half_agreement(with_second_half_of(table, other), threshold)
