"""N6: growth is stronger in deeper layers.

Rule (catalogue, N6): the contrast of growth, deeper half of the layers against the shallower half, is above 0 (layers
6-11 against 0-5 of GPT-2 Small, 2-3 against 0-1 of mini). The paper prints no number per layer, so it is a rule of
direction and the same on every suite. Growth is from 25 to 75 % of training, mean over pairs; the interval is over
neurons, because different neurons are compared. The rank correlation of layer and growth stands in the details.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.measures.controls import shuffled_layers
from universal_neurons.measures.depth import depth_contrast
from universal_neurons.measures.study import Study, first_and_last


@claim(
    "N6",
    "The share of universal neurons grows more in the deeper half of the layers than in the shallower half.",
    source="Nandan et al. 2025 v1, section 1 (first contribution) and section 4 (lines 81-82)",
    expect=GreaterThan(0.0),
    family="emergence",
    axes={"threshold": (0.5,)},
)
def test_growth_is_stronger_in_deeper_layers(study: Study, threshold: float) -> Measurement:
    first, last = first_and_last(study)
    return depth_contrast(study.reference_tables(checkpoint=first), study.reference_tables(checkpoint=last), threshold)


@control(of=test_growth_is_stronger_in_deeper_layers)
def test_growth_does_not_follow_layers_dealt_out_anew(study: Study, threshold: float) -> Measurement:
    """The same neurons with false layers; fails if the contrast comes from growth itself and not from depth."""
    first, last = first_and_last(study)
    earlier, later = (
        study.reference_tables(checkpoint=checkpoint).each(lambda table: shuffled_layers(table, seed=0))
        for checkpoint in (first, last)
    )
    return depth_contrast(earlier, later, threshold)
