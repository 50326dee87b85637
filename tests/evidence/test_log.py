from __future__ import annotations

import random
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from tests.evidence.records import record
from universal_neurons.evidence.log import RECORDS, EvidenceLog
from universal_neurons.evidence.record import RecordError
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.evidence.record import EvidenceRecord

CODE = {"commit": "c" * 40, "numpy": "2.3"}
WHOLE = EvidenceLog(
    (record("a-b"), record("a-c"), record("a-b", claim="N2", test="t2"), record("a-b", claim="N3", test="t3")),
    code=CODE,
    evidence={"k": "1"},
    warnings=("w",),
)


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "evidence" / RECORDS
    for log in (WHOLE, replace(WHOLE, records=WHOLE.records[:1], complete=False), EvidenceLog(())):
        log.write(path)
        assert EvidenceLog.read(path) == log
    assert [file.name for file in path.parent.iterdir()] == [RECORDS]


def test_no_flipped_bit_and_no_lost_byte_is_read(tmp_path: Path) -> None:
    path = tmp_path / RECORDS
    WHOLE.write(path)
    data, draw = path.read_bytes(), random.Random(5)
    for _ in range(400):
        at = draw.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :])
        with pytest.raises(RecordError, match=r"records\.jsonl: not as a run has written it"):
            EvidenceLog.read(path)
    for damaged in (data[:-1], data[1:], data + b"\n", data + data, b"", b"{}\n"):
        path.write_bytes(damaged)
        with pytest.raises(RecordError, match=r"seal does not fit; run the claims again"):
            EvidenceLog.read(path)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ((record("a-b"), record("a-c"), record("a-b")), "1 tests are recorded twice, first .*a-b"),
        ((replace(record("a-b"), version=99),), "evidence record has version 99, expected 2"),
    ],
)
def test_a_log_that_no_reader_can_use_is_refused_in_one_line(
    tmp_path: Path, records: tuple[EvidenceRecord, ...], message: str
) -> None:
    replace(WHOLE, records=records).write(tmp_path / RECORDS)
    with pytest.raises(RecordError, match=f"{RECORDS}: {message}"):
        EvidenceLog.read(tmp_path / RECORDS)


def test_a_file_of_another_program_with_a_seal_that_fits_is_no_log(tmp_path: Path) -> None:
    WHOLE.write(tmp_path / RECORDS)
    data = (tmp_path / RECORDS).read_bytes()
    sealed, end = data[:-67].replace(b'"complete"', b'"finished"'), data[-3:]
    (tmp_path / RECORDS).write_bytes(sealed + sha256(sealed).hexdigest().encode() + end)
    with pytest.raises(RecordError, match=f"{RECORDS}: not the log of a run"):
        EvidenceLog.read(tmp_path / RECORDS)


def test_a_log_that_is_not_there_or_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="run: pytest claims"):
        EvidenceLog.read(tmp_path / RECORDS)
    with pytest.raises(RecordError, match="cannot be read"):
        EvidenceLog.read(tmp_path)


def test_a_part_takes_the_place_of_its_tests_and_of_whole_claims(tmp_path: Path) -> None:
    again = record("a-c", verdict=Verdict.REFUTED)
    new = record("a-b", claim="N9", test="t9")
    part = EvidenceLog((again, new), False, {**CODE, "commit": "d" * 40}, {"l": "2"})
    merged = WHOLE.with_part(part, ())
    assert merged.records == (WHOLE.records[0], again, *WHOLE.records[2:], new)
    assert (merged.complete, merged.evidence) == (True, {"k": "1", "l": "2"})
    assert merged.code == {**CODE, "commit": f"{'c' * 40}, {'d' * 40}"}
    assert WHOLE.with_part(part, {"N1", "N9"}).records == (again, *WHOLE.records[2:], new)


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (replace(WHOLE, code={**CODE, "commit": "d" * 40}), ""),
        (replace(WHOLE, evidence={"another": "1"}), ""),
        (replace(WHOLE, evidence={"k": "2"}), "other evidence"),
        (replace(WHOLE, code={**CODE, "numpy": "2.4"}), "another numpy"),
        (replace(WHOLE, code={**CODE, "measures": "abc"}), "other measures"),
        (replace(WHOLE, records=(replace(record("a-b"), narrowed_by="--tokens 50k"),)), "another suite"),
    ],
)
def test_a_part_of_other_code_or_evidence_is_not_of_that_run(part: EvidenceLog, why: str) -> None:
    assert WHOLE.difference(part) == part.difference(WHOLE) == why
