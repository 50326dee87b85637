"""The style of every figure: colours, fonts, sizes and line marks.

A figure's drawing module takes every colour and size from here.  Colours are the light values of the page's theme; on a
page they become CSS variables with that value as fallback, so one drawing serves light, dark and print.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LINE_SPACING = 1.32
# From the end of the axes to the names of the lines, and a letter's width in heights of the text, both generous.
TIE, LETTER = 24, 0.55
DOTS_PER_INCH = 72


class Colour(StrEnum):
    """The colours of the theme by their light values; the series are safe for colour-blind readers (``theme.css``)."""

    INK = "#1c1e22"
    MUTED = "#5d626c"
    RULE = "#dcdfe4"
    PAPER = "#fefefe"
    BLUE = "#2969ac"
    VERMILION = "#c25301"
    GREEN = "#03936a"
    PURPLE = "#d672a0"
    ORANGE = "#ae901d"
    SKY = "#3899df"

    @property
    def variable(self) -> str:
        """The CSS variable of the theme that holds this colour."""
        return f"--{self.name.casefold()}"

    @property
    def css(self) -> str:
        """The colour as a CSS value that follows the theme."""
        return f"var({self.variable}, {self.value})"


# One colour per meaning: ink for the reference and what is its own, blue for time (a ramp), grey for what ours is
# compared with (random controls, chance, printed numbers), and these for the other models.
SERIES = (Colour.VERMILION, Colour.GREEN, Colour.PURPLE, Colour.ORANGE, Colour.SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True, slots=True)
class Size:
    """The width in CSS pixels that a drawing is made for, and the size of its text there."""

    name: str
    width: int
    text: float

    @property
    def is_narrow(self) -> bool:
        """Return whether the drawing is for a telephone."""
        return self.width < 500


WIDE = Size("wide", 720, 13.5)
NARROW = Size("narrow", 340, 12.0)
# Two of them stand side by side on a page, one below the other on a telephone.
HALF = Size("half", 340, 12.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """The appearance of a series, which never differs from another by colour alone.

    Only the mark of a tick is ``hollow``.  ``strength`` is the opacity, by which marks of one colour form a ramp.
    """

    colour: Colour
    marker: str = "o"  # "" for a line without points
    dashed: bool = False
    hollow: bool = False
    is_bar: bool = False
    is_line: bool = True
    strength: float = 1.0


OWN = Mark(Colour.INK)
# What is compared with it, such as a control, and what a paper printed.
OTHERS, PRINTED = Mark(Colour.MUTED, "s", dashed=True), Mark(Colour.MUTED, "D")


def model_marks(number: int, *, bars: bool = False) -> tuple[Mark, ...]:
    """The marks of ``number`` models other than the reference.

    >>> [mark.marker for mark in model_marks(2)]
    ['s', '^']
    """
    return tuple(Mark(SERIES[i % len(SERIES)], MARKERS[(i + 1) % len(MARKERS)], is_bar=bars) for i in range(number))


def time_marks(number: int) -> tuple[Mark, ...]:
    """The marks of ``number`` checkpoints or intervals: one colour, stronger with time.

    >>> [mark.strength for mark in time_marks(2)]
    [0.45, 1.0]
    """
    steps = max(number - 1, 1)
    return tuple(
        Mark(Colour.BLUE, MARKERS[i % len(MARKERS)], strength=0.45 + 0.55 * i / steps if number > 1 else 1.0)
        for i in range(number)
    )


def settings(size: Size) -> Any:
    """The matplotlib settings of a drawing."""
    return {
        "figure.dpi": DOTS_PER_INCH,
        "svg.fonttype": "none",
        "svg.hashsalt": "universal-neurons",
        "svg.id": None,
        "path.simplify": True,
        "font.family": ["DejaVu Sans"],
        "font.size": size.text,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "axes.edgecolor": Colour.MUTED.value,
        "axes.labelcolor": Colour.MUTED.value,
        "axes.labelsize": size.text,
        "axes.linewidth": 1.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        # A model or a run may be called "$\\input{x}$", which is a name and no formula.
        "text.parse_math": False,
        "grid.color": Colour.RULE.value,
        "grid.linewidth": 1.0,
        "text.color": Colour.INK.value,
        "xtick.color": Colour.MUTED.value,
        "ytick.color": Colour.MUTED.value,
        "xtick.labelsize": size.text,
        "ytick.labelsize": size.text,
        "xtick.major.size": 4,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "lines.linewidth": 2.0,
        "lines.solid_capstyle": "round",
        "lines.markersize": 6,
    }
