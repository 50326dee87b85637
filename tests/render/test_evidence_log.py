from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import ARTIFACTS, fake_records, record, write_log
from universal_neurons.evidence.log import PARTIAL, RECORDS
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render.evidence_log import EvidenceUnusable, check_artifacts, read_claims

if TYPE_CHECKING:
    from pathlib import Path


def test_claims_come_in_the_order_of_their_numbers_from_a_folder_or_a_file_in_it(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", fake_records())
    claims = read_claims(folder, suite="mini")
    assert [claim.claim for claim in claims] == ["G6", "G7", "N1", "N2", "N3", "N5", "N6", "V5"]
    assert read_claims(folder / RECORDS, suite="mini") == claims


def test_a_missing_log_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EvidenceUnusable, match="no evidence log of a whole run here; run: pytest claims --suite mini"):
        read_claims(tmp_path, suite="mini")


def test_a_run_of_a_part_is_read_only_if_it_is_named(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", fake_records())
    (folder / RECORDS).rename(folder / PARTIAL)
    with pytest.raises(EvidenceUnusable, match="only one of a part of the claims"):
        read_claims(folder, suite="mini")
    assert len(read_claims(folder / PARTIAL, suite="mini")) == 8


def test_evidence_of_another_suite_is_refused(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", fake_records())
    with pytest.raises(EvidenceUnusable, match="expected evidence of suite paper, got mini"):
        read_claims(folder, suite="paper")


def test_a_run_of_controls_only_judged_nothing(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", [record(role="control")])
    with pytest.raises(EvidenceUnusable, match="judged no claim"):
        read_claims(folder, suite="mini")


def test_a_verdict_that_does_not_follow_from_its_numbers_is_refused(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", [replace(record(), verdict=Verdict.REFUTED)])
    with pytest.raises(EvidenceUnusable, match="is recorded as refuted, its numbers give reproduced"):
        read_claims(folder, suite="mini")


def test_a_verdict_on_artifacts_that_are_not_here_is_refused(tmp_path: Path) -> None:
    claims = read_claims(write_log(tmp_path / "log", [record()]), suite="mini")
    check_artifacts(claims, ARTIFACTS)
    with pytest.raises(EvidenceUnusable, match="was judged from artifact"):
        check_artifacts(claims, ARTIFACTS[:1])
