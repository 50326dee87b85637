"""The labels by which neurons are explained: what may be true of a token, with names and families.

The table of labels has one row per label: name, family, of (what decides it: ``token``, ``position``, ``domain``,
``place``, or ``previous token`` and ``previous place``, which are about the token before, in the same row), row (its
number among the columns of that kind) and count (of scored tokens).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pandas as pd

    from universal_neurons.measures.arrays import Flags

# The family of all labels of the token before.
PREVIOUS = "previous"
BEFORE = "previous "
KINDS = ("token", "previous token", "position", "domain", "place", "previous place")


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a suite's tokens: the table, and packed bits (column, byte) by what decides them.

    ``sizes``: how many bits of a column count (ids of the vocabulary, positions of a row, domains, places of the text).
    """

    frame: pd.DataFrame
    bits: Mapping[str, npt.NDArray[np.uint8]]
    sizes: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.frame)

    def flags(self, kind: str) -> Flags:
        """The columns of the labels of a ``kind`` of :data:`KINDS` (label, id or position or domain or place).

        Of the token before they are the same columns, which its ids or places are looked up in.
        """
        of = kind.removeprefix(BEFORE)
        rows = self.frame["row"].to_numpy()[self.frame["of"].to_numpy() == kind]
        return unpacked(self.bits[of][rows], self.sizes[of])

    def name(self, label: int) -> str:
        """The name of a label as reports show it; ``prev_`` for one of the token before, empty for -1."""
        if label < 0:
            return ""
        of, name = self.frame["of"].iloc[label], str(self.frame["name"].iloc[label])
        return f"prev_{name}" if str(of).startswith(BEFORE) else name


def packed(flags: Flags) -> npt.NDArray[np.uint8]:
    """Flags (column, entry) as bits (column, byte)."""
    return np.packbits(flags, axis=1)


def unpacked(bits: npt.NDArray[np.uint8], size: int) -> Flags:
    """The inverse of :func:`packed` for columns of ``size`` entries."""
    return np.unpackbits(bits, axis=1, count=size).astype(np.bool_)
