"""Labels of where a token stands: its position in the row, and the domain of its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.inputs.labels.source import LabelColumn, LabelSource, Of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from universal_neurons.inputs.labels.source import LabelledText

# Equal parts of a row.
PARTS = 8


def position_columns(text: LabelledText) -> Iterator[LabelColumn]:
    """Bins of positions: eighths of the row and powers of two, each alone and together with all before it.

    Position 0 is the beginning of the row.
    """
    length = text.tokens.rows.shape[1]
    position = np.arange(length)
    ends = sorted({length * part // PARTS for part in range(1, PARTS)} | {2**k for k in range(length.bit_length())})
    for end in ends:
        if end < length:
            yield LabelColumn(f"before_{end}", "position", Of.POSITION, position < end)
    for low, high in zip([1, *ends], [*ends, length], strict=True):
        if low < high <= length:
            yield LabelColumn(
                f"from_{low}_before_{high}", "position", Of.POSITION, (position >= low) & (position < high)
            )


def domain_columns(text: LabelledText) -> Iterator[LabelColumn]:
    """The domains of the text: the distributions that source code is of, or the subsets of the Pile."""
    names = text.tokens.domains
    for number, name in enumerate(names):
        yield LabelColumn(name, "domain", Of.DOMAIN, np.arange(len(names)) == number)


POSITION = LabelSource("position", ("position",), position_columns)
DOMAIN = LabelSource("domain", ("domain",), domain_columns)
