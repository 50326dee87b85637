"""N2: the share of universal neurons grows at every checkpoint.

Rule: the growth of the share, mean over all directed pairs of models, is above 0 in both steps, with the interval of
the jackknife over models. It is a rule of direction, so it is the same on every suite; N3 is about the printed values.
The steps are those between 25, 50 and 75 % of training, as in the paper; each is an item, and both must hold. The pairs
of the reference alone are a reading (A2).
"""

from universal_neurons.harness import GreaterThan, Interval, Measurement, claim, control, reading, readings
from universal_neurons.measures.pooled import every_pair, own_pairs, pooled_growth
from universal_neurons.measures.robustness import longest_prefix
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import share_difference


@claim(
    "N2",
    "The share of universal neurons grows from each checkpoint to the next.",
    source="Nandan et al. 2025 v1, section 4 (lines 81-84) and table 1",
    expect=GreaterThan(0.0),
    family="emergence",
    correction="holm",
    axes={"interval": (("25 %", "50 %"), ("50 %", "75 %")), "threshold": (0.5,)},
)
def test_the_share_grows(study: Study, interval: Interval, threshold: float) -> Measurement:
    return pooled_growth(every_pair(study, interval.earlier, interval.later), threshold)


@control(of=test_the_share_grows)
def test_rotated_neurons_do_not_become_universal(study: Study, interval: Interval, threshold: float) -> Measurement:
    """The baseline falls as training goes on; fails if that alone makes a share grow."""
    return pooled_growth(own_pairs(study, interval.earlier, interval.later, null="rotated"), threshold)


@readings(
    of=test_the_share_grows,
    table={
        "test_the_share_grows_by_the_averaged_definition": (
            "A1",
            "the mean of the excess over the partners is above the threshold",
            Definition.AVERAGED,
        ),
        "test_the_share_grows_by_the_union_definition": (
            "A1",
            "universal against at least one partner",
            Definition.UNION,
        ),
        "test_the_share_grows_by_the_intersection_definition": (
            "A1",
            "universal against every partner",
            Definition.INTERSECTION,
        ),
    },
)
def share_grows_by(study: Study, interval: Interval, threshold: float, definition: Definition) -> Measurement:
    earlier, later = (
        study.reference_tables(checkpoint=checkpoint) for checkpoint in (interval.earlier, interval.later)
    )
    return share_difference(earlier, later, threshold, definition=definition)


@reading(of=test_the_share_grows, ambiguity="A2", says="the pairs of the reference alone")
def test_the_share_of_one_reference_grows(study: Study, interval: Interval, threshold: float) -> Measurement:
    return pooled_growth(own_pairs(study, interval.earlier, interval.later), threshold)


# None stands for the variant with the most tokens, fewer than all: its name differs from suite to suite.
@readings(
    of=test_the_share_grows,
    table={
        "test_the_share_grows_under_orthogonal_rotations": (
            "A8",
            "orthogonal rotations instead of Gaussian matrices",
            "rotation:orthogonal",
        ),
        "test_the_share_grows_with_one_draw": ("A8", "one rotation draw, as published", "draws:1"),
        "test_the_share_grows_under_whitened_rotations": (
            "F2",
            "rotations of whitened layers, which are not drawn towards neurons of large variance",
            "rotation:whitened",
        ),
        "test_the_share_grows_on_fewer_tokens": (
            "A9",
            "the tokens are counted with their padding, so fewer of them are text",
            None,
        ),
        "test_the_share_grows_at_every_position": (
            "F7",
            "every position is scored, first ones and newlines too",
            "mask:all",
        ),
        "test_the_share_grows_with_counted_padding": (
            "F7",
            "rows are padded with token 0, and padding and first positions are scored, as published",
            "padding:published",
        ),
        "test_the_share_grows_with_dropped_padding": (
            "F7",
            "the rows of the published padding, the padding itself not scored",
            "padding:dropped",
        ),
    },
)
def share_grows_in(study: Study, interval: Interval, threshold: float, variant: str | None) -> Measurement:
    name = variant or longest_prefix(study)
    return pooled_growth(own_pairs(study, interval.earlier, interval.later, variant=name), threshold)
