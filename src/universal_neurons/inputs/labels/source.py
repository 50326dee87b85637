"""The interface of label sources, and the text that they label."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The code point of every character of a text (character,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def characters_that(satisfy: Callable[[str], bool], text: str) -> TokenFlags:
    """Whether each character of a text does (character,): asked once of every character that is in it."""
    known, place = np.unique(code_points(text), return_inverse=True)
    return np.array([satisfy(chr(code)) for code in known.tolist()], dtype=np.bool_)[place]


def first_characters(spans: npt.NDArray[np.integer], text: str) -> Places:
    """The first character of each span of ``text`` that is no blank, or the first of all; see :class:`Passage`.

    ``spans`` (span, 2): where each begins and ends.
    """
    start, stop = spans.astype(np.int64).T
    shown = np.flatnonzero(~characters_that(str.isspace, text))
    following = np.append(shown, len(text))[np.searchsorted(shown, start)]
    return np.asarray(np.where(following < stop, following, start))
