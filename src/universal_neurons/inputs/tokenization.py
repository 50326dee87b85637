"""Tokenizers: training of the project's own, reading, and the ids of end-of-text and newline.

The project's own is byte-level BPE, trained on a seeded sample of the training documents.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from universal_neurons.characters import visible
from universal_neurons.inputs.corpus import END_OF_TEXT, CorpusError, Document, token_id
from universal_neurons.inputs.validation import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The byte-level alphabet spells byte 10 as this letter; a tokenizer trained here never merges across it into a word.
NEWLINE = "Ċ"
BYTES = 256


class TokenizerUnfit(CorpusError):
    """A file is no tokenizer, or one with ids that the models do not have."""


def train_tokenizer(
    documents: Iterable[Document], *, vocabulary: int, seed: int, characters: int = 30_000_000
) -> Tokenizer:
    """Byte-level BPE of exactly ``vocabulary`` tokens, trained on about ``characters`` characters of ``documents``.

    The documents must be of the training split.  They are shuffled by ``random.Random(seed)`` and taken from the
    front until ``characters`` is reached.  As in GPT-2, id 0 is ``!``, the last id is end-of-text, and a text that
    spells end-of-text out is encoded as it.  A vocabulary that the sample cannot fill is an error, not a smaller one.

    Raises :class:`CorpusError` if ``vocabulary`` cannot hold the 256 bytes and end-of-text or cannot be filled, and if
    there is no document.
    """
    if vocabulary <= BYTES:
        raise CorpusError(
            f"tokenizer: vocabulary: expected more than {BYTES} (every byte and end-of-text), got {vocabulary}"
        )
    texts = [document.text for document in documents]
    if not texts:
        raise CorpusError("tokenizer: no document to train on; check distributions and held_out_share")
    random.Random(seed).shuffle(texts)  # noqa: S311  a sample, not a secret
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 1,
        special_tokens=[],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_leading(texts, characters), trainer)
    tokenizer.add_special_tokens([END_OF_TEXT])
    if tokenizer.get_vocab_size() != vocabulary:
        raise CorpusError(
            f"tokenizer: vocabulary: expected {vocabulary} tokens, got {tokenizer.get_vocab_size()}; "
            "the sample is too small for as many: ask for fewer or give more text"
        )
    return tokenizer


def _leading(texts: Iterable[str], characters: int) -> Iterator[str]:
    total = 0
    for text in texts:
        if total >= characters:
            return
        yield text
        total += len(text)


def read_tokenizer(content: bytes, *, where: str, vocabulary: int) -> Tokenizer:
    """The tokenizer in ``content``, a file ``tokenizer.json``, for models of ``vocabulary`` token ids.

    Truncation and padding that the file asks for are turned off: they would cut documents, or fill them up with tokens
    that are then scored.  Raises :class:`TokenizerUnfit` unless it is a tokenizer whose ids the models have.
    """
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # noqa: BLE001  the library raises no narrower type
        reason = visible(first_line(error))
        raise TokenizerUnfit(f"{where}: expected a tokenizer, got something else ({reason})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    token, highest = max(tokenizer.get_vocab().items(), key=lambda item: item[1], default=("", 0))
    if highest >= vocabulary:
        raise TokenizerUnfit(
            f"{where}: expected ids below {vocabulary} (the models' vocabulary), got {highest} ({visible(token)!r}); "
            "name the tokenizer that the models were trained with"
        )
    return tokenizer


def end_of_text_id(tokenizer: Tokenizer) -> int:
    """The id that ends every document and begins every row; raises :class:`CorpusError` if there is none."""
    return token_id(tokenizer, END_OF_TEXT)
