"""Labels of English, by a pipeline of spaCy (the extra ``labels``): what each word is in its sentence.

Gurnee et al. 2024 used en_core_web_trf, which the user installs.  A token has the label of its first character that is
no blank.

Deviation: a label's name begins with its kind ("pos_PUNCT", "dep_punct"), because three names are of two kinds; the
published code keeps one of each (claims/README.md, Published code).
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.errors import UserError
from universal_neurons.inputs.labels.python_source import INSTALL
from universal_neurons.inputs.labels.source import LabelColumn, LabelSource, Of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from universal_neurons.inputs.labels.source import LabelledText, Places, TokenFlags

# Characters that are parsed at once: a parser holds a gigabyte for some 100,000.
LONGEST = 50_000


def english_columns(text: LabelledText, *, name: str, pipeline: str) -> Iterator[LabelColumn]:
    """Part of speech, dependency, morphology and kind of entity of each word; stop words; ends of sentences.

    One column per label that a word of the text has by a ``pipeline`` of spaCy; raises UserError without spaCy or
    without it, for the source called ``name``.
    """
    parse = _parser(name, pipeline)
    rows = text.tokens.rows
    flags: dict[str, TokenFlags] = {}
    for passage in text.passages():
        here = passage.place >= 0
        place, start = passage.place[here], passage.start[here]
        for label, characters in character_labels(parse, passage.text).items():
            found = flags.setdefault(label, np.zeros(rows.size, dtype=np.bool_))
            found[place] = characters[start]
    for label in sorted(flags):
        yield LabelColumn(label, "syntax", Of.PLACE, flags[label].reshape(rows.shape))


def _parser(name: str, pipeline: str) -> Any:
    try:
        import spacy
    except ImportError:
        raise UserError(f"labels.sources: {name!r} needs spaCy; run: {INSTALL}") from None
    try:
        return spacy.load(pipeline)
    except OSError:
        raise UserError(
            f"labels.sources: {name!r} needs spaCy's {pipeline}; run: python -m spacy download {pipeline}"
        ) from None


def character_labels(parse: Any, text: str) -> dict[str, TokenFlags]:
    """Where each label that a word of ``text`` has is true, (character,) by label; ``parse`` is a pipeline of spaCy."""
    flags: dict[str, TokenFlags] = {}
    for begin, end in zip(*_pieces(text), strict=True):
        for word in parse(text[begin:end]):
            first = begin + word.idx
            for label in word_labels(word):
                found = flags.setdefault(label, np.zeros(len(text), dtype=np.bool_))
                found[first : first + len(word)] = True
    return flags


def word_labels(word: Any) -> Iterator[str]:
    """The labels of a word of a parsed text, such as ``pos_NOUN``, ``dep_nsubj``, ``Number=Plur``, ``entity_GPE``."""
    for kind, value in (("pos", word.pos_), ("dep", word.dep_), ("entity", word.ent_type_)):
        if value:
            yield f"{kind}_{value}"
    yield from (f"{feature}={value}" for feature, value in word.morph.to_dict().items())
    if word.is_stop:
        yield "stop"
    if word.is_sent_start:
        yield "sentence_start"
    if word.is_sent_end:
        yield "sentence_end"


def _pieces(text: str) -> tuple[Places, Places]:
    """Begins and ends of pieces of at most so many characters, each cut after a blank where there is one."""
    blanks = np.array([found.end() for found in re.finditer(r"\s", text)], dtype=np.int64)
    ends = [0]
    while ends[-1] < len(text):
        furthest = ends[-1] + LONGEST
        within = blanks[(blanks > ends[-1]) & (blanks <= furthest)]
        ends.append(min(furthest, len(text)) if furthest >= len(text) or not within.size else int(within[-1]))
    return np.array(ends[:-1], dtype=np.int64), np.array(ends[1:], dtype=np.int64)


def _english(name: str, pipeline: str) -> LabelSource:
    return LabelSource(name, ("syntax",), partial(english_columns, name=name, pipeline=pipeline))


# The small pipeline needs no GPU.
ENGLISH, ENGLISH_SMALL = _english("english", "en_core_web_trf"), _english("english_small", "en_core_web_sm")
