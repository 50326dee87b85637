"""G6: the best partner of a neuron lies in a similar layer.

Rule (catalogue, G6): the mass within one layer of the own layer, against a permutation of layers. Figure 2c prints no
number, so it is a rule of direction and the same on every suite: the mass exceeds its expectation by more than five
percentage points. The margin is there because with thousands of neurons any excess excludes 0. Judged at the last
checkpoint, the only one Gurnee et al. look at. Untrained models are no control: depth alone may align them.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import shuffled_layers
from universal_neurons.measures.depth import same_depth_mass
from universal_neurons.measures.study import Study


@claim(
    "G6",
    "A neuron's most correlated partner lies within one layer of its own more often than by chance.",
    source="Gurnee et al. 2024, section 4.1 and figure 2c",
    expect=GreaterThan(0.05),
    family="emergence",
    axes={"checkpoint": "last"},
)
def test_partners_lie_in_similar_layers(study: Study, partner: str, checkpoint: Checkpoint) -> Measurement:
    return same_depth_mass(study.universality(partner=partner, checkpoint=checkpoint))


@control(of=test_partners_lie_in_similar_layers)
def test_partners_over_permuted_tokens_lie_anywhere(study: Study, partner: str, checkpoint: Checkpoint) -> Measurement:
    """The partner reads other tokens; fails if statistics of the layers, not what neurons respond to, align depths."""
    return same_depth_mass(study.null(partner=partner, checkpoint=checkpoint, kind="permuted"))


@control(of=test_partners_lie_in_similar_layers)
def test_partners_do_not_follow_layers_dealt_out_anew(
    study: Study, partner: str, checkpoint: Checkpoint
) -> Measurement:
    """The same partners with false own layers; fails if the expectation by chance is too low."""
    return same_depth_mass(shuffled_layers(study.universality(partner=partner, checkpoint=checkpoint), seed=0))
