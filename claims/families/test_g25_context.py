"""G25: some universal neurons are about the context.

Rule (ours, by the paper's example: it shows 30 context neurons among the 1,211 universal ones of GPT-2 Medium): more
than two in a hundred universal neurons have a domain of the text that scores above 0.25; of all models together.
Topics, the other labels of context in the paper, were never published.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.families import about_their_domain, explanations_of_all, universal_neurons
from universal_neurons.measures.study import Study


@claim(
    "G25",
    "Some universal neurons respond to the context that a text is from.",
    source="Gurnee et al. 2024, section 4.3 and figures 4c and 21",
    expect=GreaterThan(0.02),
    family="families",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_universal_neurons_are_about_their_domain(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return measured(study, checkpoint, threshold)


@control(of=test_universal_neurons_are_about_their_domain)
def test_not_about_the_domain_of_other_rows(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """The domain of the next row; fails if any domain explains as much."""
    return measured(study, checkpoint, threshold, elsewhere=True)


def measured(study: Study, checkpoint: Checkpoint, threshold: float, *, elsewhere: bool = False) -> Measurement:
    models = explanations_of_all(study, checkpoint)
    universal = [universal_neurons(study, checkpoint, threshold, one.model) for one in models]
    return about_their_domain(models, universal, elsewhere=elsewhere)
