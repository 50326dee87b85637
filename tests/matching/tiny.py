"""Tiny random models of every architecture, and tokenizers that cut the same text differently."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from universal_neurons.architectures import ADAPTERS

WORDS = (
    "the cat sat on the mat", "a dog ran past the cat", "numbers 1 22 333 are not words", "naïve café, 東京 and 🙂",
    "the rain in spain falls mainly on the plain", "to be or not to be", "colourless green ideas sleep furiously",
)  # fmt: skip
TEXT = [" ".join(WORDS[(place * step) % len(WORDS)] for place in range(40)) + "\n\nend" for step in range(1, 7)]
BEGINNING = 0
VOCABULARY = 600


def _byte_level(vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["<s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


@cache
def letters() -> Tokenizer:
    """Every byte is a token."""
    return _byte_level(257)


@cache
def pieces() -> Tokenizer:
    """Byte-level pieces of words."""
    return _byte_level(340)


@cache
def sentences() -> Tokenizer:
    """Pieces with a sign for the space before them, and single bytes for what it does not know, as Llama has them."""
    known = {"<s>": 0, "<unk>": 1} | {f"<0x{byte:02X}>": 2 + byte for byte in range(256)}
    alphabet = sorted({c for text in TEXT for c in text.replace(" ", "▁")} - set("東京🙂"))
    known |= {piece: len(known) + place for place, piece in enumerate(alphabet)}
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("a", "t"), ("i", "n")]
    for left, right in merges:
        known[left + right] = len(known)
    tokenizer = Tokenizer(models.BPE(known, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def model(architecture: str, seed: int, *, layers: int = 2, width: int = 16, mlp: int = 24, context: int = 64) -> Any:
    """A random model whose attention and layers matter; weights of a trained model's size."""
    adapter = ADAPTERS[architecture]
    sizes = {"layers": layers, "width": width, "heads": 2, "mlp": mlp, "context": context, "vocabulary": VOCABULARY}
    kind: Any = getattr(transformers, architecture)
    options: dict[str, Any] = {"bos_token_id": BEGINNING, "eos_token_id": BEGINNING, "pad_token_id": None}
    if adapter.gated:
        options |= {"num_key_value_heads": 2, "head_dim": width // 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = kind.config_class(**adapter.configuration(**sizes), **options, initializer_range=0.3)
        return kind(config).eval()
