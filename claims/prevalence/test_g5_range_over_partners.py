"""G5-range: the printed range of a universal neuron's correlation over partners.

Rule (catalogue, decision rules): the mean over universal neurons of the range over partners of the maximum correlation,
within 10 % of the printed number. It depends on the models and on the number of partners, so mini's is not judged.
"""

from universal_neurons.harness import Measurement, Near, NotJudged, Published, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.agreement import range_over_partners, with_partners_shuffled
from universal_neurons.measures.study import Study


@claim(
    "G5-range",
    "The correlation of a universal neuron varies over partners by the printed range.",
    source="Gurnee et al. 2024, section 4.1 and figure 2b",
    expect=NotJudged("the printed ranges are of GPT-2 Small, GPT-2 Medium and Pythia 160M"),
    on={
        "gurnee_small": Near(Published("gurnee2024.variation", model="gpt2-small-a", neurons="universal")),
        "gurnee_medium": Near(Published("gurnee2024.variation", model="gpt2-medium-a", neurons="universal")),
        "pythia_160m": Near(Published("gurnee2024.variation", model="pythia-160m", neurons="universal")),
    },
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_the_range_is_the_printed_one(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return range_over_partners(study.reference_tables(checkpoint=checkpoint), threshold)


@control(of=test_the_range_is_the_printed_one)
def test_not_of_neurons_whose_partners_are_shuffled(study: Study, checkpoint: Checkpoint) -> Measurement:
    """All scores against each partner dealt out anew within layers; fails if any four scores are as near."""
    return range_over_partners(with_partners_shuffled(study.reference_tables(checkpoint=checkpoint), seed=0), -1.0)
