from __future__ import annotations

import gzip
import os

import pytest
import zstandard

from universal_neurons.inputs.unpacking import UnpackingError, unpacked

TEXT = b"".join(b"line %d: neuron layer token model seed\n" % i for i in range(2000))
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00note"
PACK = {"x.jsonl.zst": zstandard.ZstdCompressor().compress, "x.jsonl.gz": gzip.compress}


def read(name: str, data: bytes, piece: int) -> bytes:
    return b"".join(unpacked(name, (data[start : start + piece] for start in range(0, len(data), piece))))


@pytest.mark.parametrize("piece", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("name", PACK)
def test_a_file_of_several_frames_is_read_however_it_is_cut(name: str, piece: int) -> None:
    halves = PACK[name](TEXT[:30_000]) + PACK[name](TEXT[30_000:])
    assert read(name, halves, piece) == TEXT
    assert read(name, PACK[name](b""), piece) == b""
    assert read("x.jsonl", TEXT, piece) == TEXT


def test_a_frame_that_holds_no_content_is_skipped() -> None:
    packed = zstandard.ZstdCompressor().compress(TEXT)
    assert read("x.zst", SKIPPED + packed + SKIPPED, 5) == TEXT


def test_frames_with_the_longest_window_are_read() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=30, enable_ldm=True)
    assert read("x.zst", zstandard.ZstdCompressor(compression_params=parameters).compress(TEXT), 1000) == TEXT


@pytest.mark.parametrize("name", PACK)
def test_a_file_that_ends_too_early_or_is_damaged_is_said_to_be_that(name: str) -> None:
    packed = PACK[name](TEXT)
    with pytest.raises(UnpackingError, match="it ends too early"):
        read(name, packed[:-9], 100)
    with pytest.raises(UnpackingError, match="it ends too early"):
        read(name, packed + packed[:50], 100)
    with pytest.raises(UnpackingError, match=r"\w"):
        read(name, os.urandom(3000), 100)


def test_what_is_needed_of_a_file_is_read_although_its_end_is_missing() -> None:
    packed = zstandard.ZstdCompressor().compress(os.urandom(500_000))
    assert len(next(unpacked("x.zst", [packed[:-9]]))) > 0


@pytest.mark.parametrize("name", PACK)
def test_a_few_bytes_that_stand_for_many_come_out_in_pieces_that_fit_into_memory(name: str) -> None:
    packed = PACK[name](bytes(200_000_000))
    assert len(packed) < 300_000
    sizes = [len(piece) for piece in unpacked(name, [packed])]
    assert sum(sizes) == 200_000_000
    assert max(sizes) < 50_000_000
