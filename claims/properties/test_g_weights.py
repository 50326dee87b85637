"""G-weights: our weight statistics of the papers' models are the published ones.

Rule (ours, before any published model was measured): of at least 99 % of the neurons in the authors' table every one of
nine weight statistics (norms, bias, cosine, moments over the vocabulary) is ours within one part in 10,000. It needs no
text, so it is the strongest check of folding and centring. The table is not part of this project: set
UNIVERSAL_NEURONS_PUBLISHED to the folder "dataframes" of the authors' repository (fixtures/published/neurons.toml).
"""

from universal_neurons.harness import AtLeast, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.published_neurons import agreeing_weights
from universal_neurons.measures.study import Study


@claim(
    "G-weights",
    "The weight statistics of the published neurons are the published ones.",
    source="Gurnee et al. 2024, published tables of neurons",
    expect=AtLeast(0.99),
    kind="method",
    family="properties",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_weight_statistics_are_the_published_ones(study: Study, checkpoint: Checkpoint) -> Measurement:
    return compared(study, checkpoint)


@control(of=test_weight_statistics_are_the_published_ones)
def test_not_without_folding_and_centring(study: Study, checkpoint: Checkpoint) -> Measurement:
    """The statistics of the weights as stored; fails if folding and centring change nothing."""
    return compared(study, checkpoint, raw=True)


@control(of=test_weight_statistics_are_the_published_ones)
def test_not_of_the_next_neurons(study: Study, checkpoint: Checkpoint) -> Measurement:
    """The statistics of the next neuron of the layer; fails if any neuron of a layer has the published ones."""
    return compared(study, checkpoint, neighbours=True)


def compared(study: Study, checkpoint: Checkpoint, *, raw: bool = False, neighbours: bool = False) -> Measurement:
    table = study.table("properties", checkpoint=checkpoint)
    first = next(iter(study.reference_tables(checkpoint=checkpoint).tables.values()))
    published = study.published_neurons(checkpoint=checkpoint)
    return agreeing_weights(table, published, level=first.resampling.level, raw=raw, neighbours=neighbours)
