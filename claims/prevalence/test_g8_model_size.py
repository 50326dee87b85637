"""G8: the share of universal neurons falls with the size of the model.

Rule (catalogue, Prevalence): the slope of the share on the logarithm of the number of neurons, over at least three
sizes, is below 0. The sizes are those of PolyPythias, ten seeds each; the claim is judged on each suite of them, from
the evidence that is here.
"""

from universal_neurons.harness import LessThan, Measurement, claim, control
from universal_neurons.measures.across import share_by_size
from universal_neurons.measures.study import Study

SIZES = tuple(f"polypythias_{size}" for size in ("14m", "31m", "70m", "160m", "410m"))


@claim(
    "G8",
    "The larger a model is, the smaller is the share of its neurons that are universal.",
    source="Gurnee et al. 2024, section 4.1; the models are those of van der Wal et al. 2025",
    expect=LessThan(0.0),
    family="prevalence",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_the_share_falls_with_size(study: Study, threshold: float) -> Measurement:
    return share_by_size(study, SIZES, threshold)


@control(of=test_the_share_falls_with_size)
def test_not_of_rotated_neurons(study: Study, threshold: float) -> Measurement:
    """Both models rotated; fails if a maximum over more candidates is enough for another share."""
    return share_by_size(study, SIZES, threshold, null="rotated")
