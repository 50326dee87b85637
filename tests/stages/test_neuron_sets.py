from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from universal_neurons.measures.ablation_table import ALL_LAYERS, SetKind
from universal_neurons.measures.tables import Definition
from universal_neurons.stages.neuron_sets import NeuronSet, Population, SetPlan, SetRole

LAYERS, WIDTH = 3, 100
PLAN = SetPlan(
    role="last",
    partners=("b", "c"),
    thresholds=(0.4, 0.5),
    threshold=0.5,
    layers=LAYERS,
    draws=4,
    dose=(0.2, 0.5),
    orders=2,
)
FIXED = {SetKind.UNIVERSAL: 1, SetKind.OTHERS: 1}
AMONG_OTHERS = [SetKind.RANDOM_OTHERS, SetKind.LAYER_MATCHED, SetKind.NORM_MATCHED]
SIZED = [*AMONG_OTHERS, SetKind.TOP_NORM]


def population(**changes: Any) -> Population:
    """Three layers of a hundred neurons, a tenth to a quarter of them universal, the universal ones of large norm."""
    random = np.random.default_rng(0)
    shared = random.random(LAYERS * WIDTH) ** 3
    excess = {name: np.clip(shared + random.normal(0, 0.05, len(shared)), -1, 1) for name in "bc"}
    norm = 1 + random.random(len(shared)) + shared / 2
    whole = Population(seed=1, model="a", layer=np.repeat(np.arange(LAYERS), WIDTH), norm=norm, excess=excess)
    return replace(whole, **changes)


def averaged(kind: SetKind, **changes: Any) -> NeuronSet:
    return replace(NeuronSet("", Definition.AVERAGED, 0.5, ALL_LAYERS, kind), **changes)


def members(kind: SetKind, of: Population | None = None, **changes: Any) -> set[int]:
    found = (of or population()).neurons(averaged(kind, **changes)).tolist()
    assert found == sorted(set(found))
    return set(found)


# --- the list ---------------------------------------------------------------------------------------------------------


def test_no_set_is_listed_twice() -> None:
    assert max(Counter(PLAN.sets()).values()) == 1


def kinds(sets: list[NeuronSet]) -> dict[SetKind, int]:
    return dict(Counter(SetKind(one.neurons) for one in sets))


def test_every_model_has_averaged_sets() -> None:
    sets = replace(PLAN, role="trained", partners=()).sets()
    assert {(one.partner, one.definition, one.threshold) for one in sets} == {("", Definition.AVERAGED, 0.5)}
    assert kinds([one for one in sets if one.layer == ALL_LAYERS]) == FIXED | {SetKind.LAYER_MATCHED: 4}
    for layer in range(LAYERS):
        single = [one for one in sets if one.layer == layer]
        assert kinds(single) == {SetKind.UNIVERSAL: 1, SetKind.LAYER_MATCHED: 4}


def test_the_reference_has_averaged_sets_of_every_kind_at_the_last_checkpoint() -> None:
    sets = [one for one in PLAN.sets() if one == averaged(SetKind(one.neurons), draw=one.draw)]
    assert kinds(sets) == {kind: 4 if kind.is_random else 1 for kind in SetKind}


def test_pairs_have_sets_of_their_own_at_every_threshold_and_in_every_layer() -> None:
    sets = [one for one in PLAN.sets() if one.partner == "c"]
    assert {one.definition for one in sets} == {Definition.PAIR}
    everywhere = {t: kinds([one for one in sets if (one.threshold, one.layer) == (t, ALL_LAYERS)]) for t in (0.4, 0.5)}
    assert everywhere[0.4] == {SetKind.UNIVERSAL: 1, SetKind.LAYER_MATCHED: 4}
    assert everywhere[0.5] == FIXED | {SetKind.RANDOM_OTHERS: 4, SetKind.LAYER_MATCHED: 4}
    for layer in range(LAYERS):
        single = [one for one in sets if one.layer == layer]
        assert kinds(single) == FIXED | {SetKind.LAYER_MATCHED: 4}
        assert {one.threshold for one in single} == {0.5}


def test_the_reference_also_has_averaged_sets_at_the_other_thresholds_and_of_like_norm_in_a_layer() -> None:
    sets = [one for one in replace(PLAN, role="trained").sets() if not one.partner]
    matched = {SetKind.UNIVERSAL: 1, SetKind.LAYER_MATCHED: 4, SetKind.NORM_MATCHED: 4}
    assert kinds([one for one in sets if one.threshold == 0.4]) == matched
    assert kinds([one for one in sets if one.layer == 0]) == matched


