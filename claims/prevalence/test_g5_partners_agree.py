"""G5: a neuron is about as universal against one partner as against another.

Rule (ours; its bound was chosen after mini was measured, and is a priori on published suites only): the intraclass
correlation ICC(1) of the excess over partners is above 0.75, for every model as the reference. The paper gives the
range of the correlation over partners, which depends on its level: that is G5-range.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.agreement import excess_agreement, with_partners_shuffled
from universal_neurons.measures.study import Study


@claim(
    "G5",
    "How universal a neuron is depends little on the model that it is compared with.",
    source="Gurnee et al. 2024, section 4.1 and figure 2b; the rule is ours",
    expect=GreaterThan(0.75),
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_partners_agree(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return excess_agreement(study.reference_tables(checkpoint=checkpoint, reference=reference))


@control(of=test_partners_agree)
def test_partners_do_not_agree_about_other_neurons(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """The scores against each partner dealt out anew within layers; fails if differences of layers are enough."""
    tables = study.reference_tables(checkpoint=checkpoint, reference=reference)
    return excess_agreement(with_partners_shuffled(tables, seed=0))
