"""G22: previous-token neurons are in the first half of the layers.

Rule (catalogue, Families): the median depth of the neurons of whose variance the id of the previous token explains more
than half is below one half, for every model as the reference. The paper says layers 4 to 6 of 24, which four layers
cannot show. Not the best label, because the share that the id explains is the ceiling of every label of it.
"""

from universal_neurons.harness import LessThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.families import depth_of, explanations, extreme_layers
from universal_neurons.measures.labels import PREVIOUS
from universal_neurons.measures.properties import DEALINGS
from universal_neurons.measures.study import Study


@claim(
    "G22",
    "Neurons that respond to the previous token are in the first half of the layers.",
    source="Gurnee et al. 2024, section 4.3 and figure 18",
    expect=LessThan(0.5),
    family="families",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_previous_token_neurons_are_early(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return depth_of(explanations(study, checkpoint, reference), PREVIOUS)


@control(of=test_previous_token_neurons_are_early)
def test_not_by_tokens_of_other_rows(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """The previous token of the next row; fails if any token explains early neurons."""
    return depth_of(explanations(study, checkpoint, reference), PREVIOUS, elsewhere=True)


@control(of=test_previous_token_neurons_are_early)
def test_not_with_layers_dealt_out_anew(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """The layers shuffled among neurons; fails if the interval excludes the middle more often than it should."""
    table = explanations(study, checkpoint, reference)
    return extreme_layers(lambda seed: depth_of(table, PREVIOUS, seed=seed), -1, DEALINGS)
