"""The overlap of universal neurons of two texts, on tables made by hand."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.measures.labels import table
from tests.measures.test_pooled import MODELS, PAIRS, named, pairs_of
from universal_neurons.errors import NotOnSuite
from universal_neurons.measurement import Over
from universal_neurons.measures.texts import overlap_beyond_ceiling, text_pairs


def both(first: tuple[str, str], second: tuple[str, str]) -> Any:
    """The same two tables for every pair, by the universal neurons of both halves of each text."""
    own = [table("0" * len(a), half_a=a, half_b=b) for a, b in (first, second)]
    return pairs_of(lambda x, y: tuple(named(one, x, y) for one in own))


def test_the_overlap_of_two_texts_is_compared_with_the_overlap_of_the_halves_of_one() -> None:
    found = overlap_beyond_ceiling(both(("1111000000", "1110100000"), ("1100110000", "1100010000")), 0.5)
    # Of the four pairs of halves 2, 2, 3 and 2 neurons are shared: of 8 and 7 the fewer, twice.
    assert found.details["overlap"] == pytest.approx(9 / 14)
    assert (found.details["first"], found.details["second"]) == pytest.approx((6 / 8, 6 / 7))
    assert found.details["within"] == pytest.approx(6 / 8)
    assert found.value == pytest.approx(9 / 14 - 6 / 8)
    assert found.details["chance"] == pytest.approx(8 / 20)
    assert (found.n, found.over, found.details["pairs"]) == (len(MODELS), Over.MODELS, len(PAIRS))


def test_a_text_with_fewer_of_the_same_neurons_overlaps_as_its_halves_do() -> None:
    assert overlap_beyond_ceiling(both(("1111", "1111"), ("1100", "1100")), 0.5).value == 0


def test_a_noisy_text_is_its_own_ceiling() -> None:
    noisy = overlap_beyond_ceiling(both(("1100", "1100"), ("1010", "0101")), 0.5)
    assert (noisy.details["first"], noisy.details["within"]) == (1, 0)
    assert noisy.value == pytest.approx(1 / 2)


def test_neurons_that_a_half_leaves_undefined_do_not_count() -> None:
    whole = overlap_beyond_ceiling(both(("110", "110"), ("101", "101")), 0.5)
    cut = overlap_beyond_ceiling(both(("1101", "1101"), ("1011", "101-")), 0.5)
    assert (cut.value, cut.details) == (whole.value, whole.details)


def test_a_text_without_universal_neurons_has_no_overlap() -> None:
    assert overlap_beyond_ceiling(both(("110", "110"), ("000", "000")), 0.5).is_missing


def test_the_ceiling_is_sought_anew_whenever_a_model_is_left_out() -> None:
    sound, halved = (table("0" * 8, half_a="11110000", half_b=half) for half in ("11110000", "00111100"))
    noisy = [halved, sound]
    # Model a's pairs are noisy on the first text, all others on the second.
    pairs = pairs_of(lambda x, y: tuple(named(one, x, y) for one in (noisy if "a" in (x, y) else noisy[::-1])))
    found = overlap_beyond_ceiling(pairs, 0.5)
    rest = {pair: tables for pair, tables in pairs.items() if "a" not in pair}
    assert overlap_beyond_ceiling(rest, 0.5).details["within"] == 0.5
    assert found.details["first"] == found.details["second"] == found.details["within"] == pytest.approx(0.75)
    assert found.low < found.value < found.high


def test_each_pair_of_the_reference_stands_beside_itself_on_the_other_text() -> None:
    last = SimpleNamespace(step=400)

    def read(stage: str, *, checkpoint: Any, text: str) -> Any:
        assert (stage, checkpoint) == ("texts", last)
        if text != "english":
            raise NotOnSuite(text)
        return {partner: named(table("01"), "a", partner) for partner in MODELS[1:]}

    def own(*, partner: str, checkpoint: Any) -> Any:
        return dataclasses.replace(named(table("10"), "a", partner), step=checkpoint.step)

    study: Any = SimpleNamespace(
        reference="a", partners=lambda: tuple(MODELS[1:]), universality=own, table=read, checkpoints=(last,)
    )
    pairs = text_pairs(study, "english", last)
    assert set(pairs) == {("a", partner) for partner in MODELS[1:]}
    for (x, y), tables in pairs.items():
        assert [(one.reference, one.partner) for one in tables] == [(x, y)] * 2
        np.testing.assert_array_equal(tables[0].frame["excess"] > 0.5, [True, False])
    with pytest.raises(NotOnSuite):
        text_pairs(study, "french", last)
