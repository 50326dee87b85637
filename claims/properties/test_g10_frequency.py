"""G10: the activation frequency of universal neurons is low for their layers.

Rule (catalogue, Properties): the percentile of each universal neuron in its layer; the interval of their median lies
below 50, the median of any set of neurons that the property does not tell apart. For every model as the reference, and
once as the mean over them, each model left out in turn. On published suites the printed median within 5 percentiles, or
within 10 where it is read off a figure. The direction is the paper's.
"""

from universal_neurons.harness import LessThan, Measurement, Near, Published, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.properties import (
    borrowed_contrast,
    contrast,
    dealt_contrast,
    dealt_pooled_contrast,
    pooled_contrast,
)
from universal_neurons.measures.study import Study


@claim(
    "G10",
    "Universal neurons are active at fewer tokens than the other neurons of their layers.",
    source="Gurnee et al. 2024, section 4.2 and figure 3",
    expect=LessThan(50.0),
    on={
        "gurnee_small": Near(Published("gurnee2024.percentiles", property="G10", model="gpt2-small-a"), 5.0, 0.0),
        "gurnee_medium": Near(Published("gurnee2024.percentiles", property="G10", model="gpt2-medium-a"), 10.0, 0.0),
        "pythia_160m": Near(Published("gurnee2024.percentiles", property="G10", model="pythia-160m"), 10.0, 0.0),
    },
    family="properties",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_universal_neurons_fire_rarely(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return contrast(study, "published_frequency", checkpoint, threshold, reference)


@control(of=test_universal_neurons_fire_rarely)
def test_not_with_labels_dealt_out_anew(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels shuffled within layers; fails if the interval excludes 50 more often than it should."""
    return dealt_contrast(study, "published_frequency", checkpoint, threshold, reference)


@control(of=test_universal_neurons_fire_rarely)
def test_not_with_the_labels_of_other_models(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The neurons universal in a partner, by their numbers; fails if numbers mean anything across models."""
    return borrowed_contrast(study, "published_frequency", checkpoint, threshold, reference)


@reading(of=test_universal_neurons_fire_rarely, ambiguity="A21", says="a neuron fires: above 0, as the text says")
def test_universal_neurons_are_rarely_above_zero(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return contrast(study, "frequency", checkpoint, threshold, reference)


@claim(
    "G10-pooled",
    "In all models together, universal neurons have a low activation frequency for their layers.",
    source="Gurnee et al. 2024, section 4.2 and figure 3; all models together are ours",
    expect=LessThan(50.0),
    family="properties",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_in_all_models_together(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_contrast(study, "published_frequency", checkpoint, threshold)


@control(of=test_in_all_models_together)
def test_not_in_all_models_with_labels_dealt_out_anew(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels shuffled within the layers of every model; fails if the jackknife is too narrow."""
    return dealt_pooled_contrast(study, "published_frequency", checkpoint, threshold)
