"""G40 and G42: a last-layer neuron of large norm that hardly moves logits changes entropy through the final layer norm.

Rule (catalogue, Mechanisms): of each model the candidate is, of the tenth of last-layer neurons with the largest output
norms, the one with the least variance of logits. Set to its mean, more than half of its effect on entropy is mediated
by the scale of the final layer norm (G40); set to 6, the largest published value, at least 95 % of positions keep their
most probable token (G42, the published "rank unchanged"). Mean over models, interval over models.

Only models count in which a direction planted on the smallest singular direction of the unembedding does what is asked
of a neuron, and at least three: where the unembedding has no null space, no neuron could, and a refutation would say
nothing. This was added after the first measurement, which had refuted both on mini, where the planted direction
mediates 0.50 to 0.88 (G40-planted) and keeps 92 to 97 %.
"""

from universal_neurons.harness import AtLeast, GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.entropy import (
    candidate_mediation,
    clamped_share_kept,
    every_model,
    typical_mediation,
)
from universal_neurons.measures.study import Study

MEDIATED, KEPT = 0.5, 0.95


@claim(
    "G40",
    "A last-layer neuron of large norm changes entropy mostly through the scale of the final layer norm.",
    source="Gurnee et al. 2024, section 5.2 and figure 7; the mediated share is of Stolfo et al. 2024",
    expect=GreaterThan(MEDIATED),
    family="entropy",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_an_entropy_neuron_works_through_the_scale(study: Study, checkpoint: Checkpoint) -> Measurement:
    return candidate_mediation(every_model(study, checkpoint), possible=MEDIATED)


@control(of=test_an_entropy_neuron_works_through_the_scale)
def test_random_directions_do_not(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Random directions of median norm; fails if the scale mediates whatever is written."""
    return typical_mediation(every_model(study, checkpoint), "random")


@claim(
    "G42",
    "Setting an entropy neuron to a large value changes the most probable token at few positions.",
    source="Gurnee et al. 2024, section 5.2 and figures 7 and 25",
    expect=AtLeast(KEPT),
    family="entropy",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_an_entropy_neuron_keeps_the_first_token(study: Study, checkpoint: Checkpoint) -> Measurement:
    return clamped_share_kept(every_model(study, checkpoint), "candidate", possible=KEPT)


@control(of=test_an_entropy_neuron_keeps_the_first_token)
def test_other_neurons_do_not_keep_it(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Other neurons of large norm; fails if no neuron changes the most probable token."""
    return clamped_share_kept(every_model(study, checkpoint), "other", possible=KEPT)


@claim(
    "G40-planted",
    "A direction in the null space of the unembedding changes entropy mostly through the scale.",
    source="ours: a positive control",
    expect=GreaterThan(MEDIATED),
    kind="method",
    axes={"checkpoint": "last"},
)
def test_a_planted_entropy_neuron_works_through_the_scale(study: Study, checkpoint: Checkpoint) -> Measurement:
    return typical_mediation(every_model(study, checkpoint), "planted")


@control(of=test_a_planted_entropy_neuron_works_through_the_scale)
def test_random_directions_do_not_work_through_it(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Random directions; fails if any direction would do."""
    return typical_mediation(every_model(study, checkpoint), "random")
