"""G2: the printed share of universal neurons of GPT-2 Medium (a).

Rule (catalogue, decision rules): the share by the mean excess over the partners, as printed, within half a percentage
point. Other suites have other models, about which G4 is.
"""

from universal_neurons.harness import Measurement, Near, NotJudged, Published, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.study import Study, null_tables
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import definition_share


@claim(
    "G2",
    "1.23 % of the neurons of GPT-2 Medium (a) are universal.",
    source="Gurnee et al. 2024, section 4.1",
    expect=NotJudged("the printed share is of GPT-2 Medium (a)"),
    on={"gurnee_medium": Near(Published("gurnee2024.prevalence", model="gpt2-medium-a"))},
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_the_printed_share_is_universal(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return definition_share(study.reference_tables(checkpoint=checkpoint), Definition.AVERAGED, threshold)


@control(of=test_the_printed_share_is_universal)
def test_not_of_rotated_neurons(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Both models rotated; fails if any basis of the layers would share as much."""
    return definition_share(null_tables(study, checkpoint=checkpoint, kind="rotated"), Definition.AVERAGED, threshold)
