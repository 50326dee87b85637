"""Sentences of the papers, word for word, with their locators: ``fixtures/published/sentences.toml``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from universal_neurons.errors import UserError
from universal_neurons.evidence.entries import entries
from universal_neurons.render.escaping import Html, html_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class SentenceError(UserError):
    """The list of sentences cannot be read; the message names it, the entry and what was expected."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a paper as it is printed there, the place of it, and the ids of the claims about it."""

    claims: tuple[str, ...]
    where: str
    text: str


def read_sentences(path: Path) -> tuple[Sentence, ...]:
    """The entries of the file at ``path``, in its order.

    Raises :class:`SentenceError` if the file is missing or no TOML, or if an entry has no claim, lacks a text, has a
    field too many or comes twice.
    """
    found: list[Sentence] = []
    for where, raw in entries(path, "sentence", SentenceError):
        one = _sentence(where, raw)
        if one.text in (other.text for other in found):
            raise SentenceError(f"{where}: this sentence is listed twice: {one.text}")
        found.append(one)
    return tuple(found)


def _sentence(where: str, raw: object) -> Sentence:
    names = {field.name for field in fields(Sentence)}
    expected = f"{where}: expected {', '.join(sorted(names))}"
    if not isinstance(raw, dict) or raw.keys() != names:
        raise SentenceError(f"{expected}; got {', '.join(raw) if isinstance(raw, dict) else repr(raw)}")
    claims, texts = raw["claims"], (raw["where"], raw["text"])
    if not isinstance(claims, list) or not claims or not all(isinstance(t, str) and t.strip() for t in claims):
        raise SentenceError(f"{expected}; claims must be ids of claims such as N7, got {claims!r}")
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise SentenceError(f"{expected}; where and text must be texts, got {texts!r}")
    return Sentence(tuple(claims), *texts)


def sentences_of(claim: str, sentences: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """The sentences that name ``claim``; where none does, the ones that name the claim it is a part of.

    >>> found = (Sentence(("N18",), "section 4", "The first layer."),)
    >>> sentences_of("N18-neuron", found) == found
    True
    """
    own = tuple(one for one in sentences if claim in one.claims)
    return own or tuple(one for one in sentences if claim.partition("-")[0] in one.claims)


def in_the_papers_words(sentences: Sequence[Sentence]) -> Html:
    """The sentences as quotations, each with its place; nothing where there are none."""
    return Html(
        "".join(
            f'<blockquote class="paper quoted"><p>“{html_text(one.text)}”</p>'
            f'<p class="origin">{html_text(one.where)}</p></blockquote>'
            for one in sentences
        )
    )
