"""Spans are where all tokenizers have a boundary, byte by byte, whatever kind of tokenizers they are."""

from __future__ import annotations

import re
from itertools import combinations
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers

from tests.matching.tiny import BEGINNING, TEXT, letters, pieces, sentences
from universal_neurons.matching.alignment import (
    AlignedText,
    TextTokenizer,
    TextTooShort,
    _character_ends,
    _tokens_before,
    aligned_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = {"letters": letters, "pieces": pieces, "sentences": sentences}


def aligned(documents: Iterable[str], *names: str, spans: int = 10**6, length: int = 32) -> AlignedText:
    tokenizers = [TextTokenizer(KINDS[name](), BEGINNING) for name in names]
    return aligned_text(documents, tokenizers, spans=spans, lengths=[length] * len(names))


def spelled(tokenizer: Tokenizer, ids: Iterable[int]) -> bytes:
    """The bytes of some tokens, from their names alone."""
    names = [tokenizer.id_to_token(int(number)) or "" for number in ids]
    if tokenizer.to_str() == sentences().to_str():
        text = "".join(names).replace("▁", " ")
        parts = re.split(r"<0x([0-9A-F]{2})>", text)
        return b"".join(bytes.fromhex(p) if place % 2 else p.encode() for place, p in enumerate(parts))
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    codes = {chr(byte): byte for byte in visible} | {chr(256 + place): byte for place, byte in enumerate(hidden)}
    return bytes(codes[letter] for name in names for letter in name)


def span_texts(text: AlignedText, place: int, tokenizer: Tokenizer) -> list[bytes]:
    found = zip(text.row, text.first[place], text.last[place], strict=True)
    return [spelled(tokenizer, text.tokens[place][row, first : last + 1]) for row, first, last in found]


@pytest.mark.parametrize("names", list(combinations(KINDS, 2)), ids="-".join)
def test_a_span_is_the_same_text_for_all_models(names: tuple[str, str]) -> None:
    text = aligned(TEXT, *names)
    one, other = (span_texts(text, place, KINDS[name]()) for place, name in enumerate(names))
    # The first piece of a document has a sign for a space that the text does not have.
    assert [piece.strip() for piece in one] == [piece.strip() for piece in other]
    assert len(one) > 500


def test_three_tokenizers_agree_on_fewer_places_than_two() -> None:
    counts = [aligned(TEXT, *names).spans for names in (["letters"] * 2, ["letters", "pieces"], [*KINDS])]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 3


@pytest.mark.parametrize("name", KINDS)
def test_with_one_tokenizer_every_token_but_a_newline_is_a_span(name: str) -> None:
    document = TEXT[3]
    text, ids = aligned([document], name, name), KINDS[name]().encode(document, add_special_tokens=False).ids
    assert [text.tokens[0][row, last] for row, last in zip(text.row, text.last[0], strict=True)] == [
        token for token in ids if spelled(KINDS[name](), [token]) != b"\n"
    ]
    np.testing.assert_array_equal(text.first[0], text.last[0])
    np.testing.assert_array_equal(text.tokens[0], text.tokens[1])


def test_rows_begin_with_the_beginning_which_is_in_no_span() -> None:
    text = aligned(TEXT, "letters", "pieces", length=16)
    for place in (0, 1):
        assert (text.tokens[place][:, 0] == BEGINNING).all()
        assert text.first[place].min() == 1
        assert text.lengths[place].max() <= 16
    assert text.rows > len(TEXT)


def test_every_row_of_a_document_but_its_last_is_full() -> None:
    text = aligned(["the cat " * 40], "letters", "letters", length=16)
    assert set(text.lengths[0][:-1].tolist()) == {16}


def test_tokens_that_do_not_spell_the_text_out_end_where_they_are_said_to() -> None:
    plain = Tokenizer.from_str(pieces().to_str())
    plain.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    ids, ends = TextTokenizer(plain, BEGINNING).encode("naïve café")
    assert len(ids) == len(ends)
    assert ends[-1] == len("naïve café".encode())


@pytest.mark.parametrize(
    ("offsets", "ends"),
    [
        ([(0, 1), (1, 3)], [1, 3]),
        # The second begins before the first ends; a normaliser has moved the first behind the second.
        ([(0, 2), (1, 3)], [-1, 3]),
        ([(2, 3), (0, 2)], [-1, -1]),
    ],
)
def test_a_token_ends_nowhere_that_the_next_one_shares(offsets: list[tuple[int, int]], ends: list[int]) -> None:
    encoding: Any = SimpleNamespace(offsets=offsets)
    assert _character_ends(encoding, "abc").tolist() == ends


def test_an_empty_token_lies_before_the_cut_at_which_it_ends() -> None:
    assert _tokens_before(np.array([1, 1, 3]), np.array([1, 3])).tolist() == [2, 3]


def test_a_span_longer_than_a_row_is_left_out_and_the_rest_stays() -> None:
    # Four bytes of one character, inside which there is no boundary, and a row holds three tokens after the first.
    text = aligned(["the cat sat on the mat " + "🙂" + " the cat"], "letters", "sentences", length=4)
    assert b"\xf0\x9f\x99\x82" not in b"".join(span_texts(text, 0, letters()))
    assert text.spans > 5


def test_as_many_spans_as_asked_for() -> None:
    assert aligned(TEXT, "letters", "pieces", spans=100).spans == 100


@pytest.mark.parametrize("documents", [[], [""], ["\n"], ["\n\n"]])
def test_text_without_a_span_is_an_error(documents: list[str]) -> None:
    with pytest.raises(TextTooShort, match="at least one span"):
        aligned(documents, "letters", "letters")


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="▁<"), min_size=1, max_size=60))
def test_any_text_is_cut_in_order_and_only_between_characters_of_both(document: str) -> None:
    try:
        text = aligned([document], "letters", "pieces", length=200)
    except TextTooShort:
        return
    one, other = span_texts(text, 0, letters()), span_texts(text, 1, pieces())
    assert one == other
    if "\n" not in document:
        assert b"".join(one) == document.encode()
