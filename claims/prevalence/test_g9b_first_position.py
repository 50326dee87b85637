"""G9b: the printed number of neurons of GPT-2 Medium (a) that respond to the first token of a text only.

Rule (written before it was measured on any model): of the neurons that another neuron of the model correlates with by
more than 0.8 (the near duplicates of G9) the number whose pre-activation at position 0, at beginning-of-text, is more
than five standard deviations above its mean over the scored tokens. The printed number lies in the interval, or the
number is within a tenth of it. The published code does not count these neurons, so both bounds are ours.
Other suites have other models; G9b-share (ours) asks on every suite whether near duplicates respond to the first token
more often than the other neurons of their layers.
"""

from universal_neurons.harness import GreaterThan, Measurement, Near, NotJudged, Published, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.duplicates import responding, responding_duplicates
from universal_neurons.measures.families import dealt_share_difference, share_difference
from universal_neurons.measures.study import Study

NEAR = 0.8


@claim(
    "G9b",
    "105 neurons of GPT-2 Medium (a) respond to the first token of a text only.",
    source="Gurnee et al. 2024, section 4.3 and figure 15",
    expect=NotJudged("the printed number is of GPT-2 Medium (a)"),
    on={"gurnee_medium": Near(Published("gurnee2024.first_token", model="gpt2-medium-a"), 10.0)},
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_so_many_respond_to_the_first_token(study: Study, checkpoint: Checkpoint) -> Measurement:
    return responding_duplicates(study, checkpoint, above=NEAR)


@control(of=test_so_many_respond_to_the_first_token)
def test_not_to_any_token(study: Study, checkpoint: Checkpoint) -> Measurement:
    """A random position in the place of the first; fails if as many neurons are that far above their mean anywhere."""
    return responding_duplicates(study, checkpoint, above=NEAR, at="elsewhere")


@claim(
    "G9b-share",
    "Neurons with a near duplicate respond to the first token of a text more often than others of their layers.",
    source="Gurnee et al. 2024, section 4.3 and figure 15; the comparison is ours",
    expect=GreaterThan(0.0),
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_near_duplicates_respond_to_the_first_token(
    study: Study, reference: str, checkpoint: Checkpoint
) -> Measurement:
    return share_difference({reference: responding(study, checkpoint, reference, above=NEAR)})


@control(of=test_near_duplicates_respond_to_the_first_token)
def test_near_duplicates_do_not_respond_to_any_token(
    study: Study, reference: str, checkpoint: Checkpoint
) -> Measurement:
    """A random position in the place of the first; fails if near duplicates have heavier tails than other neurons."""
    return share_difference({reference: responding(study, checkpoint, reference, above=NEAR, at="elsewhere")})


@control(of=test_near_duplicates_respond_to_the_first_token)
def test_not_near_duplicates_dealt_out_anew(study: Study, reference: str, checkpoint: Checkpoint) -> Measurement:
    """Who has a duplicate shuffled within layers; fails if the interval excludes 0 more often than it should."""
    return dealt_share_difference(reference, responding(study, checkpoint, reference, above=NEAR))
