"""N1: universality is rare but present early.

Rule: the share at the first checkpoint, mean over all directed pairs of models, lies in (1 %, 5 %), with the interval
of the jackknife over models. "Fewer than 5 %" alone would be true of models that share nothing, so "present" needs the
lower end, of the range that both papers give. The rule names no model, so it is the same on every suite; N3 is about
the printed 4.74 %. The pairs of the reference alone are a reading (A2).
"""

from universal_neurons.harness import Between, Measurement, Published, claim, control, reading, readings
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.pooled import every_pair, own_pairs, pooled_share
from universal_neurons.measures.robustness import longest_prefix
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import definition_share


@claim(
    "N1",
    "Universal neurons are rare but present at the first checkpoint: between 1 % and 5 % of all neurons.",
    source="Nandan et al. 2025 v1, section 4 (line 82) and table 1",
    expect=Between(
        Published("gurnee2024.prevalence_range", bound="lower"),
        Published("nandan2025.text", quantity="share at 100k, upper bound"),
    ),
    family="emergence",
    correction="holm",
    axes={"checkpoint": "first", "threshold": (0.5,)},
)
def test_universal_neurons_are_rare_but_present(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_share(every_pair(study, checkpoint), threshold)


@control(of=test_universal_neurons_are_rare_but_present)
def test_untrained_models_share_no_neurons(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Fails if the architecture or the tokens alone, without training, make neurons universal."""
    return pooled_share(own_pairs(study, checkpoint, null="untrained"), threshold)


@control(of=test_universal_neurons_are_rare_but_present)
def test_rotated_neurons_are_not_universal(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Fails if the excess over the baseline does not remove what any basis of the layer would share."""
    return pooled_share(own_pairs(study, checkpoint, null="rotated"), threshold)


@readings(
    of=test_universal_neurons_are_rare_but_present,
    table={
        "test_rare_but_present_by_the_averaged_definition": (
            "A1",
            "the mean of the excess over the partners is above the threshold",
            Definition.AVERAGED,
        ),
        "test_rare_but_present_by_the_union_definition": (
            "A1",
            "universal against at least one partner",
            Definition.UNION,
        ),
        "test_rare_but_present_by_the_intersection_definition": (
            "A1",
            "universal against every partner",
            Definition.INTERSECTION,
        ),
    },
)
def rare_but_present_by(study: Study, checkpoint: Checkpoint, threshold: float, definition: Definition) -> Measurement:
    return definition_share(study.reference_tables(checkpoint=checkpoint), definition, threshold)


@reading(of=test_universal_neurons_are_rare_but_present, ambiguity="A2", says="the pairs of the reference alone")
def test_rare_but_present_of_one_reference(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_share(own_pairs(study, checkpoint), threshold)


# None stands for the variant with the most tokens, fewer than all: its name differs from suite to suite.
@readings(
    of=test_universal_neurons_are_rare_but_present,
    table={
        "test_rare_but_present_under_orthogonal_rotations": (
            "A8",
            "orthogonal rotations instead of Gaussian matrices",
            "rotation:orthogonal",
        ),
        "test_rare_but_present_with_one_draw": ("A8", "one rotation draw, as published", "draws:1"),
        "test_rare_but_present_under_whitened_rotations": (
            "F2",
            "rotations of whitened layers, which are not drawn towards neurons of large variance",
            "rotation:whitened",
        ),
        "test_rare_but_present_on_fewer_tokens": (
            "A9",
            "the tokens are counted with their padding, so fewer of them are text",
            None,
        ),
        "test_rare_but_present_at_every_position": (
            "F7",
            "every position is scored, first ones and newlines too",
            "mask:all",
        ),
        "test_rare_but_present_with_counted_padding": (
            "F7",
            "rows are padded with token 0, and padding and first positions are scored, as published",
            "padding:published",
        ),
        "test_rare_but_present_with_dropped_padding": (
            "F7",
            "the rows of the published padding, the padding itself not scored",
            "padding:dropped",
        ),
    },
)
def rare_but_present_in(study: Study, checkpoint: Checkpoint, threshold: float, variant: str | None) -> Measurement:
    return pooled_share(own_pairs(study, checkpoint, variant=variant or longest_prefix(study)), threshold)
