"""G30a: prediction neurons become more frequent with depth, from the middle of the model on.

Rule (catalogue, Mechanisms; the design's numbers of mini were known, none of these was): of each model the share of
neurons whose vocabulary kurtosis is above the 99.9th percentile of random directions rises from the second quarter of
the depth to the third and from the third to the last; the smaller of both steps is above 0. Every model by itself,
because the paper says that it is the same in all five. The published threshold of 10 is asked for apart
(G30a-published): mini's vocabulary of 1,024 tokens leaves hardly a neuron above it.
"""

from universal_neurons.harness import GreaterThan, Measurement, NotJudged, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.predictions import PredictionTables, smallest_rise, written
from universal_neurons.measures.study import Study

PUBLISHED = 10.0


@claim(
    "G30a",
    "After the middle of the depth there are more and more neurons that write sharply into the vocabulary.",
    source="Gurnee et al. 2024, section 5.1 and figure 6",
    expect=GreaterThan(0.0),
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_sharp_neurons_rise_with_depth(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return smallest_rise(written(study, checkpoint, reference))


@control(of=test_sharp_neurons_rise_with_depth)
def test_not_with_permuted_coordinates(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """The rows of the unembedding permuted; fails if anything but the directions of weights makes them sharp."""
    return smallest_rise(written(study, checkpoint, reference, "permuted_"))


@control(of=test_sharp_neurons_rise_with_depth)
def test_not_of_random_directions(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """A random direction for every neuron; fails if the threshold is wrong for some layers."""
    tables: PredictionTables = study.table("predictions", model=reference, checkpoint=checkpoint)
    return smallest_rise(tables.random_writing())


@claim(
    "G30a-common",
    "Sharp neurons become more frequent with depth also where rare tokens are left out.",
    source="Gurnee et al. 2024, section 5.1 and figure 6; without rare tokens is ours",
    expect=GreaterThan(0.0),
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_sharp_neurons_rise_without_rare_tokens(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return smallest_rise(written(study, checkpoint, reference, "common_"))


@control(of=test_sharp_neurons_rise_without_rare_tokens)
def test_not_with_permuted_coordinates_and_rare_tokens(
    study: Study, reference: str, checkpoint: Checkpoint
) -> Measurement:
    """The coordinates permuted, with all tokens; fails if the threshold is too low."""
    return smallest_rise(written(study, checkpoint, reference, "permuted_"))


@claim(
    "G30a-published",
    "After the middle of the depth there are more and more neurons with a vocabulary kurtosis above 10.",
    source="Gurnee et al. 2024, section 5.1 and figure 6",
    expect=GreaterThan(0.0),
    on={"mini": NotJudged("with a vocabulary of 1,024 tokens hardly a direction has a kurtosis of 10")},
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_sharp_neurons_by_the_published_threshold(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return smallest_rise(written(study, checkpoint, reference, bound=PUBLISHED))


@control(of=test_sharp_neurons_by_the_published_threshold)
def test_not_of_permuted_coordinates_by_the_published_threshold(
    study: Study, reference: str, checkpoint: Checkpoint
) -> Measurement:
    """The rows of the unembedding permuted; fails if that is enough for a kurtosis of 10."""
    return smallest_rise(written(study, checkpoint, reference, "permuted_", bound=PUBLISHED))


@claim(
    "G31",
    "In models with an unembedding of its own, too, there are more and more sharp neurons after the middle.",
    source="Gurnee et al. 2024, section 5.1 and figure 22",
    expect=NotJudged("the models of this suite use their embeddings as unembeddings"),
    on={"pythia_160m": GreaterThan(0.0)},
    family="predictions",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_sharp_neurons_rise_with_untied_embeddings(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return smallest_rise(written(study, checkpoint, reference, bound=PUBLISHED))


@control(of=test_sharp_neurons_rise_with_untied_embeddings)
def test_not_of_permuted_coordinates_with_untied_embeddings(
    study: Study, reference: str, checkpoint: Checkpoint
) -> Measurement:
    """The rows of the unembedding permuted; fails if that is enough for a kurtosis of 10."""
    return smallest_rise(written(study, checkpoint, reference, "permuted_", bound=PUBLISHED))
