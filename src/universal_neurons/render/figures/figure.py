"""A figure as a block of a page: drawings, caption, data table, and the claims, artifacts and code behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from universal_neurons.render.escaping import Html, Markdown, html_text, markdown, raw_html
from universal_neurons.render.figures.drawing import Drawing, inline_svg
from universal_neurons.render.figures.style import HALF, NARROW, WIDE, Mark, Size
from universal_neurons.render.formatting import MissingNumber, listed, plural
from universal_neurons.render.links import page_of
from universal_neurons.render.listings import drawing
from universal_neurons.render.tables import DataTable, short_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from universal_neurons.render.listings import Listing

DIGESTS_SHOWN = 4
# One row per figure and artifact, digests whole.
FIGURES_CSV = "data/figures.csv"


class MissingFigure(MissingNumber):
    """A figure has no number to draw; ``name`` is the figure's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"figure {name}: there is no number to draw")
        self.name = name


@dataclass(frozen=True, slots=True)
class Sources:
    """The claims that judge a figure's numbers, and the digests of the artifacts it was drawn from.

    ``judged`` are the claims with a verdict in this run: only they have a page to link to.
    ``tests`` are the tests that judged them.
    """

    claims: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()
    tests: tuple[Listing, ...] = ()

    def among(self, tests: Mapping[str, Listing]) -> Sources:
        """The sources in a report whose claims were judged by ``tests``."""
        judged = tuple(claim for claim in self.claims if claim in tests)
        return replace(self, judged=judged, tests=tuple(tests[claim] for claim in judged))


