from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.evidence.records import record
from universal_neurons.evidence.criteria import Near
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.table import value_range, verdict_table
from universal_neurons.measurement import Measurement, Over

if TYPE_CHECKING:
    from universal_neurons.evidence.record import EvidenceRecord


def measured(value: float, low: float, high: float, unit: str = "") -> Measurement:
    return Measurement(value, low, high, 9, Over.TOKEN_BLOCKS, unit=unit)


RECORDS: list[EvidenceRecord] = [
    record("a-b-25%"),
    record("a-c-25%", measurement=measured(0.07, 0.06, 0.08).as_dict(), verdict=Verdict.REFUTED),
    record("a-b", claim="N2", statement="The share grows – at every checkpoint, in every pair, at every threshold."),
]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", None, "no-such-encoding"])
def test_the_table_can_be_written_in_the_encoding_of_the_terminal(encoding: str | None) -> None:
    lines = [row.text for row in verdict_table(summaries(RECORDS), width=80, encoding=encoding)]
    assert "\n".join(lines).encode("utf-8" if encoding == "utf-8" else "ascii")
    assert ("…" in lines[2]) == (encoding == "utf-8")
    assert ("..." in lines[2]) == (encoding != "utf-8")


def test_the_table_is_aligned_and_only_statements_are_shortened() -> None:
    head, first, second = (row.text for row in verdict_table(summaries(RECORDS), width=100, encoding="utf-8"))
    columns = [head.index(title) for title in ("claim", "statement", "criterion", "value", "verdict")]
    assert [first[start:].split("  ")[0] for start in columns] == [
        "N1",
        "Few neurons are universal.",
        "at most 0.05",
        "0.0474 – 0.07 [0.0411, 0.08]",
        "refuted (1 of 2)",
    ]
    assert second[columns[4] :] == "reproduced"
    assert max(len(head), len(first), len(second)) <= 100


def test_a_wide_place_shows_statements_whole_but_for_the_longest() -> None:
    long = record("a-b", claim="N3", statement="word " * 30)
    rows = [row.text for row in verdict_table(summaries([*RECORDS, long]), width=240, encoding="utf-8")]
    assert "at every checkpoint, in every pair, at every threshold." in rows[2]
    assert "word…" in rows[3]
    assert max(map(len, rows)) < 190


def test_a_long_value_takes_room_from_criterion_and_statement_down_to_what_is_readable() -> None:
    wide = measured(-0.00123, -0.00223, 0.00323, "nats per prediction and neuron").as_dict()
    near = Near(0.0474, absolute=0.00123, relative=0.123)
    records = [record(measurement=wide, criterion=near.as_dict(), statement="word " * 20)]
    rows = {
        width: [row.text for row in verdict_table(summaries(records), width=width, encoding="utf-8")]
        for width in (80, 125, 140)
    }
    assert "  near 0.0474 wit…  -0.00123 [-0.00223, 0.00323] nats per prediction and neuron  " in rows[80][1]
    assert [max(map(len, rows[width])) <= width for width in rows] == [False, True, True]
    assert [rows[width][0].index("criterion") for width in rows] == [33, 33, 33]
    assert rows[140][1].count("near 0.0474 within max(0.001") == 1


def test_p_values_have_a_column_only_if_a_claim_is_corrected() -> None:
    # Half of one interval's width below the bound of 0.05, and so on the border of being reproduced.
    edge = measured(0.04, 0.03, 0.0498).as_dict()
    plain, corrected = (
        [row.text for row in verdict_table(summaries(records), width=120, encoding="utf-8")]
        for records in (RECORDS, [*RECORDS, record(claim="N9", family="f", correction="holm", measurement=edge)])
    )
    assert "  p  " not in plain[0]
    assert corrected[0].split() == ["claim", "statement", "criterion", "value", "p", "verdict"]
    assert corrected[-1].endswith("  0.023  reproduced")
    far = record(claim="N9", family="f", correction="holm", measurement=measured(-9, -10, -8).as_dict())
    assert verdict_table(summaries([far]), width=120, encoding="utf-8")[1].text.endswith("  <0.001  reproduced")


def test_a_narrow_terminal_gets_a_readable_table_all_the_same() -> None:
    assert all(len(row.text) > 60 for row in verdict_table(summaries(RECORDS[:1]), width=10, encoding="utf-8"))


@pytest.mark.parametrize(
    ("measurements", "shown"),
    [
        ([], "-"),
        ([Measurement.missing()], "-"),
        ([measured(0.5, 0.4, 0.6)], "0.5 [0.4, 0.6]"),
        ([measured(0.5, 0.4, 0.6), Measurement.missing(), measured(0.7, 0.3, 0.8)], "0.5 - 0.7 [0.3, 0.8]"),
        ([measured(5, 4, 6, "nats")], "5 [4, 6] nats"),
        ([measured(5, 4, 6, "nats"), measured(5, 4, 6, "bits")], "5 [4, 6]"),
    ],
)
def test_the_range_of_values_holds_every_item(measurements: list[Measurement], shown: str) -> None:
    assert value_range(measurements) == shown
