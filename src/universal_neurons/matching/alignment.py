"""The same text in the tokens of several tokenizers, cut into rows and spans on which all of them agree.

A *cut* is a place in the text, in bytes, where a token ends in every tokenization and the next one begins; the text
between two neighbouring cuts is a *span*.  With one tokenizer every token is a span of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tokenizers import Encoding, Tokenizer

    from universal_neurons.measures.arrays import Integers

# Rows never score a single newline, as in both papers: it says where a line ends and nothing about the text.
NEWLINE = b"\n"


class TextTooShort(UserError):
    """A text with too few spans to compare models on it."""


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A tokenizer, and the id that begins every row, if any; the id is read and never scored."""

    tokenizer: Tokenizer
    beginning: int | None

    @cached_property
    def spelling(self) -> str:
        """Everything that decides how text is cut; equal for equal tokenizers."""
        return self.tokenizer.to_str()

    @cached_property
    def _bytes(self) -> dict[str, int]:
        """The byte of each letter of the byte-level alphabet; empty for tokenizers that spell text otherwise."""
        return _alphabet() if '"ByteLevel"' in self.spelling else {}

    @cached_property
    def _added(self) -> dict[str, bytes]:
        added = self.tokenizer.get_added_tokens_decoder().values()
        return {token.content: token.content.encode() for token in added}

    def encode(self, text: str) -> tuple[Integers, Integers]:
        """Token ids of ``text``, and the byte at which each token ends, -1 where the next begins elsewhere.

        Byte by byte if the tokens of a byte-level tokenizer spell the text out; otherwise from the characters that each
        token is said to come from, where a token that shares a character with the next one ends nowhere.
        """
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        ids = np.array(encoding.ids, dtype=np.int64)
        ends = self._spelled_ends(encoding, text)
        return ids, _character_ends(encoding, text) if ends is None else ends

    def _spelled_ends(self, encoding: Encoding, text: str) -> Integers | None:
        if not self._bytes:
            return None
        try:
            spelled = [self._added.get(t) or bytes(self._bytes[letter] for letter in t) for t in encoding.tokens]
        except KeyError:
            return None
        if b"".join(spelled) != text.encode():
            return None
        return np.cumsum([len(piece) for piece in spelled], dtype=np.int64)


