"""Drawings made with matplotlib, as SVG that sits inline in a page.

A drawing depends on no setting of the user's: neither ``MPLBACKEND`` nor a ``matplotlibrc`` changes a byte of it.  Text
stays text, in the fonts of the page.
"""

from __future__ import annotations

import io
import logging
import os
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from universal_neurons.characters import visible
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.figures.style import DOTS_PER_INCH, LETTER, LINE_SPACING, TIE, Colour, Size, settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


def load_matplotlib() -> None:
    """Import matplotlib whatever the user's environment and files say.

    A backend in ``MPLBACKEND`` that is not installed here (a notebook's) would make the import fail, and a mistake in a
    ``matplotlibrc`` would be reported although no setting of it is used.
    """
    log, backend = logging.getLogger("matplotlib"), os.environ.pop("MPLBACKEND", None)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        import matplotlib as mpl  # noqa: F401
    finally:
        log.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


@contextmanager
def _own_settings(size: Size) -> Iterator[None]:
    """Matplotlib's defaults with the project's style; a user's style sheet in use elsewhere changes nothing."""
    from matplotlib import rc_context, rcParamsDefault

    # The backend is left alone: setting it would close the figures of whoever calls from a notebook.
    defaults: Any = {name: value for name, value in rcParamsDefault.items() if name != "backend"}
    with rc_context({**defaults, **settings(size)}):
        yield


class Drawing:
    """A drawing: one set of axes placed in pixels, and its SVG."""

    def __init__(self, size: Size, height: int, *, left: int, right: int, top: int, bottom: int) -> None:
        from matplotlib.figure import Figure

        self.size = size
        self.figure = Figure(figsize=(size.width / DOTS_PER_INCH, height / DOTS_PER_INCH))
        self.plot_width = size.width - left - right
        self.axes: Any = self.figure.add_axes(
            (left / size.width, bottom / height, self.plot_width / size.width, (height - top - bottom) / height)
        )

    def label_y(self, text: str) -> None:
        """The name of the vertical axis, written level above it where a reader starts."""
        self.axes.annotate(
            text, (0, 1), xycoords=("figure fraction", "axes fraction"), xytext=(2, 12), textcoords="offset points",
            color=Colour.MUTED.value, va="bottom", ha="left", annotation_clip=False,
        )  # fmt: skip

    def label_x(self, text: str) -> None:
        """The name of the horizontal axis, at its right end."""
        self.axes.set_xlabel(text, loc="right", labelpad=6)

    def label_ends(self, ends: Sequence[tuple[float, float, str, Colour]]) -> None:
        """Names at the right ends of lines, pushed apart where they would overlap, each tied to its line.

        ``ends`` holds x and y of the last point in data units, the name and the colour of the tie.
        """
        place = self.axes.transData.transform
        wanted = [float(place((x, y))[1]) for x, y, _, _ in ends]
        edge = float(self.axes.transAxes.transform((1, 0))[0])
        gap = self.size.text * LINE_SPACING
        for (x, y, name, colour), at in zip(ends, spread(wanted, gap), strict=True):
            origin = place((x, y))
            offset = (edge - origin[0] + TIE, at - origin[1])
            self.axes.annotate(
                name, (x, y), xytext=offset, textcoords="offset pixels", va="center", ha="left", annotation_clip=False,
                arrowprops={"arrowstyle": "-", "color": colour.value, "linewidth": 0.9, "shrinkA": 2, "shrinkB": 6},
            )  # fmt: skip

    def svg(self) -> str:
        """The SVG as matplotlib writes it, without dates."""
        stream = io.StringIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        self._say_literally()
        # The settings that make text stay text and ids repeatable are read here, not when the figure is made.
        with _own_settings(self.size), warnings.catch_warnings():
            # The page's own fonts draw the text; matplotlib only measures it.
            warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from", category=UserWarning)
            self.figure.savefig(stream, format="svg", metadata=nothing, transparent=True)
        return stream.getvalue()

    def _say_literally(self) -> None:
        """Spell out the invisible and control characters in every text of the drawing."""
        from matplotlib.text import Text
        from matplotlib.ticker import FuncFormatter

        for text in self.figure.findobj(Text):
            text.set_text(visible(text.get_text()))
        # The labels of ticks are made anew whenever the axes are drawn, from what their formatter says.
        for axis in (self.axes.xaxis, self.axes.yaxis):
            if isinstance(formatter := axis.get_major_formatter(), FuncFormatter):
                axis.set_major_formatter(FuncFormatter(lambda value, at, said=formatter: visible(said(value, at))))


@contextmanager
def drawing(size: Size, height: int, *, left: int, right: int, top: int = 30, bottom: int = 50) -> Iterator[Drawing]:
    """A drawing under the project's style; the margins are in pixels."""
    load_matplotlib()
    with _own_settings(size):
        yield Drawing(size, height, left=left, right=right, top=top, bottom=bottom)


