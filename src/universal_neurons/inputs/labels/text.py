"""The passages of a suite's tokens: whole documents where their text is here, rows where it was streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.inputs.corpus import CorpusError, chunks, token_places
from universal_neurons.inputs.labels.source import Passage, first_characters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tokenizers import Tokenizer

    from universal_neurons.inputs.corpus import Document, TokenSet

# Documents that are encoded at once.
CHUNK = 64


def spellings(tokenizer: Tokenizer, *, special: Iterable[int]) -> tuple[str, ...]:
    """The text of every id of the vocabulary; empty for the ``special`` ones."""
    left_out = frozenset(special)
    count = tokenizer.get_vocab_size()
    return tuple("" if number in left_out else tokenizer.decode([number]) for number in range(count))


def document_passages(
    documents: Iterable[Document], tokenizer: Tokenizer, tokens: TokenSet, *, seed: int
) -> Iterator[Passage]:
    """Every document with a token in the rows of ``tokens``, which :func:`token_set` made of them with ``seed``.

    Raises :class:`CorpusError` where a token of the rows is another one than the document's: the labels would be about
    other text.
    """
    encoded: list[tuple[str, np.ndarray, np.ndarray]] = []
    for batch in chunks(documents, CHUNK):
        encodings = tokenizer.encode_batch([document.text for document in batch], add_special_tokens=False)
        for document, encoding in zip(batch, encodings, strict=True):
            spans = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            encoded.append((document.text, np.array(encoding.ids, dtype=np.uint16), spans))
    # Every document is followed by end-of-text.
    total = sum(len(ids) + 1 for _, ids, _ in encoded)
    places = token_places(total, row_length=tokens.rows.shape[1], rows=len(tokens.rows), seed=seed)
    begin = 0
    for text, ids, spans in encoded:
        place = places[begin : begin + len(ids)]
        begin += len(ids) + 1
        here = place >= 0
        if not here.any():
            continue
        if not np.array_equal(tokens.rows.ravel()[place[here]], ids[here]):
            raise CorpusError("labels: the tokens of the documents are not the ones of the rows; the text has changed")
        yield Passage(text, first_characters(spans, text), place)


def row_passages(tokens: TokenSet, spelling: Sequence[str]) -> Iterator[Passage]:
    """Every row as a passage of its tokens' spellings: for text that is not here as documents.

    What a row cuts off is not seen.  Part of a character is spelled by a mark.
    """
    length = tokens.rows.shape[1]
    for number, row in enumerate(tokens.rows.tolist()):
        parts = [spelling[token] for token in row]
        lengths = np.array([len(part) for part in parts])
        ends = np.cumsum(lengths)
        spans = np.stack([ends - lengths, ends], axis=1)
        text = "".join(parts)
        # A special token has no text, so it has no first character.
        place = np.where([bool(part) for part in parts], number * length + np.arange(length), -1)
        yield Passage(text, first_characters(spans, text), place)
