"""G1-ids and G1-slope: the universal neurons that we find are the published ones, with the published excess.

Rule (ours, before any published model was measured): recall and precision against the published neurons are both above
0.8; the slope of our excess on the published one is 1 within 0.05. The published table is needed for both: see
G-weights.
"""

from universal_neurons.harness import Equivalent, GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.published_neurons import same_universal_neurons, slope_on_published_excess
from universal_neurons.measures.study import Study


@claim(
    "G1-ids",
    "The universal neurons of the reference are the published ones.",
    source="Gurnee et al. 2024, published tables of neurons",
    expect=GreaterThan(0.8),
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_the_universal_neurons_are_the_published_ones(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return ids(study, checkpoint, threshold)


@control(of=test_the_universal_neurons_are_the_published_ones)
def test_not_neurons_dealt_out_anew(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Who is universal shuffled within layers; fails if the numbers per layer are enough."""
    return ids(study, checkpoint, threshold, seed=0)


@claim(
    "G1-slope",
    "The excess correlation of the published neurons is the published one.",
    source="Gurnee et al. 2024, published tables of neurons",
    expect=Equivalent(1.0, 0.05),
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_the_excess_is_the_published_one(study: Study, checkpoint: Checkpoint) -> Measurement:
    return slope(study, checkpoint)


@control(of=test_the_excess_is_the_published_one)
def test_not_the_excess_of_other_neurons(study: Study, checkpoint: Checkpoint) -> Measurement:
    """The published excess shuffled within layers; fails if the layer is enough."""
    return slope(study, checkpoint, seed=0)


def ids(study: Study, checkpoint: Checkpoint, threshold: float, seed: int | None = None) -> Measurement:
    tables = study.reference_tables(checkpoint=checkpoint)
    return same_universal_neurons(tables, study.published_neurons(checkpoint=checkpoint), threshold, seed=seed)


def slope(study: Study, checkpoint: Checkpoint, seed: int | None = None) -> Measurement:
    tables = study.reference_tables(checkpoint=checkpoint)
    return slope_on_published_excess(tables, study.published_neurons(checkpoint=checkpoint), seed=seed)