@pytest.mark.parametrize("role", ["last", "trained", "untrained"])
def test_no_set_lies_in_one_layer_where_nothing_is_ablated_by_layer(role: SetRole) -> None:
    whole = replace(PLAN, role=role)
    assert replace(whole, by_layer=False).sets() == [one for one in whole.sets() if one.layer == ALL_LAYERS]
    assert any(one.layer != ALL_LAYERS for one in whole.sets())


def test_only_the_last_checkpoint_has_other_modes_doses_and_definitions() -> None:
    before, last = replace(PLAN, role="trained").sets(), PLAN.sets()
    assert last[: len(before)] == before
    more = last[len(before) :]
    assert Counter(one.mode for one in more if one.mode != "zero") == {"mean": 5, "resample": 5}
    assert Counter((one.fraction, one.draw) for one in more if one.fraction < 1) == dict.fromkeys(
        [(0.2, 0), (0.2, 1), (0.5, 0), (0.5, 1)], 1
    )
    assert Counter(one.definition for one in more) == {"averaged": 19, "union": 5, "intersection": 5}
    assert all(one.mode == "zero" and one.fraction == 1 for one in before)
    another = replace(PLAN, partners=()).sets()
    assert Counter(one.fraction < 1 for one in another[len(replace(PLAN, role="trained", partners=()).sets()) :]) == {
        True: 4
    }


def test_untrained_models_have_the_averaged_sets_at_the_default_threshold_alone() -> None:
    sets = replace(PLAN, role="untrained", partners=()).sets()
    assert {(one.partner, one.threshold) for one in sets} == {("", 0.5)}
    assert Counter(one.layer for one in sets) == dict.fromkeys((ALL_LAYERS, 0, 1, 2), 1 + 4)
    assert kinds(sets) == {SetKind.UNIVERSAL: 4, SetKind.LAYER_MATCHED: 16}


# --- the neurons ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("definition", "partner", "combined"),
    [(Definition.AVERAGED, "", np.mean), (Definition.UNION, "", np.max), (Definition.INTERSECTION, "", np.min)],
)
def test_definitions_combine_the_partners(definition: Definition, partner: str, combined: Any) -> None:
    people = population()
    scores = combined(np.stack([people.excess["b"], people.excess["c"]]), axis=0)
    expected = set(np.flatnonzero(scores > 0.5).tolist())
    assert members(SetKind.UNIVERSAL, definition=definition, partner=partner) == expected
    assert expected


def test_a_pair_asks_its_partner_alone() -> None:
    people = population()
    found = members(SetKind.UNIVERSAL, definition=Definition.PAIR, partner="c")
    assert found == set(np.flatnonzero(people.excess["c"] > 0.5).tolist())
    assert found != members(SetKind.UNIVERSAL, definition=Definition.PAIR, partner="b")


def test_a_neuron_without_a_partner_is_one_of_the_others() -> None:
    people = population()
    people.excess["b"][7] = np.nan
    people.excess["c"][7] = 0.99
    for definition in (Definition.AVERAGED, Definition.INTERSECTION):
        assert 7 not in members(SetKind.UNIVERSAL, people, definition=definition)
        assert 7 in members(SetKind.OTHERS, people, definition=definition)


@pytest.mark.parametrize("layer", [ALL_LAYERS, 0, 2])
def test_universal_and_others_are_everyone_in_the_scope(layer: int) -> None:
    universal, others = members(SetKind.UNIVERSAL, layer=layer), members(SetKind.OTHERS, layer=layer)
    scope = range(300) if layer == ALL_LAYERS else range(100 * layer, 100 * layer + 100)
    assert universal | others == set(scope)
    assert not universal & others


