"""Rows from a stream of documents: which subset each position is from, what went in, and how far it is."""

from __future__ import annotations

import numpy as np
import pytest

from tests.published import tokenizer, words
from universal_neurons.inputs.corpus import CorpusError, Document, MaskPolicy, RowFormat
from universal_neurons.inputs.streamed_tokens import MOST_SUBSETS, Taken, streamed_set

WORDS = tokenizer()
ENDS = WORDS.get_vocab_size() - 1
FORM = RowFormat("text", "0" * 64, "1" * 64, row_length=16, cutting="documents", bos=ENDS, newline=-1)


def scored(documents: list[Document], tokens: int, said: list[int] | None = None) -> Taken:
    heard = [] if said is None else said
    return streamed_set(documents, WORDS, FORM, policy=MaskPolicy.PUBLISHED, tokens=tokens, progress=heard.append)


def predicted(documents: list[Document], without: set[bytes]) -> Taken:
    return streamed_set(documents, WORDS, FORM, policy=None, tokens=300, without=without, progress=lambda _: None)


def test_every_position_has_the_subset_of_its_document_and_the_first_that_of_the_next() -> None:
    documents = words(60)
    taken = scored(documents, 900).tokens
    labels = [
        taken.domains.index(document.domain)
        for document in documents
        for _ in range(len(WORDS.encode(document.text).ids) + 1)
    ]
    expected = np.array(labels[: 15 * len(taken.rows)]).reshape(-1, 15)
    np.testing.assert_array_equal(taken.domain[:, 1:], expected)
    np.testing.assert_array_equal(taken.domain[:, 0], expected[:, 0])
    assert len(set(labels)) == 2


def test_progress_ends_where_enough_is_taken() -> None:
    said: list[int] = []
    scored(words(160), 3000, said)
    assert len(said) > 1
    assert sum(said) == 3000


def test_bytes_of_text_are_bytes_and_not_characters() -> None:
    documents = [Document("x", f"{i}", "ne\u00fcron \u2192 layer token model seed neuron layer") for i in range(40)]
    manifest = scored(documents, 300).manifest
    assert manifest["bytes"] == manifest["documents"] * len(documents[0].text.encode())


def test_more_subsets_than_a_label_can_hold_are_refused() -> None:
    documents = [Document(f"{i}", f"{i}", words(1)[0].text) for i in range(MOST_SUBSETS + 1)]
    assert len(scored(documents[:-1], 4000).tokens.domains) <= MOST_SUBSETS
    with pytest.raises(CorpusError, match="corpus text: expected at most 256 subsets, got more"):
        scored(documents, 10**6)


def test_rows_that_are_left_out_are_neither_counted_nor_taken() -> None:
    documents = words(160)
    first = scored(documents, 150).tokens
    without = {row.tobytes() for row in first.rows}
    taken = streamed_set(
        documents, WORDS, FORM, policy=None, tokens=300, without=without, progress=lambda _: None
    ).tokens
    assert without & {row.tobytes() for row in taken.rows} == set()
    assert (len(taken.rows), int(taken.mask.sum())) == (20, 300)
    again = predicted(documents, set()).tokens
    np.testing.assert_array_equal(again.rows[: len(first.rows)], first.rows)


def test_what_went_in_is_what_the_rows_are_made_of_and_too_little_is_said_to_be_that() -> None:
    taken = scored(words(160), 300)
    assert taken.manifest["tokens"] == 15 * len(taken.tokens.rows)
    assert taken.manifest["documents"] < 20
    with pytest.raises(CorpusError, match=r"corpus text: 100000 tokens wanted, \d+ there"):
        scored(words(160), 100_000)
