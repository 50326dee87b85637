"""The figures of what neurons do: numbers of the claims, controls beside them, a sentence where nothing is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.measures.attended import Attended
from tests.measures.entropic import Entropic
from tests.measures.written import LAYER, Written
from tests.render.neurons import made_profiles
from universal_neurons.measures.attention import path_correlation
from universal_neurons.measures.entropy import clamp_curve
from universal_neurons.measures.predictions import WritingRole, median_auc, role_share
from universal_neurons.render.figures.roles import next_tokens, paths, role_figures
from universal_neurons.render.figures.writing import role_examples
from universal_neurons.render.pages.paper import figures_of

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.render.figures.roles import Roles
    from universal_neurons.render.results import Results


@pytest.fixture(scope="module")
def numbers(found: Results) -> Roles:
    assert found.roles is not None
    return found.roles


def data_of(report: Path, name: str) -> list[dict[Any, Any]]:
    return pd.read_csv(report / "data" / f"{name}.csv").to_dict("records")


def test_roles_by_layer_are_shares_of_all_models_together(numbers: Roles, report: Path) -> None:
    row = next(r for r in reversed(data_of(report, "parent-6")) if r["role"] == "suppression neurons")
    last = role_share(numbers.writing, "suppression", numbers.depth - 1)
    flags = [one.role("suppression")[one.layer == one.layer.max()] for one in numbers.writing]
    assert last.value == pytest.approx(sum(int(one.sum()) for one in flags) / sum(map(len, flags)))
    assert (row["layer"], row["value, %"]) == (numbers.depth - 1, pytest.approx(100 * last.value))
    assert "random directions" in role_figures(numbers)["roles_by_layer"].figures[0].caption


def test_cosines_of_a_role_are_medians_over_its_neurons_of_all_models(numbers: Roles, report: Path) -> None:
    rows = {(row["role"], row["rank of the token"]): row for row in data_of(report, "parent-5-promotes")}
    groups: dict[WritingRole | None, str] = {"suppression": "suppression neurons", None: "without a role"}
    for role, name in groups.items():
        chosen = [
            profiles.promoted_cosine[one.role(role)][:, 2]
            for one, profiles in zip(numbers.writing, numbers.profiles, strict=True)
        ]
        cosines = np.concatenate(chosen)
        assert rows[name, 3]["value"] == pytest.approx(np.median(cosines), abs=1e-6)
        assert rows[name, 3]["n"] == len(cosines) > 100
        assert rows[name, 3]["low"] < rows[name, 3]["value"] < rows[name, 3]["high"]


def test_the_example_of_a_role_is_the_neuron_that_stands_out_most_by_it() -> None:
    writing = replace(Written(layers=4).tables("a", LAYER < 0).writing(), variance_threshold=0.9)
    kurtosis = np.where(LAYER == 7, writing.kurtosis, writing.kurtosis + 0.1)
    kurtosis[[3999, 42]] = 50.0, 49.0
    one = replace(writing, kurtosis=kurtosis, skewness=np.where(np.arange(4000) == 3999, -1.0, 1.0))
    profiles = made_profiles("a", 1, step=0, layers=8, width=500, vocabulary=99)
    prediction, suppression, partition = role_examples(one, profiles)
    assert (prediction.role, prediction.neuron, prediction.kurtosis) == ("prediction", 42, 49.0)
    assert (suppression.role, suppression.neuron, suppression.skewness) == ("suppression", 499, -1.0)
    assert suppression.suppressed == tuple(profiles.suppressed_token[3999])
    assert partition.variance == writing.variance[one.role("partition")].max()


def test_next_tokens_stand_beside_others_of_their_frequency(numbers: Roles, report: Path) -> None:
    rows = {row["what"]: row for row in data_of(report, "parent-24")}
    for role in ("prediction", "suppression"):
        row = rows[f"{role} neurons"]
        assert row["value"] == pytest.approx(median_auc(numbers.writing, role).value, abs=1e-4)
        assert row["other tokens of the same frequency"] == pytest.approx(
            median_auc(numbers.writing, role, matched=True).value,
            abs=1e-4,
        )


def test_clamps_are_curves_of_the_candidate_and_of_what_it_is_compared_with(numbers: Roles) -> None:
    entropy, _, kept = (clamp_curve(numbers.entropy, "candidate", name) for name in ("entropy", "scale", "first_kept"))
    assert entropy[1].value == 0
    assert entropy[-1].value == pytest.approx(0.6)
    assert kept[-1].value == pytest.approx(0.98, abs=0.01)
    other = clamp_curve(numbers.entropy, "other", "first_kept")
    assert other[-1].value == pytest.approx(0.6, abs=0.01)


def test_paths_stand_beside_a_random_neuron_and_the_examples_of_the_paper(numbers: Roles, report: Path) -> None:
    row = {one["what"]: one for one in data_of(report, "parent-8")}["off: activation and attention"]
    own = path_correlation(numbers.attention, "deactivation", "scored", "r_activation_attention")
    assert row["value"] == pytest.approx(own.value, abs=1e-4)
    assert row["printed example"] == -0.93
    assert abs(row["random neuron of the layer"]) < 0.3


def test_of_what_the_models_do_not_have_the_page_says_so(numbers: Roles) -> None:
    roles = replace(
        numbers,
        writing=tuple(Written(layers=3).tables("a", LAYER < 0).writing() for _ in range(2)),
        entropy=(Entropic().tables("a"), Entropic().tables("b")),
        attention=tuple(Attended(sinks=0).tables(name) for name in "abc"),
        profiles=(made_profiles("a", 1, step=0, layers=8, width=500, vocabulary=99),) * 2,
    )
    assert "four layers" in next_tokens(roles).absence
    assert "rest on the first position" in paths(roles).absence
    absent = {one.name for one in figures_of(role_figures(roles)).values() if one.absence}
    assert absent == {"parent-24", "parent-8", "parent-7-entropy", "parent-7-scale", "parent-7-first-kept"}


def test_a_layer_without_prediction_neurons_has_a_share_of_nothing(numbers: Roles) -> None:
    none = tuple(Written(base=0.0, rise=0.0, universal=0.0, layers=4).tables("a", LAYER < 0).writing() for _ in "ab")
    assert role_share(none, "prediction", 0).value == 0
    assert role_share(none, "prediction", 0).high > 0
    assert next_tokens(replace(numbers, writing=none)).absence


def test_a_first_look_leaves_out_these_figures_and_no_others(numbers: Roles) -> None:
    absent = role_figures(None)
    named = {group: [(one.name, one.label) for one in figures.figures] for group, figures in absent.items()}
    drawn = role_figures(numbers)
    assert {group: sorted(names) for group, names in named.items()} == {
        group: sorted((one.name, one.label) for one in figures.figures) for group, figures in drawn.items()
    }
    assert all(one.absence for figures in absent.values() for one in figures.figures)
