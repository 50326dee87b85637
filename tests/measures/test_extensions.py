"""What is measured of extensions, on tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.measures.ablations import BLOCKS, Ablated, draws, table_of
from tests.measures.labels import plain_table
from universal_neurons.measures.ablation_table import SetKind
from universal_neurons.measures.extensions import (
    Extensions,
    patching_standing,
    unigram_share_difference,
)
from universal_neurons.measures.intervals import wilson
from universal_neurons.measures.tables import Definition, ReferenceTables

LAYER = np.repeat([0, 1], 50)
AVERAGED = {"partner": "", "definition": Definition.AVERAGED, "mode": "resample"}


def extensions(unigram: np.ndarray, *, effect: float = 1.0) -> Extensions:
    drawn = draws(SetKind.LAYER_MATCHED, np.linspace(0.1, 0.2, 20).tolist(), **AVERAGED)
    patches = table_of([Ablated(SetKind.UNIVERSAL, effect, **AVERAGED), *drawn])  # type: ignore[arg-type]
    score = np.where(unigram, 0.6, np.nan)
    return Extensions("a", 400, patches, patches, np.full(BLOCKS, 4.0), score, np.zeros(100, dtype=int), LAYER)


def tables(*universal: np.ndarray) -> ReferenceTables:
    found = []
    for partner, flags in zip("bc", universal, strict=False):
        frame = pd.DataFrame({"layer": LAYER, "excess": np.where(flags, 0.9, 0.0)})
        found.append(plain_table(frame, partner=partner))
    return ReferenceTables.of(found)


def test_the_difference_of_shares_is_that_within_layers() -> None:
    universal = np.isin(np.arange(100), [*range(20), 50])
    unigram = np.isin(np.arange(100), [*range(10), *range(20, 26), 51])
    found = unigram_share_difference(extensions(unigram), tables(universal), 0.5)
    expected = 20 / 21 * (10 / 20 - 6 / 30) + 1 / 21 * (0 - 1 / 49)
    assert found.value == pytest.approx(expected)
    assert found.details["universal_share"] == pytest.approx(20 / 21 * 10 / 20)
    ends, counts = np.zeros(2), [(20 / 21, (10, 20), (6, 30)), (1 / 21, (0, 1), (1, 49))]
    for weight, own, others in counts:
        p, q = own[0] / own[1], others[0] / others[1]
        (low_p, high_p), (low_q, high_q) = wilson(*own, level=0.95), wilson(*others, level=0.95)
        ends += weight**2 * np.array([(p - low_p) ** 2 + (high_q - q) ** 2, (high_p - p) ** 2 + (q - low_q) ** 2])
    below, above = np.sqrt(ends)
    assert (found.low, found.high) == pytest.approx((expected - below, expected + above))
    assert (found.details["universal"], found.details["unigram"]) == (21, 17)


def test_a_layer_with_more_of_both_makes_no_difference_and_dealt_labels_none_either() -> None:
    universal, unigram = np.arange(100) % 5 == 0, np.isin(np.arange(100), range(50))
    assert unigram_share_difference(extensions(unigram), tables(universal), 0.5).value == 0
    same = unigram_share_difference(extensions(universal), tables(universal), 0.5)
    dealt = unigram_share_difference(extensions(universal), tables(universal), 0.5, dealt=True)
    assert (same.value, same.low > 0.5) == (1.0, True)
    assert dealt.low < 0.1 < dealt.high


def test_definitions_differ_and_no_universal_neuron_is_missing() -> None:
    one, other = (np.isin(np.arange(100), chosen) for chosen in ([0, 1, 2], [2, 3]))
    found = extensions(one)
    sizes = {
        kind: unigram_share_difference(found, tables(one, other), 0.5, definition=kind).details["universal"]
        for kind in (Definition.UNION, Definition.INTERSECTION)
    }
    assert sizes == {Definition.UNION: 4, Definition.INTERSECTION: 1}
    assert unigram_share_difference(found, tables(one & False), 0.5).is_missing


@pytest.mark.parametrize(("effect", "more"), [(1.0, True), (0.15, False)])
def test_patching_is_compared_with_draws_and_as_a_share_of_the_distance(effect: float, more: bool) -> None:
    found = patching_standing(extensions(LAYER == 0, effect=effect), 0.5)
    assert (found.low > 1.64) == more
    assert found.details["recovered"] == pytest.approx(effect / 4)
