"""Rosetta neurons of real, tiny models: pairs, classes and their null, from one reading of the text."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import universal_neurons as un
from tests import tiny_models
from tests.matching.tiny import TEXT, letters, model, pieces
from universal_neurons.errors import UserError
from universal_neurons.matching.directions import resampling
from universal_neurons.matching.rosetta_result import RosettaResult
from universal_neurons.measurement import CEILING
from universal_neurons.measures.mutual import KeptPartners, class_share, mutual_share

SETTINGS: dict[str, Any] = {"tokens": 400, "context": 48, "blocks": 10, "draws": 3, "half_draws": 2, "resamples": 20}


def related(seed: int) -> Any:
    """Half of the neurons are those of one model, the others are drawn anew."""
    return tiny_models.relative(_BASE, seed)


_BASE = model("GPT2LMHeadModel", 0, layers=1, mlp=40)


@pytest.fixture(scope="module")
def found() -> Any:
    three = [(copy.deepcopy(_BASE), letters()), (related(1), letters()), (related(2), letters())]
    return un.rosetta(*three, text=TEXT, quick=True, **SETTINGS)


def test_planted_neurons_form_classes_over_all_models(found: Any) -> None:
    classes = found.classes
    planted = classes[(classes["neuron_1"] % 2 == 1)]
    # Those that never varied on this text have no partner.
    assert len(planted) >= 18
    assert (planted["neuron_1"] == planted["neuron_2"]).all()
    assert (planted["neuron_1"] == planted["neuron_3"]).all()
    np.testing.assert_allclose(planted["correlation"], 1, atol=1e-5)
    assert (classes[classes["neuron_1"] % 2 == 0]["correlation"] < 0.99).all()


def test_a_pair_is_mutual_in_the_tables_of_both_directions(found: Any) -> None:
    pairs = found.pairs
    assert set(pairs["model"]) | set(pairs["partner_model"]) == {one.name for one in found.models}
    first = pairs[(pairs["model"] == found.models[0].name) & (pairs["partner_model"] == found.models[1].name)]
    forward, backward = found.matches[0, 1].forward.table, found.matches[0, 1].backward.table
    for pair in first.itertuples():
        assert forward["partner_neuron"][pair.neuron] == pair.partner_neuron
        assert backward["partner_neuron"][pair.partner_neuron] == pair.neuron
    mutual = sum(
        backward["partner_neuron"][partner] == neuron for neuron, partner in enumerate(forward["partner_neuron"])
    )
    assert len(first) == mutual


def test_a_pair_has_the_numbers_of_both_tables(found: Any) -> None:
    assert [one.name for one in found.models] == [f"GPT2LMHeadModel ({number})" for number in (1, 2, 3)]
    expected = []
    for (x, y), result in found.matches.items():
        ours, theirs = result.forward.table, result.backward.table
        for neuron, partner in enumerate(ours["partner_neuron"]):
            if partner >= 0 and theirs["partner_neuron"][partner] == neuron:
                names = [found.models[place].name for place in (x, y)]
                numbers = [ours["correlation"][neuron], ours["excess"][neuron], theirs["excess"][partner]]
                expected.append([names[0], 0, neuron, names[1], 0, partner, *numbers])
    assert found.pairs.to_numpy().tolist() == expected
    columns = "model layer neuron partner_model partner_layer partner_neuron correlation excess partner_excess"
    assert list(found.pairs) == columns.split()


def test_a_class_has_the_smallest_correlation_of_its_pairs(found: Any) -> None:
    for row in found.classes.itertuples():
        members = dict(zip((one.name for one in found.models), (row.neuron_1, row.neuron_2, row.neuron_3), strict=True))
        inside = [
            pair.correlation
            for pair in found.pairs.itertuples()
            if (members[pair.model], members[pair.partner_model]) == (pair.neuron, pair.partner_neuron)
        ]
        assert len(inside) >= 2
        assert row.correlation == min(inside)
    assert list(found.classes) == [f"{what}_{n}" for n in (1, 2, 3) for what in ("layer", "neuron")] + ["correlation"]


def test_a_partner_that_does_not_look_back_is_no_pair_of_a_class(found: Any) -> None:
    partners = {
        (0, 1): (0, 0.9),
        (1, 0): (0, 0.9),
        (1, 2): (0, 0.8),
        (2, 1): (0, 0.8),
        (0, 2): (0, 0.1),
        (2, 0): (-1, np.nan),
    }

    def one_neuron(pair: tuple[int, int], given: Any) -> Any:
        partner, correlation = (np.array([[value]]) for value in partners[pair])
        kept = KeptPartners(partner, correlation, np.zeros((2, 1, 1)), partner, partner)
        return replace(given, frame=given.frame.iloc[:1], kept=kept)

    small = RosettaResult({
        pair: replace(
            result,
            forward=one_neuron(pair, result.forward),
            backward=one_neuron((pair[1], pair[0]), result.backward),
        )
        for pair, result in found.matches.items()
    })  # fmt: skip
    assert small.classes["correlation"].tolist() == [0.8]


def test_measurements_are_the_measures_of_the_kept_partners(found: Any) -> None:
    how, measured = resampling(found.settings), found.measurements
    for pair, direction in found.directions():
        assert measured[f"mutual best: {direction}"] == mutual_share(found.kept, pair, how)
        assert measured[f"mutual of rank 2: {direction}"] == mutual_share(found.kept, pair, how, rank=2)
    assert measured["classes over 3 models"] == class_share(found.kept, 3, how)


def test_every_measurement_is_shown_with_interval_null_and_ceiling(found: Any) -> None:
    lines, cells = str(found).splitlines(), found._repr_html_().split("<tr>")[2:]
    for (name, share), row, line, cell in zip(
        found.measurements.items(), found.summary.itertuples(index=False), lines, cells, strict=True
    ):
        null, ceiling = share.details["null"], share.details[CEILING]
        assert tuple(row) == (name, share.value, share.low, share.high, null, ceiling)
        assert line == (
            f"{name}: {share.value:.1%} [{share.low:.1%}, {share.high:.1%}]; rotated models {null:.1%}; "
            f"halves agree in {ceiling:.1%}"
        )
        shown = [f"{share.value:.1%}", f"{share.low:.1%} to {share.high:.1%}", f"{null:.1%}", f"{ceiling:.1%}"]
        assert re.findall("<td>(.*?)</td>", cell)[1:] == shown
    assert list(found.summary) == ["quantity", "value", "low", "high", "null", "ceiling"]
    headings = re.findall("<th scope='col'>(.*?)</th>", found._repr_html_())
    assert headings == ["share", "value", "interval", "rotated", "ceiling"]


def test_two_models_with_two_partners_each_have_best_pairs_and_no_classes(found: Any) -> None:
    forward, backward = found.matches[0, 1].forward, found.matches[0, 1].backward
    named = replace(forward, model=replace(forward.model, name="<script>"))
    settings = replace(found.settings, top_k=2)
    two = RosettaResult({(0, 1): replace(found.matches[0, 1], forward=named, backward=backward, settings=settings)})
    assert [name.partition(":")[0] for name in two.measurements] == ["mutual best"] * 2
    assert "<script>" not in two._repr_html_()


def test_every_share_stands_beside_its_null_and_its_ceiling(found: Any) -> None:
    measured = found.measurements
    assert len(measured) == 6 + 6 + 1
    for name, share in measured.items():
        assert share.low <= share.value <= share.high, name
        assert 0 <= share.details[CEILING] <= 1, name
        if "classes" not in name:
            assert share.details["null"] > 0, name
    classes = measured["classes over 3 models"]
    assert classes.value > classes.details["null"]
    assert len(found.summary) == 13
    for text in (str(found), found._repr_html_()):
        assert all(
            str(direction) in text.replace("&gt;", ">").replace("\u00a0", " ") for _, direction in found.directions()
        )


def test_models_of_different_sizes_and_tokenizers() -> None:
    found = un.rosetta(
        (model("GPT2LMHeadModel", 0), letters()), (model("LlamaForCausalLM", 1, layers=3), pieces()),
        text=TEXT, quick=True, **SETTINGS,
    )  # fmt: skip
    assert [len(one.widths) for one in found.models] == [2, 3]
    assert found.classes.equals(found.classes.drop_duplicates())
    assert len(found.classes) == len(found.pairs)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [(1, {}, "expected at least 2 models, got 1"), (2, {"top_k": 1}, "top_k: expected at least 2")],
)
def test_too_few_models_or_partners_is_one_line(count: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        un.rosetta(*[(_BASE, letters())] * count, text=TEXT, quick=True, **options)
