"""G20: unigram neurons are the most common family, and early.

Rules (catalogue, Families): among the neurons whose best label scores above 0.5, the share whose best label is a
unigram minus the share of the next family is above 0, for every model as the reference; and their mean depth, in shares
of the layers, is below one half (the paper: the first layers).
"""

from universal_neurons.harness import GreaterThan, LessThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.families import depth_of_unigrams, explanations, extreme_layers, lead_of_unigrams
from universal_neurons.measures.properties import DEALINGS
from universal_neurons.measures.study import Study


@claim(
    "G20",
    "Unigram neurons are the most common family.",
    source="Gurnee et al. 2024, section 4.3 and figures 4a, 15 and 16",
    expect=GreaterThan(0.0),
    family="families",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_unigram_neurons_are_the_most_common(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return lead_of_unigrams(explanations(study, checkpoint, reference))


@control(of=test_unigram_neurons_are_the_most_common)
def test_not_because_there_are_so_many_unigrams(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """The families of the labels of other rows that are best by chance; fails if the family with most labels wins."""
    return lead_of_unigrams(explanations(study, checkpoint, reference), elsewhere=True)


@claim(
    "G20-early",
    "Unigram neurons are in the first layers.",
    source="Gurnee et al. 2024, section 4.3 and figures 4a, 15 and 16",
    expect=LessThan(0.5),
    family="families",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_unigram_neurons_are_early(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return depth_of_unigrams(explanations(study, checkpoint, reference))


@control(of=test_unigram_neurons_are_early)
def test_not_with_layers_dealt_out_anew(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """The layers shuffled among neurons; fails if the interval excludes the middle more often than it should."""
    table = explanations(study, checkpoint, reference)
    return extreme_layers(lambda seed: depth_of_unigrams(table, seed=seed), -1, DEALINGS)
