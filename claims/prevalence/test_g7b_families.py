"""G7b: the excess correlations of GPT-2 Medium and Pythia 160M are distributed alike, those of GPT-2 Small otherwise.

Rule (ours, before any published model was measured): the distribution of GPT-2 Small is farther from both others, by
the distance of Kolmogorov and Smirnov, than these are from each other. It reads three suites and is judged on each of
them, from the evidence that is here.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.measures.across import apart
from universal_neurons.measures.study import Study

ALONE, TOGETHER = "gurnee_small", ("gurnee_medium", "pythia_160m")


@claim(
    "G7b",
    "The excess correlations of GPT-2 Medium and Pythia 160M are distributed alike, those of GPT-2 Small otherwise.",
    source="Gurnee et al. 2024, section 4.1 and figure 11; the rule is ours",
    expect=GreaterThan(0.0),
    family="prevalence",
    correction="holm",
)
def test_gpt2_small_is_apart(study: Study) -> Measurement:
    return apart(study, ALONE, TOGETHER)


@control(of=test_gpt2_small_is_apart)
def test_not_of_rotated_neurons(study: Study) -> Measurement:
    """Both models rotated; fails if widths and numbers of tokens set the distributions apart, whatever neurons do."""
    return apart(study, ALONE, TOGETHER, null="rotated")
