from __future__ import annotations

import errno
import io
import os
import random
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from universal_neurons.artifacts.archive import (
    Archive,
    check_format,
    write_archive,
)
from universal_neurons.artifacts.bundle import ExportDamaged, FileAbsent, SharingError

if TYPE_CHECKING:
    from pathlib import Path

FILES = [
    ("evidence-mini.json", b"{}\n"),
    ("shares/aa/manifest.json", b"manifest"),
    ("shares/aa/payload.json", b"x" * 999),
]


def opened(data: bytes) -> Archive:
    return Archive(io.BytesIO(data), shown="evidence")


def written(tmp_path: Path, files: list[tuple[str, bytes]] = FILES, name: str = "evidence") -> Path:
    path = tmp_path / f"{name}.zip"
    write_archive(path, files)
    return path


def refusal(data: bytes) -> str:
    with pytest.raises(ExportDamaged) as caught:
        opened(data)
    assert str(caught.value).isprintable()
    return str(caught.value)


def outcome(data: bytes) -> list[bytes] | str:
    """The bytes of the members, or the words in which the archive is refused."""
    try:
        archive = opened(data)
        return [archive.read(name, len(content)) for name, content in FILES]
    except SharingError as error:
        return str(error)


def is_line(found: object) -> bool:
    return isinstance(found, str) and found.isprintable()


def test_members_are_read_by_name(tmp_path: Path) -> None:
    archive = opened(written(tmp_path).read_bytes())
    for name, data in FILES:
        assert archive.read(name, len(data)) == archive.read(name, 10**6) == data


def test_equal_files_give_equal_bytes_at_any_time_and_for_any_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = written(tmp_path).read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    previous = os.umask(0o077)
    try:
        assert written(tmp_path, name="other").read_bytes() == first
    finally:
        os.umask(previous)
    assert str(tmp_path).encode() not in first


