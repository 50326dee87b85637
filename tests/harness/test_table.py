from __future__ import annotations

from typing import TYPE_CHECKING

from tests.evidence.records import record
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.table import counted, verdict_lines
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


def text_of(records: list[EvidenceRecord], width: int) -> list[str]:
    lines = verdict_lines(summaries(records), width=width)
    return [line for one in lines for line in (f"{one.claim}  {one.said}  {one.rest}".rstrip(), *one.below)]


def test_on_a_narrow_terminal_the_verdict_comes_first_and_the_statement_whole_below() -> None:
    assert text_of(RECORDS, 80) == [
        "N1  refuted (1 of 2)  0.05 to 0.07 [0.04, 0.08]",
        "    Few neurons are universal.",
        "N2  reproduced        0.05 [0.04, 0.05]",
        "    The share grows – at every checkpoint, in every pair, at every threshold.",
    ]
    assert max(map(len, text_of(RECORDS, 60))) <= 60
    assert "threshold." in text_of(RECORDS, 10)[-1]


def test_what_has_no_room_beside_a_verdict_stands_below_it() -> None:
    corrected = record(claim="N9", family="f", correction="holm", measurement=measured(-9, -10, -8).as_dict())
    (wide,) = text_of([corrected], 80)[:1]
    first, second = text_of([corrected], len(wide) - 1)[:2]
    assert wide == f"{first}  {second.strip()}"
    assert second == "    p <0.001"


def test_a_long_name_moves_nothing_but_its_own_verdict() -> None:
    named = record("a-b", claim="N3-a-name-of-some-length", verdict=Verdict.INCONCLUSIVE)
    short = text_of(RECORDS, 80)
    with_it = text_of([*RECORDS, named], 80)
    assert with_it[:4] == short
    assert with_it[4] == "N3-a-name-of-some-length  open  0.05 [0.04, 0.05]"


def test_on_a_wide_terminal_criterion_and_statement_are_on_the_same_line() -> None:
    long = record("a-b", claim="N3", statement="word " * 30)
    first, second, third = text_of([*RECORDS, long], 140)
    assert first == "N1  refuted (1 of 2)  0.05 to 0.07 [0.04, 0.08]  at most 0.05  Few neurons are universal."
    assert second.endswith("  at most 0.05  The share grows – at every checkpoint, in every pair, at every threshold.")
    assert third.endswith("word...")
    assert len(third) <= 140


def test_a_p_value_stands_beside_a_corrected_claim_only() -> None:
    # Half of one interval's width below the bound of 0.05, and so on the border of being reproduced.
    edge = measured(0.04, 0.03, 0.0498).as_dict()
    lines = text_of([*RECORDS, record(claim="N9", family="f", correction="holm", measurement=edge)], 80)
    assert lines[-2].endswith("  p 0.023")
    assert " p " not in lines[0]
    far = record(claim="N9", family="f", correction="holm", measurement=measured(-9, -10, -8).as_dict())
    assert text_of([far], 80)[0].endswith("  p <0.001")


def test_it_is_said_where_a_verdict_changes_and_a_number_keeps_its_per_cent_sign() -> None:
    def at(label: str, verdict: Verdict) -> EvidenceRecord:
        return record(
            label, statement=f"{'x' * 32} under 1 % of all.", verdict=verdict, parameters={"checkpoint": label}
        )

    cases = [at("25 %", Verdict.INCONCLUSIVE), at("50 %", Verdict.REPRODUCED), at("75 %", Verdict.REPRODUCED)]
    lines = text_of(cases, 45)
    assert lines[1:] == ["    open at 25 %, reproduced from 50 %", f"    {'x' * 32} under", "    1 % of all."]


def test_verdicts_are_counted_in_words() -> None:
    records = [
        *RECORDS,
        record(claim="N3", verdict=Verdict.INCONCLUSIVE),
        record(claim="N4", verdict=Verdict.NOT_EVALUATED),
    ]
    assert counted(summaries(records)) == "1 reproduced · 1 refuted · 1 open · 1 not evaluated"
    assert text_of(records, 80)[4].startswith("N3  open ")
    assert verdict_lines([], width=80) == []
