from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from universal_neurons.artifacts.receipt import RECEIPTS, Imported, Receipt, Sample, receipts_of

if TYPE_CHECKING:
    from pathlib import Path

DIGESTS = tuple(f"{number:064x}" for number in range(4))
BYTES = tuple(f"{number:064x}" for number in range(10, 14))
SAMPLE = Sample(DIGESTS[0], "2026-01-02T03:04:05Z", None, "a against b, 48 neurons computed again")
RECEIPT = Receipt("mini", "datasets/someone/evidence@0123", "ab" * 32, {DIGESTS[0]: BYTES[0], DIGESTS[1]: BYTES[1]})


def test_a_receipt_is_read_as_it_was_written_with_and_without_a_sample(tmp_path: Path) -> None:
    for receipt in (RECEIPT, replace(RECEIPT, sample=SAMPLE)):
        receipt.write(tmp_path)
        assert receipts_of(tmp_path, "mini") == (receipt,)
    assert [path.name for path in (tmp_path / RECEIPTS).iterdir()] == [f"mini-{'ab' * 8}.json"]


def test_each_export_has_a_receipt_and_other_suites_are_left_out(tmp_path: Path) -> None:
    other = Receipt("mini", "folder evidence", "cd" * 32, {})
    for receipt in (RECEIPT, other, Receipt("mini-large", "folder evidence", "ef" * 32, {})):
        receipt.write(tmp_path)
    assert receipts_of(tmp_path, "mini") == (RECEIPT, other)
    assert receipts_of(tmp_path / "nowhere", "mini") == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.update(format=2),
        lambda raw: raw.pop("format"),
        lambda raw: raw.update(artifacts=[]),
        lambda raw: raw.update(artifacts=None),
        lambda raw: raw.update(sample={"artifact": "x"}),
        lambda raw: raw.update(sample=[1]),
        lambda raw: raw.update(more=1),
        lambda raw: raw.pop("source"),
    ],
)
def test_a_receipt_that_cannot_be_read_is_none(tmp_path: Path, change: Any) -> None:
    replace(RECEIPT, sample=SAMPLE).write(tmp_path)
    path = RECEIPT.path(tmp_path)
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw, sort_keys=True, indent=2) + "\n")
    assert receipts_of(tmp_path, "mini") == ()


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b"\xff", b"[" * 200_000])
def test_a_damaged_receipt_is_none_and_is_written_again(tmp_path: Path, data: bytes) -> None:
    RECEIPT.write(tmp_path)
    RECEIPT.path(tmp_path).write_bytes(data)
    assert receipts_of(tmp_path, "mini") == ()
    RECEIPT.write(tmp_path)
    assert receipts_of(tmp_path, "mini") == (RECEIPT,)


def test_imported_artifacts_are_unchecked_until_a_sample_was_recomputed() -> None:
    artifacts = {DIGESTS[0]: BYTES[0], DIGESTS[1]: BYTES[1], DIGESTS[2]: BYTES[2]}
    before = Imported.of((RECEIPT,), artifacts)
    assert (before.sources, before.checked, before.unchecked) == ((RECEIPT,), frozenset(), frozenset(DIGESTS[:3]))
    sampled = replace(RECEIPT, sample=SAMPLE)
    after = Imported.of((sampled,), artifacts)
    assert (after.sources, after.checked, after.unchecked) == (
        (sampled,), frozenset(DIGESTS[:2]), frozenset(DIGESTS[2:3]),
    )  # fmt: skip


def test_a_sample_says_nothing_about_other_bytes_under_the_same_name() -> None:
    imported = Imported.of((replace(RECEIPT, sample=SAMPLE),), {DIGESTS[0]: BYTES[3]})
    assert (imported.sources, imported.checked, imported.unchecked) == ((), frozenset(), frozenset(DIGESTS[:1]))


def test_a_sample_of_one_import_says_nothing_about_another() -> None:
    other = Receipt("mini", "folder evidence", "cd" * 32, {DIGESTS[2]: BYTES[2]})
    imported = Imported.of((replace(RECEIPT, sample=SAMPLE), other), dict(zip(DIGESTS[:3], BYTES[:3], strict=True)))
    assert imported.unchecked == {DIGESTS[2]}
    assert len(imported.sources) == 2


def test_without_imported_artifacts_nothing_is_marked() -> None:
    assert Imported.of((RECEIPT,), {}) == Imported()