def label_room(names: Iterable[str], size: Size) -> int:
    """The margin in pixels that the longest of ``names`` needs at the right end of its line, half of the width at most.

    A name may be of any length, and nothing can be drawn beside one that leaves no room.

    >>> from universal_neurons.render.figures.style import NARROW
    >>> label_room(["with b", "mean"], NARROW), label_room(["x" * 500], NARROW)
    (66, 170)
    """
    return min(round(TIE + LETTER * size.text * max(map(len, names), default=0)) + 2, size.width // 2)


def thinned(labels: Sequence[str], centres: Sequence[float], size: Size) -> list[str]:
    """``labels`` of an axis at ``centres`` (pixels), those empty that would touch a label further along.

    >>> from universal_neurons.render.figures.style import NARROW
    >>> thinned(["10 000", "20 000", "100 000"], [0.0, 20.0, 120.0], NARROW)
    ['', '20 000', '100 000']
    """
    kept = list(labels)
    edge = float("inf")
    for place in reversed(range(len(kept))):
        half = LETTER * size.text * len(kept[place]) / 2
        if centres[place] + half > edge:
            kept[place] = ""
        else:
            edge = centres[place] - half - size.text / 2
    return kept


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Positions at least ``gap`` apart in the order of ``wanted``; those that would touch are centred on their mean.

    >>> spread([0.0, 1.0, 30.0], 10.0)
    [-4.5, 5.5, 30.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    groups: list[tuple[float, list[int]]] = []
    for index in order:
        centre, members = wanted[index], [index]
        while groups and centre - groups[-1][0] < gap * (len(members) + len(groups[-1][1])) / 2:
            _, before = groups.pop()
            members = before + members
            centre = sum(wanted[i] for i in members) / len(members)
        groups.append((centre, members))
    placed = [0.0] * len(wanted)
    for centre, members in groups:
        for rank, index in enumerate(members):
            placed[index] = centre + gap * (rank - (len(members) - 1) / 2)
    return placed


_PROLOGUE = re.compile(r"^.*?<svg[^>]*>", re.DOTALL)
_VIEW_BOX = re.compile(r'viewBox="([^"]+)"')
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
# The one global style of matplotlib's would apply to the whole page; the theme has it for figures only.
_STYLE = re.compile(r"<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>\s*")
_NO_ROTATION = re.compile(r' transform="rotate\(-?0(?: [^)]*)?\)"')
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_ID = re.compile(r'\sid="([^"]+)"')
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^")]+)')
_FONT = re.compile(r"font(?:-family)?: ([^;\"]*?)'?DejaVu Sans'?[^;\"]*")
# A coordinate stands inside a tag; the number 0.005 beside a tick must not become 0.01.
_TAG = re.compile(r"<[^>]+>")
_NUMBER = re.compile(r"(?<![\w#])(-?\d+\.\d{3,})")
_THEME = tuple((colour.value, colour.css) for colour in Colour)


def inline_svg(svg: str, *, name: str, size: Size, alt: str) -> Html:
    """matplotlib's ``svg`` as an element of a page: named by ``alt``, coloured by the theme, with ids of its own.

    Coordinates are rounded to hundredths of a pixel, which halves the size of a page.
    """
    box = _VIEW_BOX.search(svg)
    if box is None:
        raise ValueError(f"figure {name}: an SVG without a viewBox")
    body = _PROLOGUE.sub("", svg, count=1)
    for noise in (_METADATA, _COMMENT, _STYLE):
        body = noise.sub("", body)
    used = {found for tag in _TAG.findall(body) for found in _REFERENCE.findall(tag)}
    prefix = f"{name}-{size.name}-"
    # Between tags stand the names of models and checkpoints, which may look like anything: only tags are changed.
    body = _TAG.sub(lambda tag: _themed(tag[0], prefix, used), body)
    return Html(
        f'<svg class="{size.name}" viewBox="{box[1]}" role="img" aria-label="{html_text(alt)}" '
        f'xmlns="http://www.w3.org/2000/svg">{body.strip()}'
    )


def _themed(tag: str, prefix: str, used: Collection[str]) -> str:
    """A tag of matplotlib's SVG with the page's ids, fonts and colours, and rounded coordinates."""
    tag = _NO_ROTATION.sub("", tag)
    tag = _ID.sub(lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", tag)
    tag = _REFERENCE.sub(lambda m: m[0].replace(f"#{m[1]}", f"#{prefix}{m[1]}"), tag).replace("xlink:href", "href")
    tag = _FONT.sub(lambda m: f"font-size: {m[1].split()[-1]}" if m[1].strip() else "font-style: normal", tag)
    tag = _NUMBER.sub(lambda m: f"{float(m[1]):.2f}".rstrip("0").rstrip("."), tag)
    for value, css in _THEME:
        tag = tag.replace(value, css)
    return tag
