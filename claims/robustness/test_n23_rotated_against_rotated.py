"""N23: rotation leaves nothing to exceed its own baseline, so excess measures what is tied to single neurons.

Rule (catalogue, N23): with both models rotated, and a baseline rotated independently of that, the excess is about 0.
"About" is within a tenth of the threshold 0.5: a mean of 0.05 is far from making a neuron universal. An equivalence,
not a difference: with thousands of neurons a mean of 0.001 excludes 0. The tail of the same null is asked by F2.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import without_baseline
from universal_neurons.measures.robustness import mean_excess
from universal_neurons.measures.study import Study


@claim(
    "N23",
    "Where the layers of both models are rotated, the mean excess correlation is zero within 0.05.",
    source="Nandan et al. 2025 v1, section 3",
    expect=Equivalent(0.0, 0.05),
    family="robustness",
    kind="method",
    correction="holm",
)
def test_rotated_models_have_no_excess(study: Study, partner: str, checkpoint: Checkpoint) -> Measurement:
    return mean_excess(study.null(partner=partner, checkpoint=checkpoint, kind="rotated"))


@control(of=test_rotated_models_have_no_excess)
def test_models_as_they_are_have_excess(study: Study, partner: str, checkpoint: Checkpoint) -> Measurement:
    """Fails if neurons as they are do not exceed the baseline either: then the baseline removes everything."""
    return mean_excess(study.universality(partner=partner, checkpoint=checkpoint))


@control(of=test_rotated_models_have_no_excess)
def test_rotated_models_correlate_without_a_baseline(study: Study, partner: str, checkpoint: Checkpoint) -> Measurement:
    """The best correlation itself; fails if there is nothing for the baseline to take away."""
    return mean_excess(without_baseline(study.null(partner=partner, checkpoint=checkpoint, kind="rotated")))