@pytest.mark.parametrize("kind", SIZED)
@pytest.mark.parametrize("layer", [ALL_LAYERS, 1])
def test_sets_have_the_size_of_the_universal_one_and_stay_in_their_layer(kind: SetKind, layer: int) -> None:
    universal, found = members(SetKind.UNIVERSAL, layer=layer), members(kind, layer=layer)
    assert len(found) == len(universal) > 5
    assert layer == ALL_LAYERS or {neuron // WIDTH for neuron in found} == {layer}


@pytest.mark.parametrize("kind", AMONG_OTHERS)
def test_sets_of_others_hold_no_universal_neuron(kind: SetKind) -> None:
    for draw in range(20):
        assert not members(kind, draw=draw) & members(SetKind.UNIVERSAL)


@pytest.mark.parametrize("kind", [SetKind.LAYER_MATCHED, SetKind.NORM_MATCHED])
def test_matched_sets_have_as_many_neurons_in_every_layer(kind: SetKind) -> None:
    expected = Counter(neuron // WIDTH for neuron in members(SetKind.UNIVERSAL))
    assert len(expected) == LAYERS
    assert Counter(neuron // WIDTH for neuron in members(kind)) == expected
    unmatched = [Counter(neuron // WIDTH for neuron in members(SetKind.RANDOM_OTHERS, draw=d)) for d in range(5)]
    assert any(found != expected for found in unmatched)


def test_norms_are_matched_far_better_than_by_chance() -> None:
    people = population()

    def distance(kind: SetKind, draw: int) -> float:
        universal = np.sort(people.norm[people.neurons(averaged(SetKind.UNIVERSAL))])
        found = np.sort(people.norm[people.neurons(averaged(kind, draw=draw))])
        return float(np.abs(universal - found).mean())

    matched = [distance(SetKind.NORM_MATCHED, draw) for draw in range(10)]
    assert np.mean(matched) < 0.5 * np.mean([distance(SetKind.LAYER_MATCHED, draw) for draw in range(10)])
    assert len({frozenset(members(SetKind.NORM_MATCHED, draw=draw)) for draw in range(10)}) == 10


def test_top_norm_is_the_neurons_that_write_most() -> None:
    people = population()
    found = people.neurons(averaged(SetKind.TOP_NORM, layer=1))
    left = np.setdiff1d(np.arange(100, 200), found)
    assert people.norm[found].min() >= people.norm[left].max()


def test_doses_of_one_order_contain_each_other_and_orders_differ() -> None:
    universal = members(SetKind.UNIVERSAL)
    low, high = (members(SetKind.UNIVERSAL, draw=0, fraction=fraction) for fraction in (0.2, 0.5))
    assert low < high < universal
    assert (len(low), len(high)) == (round(0.2 * len(universal)), round(0.5 * len(universal)))
    assert members(SetKind.UNIVERSAL, draw=1, fraction=0.5) != high


@pytest.mark.parametrize("kind", AMONG_OTHERS)
def test_draws_are_reproduced_by_their_names_alone(kind: SetKind) -> None:
    assert members(kind, draw=3) == members(kind, draw=3)
    assert members(kind, draw=3) == members(kind, draw=3, mode="mean")
    others = [
        members(kind, draw=4),
        members(kind, population(seed=2), draw=3),
        members(kind, population(model="b"), draw=3),
        members(kind, draw=3, threshold=0.4),
        members(kind, draw=3, definition=Definition.UNION),
    ]
    assert members(kind, draw=3) not in others


@pytest.mark.parametrize("kind", [SetKind.RANDOM_OTHERS, SetKind.LAYER_MATCHED])
def test_one_neuron_above_the_threshold_exchanges_one_of_a_draw_and_not_all(kind: SetKind) -> None:
    people = population()
    before = members(kind, people, draw=0)
    (lost, *_) = people.neurons(averaged(SetKind.OTHERS))
    for scores in people.excess.values():
        scores[lost] = 0.9
    assert len(before ^ members(kind, people, draw=0)) <= 3


def test_where_few_others_are_left_all_of_them_are_taken() -> None:
    people = population()
    for scores in people.excess.values():
        scores[110:200] = 0.9
    others = set(members(SetKind.OTHERS, people, layer=1))
    assert 0 < len(others) <= 10
    for kind in (SetKind.LAYER_MATCHED, SetKind.NORM_MATCHED):
        assert members(kind, people, layer=1) == others


def test_where_nothing_is_universal_all_sets_are_empty_but_the_others() -> None:
    people = population(excess={"b": np.zeros(300), "c": np.zeros(300)})
    for kind in SetKind:
        found: npt.NDArray[np.int64] = people.neurons(averaged(kind))
        assert found.dtype == np.int64
        assert len(found) == (300 if kind is SetKind.OTHERS else 0)
