from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from universal_neurons.inputs.corpus import END_OF_TEXT, CorpusError, Document, token_id
from universal_neurons.inputs.tokenization import NEWLINE, end_of_text_id, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence


def merges(documents: Sequence[Document], *, seed: int = 0, characters: int = 30_000_000) -> str:
    return train_tokenizer(documents, vocabulary=270, seed=seed, characters=characters).to_str()


def one_letter_each() -> list[Document]:
    words = {letter: " ".join(letter * n for n in range(1, 30)) for letter in "abcdefgh"}
    return [Document("text", f"{letter}.py", text) for letter, text in words.items()]


def test_ids_are_laid_out_as_in_gpt_2(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == 300
    assert tokenizer.id_to_token(0) == "!"
    assert tokenizer.id_to_token(299) == END_OF_TEXT
    assert end_of_text_id(tokenizer) == 299
    assert tokenizer.encode("\n").ids == [token_id(tokenizer, NEWLINE)]


@settings(deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_every_text_survives(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_the_same_seed_gives_the_same_tokenizer(documents: list[Document]) -> None:
    assert merges(documents) == merges(documents)


def test_the_seed_chooses_the_sample() -> None:
    documents = one_letter_each()
    assert merges(documents, seed=0, characters=1) != merges(documents, seed=1, characters=1)


def test_no_more_text_is_read_than_asked_for() -> None:
    documents = one_letter_each()
    length = len(documents[0].text)
    for characters, expected in ((1, 1), (length, 1), (length + 1, 2)):
        sample = merges(documents, characters=characters)
        assert len([letter for letter in "abcdefgh" if f'"{letter * 2}"' in sample]) == expected


@pytest.mark.parametrize("vocabulary", [256, 100])
def test_a_vocabulary_without_room_for_every_byte_is_refused(documents: list[Document], vocabulary: int) -> None:
    with pytest.raises(CorpusError, match=f"expected more than 256 .*, got {vocabulary}"):
        train_tokenizer(documents, vocabulary=vocabulary, seed=0)


def test_a_vocabulary_that_the_text_cannot_fill_is_refused() -> None:
    with pytest.raises(CorpusError, match="expected 4096 tokens, got 2"):
        train_tokenizer([Document("text", "a.py", "abc")], vocabulary=4096, seed=0)


def test_no_text_is_refused() -> None:
    with pytest.raises(CorpusError, match="no document to train on"):
        train_tokenizer([], vocabulary=300, seed=0)


def test_a_strange_tokenizer_is_refused() -> None:
    with pytest.raises(CorpusError, match="expected a token 'Ċ', got none"):
        token_id(Tokenizer(models.BPE()), NEWLINE)
