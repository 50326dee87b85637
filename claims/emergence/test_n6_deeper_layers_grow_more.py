"""N6: growth is stronger in deeper layers.

Rule: the contrast of growth, deeper half of the layers against the shallower half, is above 0 (layers 6-11 against 0-5
of GPT-2 Small, 2-3 against 0-1 of mini), pooled over all directed pairs of models with the interval of the jackknife
over models. The paper prints no number per layer, so it is a rule of direction and the same on every suite. Growth is
from 25 to 75 % of training. The pairs of the reference alone are a reading (A2).
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.measures.controls import shuffled_layers, typical
from universal_neurons.measures.pooled import altered, every_pair, own_pairs, pooled_depth_contrast
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
    return pooled_depth_contrast(every_pair(study, *first_and_last(study)), threshold)


@control(of=test_growth_is_stronger_in_deeper_layers)
def test_growth_does_not_follow_layers_dealt_out_anew(study: Study, threshold: float) -> Measurement:
    """The same neurons with false layers; fails if the contrast comes from growth itself and not from depth."""
    pairs = every_pair(study, *first_and_last(study))

    def dealt(seed: int) -> Measurement:
        earlier = altered(pairs, lambda table: shuffled_layers(table, seed=seed), at=0)
        return pooled_depth_contrast(altered(earlier, lambda table: shuffled_layers(table, seed=seed)), threshold)

    return typical(dealt)


@reading(of=test_growth_is_stronger_in_deeper_layers, ambiguity="A2", says="the pairs of the reference alone")
def test_growth_of_one_reference_is_stronger_in_deeper_layers(study: Study, threshold: float) -> Measurement:
    return pooled_depth_contrast(own_pairs(study, *first_and_last(study)), threshold)
