"""G9: universal neurons have near duplicates in their own model.

Rule (catalogue, Prevalence): the share of universal neurons that another neuron of the same model correlates with by
more than 0.8 minus the share of the other neurons of their layers is above 0, for every model as the reference; G9-half
asks the same of 0.5, above which a duplicate would count as universal were it in another model.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.duplicates import duplicated
from universal_neurons.measures.families import dealt_share_difference, share_difference
from universal_neurons.measures.study import Study

NEAR, HALF = 0.8, 0.5


@claim(
    "G9",
    "Universal neurons have near duplicates in their own model more often than other neurons of their layers.",
    source="Gurnee et al. 2024, section 6 and figure 15",
    expect=GreaterThan(0.0),
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_universal_neurons_have_near_duplicates(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return share_difference({reference: duplicated(study, checkpoint, threshold, reference, above=NEAR)})


@control(of=test_universal_neurons_have_near_duplicates)
def test_not_near_ones_with_labels_dealt_out_anew(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Who is universal shuffled within layers; fails if the interval excludes 0 more often than it should."""
    return dealt_share_difference(reference, duplicated(study, checkpoint, threshold, reference, above=NEAR))


@claim(
    "G9-half",
    "Universal neurons have neurons like them in their own model more often than other neurons of their layers.",
    source="Gurnee et al. 2024, section 6 and figure 15; the threshold is ours",
    expect=GreaterThan(0.0),
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_universal_neurons_have_neurons_like_them(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return share_difference({reference: duplicated(study, checkpoint, threshold, reference, above=HALF)})


@control(of=test_universal_neurons_have_neurons_like_them)
def test_not_like_them_with_labels_dealt_out_anew(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Who is universal shuffled within layers; fails if the interval excludes 0 more often than it should."""
    return dealt_share_difference(reference, duplicated(study, checkpoint, threshold, reference, above=HALF))
