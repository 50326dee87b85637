"""Labels of the suite's scored tokens, from the sources that the suite names.

They are stored as packed bits, so that nothing which reads them needs the libraries that made them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.errors import UserError
from universal_neurons.inputs.labels import families, label_sources
from universal_neurons.inputs.labels.source import LabelledText, Of
from universal_neurons.inputs.labels.text import document_passages, row_passages, spellings
from universal_neurons.measures.labels import BEFORE, KINDS, PREVIOUS, Labels, packed
from universal_neurons.stages.base import Case, Reader, example_dice
from universal_neurons.stages.comparison import Choices, Comparison
from universal_neurons.stages.costs import Cost
from universal_neurons.stages.tokens import ONLY, TOKENS, TokenTable, corpus_ref, token_set
from universal_neurons.stages.workspace import corpus_recipe, hub_corpus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.inputs.corpus import TokenSet
    from universal_neurons.inputs.labels.source import LabelColumn, TokenFlags
    from universal_neurons.stages.base import Artifacts
    from universal_neurons.stages.costs import Sizes
    from universal_neurons.stages.workspace import Workspace

# The rarest label, as Gurnee et al. 2024 allow it: 3,000 occurrences in 10 million tokens.
LEAST_SHARE = 0.0003
# The most labels that a suite may have, and the most of them that take a bit per token.
MOST_LABELS, MOST_OF_PLACES = 10_000, 250
# A domain is a number of eight bits.
DOMAINS = 256
# Lengths of made-up axes, each of its own (EXAMPLE_WIDTH): labels, columns by what decides them, bytes of places.
_LABELS, _PLACE_BYTES = 41, 1033
_COLUMNS = {Of.TOKEN: 1039, Of.POSITION: 1049, Of.DOMAIN: 1051, Of.PLACE: 1061}


def families_of(work: Workspace) -> tuple[str, ...]:
    """The families of the suite's labels, the one of the token before among them."""
    return (*families(label_sources(work.suite.labels.sources)), PREVIOUS)


