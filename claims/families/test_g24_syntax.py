"""G24: syntax neurons are spread over the depth.

Rule (catalogue, Families): in at least three of four quarters of the layers, more than one neuron in a thousand is
explained by a label of syntax better than by any label of the token itself, by more than 0.1; for every model as the
reference. Syntax that the spelling of a token decides, such as a keyword, is a label of the token.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.families import explanations, quarters_beyond_tokens
from universal_neurons.measures.study import Study


@claim(
    "G24",
    "Neurons that syntax explains are spread over the depth of the model.",
    source="Gurnee et al. 2024, section 4.3 and figure 20",
    expect=GreaterThan(0.001),
    family="families",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_syntax_neurons_are_spread_over_the_depth(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    return quarters_beyond_tokens(explanations(study, checkpoint, reference))


@control(of=test_syntax_neurons_are_spread_over_the_depth)
def test_not_by_syntax_of_other_rows(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """The labels of the next row; fails if the best of many labels explains more by chance."""
    return quarters_beyond_tokens(explanations(study, checkpoint, reference), elsewhere=True)
