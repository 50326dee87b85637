"""p values from intervals, their adjustment, and what is left of a family of verdicts under the null."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from universal_neurons.evidence.criteria import (
    AtLeast,
    AtMost,
    Between,
    Criterion,
    CriterionError,
    Equivalent,
    GreaterThan,
    LessThan,
    Near,
    NotJudged,
    Published,
)
from universal_neurons.evidence.multiplicity import (
    Correction,
    adjusted,
    benjamini_hochberg,
    holm,
    needed,
    needed_to_decide,
    p_above,
    p_below,
    p_values_of,
)
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.intervals import block_weights, percentile_interval, wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Adjustment = Callable[[Sequence[float]], list[float]]

METHODS: tuple[Correction, ...] = ("holm", "benjamini-hochberg")


def interval(value: float, low: float, high: float, level: float = 0.95) -> Measurement:
    return Measurement(value, low, high, 100, Over.NEURONS, level)


def missing() -> Measurement:
    return Measurement.missing(over=Over.NEURONS)


@pytest.mark.parametrize("value", [0.5, 1.0, 1.96, 2.5, 3.5])
def test_the_p_value_of_a_symmetric_interval_is_the_published_one(value: float) -> None:
    # Altman & Bland 2011, BMJ 343:d2304, steps 1 to 3: SE = (u - l)/(2 x 1.96), z = Est/SE, and their approximation of
    # the two-sided P, exp(-0.717 z - 0.416 z^2).
    low, high = value - 1.96, value + 1.96
    z = value / ((high - low) / (2 * 1.96))
    published = math.exp(-0.717 * z - 0.416 * z**2)
    assert 2 * p_below(interval(value, low, high), 0.0, including=True) == pytest.approx(published, abs=0.015)


def test_both_directions_at_one_bound_add_up_to_one_in_a_symmetric_interval() -> None:
    measured = interval(0.2, 0.1, 0.3)
    for bound in (-1.0, 0.1, 0.17, 0.2, 0.3, 0.35):
        total = p_below(measured, bound, including=True) + p_above(measured, bound, including=False)
        assert total == pytest.approx(1.0)


REGIONS: list[Criterion] = [
    AtMost(0.5),
    LessThan(0.5),
    AtLeast(0.5),
    GreaterThan(0.5),
    Between(0.4, 0.7),
    Equivalent(0.5, 0.2),
]


@pytest.mark.parametrize("criterion", REGIONS, ids=lambda criterion: criterion.kind)
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_a_verdict_is_a_p_value_up_to_half_of_one_minus_the_level(criterion: Criterion, level: float) -> None:
    generator = np.random.default_rng(1)
    seen = set()
    for _ in range(3000):
        low, value, high = np.sort(generator.normal(0.5, generator.choice([0.03, 0.1, 0.4]), 3)).tolist()
        if generator.random() < 0.2:
            value = high  # a value on the end of its own interval
        measured = interval(value, low, high, level)
        p_values, verdict = p_values_of(criterion, measured), criterion.judge(measured).verdict
        assert (p_values.fails <= (1 - level) / 2) == (verdict is Verdict.REPRODUCED)
        assert (p_values.holds <= (1 - level) / 2) == (verdict is Verdict.REFUTED)
        seen.add(verdict)
    assert seen == {Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("criterion", REGIONS, ids=lambda criterion: criterion.kind)
@pytest.mark.parametrize("ends", [(0.5, 0.6), (0.4, 0.5), (0.4, 0.7), (0.3, 0.7), (0.1, 0.3), (0.7, 0.8), (0.5, 0.5)])
def test_a_family_of_one_keeps_its_verdict_even_on_the_bound(
    criterion: Criterion, ends: tuple[float, float], method: Correction
) -> None:
    for value in (ends[0], (ends[0] + ends[1]) / 2, ends[1]):
        measured = interval(value, *ends)
        (tested,) = adjusted([(criterion, measured)], method)
        assert tested.verdict is criterion.judge(measured).verdict
        assert tested.adjusted == tested.p


def test_equivalence_takes_the_larger_of_its_two_one_sided_tests() -> None:
    measured = interval(0.3, 0.2, 0.4)
    p_values = p_values_of(Equivalent(0.0, 0.5), measured)
    assert p_values.fails == p_above(measured, 0.5, including=True)
    assert p_values.fails > p_below(measured, -0.5, including=True)


@pytest.mark.parametrize(
    ("criterion", "p", "verdict"),
    [
        (AtMost(0.5), 0.0, Verdict.REPRODUCED),
        (LessThan(0.5), 0.0, Verdict.REFUTED),
        (GreaterThan(0.5), 0.0, Verdict.REFUTED),
        (AtLeast(0.5), 0.0, Verdict.REPRODUCED),
        (Between(0.6, 0.7), 0.0, Verdict.REFUTED),
        (Equivalent(0.5, 0.1), 0.0, Verdict.REPRODUCED),
        (Near(0.9), 0.0, Verdict.REFUTED),
        (Near(0.5), 1.0, Verdict.REPRODUCED),
    ],
)
def test_an_interval_without_width_leaves_no_doubt(criterion: Criterion, p: float, verdict: Verdict) -> None:
    (tested,) = adjusted([(criterion, interval(0.5, 0.5, 0.5))], "holm")
    assert (tested.p, tested.adjusted, tested.verdict) == (p, p, verdict)


def test_a_value_on_the_end_of_its_own_interval_is_not_certain_of_what_lies_beyond() -> None:
    # The interval is 0.30 to 0.40 whatever its value: a bound just above it is nearly as doubtful as the end itself.
    at_the_end, in_the_middle = interval(0.40, 0.30, 0.40), interval(0.35, 0.30, 0.40)
    assert p_above(at_the_end, 0.401, including=True) == pytest.approx(p_above(in_the_middle, 0.401, including=True))
    assert p_above(at_the_end, 0.401, including=True) > 0.02


def test_a_share_of_none_is_no_evidence_of_more_than_none() -> None:
    measured = interval(0.0, *wilson(0, 50, level=0.95))
    assert p_values_of(GreaterThan(0.0), measured).fails >= 0.5


def test_an_infinite_end_excludes_nothing() -> None:
    assert p_above(interval(1.0, 0.5, math.inf), 1e9, including=True) == 0.5


@pytest.mark.parametrize("method", METHODS)
def test_a_weak_verdict_does_not_survive_a_large_family_and_a_strong_one_does(method: Correction) -> None:
    weak, strong, none = interval(0.2, 0.01, 0.39), interval(0.9, 0.8, 1.0), interval(0.0, -0.2, 0.2)
    tested = adjusted([(GreaterThan(0.0), measured) for measured in (weak, strong, *[none] * 8)], method)
    assert [case.verdict for case in tested] == [Verdict.INCONCLUSIVE, Verdict.REPRODUCED, *[Verdict.INCONCLUSIVE] * 8]
    assert tested[0].p < 0.025 < tested[0].adjusted


@pytest.mark.parametrize("method", METHODS)
def test_a_refutation_is_corrected_like_a_reproduction(method: Correction) -> None:
    weak, none = interval(-0.2, -0.39, -0.01), interval(0.0, -0.2, 0.2)
    tested = adjusted([(GreaterThan(0.0), weak), *[(GreaterThan(0.0), none)] * 8], method)
    assert tested[0].verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_tested_keeps_its_verdict_and_does_not_count(method: Correction) -> None:
    case = (GreaterThan(0.0), interval(0.2, 0.01, 0.39))
    idle = [(GreaterThan(0.0), missing()), (NotJudged("about other models"), interval(0.2, 0.1, 0.3))]
    tested = adjusted([*idle, case], method)
    assert [t.verdict for t in tested] == [Verdict.NOT_EVALUATED, Verdict.NOT_EVALUATED, Verdict.REPRODUCED]
    assert math.isnan(tested[0].p)
    assert math.isnan(tested[1].adjusted)
    assert tested[2] == adjusted([case], method)[0]


def test_a_match_with_a_published_number_is_no_rejection_that_a_correction_could_take_away() -> None:
    match, misfit = interval(0.05, 0.03, 0.07), interval(0.2, 0.06, 0.34)
    tested = adjusted([(Near(0.05), match), *[(Near(0.05), misfit)] * 4], "holm")
    assert Near(0.05).judge(misfit).verdict is Verdict.REFUTED
    assert [t.verdict for t in tested] == [Verdict.REPRODUCED, *[Verdict.INCONCLUSIVE] * 4]


def test_a_published_bound_must_have_been_looked_up() -> None:
    with pytest.raises(CriterionError, match="has not been looked up"):
        adjusted([(AtMost(Published("table", row=1)), interval(0.2, 0.1, 0.3))], "holm")


def test_a_criterion_without_a_rule_is_refused_and_not_passed_over() -> None:
    kinds = dict(Criterion.kinds)
    try:

        @dataclasses.dataclass(frozen=True)
        class Odd(Criterion):
            kind = "odd"

        for rule in (p_values_of, needed_to_decide):
            with pytest.raises(CriterionError, match="Odd"):
                rule(Odd(), interval(0.2, 0.1, 0.3))
    finally:
        Criterion.kinds.clear()
        Criterion.kinds.update(kinds)


def test_as_many_as_are_needed_would_just_exclude_the_bound() -> None:
    measured = interval(0.2, -0.1, 0.6)
    shrink = 1 / math.sqrt(needed(measured, 0.0))
    assert 0.2 - 0.3 * shrink == pytest.approx(0.0)
    assert needed(measured, 0.5) == pytest.approx((0.4 / 0.3) ** 2)
    assert needed(measured, -0.5) < 1
    assert needed(measured, 0.2) == math.inf
    assert math.isnan(needed(missing(), 0.2))


def test_a_region_needs_both_of_its_ends_from_within_and_the_nearer_one_from_without() -> None:
    within, without = interval(0.45, 0.35, 0.55), interval(0.65, 0.45, 0.85)
    assert needed_to_decide(Between(0.4, 0.6), within) == pytest.approx(4.0)
    assert needed_to_decide(Between(0.4, 0.6), without) == pytest.approx(16.0)
    assert needed_to_decide(Equivalent(0.5, 0.1), within) == pytest.approx(4.0)
    assert needed_to_decide(AtMost(0.5), within) == pytest.approx(4.0)
    assert math.isnan(needed_to_decide(Near(0.45), within))
    assert needed_to_decide(Near(0.5, absolute=0.1), without) == pytest.approx(16.0)
    assert math.isnan(needed_to_decide(NotJudged("why"), within))
    assert math.isnan(needed_to_decide(AtMost(0.5), missing()))


def test_holm_steps_down_and_keeps_the_order_of_its_input() -> None:
    # 4 x 0.005, then max(0.02, 3 x 0.01), max(0.03, 2 x 0.03), max(0.06, 0.04)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_steps_up_and_keeps_the_order_of_its_input() -> None:
    # 0.04; min(0.04, 4/3 x 0.03); 4/2 x 0.01; 4 x 0.005
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    from scipy import stats

    p_values = np.random.default_rng(4).uniform(0, 0.2, 50).round(2).tolist()
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values, method="bh").tolist())


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_an_empty_family_stays_empty_one_test_stays_itself_and_none_exceeds_1(adjust: Adjustment) -> None:
    assert adjust([]) == []
    assert adjust([0.2]) == [0.2]
    assert max(adjust([0.9, 0.8, 0.7])) <= 1


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("values", [[1.2], [-0.1], [math.nan]])
def test_adjustments_refuse_what_is_no_p_value(adjust: Adjustment, values: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjust(values)


FAMILY = 9
NEURONS = 250
DRAWS = 1000


def correlated_families(*, effect: float = 0.0, real: int = 0) -> Iterator[list[Measurement]]:
    """Families of differences over the same neurons and blocks, all truly 0 but the first ``real`` of them.

    Half of them by Wilson's interval of a proportion against one half, the others by the bootstrap of a mean over
    blocks; what a family shares makes its tests positively dependent.
    """
    generator = np.random.default_rng(20251109)
    change = block_weights(50, resamples=300, seed=1) / 50
    for _ in range(DRAWS):
        shared = generator.standard_normal(NEURONS)
        family = []
        for place in range(FAMILY):
            own = effect if place < real else 0.0
            noise = math.sqrt(0.5) * (shared + generator.standard_normal(NEURONS))
            if place % 2:
                above = int((noise + own > 0).sum())
                low, high = (end - 0.5 for end in wilson(above, NEURONS, level=0.95))
                value = above / NEURONS - 0.5
            else:
                blocks = noise.reshape(50, -1).mean(axis=1) + own
                value = float(blocks.mean())
                low, high = percentile_interval(value, change @ blocks, level=0.95)
            family.append(interval(value, min(low, value), max(high, value)))
        yield family


def decided(family: list[Measurement], method: Correction | None) -> list[bool]:
    cases = [(GreaterThan(0.0), measured) for measured in family]
    verdicts = (
        [criterion.judge(measured).verdict for criterion, measured in cases]
        if method is None
        else [tested.verdict for tested in adjusted(cases, method)]
    )
    return [verdict is not Verdict.INCONCLUSIVE for verdict in verdicts]


def test_under_the_global_null_both_corrections_hold_the_error_of_the_whole_family() -> None:
    wrong: dict[Correction | None, int] = dict.fromkeys((None, *METHODS), 0)
    for family in correlated_families():
        for method in wrong:
            wrong[method] += any(decided(family, method))
    limit = 0.05 + 2 * math.sqrt(0.05 * 0.95 / DRAWS)
    assert wrong["holm"] / DRAWS <= limit
    assert wrong["benjamini-hochberg"] / DRAWS <= limit  # with every null true, any discovery is false
    assert wrong[None] / DRAWS > 0.15  # what the corrections are there for


def test_with_real_effects_benjamini_hochberg_holds_the_rate_of_false_discoveries_and_finds_more_than_holm() -> None:
    found, false_rate = dict.fromkeys(METHODS, 0), 0.0
    for family in correlated_families(effect=0.22, real=4):
        for method in METHODS:
            discoveries = decided(family, method)
            found[method] += sum(discoveries)
            if method == "benjamini-hochberg" and any(discoveries):
                false_rate += sum(discoveries[4:]) / sum(discoveries)
    assert false_rate / DRAWS <= 0.05
    assert found["benjamini-hochberg"] > found["holm"] > DRAWS
