from __future__ import annotations

import pytest

from tests.evidence.records import record
from universal_neurons.evidence.record import EvidenceRecord, summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.table import value_range, verdict_table
from universal_neurons.measurement import Measurement, Over


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
