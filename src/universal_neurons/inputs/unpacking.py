"""Decompression of files that arrive in pieces: zstd and gzip, by the end of the file's name."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# What zstd's ``--long=31`` needs; without it such a file is refused although nothing is wrong with it.
_WINDOW = 2**31
# A few bytes can say 128 KiB of zeros: so few are unpacked at a time that what comes out fits into memory.
_PART = 1 << 10
# What comes out is handed on in pieces of this size or a little more.
_TOGETHER = 1 << 20


class UnpackingError(Exception):
    """A compressed file is damaged or ends too early."""


def unpacked(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content of the file ``name`` whose bytes are ``pieces``, in pieces; a plain file is its own content.

    A file may have several frames, as parallel compressors write them.  Raises :class:`UnpackingError`.
    """
    begin = next((begin for suffix, begin in _FORMATS.items() if name.endswith(suffix)), None)
    return iter(pieces) if begin is None else _frames(pieces, begin)


def _frames(pieces: Iterable[bytes], begin: Callable[[], Any]) -> Iterator[bytes]:
    import zstandard

    unpacker: Any = None
    contents: list[bytes] = []
    for part in (piece[start : start + _PART] for piece in pieces for start in range(0, len(piece), _PART)):
        rest = part
        while rest:
            if unpacker is None or unpacker.eof:
                unpacker = begin()
            try:
                contents.append(unpacker.decompress(rest))
            except (zlib.error, zstandard.ZstdError) as error:
                raise UnpackingError(str(error)) from None
            rest = unpacker.unused_data
        if sum(map(len, contents)) >= _TOGETHER:
            yield b"".join(contents)
            contents.clear()
    yield b"".join(contents)
    if unpacker is not None and not unpacker.eof:
        raise UnpackingError("it ends too early")


def _zstd() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()


_FORMATS: Mapping[str, Callable[[], Any]] = {".zst": _zstd, ".gz": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)}
