"""Sentences of the papers, word for word, with their locators: ``fixtures/published/sentences.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.evidence.entries import read_entries
from universal_neurons.render.escaping import Html, html_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a paper as it is printed there, the place of it, and the ids of the claims about it."""

    claims: tuple[str, ...]
    where: str
    text: str


def read_sentences(path: Path) -> tuple[Sentence, ...]:
    """The entries of the file at ``path``, in its order; raises EntryError."""
    return read_entries(path, "sentence", Sentence, unique="text")


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
