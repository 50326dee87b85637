"""F4: neurons that one half of the tokens identifies are universal on the other half.

Rule (ours): of the neurons identified in half A, each half with a partner and a baseline of its own, at least as many
are universal in half B as the paper says remain universal over training, all directed pairs of models pooled, with the
interval of the jackknife over models. A neuron that does not even survive a second look at the same weights cannot be
said to persist. At the last checkpoint, threshold 0.5. The pairs of the reference alone are a reading (F9).
"""

from universal_neurons.harness import AtLeast, Measurement, Published, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import with_second_half_of, with_second_half_shuffled
from universal_neurons.measures.pooled import altered, every_pair, own_pairs, pooled_agreement
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
def test_the_other_half_of_the_tokens_agrees(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_agreement(every_pair(study, checkpoint), threshold)


@control(of=test_the_other_half_of_the_tokens_agrees)
def test_scores_dealt_out_anew_do_not_agree(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Half B shuffled within layers; fails if some layers are so universal that any neuron in them agrees."""
    pairs = every_pair(study, checkpoint)
    return pooled_agreement(altered(pairs, lambda table: with_second_half_shuffled(table, seed=0)), threshold)


@control(of=test_the_other_half_of_the_tokens_agrees)
def test_neurons_of_another_model_do_not_agree(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Half B of the partner's own neurons, number by number; fails if the number of a neuron tells how it scores."""
    pairs = every_pair(study, checkpoint)
    return pooled_agreement(
        {(x, y): (with_second_half_of(own, pairs[y, x][0]),) for (x, y), (own,) in pairs.items()}, threshold
    )


@reading(of=test_the_other_half_of_the_tokens_agrees, ambiguity="F9", says="of the reference alone")
def test_the_other_half_agrees_of_one_reference(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_agreement(own_pairs(study, checkpoint), threshold)
