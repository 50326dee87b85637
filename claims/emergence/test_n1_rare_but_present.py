"""N1: universality is rare but present early.

Rule (catalogue, N1): DIRECTION if the share at the first checkpoint lies in (1 %, 5 %). "Fewer than 5 %" alone would
be true of models that share nothing, so "present" needs the lower end: it is that of the range both papers speak of.
The rule names no model, so it is the same on every suite; whether the share is the printed 4.74 % is asked by N3.
"""

from universal_neurons.harness import Between, Measurement, Published, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.study import Study
from universal_neurons.measures.universality import universal_share


@claim(
    "N1",
    "Universal neurons are rare but present at the first checkpoint: between 1 % and 5 % of all neurons.",
    source="Nandan et al. 2025 v1, section 4 (line 82) and table 1",
    expect=Between(
        Published("gurnee2024.prevalence_range", bound="lower"),
        Published("nandan2025.text", quantity="share at 100k, upper bound"),
    ),
    family="emergence",
    axes={"checkpoint": "first", "threshold": (0.5,)},
)
def test_universal_neurons_are_rare_but_present(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return universal_share(study.universality(partner=partner, checkpoint=checkpoint), threshold)


@control(of=test_universal_neurons_are_rare_but_present)
def test_untrained_models_share_no_neurons(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Fails if the architecture or the tokens alone, without training, make neurons universal."""
    return universal_share(study.null(partner=partner, checkpoint=checkpoint, kind="untrained"), threshold)


@control(of=test_universal_neurons_are_rare_but_present)
def test_rotated_neurons_are_not_universal(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Fails if the excess over the baseline does not remove what any basis of the layer would share."""
    return universal_share(study.null(partner=partner, checkpoint=checkpoint, kind="rotated"), threshold)