class LabelsOfTokens(TokenTable):
    """The labels of the suite's scored tokens."""

    name: ClassVar[str] = "labels"
    in_first_look: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ("labels", "labels-bits")

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """The one token set of the suite."""
        return (ONLY,)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The sources with their versions, and the rarest label."""
        sources = label_sources(work.suite.labels.sources)
        return {"sources": {source.name: source.version for source in sources}, "least_share": LEAST_SHARE}

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The tokens, which name their text, and the tokenizer."""
        return {"tokens": corpus_ref(work).sha256, "tokenizer": work.zoo.tokenizer_digest}

    def describe(self, work: Workspace, case: Case) -> str:
        """The subject of a case in a few words."""
        return f"labels from {', '.join(work.suite.labels.sources)}"

    def open_lengths(self, work: Workspace) -> Mapping[str, Mapping[int, range]]:
        """Any number of labels, of each kind, and of places: no more than twice as many as are scored."""
        # Axes of one range have one length, so every kind has a range of its own.
        most = {Of.TOKEN: MOST_LABELS, Of.POSITION: 1000, Of.DOMAIN: DOMAINS, Of.PLACE: MOST_OF_PLACES}
        columns = {_COLUMNS[kind]: range(count + 1) for kind, count in most.items()}
        return {
            "labels": {_LABELS: range(MOST_LABELS + 1)},
            "labels-bits": {
                **columns,
                _PLACE_BYTES: range(work.suite.corpus.tokens // 4 + work.suite.corpus.row_length),
            },
        }

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of encoding the text once more; parsing it takes less."""
        text = TOKENS.cost(work, sizes, cases)
        return Cost(text.work, host_bytes=text.host_bytes, disk_bytes=MOST_OF_PLACES * sizes.positions // 16)

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Ask every source for its labels; raises UserError where a source's library is missing."""
        text = _text(work)
        columns = [column for source in label_sources(work.suite.labels.sources) for column in source.columns(text)]
        made = stored_labels(columns, text.tokens, vocabulary=work.zoo.recipe().vocabulary)
        return dict(zip(self.parts, made, strict=True))

    def case(self, work: Workspace, asked: Case) -> Case:
        """The labels of the one token set of the suite."""
        return ONLY

    def read(self, reader: Reader, work: Workspace, case: Case) -> Labels:
        """The labels and their bits."""
        return labels_of(work, reader(self, case))

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up labels of every family."""
        dice, known = example_dice(case), families_of(work)
        kinds = np.array(KINDS, dtype=object)[np.arange(_LABELS) * len(KINDS) // _LABELS]
        frame = pd.DataFrame(
            {
                "name": [f"made up {number}" for number in range(_LABELS)],
                "family": [
                    PREVIOUS if kind.startswith(BEFORE) else known[number % (len(known) - 1)]
                    for number, kind in enumerate(kinds)
                ],
                "of": kinds,
                "row": np.arange(_LABELS, dtype=np.int32),
                "count": np.full(_LABELS, 5, dtype=np.int64),
            }
        )
        widths = {
            Of.TOKEN: -(-work.zoo.recipe().vocabulary // 8),
            Of.POSITION: -(-work.suite.corpus.row_length // 8),
            Of.DOMAIN: DOMAINS // 8,
            Of.PLACE: _PLACE_BYTES,
        }
        bits: dict[str, Any] = {
            kind.value: dice.integers(0, 256, (_COLUMNS[kind], width), dtype=np.uint8) for kind, width in widths.items()
        }
        return dict(zip(self.parts, (frame, bits), strict=True))

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored labels against the recomputed ones: another version of a grammar may place some differently."""
        mine, theirs = (
            dict(
                zip(zip(one[0].table["family"], one[0].table["name"], strict=True), one[0].table["count"], strict=True)
            )
            for one in (stored, again)
        )
        changed = sum(mine.get(name) != theirs.get(name) for name in mine.keys() | theirs.keys())
        return Comparison(self.name, "labels", len(mine), {}, Choices("labels changed", changed, len(mine), 0.0))


LABELS = LabelsOfTokens()


def labels_of(work: Workspace, artifacts: Artifacts) -> Labels:
    """The labels from their two artifacts."""
    table, bits = artifacts
    length = work.suite.corpus.row_length
    arrays = bits.arrays
    sizes = {
        Of.TOKEN.value: work.zoo.recipe().vocabulary,
        Of.POSITION.value: length,
        Of.DOMAIN.value: DOMAINS,
        Of.PLACE.value: 8 * arrays[Of.PLACE.value].shape[1],
    }
    return Labels(table.table, arrays, sizes)


def stored_labels(
    columns: Sequence[LabelColumn], tokens: TokenSet, *, vocabulary: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of the ``columns`` that are neither too rare nor all there is, and of them for the token before.

    And their bits by what decides them.  Raises UserError for more labels than are allowed.
    """
    least = max(round(LEAST_SHARE * tokens.scored), 2)
    rows: list[tuple[str, str, str, int, int]] = []
    kept: dict[Of, list[TokenFlags]] = {kind: [] for kind in Of}
    for column in columns:
        counted = {
            kind: count for kind, count in _counts(column, tokens).items() if least <= count <= tokens.scored - least
        }
        row = len(kept[column.of])
        for kind, count in counted.items():
            family = PREVIOUS if kind.startswith(BEFORE) else column.family
            rows.append((column.name, family, kind, row, count))
        if counted:
            kept[column.of].append(column.flags.ravel())
    if len(rows) > MOST_LABELS or len(kept[Of.PLACE]) > MOST_OF_PLACES:
        raise UserError(
            f"labels: expected at most {MOST_LABELS}, and {MOST_OF_PLACES} that take a bit per token; got {len(rows)} "
            f"and {len(kept[Of.PLACE])}; name fewer sources (suite: labels.sources)"
        )
    rows.sort(key=lambda row: KINDS.index(row[2]))
    frame = pd.DataFrame(rows, columns=["name", "family", "of", "row", "count"]).astype(
        {"row": np.int32, "count": np.int64}
    )
    sizes = {Of.TOKEN: vocabulary, Of.POSITION: tokens.rows.shape[1], Of.DOMAIN: DOMAINS, Of.PLACE: tokens.rows.size}
    return frame, {kind.value: packed(_matrix(flags, sizes[kind])) for kind, flags in kept.items()}


def _matrix(flags: Sequence[TokenFlags], size: int) -> TokenFlags:
    matrix = np.zeros((len(flags), size), dtype=np.bool_)
    for row, column in zip(matrix, flags, strict=True):
        row[: len(column)] = column
    return matrix


def _counts(column: LabelColumn, tokens: TokenSet) -> dict[str, int]:
    """At how many scored tokens a label is true, and at how many of the token before."""
    mask, rows = tokens.mask, tokens.rows
    match column.of:
        case Of.POSITION:
            return {column.of.value: int(mask[:, column.flags].sum())}
        case Of.DOMAIN:
            return {column.of.value: int(column.flags[tokens.domain[mask]].sum())}
        case Of.TOKEN:
            flags = column.flags[rows]
        case Of.PLACE:
            flags = column.flags
    before = np.zeros_like(flags)
    before[:, 1:] = flags[:, :-1]
    return {column.of.value: int(flags[mask].sum()), BEFORE + column.of.value: int(before[mask].sum())}


def _text(work: Workspace) -> LabelledText:
    tokens, tokenizer = token_set(work), work.zoo.tokenizer()
    spelling = spellings(tokenizer, special=(work.zoo.end_of_text,))
    if hub_corpus(work) is not None:
        return LabelledText(tokens, spelling, lambda: row_passages(tokens, spelling))
    return LabelledText(
        tokens,
        spelling,
        lambda: document_passages(
            corpus_recipe(work).documents("held-out"), tokenizer, tokens, seed=work.suite.corpus.seed
        ),
    )
