"""G18: the pre-activations of neurons that are not universal are roughly Gaussian.

Rule (catalogue, Properties): of all neurons that are not universal the median skewness is 0 within 0.5 and the median
kurtosis 3 within 1, both by their intervals over neurons; universal neurons must fail one of the two. The number is
the larger of the two distances in units of its margin. Skewness alone was given up after measuring, because universal
neurons satisfy it as well.
"""

from universal_neurons.harness import LessThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.properties import distance_from_gaussian, ranked
from universal_neurons.measures.study import Study


@claim(
    "G18",
    "The pre-activations of neurons that are not universal have nearly the skewness and the kurtosis of a Gaussian.",
    source="Gurnee et al. 2024, section 4.2",
    expect=LessThan(1.0),
    family="properties",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_others_are_nearly_gaussian(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return distance(study, reference, checkpoint, threshold, universal=False)


@control(of=test_others_are_nearly_gaussian)
def test_universal_neurons_are_not(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The universal neurons; fails if the bounds hold for whatever is measured."""
    return distance(study, reference, checkpoint, threshold, universal=True)


def distance(study: Study, reference: str, checkpoint: Checkpoint, threshold: float, *, universal: bool) -> Measurement:
    kurtosis, skewness = (
        ranked(study, name, checkpoint, threshold, model=reference) for name in ("pre_kurtosis", "pre_skewness")
    )
    return distance_from_gaussian(kurtosis, skewness, universal=universal)
