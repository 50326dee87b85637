"""G40-null, G40-rho and G40-frequency: what Stolfo et al. say of entropy neurons and of token-frequency neurons.

Rule (catalogue, Mechanisms), over the neurons of the last layer, mean over models, interval over models. G40-null: more
than one in a hundred have a larger share in the null space of the unembedding than 99 % of random directions. G40-rho:
Spearman's correlation of that share with the mediated share of the effect on entropy is above 0. G40-frequency: more
than one in twenty write in the direction of token frequency more than 95 % of random directions.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.entropy import every_model, null_space_and_mediation, tail_excess
from universal_neurons.measures.study import Study


@claim(
    "G40-null",
    "Some neurons of the last layer write into the null space of the unembedding.",
    source="Stolfo et al. 2024, section 3; on the entropy neurons of Gurnee et al. 2024, section 5.2",
    expect=GreaterThan(0.0),
    family="entropy",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_neurons_write_into_the_null_space(study: Study, checkpoint: Checkpoint) -> Measurement:
    return tail_excess(every_model(study, checkpoint), "null_share")


@control(of=test_neurons_write_into_the_null_space)
def test_random_directions_do_not_point_there(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Half of the random directions against the other half; fails if the percentile is wrong."""
    return tail_excess(every_model(study, checkpoint), "null_share", half=True)


@claim(
    "G40-rho",
    "The more a neuron writes into the null space, the more of its effect on entropy is mediated by the scale.",
    source="Stolfo et al. 2024, section 3; the rank correlation is ours",
    expect=GreaterThan(0.0),
    family="entropy",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_the_null_space_tells_mediation(study: Study, checkpoint: Checkpoint) -> Measurement:
    return null_space_and_mediation(every_model(study, checkpoint))


@control(of=test_the_null_space_tells_mediation)
def test_not_the_null_space_of_other_neurons(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Shares dealt out anew; fails if the interval is too narrow."""
    return null_space_and_mediation(every_model(study, checkpoint), seed=0)


@claim(
    "G40-frequency",
    "Some neurons of the last layer shift the output distribution to or from the frequencies of tokens.",
    source="Stolfo et al. 2024, section 4",
    expect=GreaterThan(0.0),
    family="entropy",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_neurons_write_the_frequency_of_tokens(study: Study, checkpoint: Checkpoint) -> Measurement:
    return tail_excess(every_model(study, checkpoint), "frequency_cosine")


@control(of=test_neurons_write_the_frequency_of_tokens)
def test_random_directions_do_not_write_it(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Half of the random directions against the other half; fails if the percentile is wrong."""
    return tail_excess(every_model(study, checkpoint), "frequency_cosine", half=True)