def _alphabet() -> dict[str, int]:
    """The letters by which byte-level tokenizers spell bytes (GPT-2's bytes_to_unicode)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = {chr(byte): byte for byte in shown}
    hidden = (byte for byte in range(256) if byte not in shown)
    return letters | {chr(256 + place): byte for place, byte in enumerate(hidden)}


def _character_ends(encoding: Encoding, text: str) -> Integers:
    offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    starts = np.append(offsets[1:, 0], len(text))
    sizes = np.array([len(character.encode()) for character in text], dtype=np.int64)
    position = np.concatenate([[0], np.cumsum(sizes)])
    # A normaliser may move characters; where ends go back nothing can be cut.
    is_cut = (offsets[:, 1] <= starts) & (offsets[:, 1] >= np.maximum.accumulate(offsets[:, 1]))
    return np.where(is_cut, position[offsets[:, 1]], -1)


@dataclass(frozen=True, eq=False)
class AlignedText:
    """Rows of text in the tokens of every model.

    ``tokens``: of each model, (row, position) ids filled up with 0 at the end; ``lengths`` (row,) of each model.
    ``row`` (span,) is each span's row; ``first`` and ``last``: of each model, (span,) positions of its tokens.
    """

    tokens: tuple[Integers, ...]
    lengths: tuple[Integers, ...]
    row: Integers
    first: tuple[Integers, ...]
    last: tuple[Integers, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.lengths[0])

    @property
    def spans(self) -> int:
        """Number of spans, over all rows."""
        return len(self.row)

    def token_counts(self) -> tuple[int, ...]:
        """The tokens of each model in all spans."""
        return tuple(int((last - first + 1).sum()) for first, last in zip(self.first, self.last, strict=True))


def aligned_text(
    documents: Iterable[str], tokenizers: Sequence[TextTokenizer], *, spans: int, lengths: Sequence[int]
) -> AlignedText:
    """The first ``spans`` spans of ``documents``, in rows of at most ``lengths`` tokens of each model.

    Every document begins a row, and every row with the tokenizer's beginning.  A span that is longer than a row is left
    out; so is one that is a single newline.  Raises :class:`TextTooShort` without any span.
    """
    rows = _Rows(len(tokenizers))
    for document in documents:
        for row in _document_rows(document, tokenizers, lengths):
            rows.add(row, spans)
            if rows.spans >= spans:
                return rows.aligned()
    if not rows.spans:
        raise TextTooShort("text: expected at least one span that all tokenizers agree on, got none; give more text")
    return rows.aligned()


@dataclass(frozen=True, eq=False)
class _Row:
    """Token ids of each model, and first and last position of each span in them (model, span)."""

    ids: tuple[Integers, ...]
    first: Integers
    last: Integers


def _document_rows(document: str, tokenizers: Sequence[TextTokenizer], lengths: Sequence[int]) -> Iterable[_Row]:
    encoded = [tokenizer.encode(document) for tokenizer in tokenizers]
    counts, cuts = _cuts(encoded, tokenizers)
    text = document.encode()
    begins = [0 if tokenizer.beginning is None else 1 for tokenizer in tokenizers]
    room = np.array(lengths) - np.array(begins)
    start, places = 0, counts.shape[1]
    while start < places - 1:
        reach = zip(counts, room, strict=True)
        stop = min(int(np.searchsorted(count, count[start] + most, side="right")) - 1 for count, most in reach)
        if stop <= start:
            start += 1
            continue
        scored = [s for s in range(start, stop) if text[cuts[s] : cuts[s + 1]] != NEWLINE]
        offset = np.array(begins) - counts[:, start]
        yield _Row(
            ids=tuple(
                np.concatenate([[tokenizer.beginning] if begin else [], ids[counts[m, start] : counts[m, stop]]])
                for m, (tokenizer, begin, (ids, _)) in enumerate(zip(tokenizers, begins, encoded, strict=True))
            ),
            first=counts[:, scored] + offset[:, None],
            last=counts[:, [s + 1 for s in scored]] + offset[:, None] - 1,
        )
        start = stop


def _cuts(
    encoded: Sequence[tuple[Integers, Integers]], tokenizers: Sequence[TextTokenizer]
) -> tuple[Integers, Integers]:
    """Tokens before each cut (model, cut), and the byte of each (cut,); the first cut is the beginning of the text."""
    if all(tokenizer.spelling == tokenizers[0].spelling for tokenizer in tokenizers):
        # Also where a token ends inside a character: what is the same needs no place to be compared at.
        places = np.arange(len(encoded[0][0]) + 1)
        ends = np.maximum.accumulate(np.concatenate([[0], encoded[0][1]]))
        return np.tile(places, (len(encoded), 1)), ends
    common = reduce(np.intersect1d, (ends[ends > 0] for _, ends in encoded))
    counts = [np.concatenate([[0], _tokens_before(ends, common)]) for _, ends in encoded]
    return np.stack(counts), np.concatenate([[0], common])


def _tokens_before(ends: Integers, cuts: Integers) -> Integers:
    """The number of tokens before each cut; of several that end at one byte (empty ones) all lie before it."""
    (ending,) = np.nonzero(ends > 0)
    return np.asarray(ending[np.searchsorted(ends[ending], cuts, side="right") - 1] + 1)


@dataclass
class _Rows:
    """Rows that are gathered."""

    models: int
    rows: list[_Row] = field(default_factory=list)
    spans: int = 0

    def add(self, row: _Row, most: int) -> None:
        left = most - self.spans
        kept = _Row(row.ids, row.first[:, :left], row.last[:, :left])
        if kept.first.shape[1]:
            self.rows.append(kept)
            self.spans += kept.first.shape[1]

    def aligned(self) -> AlignedText:
        lengths = tuple(np.array([len(row.ids[m]) for row in self.rows], dtype=np.int64) for m in range(self.models))
        return AlignedText(
            tokens=tuple(_filled([row.ids[m] for row in self.rows]) for m in range(self.models)),
            lengths=lengths,
            row=np.repeat(np.arange(len(self.rows)), [row.first.shape[1] for row in self.rows]),
            first=tuple(np.concatenate([row.first[m] for row in self.rows]) for m in range(self.models)),
            last=tuple(np.concatenate([row.last[m] for row in self.rows]) for m in range(self.models)),
        )


def _filled(rows: Sequence[Integers]) -> Integers:
    tokens = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for place, ids in enumerate(rows):
        tokens[place, : len(ids)] = ids
    return tokens