def judged_links(sources: Sources) -> Markdown:
    """The claims that judge what is shown, as links to their pages; nothing where there are none."""
    if not sources.claims:
        return Markdown("")
    links = [
        f"[{markdown(claim)}]({page_of(claim)})" if claim in sources.judged else markdown(claim)
        for claim in sources.claims
    ]
    return Markdown(f" [Judged by {', '.join(links)}.]{{.judged}}")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: its name, words, drawings and data.

    The ``label`` ("Figure 7 of the paper.") is given by the page where the paper has none, and a link to ``anchor``
    refers to it.  One that the suite cannot fill has nothing but the sentence ``absence``, which stands in its place
    under its anchor.
    """

    name: str
    caption: Markdown
    drawings: tuple[Html, ...]
    data: DataTable
    code: str
    label: str = ""
    sources: Sources = Sources()
    absence: str = ""

    @classmethod
    def left_out(cls, name: str, why: str, *, label: str = "") -> Figure:
        """A figure for which the suite lacks checkpoints, models or tokens."""
        return cls(name, Markdown(""), (), DataTable(name, (), ()), "", label, absence=why)

    @property
    def anchor(self) -> str:
        """The id of the figure on its page."""
        return f"fig-{self.name}"

    @property
    def csv_name(self) -> str:
        """The file with the figure's data, in the report's folder ``data``."""
        return f"data/{self.name}.csv"

    def block(self) -> Markdown:
        """The figure: drawings, table of the data, caption; or the sentence in its place."""
        if self.absence:
            sentence = f"<strong>{html_text(self.label)}</strong> Left out: {html_text(self.absence)}"
            return Markdown(raw_html(Html(f'<p id="{self.anchor}" class="absent">{sentence}</p>')) + "\n")
        body = Html(f'<div class="plot">{"".join(self.drawings)}</div>\n{self._details()}')
        # Quarto's own figure blocks are numbered anew on every page: 7 of the paper would become 14.
        opening = Html(f'<figure id="{self.anchor}" class="fig">\n{body}\n<figcaption>')
        caption = f"**{markdown(self.label)}** {self.caption}{judged_links(self.sources)}"
        return Markdown(f"{raw_html(opening)}\n\n{caption}\n\n{raw_html(Html('</figcaption></figure>'))}\n")

    def _details(self) -> Html:
        return Html(
            f'<details class="data"><summary>Data of this figure</summary>{self.data.html(css="data")}'
            f'<p class="source">The same numbers, unrounded: <a href="{self.csv_name}" download>'
            f"{html_text(self.csv_name)}</a>. Drawn by {drawing(self.code).link()}{self._artifacts()}."
            f"{self._tests()}</p></details>"
        )

    def _tests(self) -> str:
        tests = dict.fromkeys(test.link() for test in self.sources.tests)
        return f" Judged by {listed(tests)}." if tests else ""

    def _artifacts(self) -> str:
        digests = self.sources.artifacts
        if not digests:
            return ""
        shown = " ".join(short_digest(d) for d in digests[:DIGESTS_SHOWN])
        rest = " and others, listed in" if len(digests) > DIGESTS_SHOWN else ", whole in"
        where = f'<a href="{FIGURES_CSV}" download>{FIGURES_CSV}</a>'
        return f" from {plural(len(digests), 'artifact')}: {shown}{rest} {where}"


def figure(
    name: str,
    draw: Callable[[Size], Drawing],
    *,
    caption: Markdown,
    alt: str,
    data: DataTable,
    code: str,
    label: str = "",
    sizes: Sequence[Size] = (WIDE, NARROW),
) -> Figure:
    """The figure that ``draw`` draws in all ``sizes``; raises MissingFigure if there is nothing to draw.

    A picture scaled to half its width cannot be read, so a wide one is drawn again for a telephone; one that stands
    beside another (HALF) is narrow everywhere and needs one drawing.
    """
    if not data.rows:
        raise MissingFigure(name)
    drawings = tuple(inline_svg(draw(size).svg(), name=name, size=size, alt=alt) for size in sizes)
    return Figure(name=name, caption=caption, drawings=drawings, data=data, code=code, label=label)


def without_tables(groups: Mapping[str, Mapping[str, str]]) -> dict[str, FigureGroup]:
    """The ``groups`` of figures, each with the names and labels of its figures, of a first look, which has none."""
    why = "a first look does without the tables that it needs."
    return {
        group: FigureGroup(tuple(Figure.left_out(name, why, label=label) for name, label in labels.items()))
        for group, labels in groups.items()
    }


HALVES = (HALF,)


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """An entry of a legend: the name of a series and its mark."""

    name: str
    mark: Mark


def legend(keys: Sequence[LegendEntry]) -> Html:
    """The series of several figures, named once above them."""
    items = "".join(f"<li>{_swatch(key.mark)}{html_text(key.name)}</li>" for key in keys)
    return Html(f'<ul class="key" aria-label="Series">{items}</ul>')


def _swatch(mark: Mark) -> str:
    if mark.is_bar:
        shape = f'<path d="M9 1h8v12h-8z" fill="{mark.colour.css}"/>'
    else:
        dashes = ' stroke-dasharray="4 3"' if mark.dashed else ""
        shape = f'<path d="M1 7H25" stroke="{mark.colour.css}" stroke-width="2"{dashes}/>{_sign(mark)}'
    fades = f' opacity="{mark.strength:g}"' if mark.strength < 1 else ""
    return f'<svg viewBox="0 0 26 14" width="26" height="14" aria-hidden="true"{fades}>{shape}</svg>'


_SIGNS = {
    "o": "M13 3a4 4 0 1 0 .01 0z",
    "s": "M9.4 3.4h7.2v7.2H9.4z",
    "^": "M13 2.4L17.4 10.6H8.6z",
    "v": "M13 11.6L17.4 3.4H8.6z",
    "D": "M13 2.2L17.8 7L13 11.8L8.2 7z",
    "P": "M11.4 2.6h3.2v2.8h2.8v3.2h-2.8v2.8h-3.2V8.6H8.6V5.4h2.8z",
}


def _sign(mark: Mark) -> str:
    if not mark.marker:
        return ""
    return f'<path d="{_SIGNS[mark.marker]}" fill="{mark.colour.css}" stroke="{mark.colour.css}" stroke-width="1.4"/>'


@dataclass(frozen=True, slots=True)
class FigureGroup:
    """Figures that stand together: one alone, or several at half width, two in a row, under one legend."""

    figures: tuple[Figure, ...]
    keys: tuple[LegendEntry, ...] = ()

    def each(self, change: Callable[[Figure], Figure]) -> FigureGroup:
        """The group with every figure changed."""
        return replace(self, figures=tuple(map(change, self.figures)))

    def block(self) -> Markdown:
        """The figures as a part of a page."""
        if len(self.figures) == 1 and not self.keys:
            return self.figures[0].block()
        opening = Html(f'<div class="multiples">{legend(self.keys)}')
        blocks = "\n".join(one.block() for one in self.figures)
        return Markdown(f"{raw_html(opening)}\n\n{blocks}\n{raw_html(Html('</div>'))}\n")
