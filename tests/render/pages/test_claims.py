"""What is said about all claims together."""

from __future__ import annotations

import pytest

from tests.render.fakes import fake_records, record, share
from universal_neurons.evidence.criteria import AtMost
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render.links import page_of
from universal_neurons.render.pages.ambiguities import Ambiguity
from universal_neurons.render.pages.claims import (
    ReadingUnknown,
    ambiguity_table,
    families_table,
    matrix,
    readings_page,
    readings_sentence,
    stated,
)
from universal_neurons.render.pages.scoreboard import filters, in_sections, scoreboard

CLAIMS = summaries(fake_records())
A1 = {"A1": Ambiguity("A1", "Which?", "This.")}


def test_sections_come_in_the_order_of_the_papers_and_claims_in_natural_order() -> None:
    found = summaries(
        [
            record(name, family=family)
            for name, family in (
                ("N10", "robustness"), ("N2", "persistence"), ("N1", "emergence"), ("N9", "robustness"), ("X", "zoo"),
                ("Y", None),
            )
        ]
    )  # fmt: skip
    sections = {name: [claim.claim for claim in claims] for name, claims in in_sections(found).items()}
    assert list(sections.items()) == [
        ("emergence", ["N1"]), ("persistence", ["N2"]), ("zoo", ["X"]), ("robustness", ["N9", "N10"]), ("other", ["Y"]),
    ]  # fmt: skip


def test_the_sentence_on_readings_counts_those_that_would_change_a_verdict() -> None:
    assert readings_sentence(CLAIMS) == "Of 2 readings, 1 would change the verdict on the claim (N1)."
    assert readings_sentence(summaries([record()])) == "No claim has other readings."
    lost = record(verdict=Verdict.ERROR, role="reading", ambiguity="A1", says="else", test="c.py::test_lost")
    said = readings_sentence(summaries([record(), lost]))
    assert said == "No reading of 1 would change the verdict on its claim. 1 reading came to no judgement."


def test_the_matrix_shows_every_reading_under_its_ambiguity_and_quiet_where_it_agrees() -> None:
    html = matrix(CLAIMS, ["A1"])
    assert html.count("data-reading=") == 2
    assert html.count('class="verdict same"') == 1
    assert [f'href="{page_of(name)}"' in html for name in ("N1", "N2", "N3")] == [True, True, False]


def test_a_reading_of_an_ambiguity_that_nobody_explained_is_an_error() -> None:
    with pytest.raises(ReadingUnknown, match=r"ambiguities\.toml: A1 is missing; the reading test_on_average of N1"):
        readings_page(CLAIMS, {})
    assert len(readings_page(CLAIMS, A1)["sections"]) == 1


def test_ambiguities_without_a_reading_are_listed_too() -> None:
    html = ambiguity_table(A1 | {"A5": Ambiguity("A5", "What?", "That.")}, CLAIMS)
    assert 'href="readings.html#a1"' in html
    assert ">none</td>" in html


def test_the_families_say_what_was_corrected_over_how_many_tests() -> None:
    cases = [
        record("N7", AtMost(0.05), share(0.0601 + i / 1e5, 0.01), correction="holm", item=str(i), test=f"c.py::t[{i}]")
        for i in range(2)
    ]
    html = families_table(summaries([*cases, record("N8")]))
    assert '<td data-label="tests:" class="number">2</td>' in html
    assert '<td data-label="refutations taken back:" class="number">2</td>' in html
    assert html.count("<tr>") == 3


def test_what_pages_must_state_covers_claims_readings_and_cases() -> None:
    found = stated(CLAIMS)
    assert found.parts["reading N1/test_on_average"] == "refuted"
    assert found.parts["case N2/11"] in {"reproduced", "refuted", "inconclusive"}
    assert found.pages["claims/g6.html"] == "G6"
    assert found.sentences["index.html"][0].startswith("Of 8 claims")


def test_filters_offer_what_there_is_to_choose_from() -> None:
    html = filters(CLAIMS)
    assert html.count("data-outcome=") == 6
    two = filters(summaries([record(), record("N7", family="persistence")]))
    assert [html.count("<option"), two.count("<option")] == [5, 6]


def test_every_row_carries_the_keys_by_which_it_is_filtered_and_ordered() -> None:
    html = scoreboard(summaries([record("N10"), record("N2"), record("N9", family="ablation")]))
    rows = [line for line in html.splitlines() if line.startswith("<tr data-outcome=")]
    assert [row.partition('data-place="')[2][0] for row in rows] == ["0", "2", "1"]
    assert all('data-section="' in row and 'data-rank="0"' in row for row in rows)
