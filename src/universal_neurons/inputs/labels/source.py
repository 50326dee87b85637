"""The interface of label sources, and the text that they label."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from universal_neurons.inputs.corpus import TokenSet

TokenFlags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


class Of(StrEnum):
    """What decides a label: the id of a token, its position in the row, its domain, or where in the text it stands."""

    TOKEN = "token"  # noqa: S105  a token of text, not a password
    POSITION = "position"
    DOMAIN = "domain"
    PLACE = "place"


@dataclass(frozen=True, eq=False)
class LabelColumn:
    """One label: its ``name`` (unique in its source), its ``family``, and where it is true.

    ``flags``: one per id of the vocabulary, per position of a row, per domain, or per place of the text (row position),
    as ``of`` says.  Labels of tokens, positions and domains take no room per token.
    """

    name: str
    family: str
    of: Of
    flags: TokenFlags


@dataclass(frozen=True, eq=False)
class Passage:
    """Text without a break, such as a document, and its tokens.

    ``start`` (token,): the first character of each token that is no blank, or its first one where all are.
    ``place`` (token,): its place in the rows, row * row length + position; -1 for a token that is in none.
    """

    text: str
    start: Places
    place: Places


@dataclass(frozen=True, eq=False)
class LabelledText:
    """What a label may be about.

    ``spelling``: the text of every id of the vocabulary, empty for special tokens.  ``passages`` reads the text from
    its beginning; only passages with a token in the rows are in it.
    """

    tokens: TokenSet
    spelling: tuple[str, ...]
    passages: Callable[[], Iterable[Passage]]


@dataclass(frozen=True)
class LabelSource:
    """A source of labels.

    ``name`` and ``version`` are in the key of the labels: bump the version when labels change.  ``families``: the
    families of its labels, which explanations are compared by.  ``columns`` gives the labels of a text; it raises
    UserError where a library is missing.
    """

    name: str
    families: tuple[str, ...]
    columns: Callable[[LabelledText], Iterator[LabelColumn]]
    version: int = 1


def listed(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


def first_characters(spans: Iterable[Sequence[int]], text: str) -> Places:
    """The first character of each span of ``text`` that is no blank, or the first of all; see :class:`Passage`."""
    found: list[int] = []
    for start, stop in spans:
        part = text[start:stop]
        blanks = len(part) - len(part.lstrip())
        found.append(start + blanks if blanks < len(part) else start)
    return np.array(found, dtype=np.int64)