def test_a_member_has_no_time(tmp_path: Path) -> None:
    with zipfile.ZipFile(written(tmp_path)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_other_programs_read_it_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(written(tmp_path)) as archive:
        assert archive.testzip() is None
        assert [archive.read(name) for name, _ in FILES] == [data for _, data in FILES]


def test_an_existing_archive_is_kept_and_may_be_written_again_with_the_same_bytes(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    write_archive(path, FILES)
    with pytest.raises(FileExistsError):
        write_archive(path, FILES[:2])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    def files() -> Any:
        yield FILES[0]
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(OSError, match="no space"):
        write_archive(tmp_path / "evidence.zip", files())
    assert list(tmp_path.iterdir()) == []


def test_an_archive_cut_short_anywhere_never_gives_wrong_bytes(tmp_path: Path) -> None:
    data = written(tmp_path).read_bytes()
    found = [outcome(data[:end]) for end in range(0, len(data), 37)]
    assert all(one == [content for _, content in FILES] or is_line(one) for one in found)
    assert sum(map(is_line, found)) > 20


def test_flipped_bits_give_the_members_or_a_one_line_error(tmp_path: Path) -> None:
    data, rng = written(tmp_path).read_bytes(), random.Random(1)
    found = []
    for _ in range(400):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        found.append(outcome(bytes(flipped)))
    assert all(isinstance(one, list) or is_line(one) for one in found)
    assert any(map(is_line, found))


def in_zip(*members: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, data in members:
            archive.writestr(member, data)
    return buffer.getvalue()


HOSTILE_NAMES = ["../evil", "shares/../../evil", "/etc/passwd", "~/evil", "C:/evil", "shares\\..\\evil", "a\nb", "a\0b"]


def test_members_that_no_export_has_are_never_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evil = [(name, b"evil") for name in HOSTILE_NAMES]
    archive = opened(in_zip(*FILES, *evil))
    assert [archive.read(name, 999) for name, _ in FILES] == [data for _, data in FILES]
    assert list(tmp_path.iterdir()) == []


def test_more_than_was_announced_is_not_read(tmp_path: Path) -> None:
    archive = opened(written(tmp_path).read_bytes())
    with pytest.raises(ExportDamaged, match=r"payload.json has 999 bytes, expected at most 998"):
        archive.read(FILES[2][0], 998)
    with pytest.raises(FileAbsent, match=r"^evidence: has no other; cut short"):
        archive.read("other", 10)


def deflated(size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("evidence-mini.json", b"{}", zipfile.ZIP_STORED)
        archive.writestr("shares/aa/payload.json", b"\0" * size)
    assert len(buffer.getvalue()) < 100_000
    return buffer.getvalue()


def understated(data: bytes, size: int, stated: int = 1000) -> bytes:
    return data.replace(size.to_bytes(4, "little"), stated.to_bytes(4, "little"))


def packed_size(data: bytes) -> int:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.getinfo("shares/aa/payload.json").compress_size


def with_password(data: bytes) -> bytes:
    changed = bytearray(data)
    # The bit that says so, in the first member's own header and in the directory at the end.
    for start in (0, data.index(b"PK\x01\x02") + 2):
        changed[start + 6] |= 1
    return bytes(changed)


NOT_PLAIN = {
    "compressed": (deflated(50_000_000), "shares/aa/payload.json"),
    "compressed, its size understated": (
        understated(deflated(5_000_000), 5_000_000),
        "shares/aa/payload.json",
    ),
    "compressed, as if it were not": (
        understated(deflated(5_000_000), 5_000_000, packed_size(deflated(5_000_000))),
        "shares/aa/payload.json",
    ),
    "stored, its size overstated": (
        in_zip(("shares/aa/payload.json", b"x" * 70_001)).replace(
            (70_001).to_bytes(4, "little") * 2, (70_001).to_bytes(4, "little") + (2**31).to_bytes(4, "little")
        ),
        "shares/aa/payload.json",
    ),
    "behind a password": (with_password(in_zip(*FILES)), "evidence-mini.json"),
}


@pytest.mark.parametrize(("data", "words"), NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_a_zip_whose_members_are_not_plain_is_refused_by_name_before_anything_is_read(
    data: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing may be decompressed")

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    assert f"a member is compressed or encrypted: '{words}'" in refusal(data)


class Failing(io.BytesIO):
    """A file on a disk that fails after the archive was opened."""

    fails = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def test_a_disk_that_fails_while_a_member_is_read_is_one_line(tmp_path: Path) -> None:
    file = Failing(written(tmp_path).read_bytes())
    archive = Archive(file, shown="evidence")
    file.fails = True
    with pytest.raises(ExportDamaged, match=r"^evidence: cut short, damaged, or no archive \(.*Input/output error"):
        archive.read(FILES[2][0], 999)


@pytest.mark.parametrize("field", range(0, 46, 2))
def test_absurd_numbers_in_a_header_give_a_one_line_error(field: int) -> None:
    data = bytearray(in_zip(*FILES))
    start = data.index(b"PK\x01\x02") + field
    data[start : start + 4] = b"\xf0\xff\xff\xff"
    found = outcome(bytes(data))
    assert isinstance(found, list) or is_line(found)


@pytest.mark.parametrize("data", [b"", b"PK", b"not an archive at all" * 100, b"\0" * 5000])
def test_a_file_that_is_no_archive_is_a_one_line_error(data: bytes) -> None:
    assert "cut short" in str(outcome(data))
    assert is_line(outcome(data))


def test_folders_among_the_members_do_no_harm() -> None:
    archive = opened(in_zip(("shares/", b""), *FILES))
    assert [archive.read(name, 999) for name, _ in FILES] == [data for _, data in FILES]


@pytest.mark.parametrize("name", ["evidence.tar", "evidence.tar.gz", "evidence.tgz", "evidence.7z", "EVIDENCE.TAR.XZ"])
def test_other_archives_are_named_as_such(name: str) -> None:
    with pytest.raises(SharingError, match=r"kind of archive; expected a folder or an archive that ends in .zip$"):
        check_format(name, shown=name)
    check_format("evidence.zip", shown="evidence.zip")
    check_format("evidence", shown="evidence")
