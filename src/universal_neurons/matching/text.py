"""Text to compare models on: given, or read from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from universal_neurons.errors import UserError
from universal_neurons.files import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Text itself, a file or a folder of files, or documents.
TextSource: TypeAlias = "str | Path | Iterable[str]"
# Longer documents are cut at the end of a line: a tokenizer takes memory in proportion to what it is given at once.
LONGEST = 20_000
_SUFFIXES = (".txt", ".md", ".rst", ".jsonl")


class TextUnreadable(UserError):
    """A text that cannot be read."""


def documents(source: TextSource) -> Iterator[str]:
    """The documents of a source, none longer than about :data:`LONGEST` characters.

    A ``Path`` is a file of text (one document), a ``.jsonl`` file (one object with ``text`` a line), or a folder, whose
    files of text are read in the order of their names.  A string is text; other iterables give documents.  Raises
    :class:`TextUnreadable`.

    >>> list(documents("one document"))
    ['one document']
    >>> list(documents(["first", "second"]))
    ['first', 'second']
    """
    if isinstance(source, Path) and not source.exists():
        raise TextUnreadable(f"text: {shown(source)}: expected a file or folder, got neither")
    given = [source] if isinstance(source, str) else source
    return _checked(_read(given) if isinstance(given, Path) else given)


def _checked(given: Iterable[str]) -> Iterator[str]:
    for document in given:
        if not isinstance(document, str):
            raise TextUnreadable(f"text: expected documents of text, got a {type(document).__name__}")
        yield from _pieces(document)


def _pieces(document: str) -> Iterator[str]:
    start = 0
    while len(document) - start > LONGEST:
        end = document.rfind("\n", start, start + LONGEST) + 1
        stop = end if end > start else start + LONGEST
        yield document[start:stop]
        start = stop
    if start < len(document):
        yield document[start:]


def _read(path: Path) -> Iterator[str]:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        if not files:
            raise TextUnreadable(f"text: {shown(path)}: expected files {', '.join(_SUFFIXES)}, got none")
        for file in files:
            yield from _read(file)
        return
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise TextUnreadable(f"text: {shown(path)}: cannot be read ({reason})") from None
    if path.suffix == ".jsonl":
        yield from _lines(path, text)
    else:
        yield text


def _lines(path: Path, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            document = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise TextUnreadable(f'text: {shown(path)}:{number}: expected an object with "text"') from None
        yield document
