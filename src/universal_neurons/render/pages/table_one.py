"""Table 1 of Nandan et al. 2025 v1 with our numbers, as a block of a page and as data."""

from __future__ import annotations

from statistics import stdev
from typing import TYPE_CHECKING

from universal_neurons.measures.universality import universal_share
from universal_neurons.render.escaping import Html, Markdown, html_text, markdown, raw_html
from universal_neurons.render.figures.charts import shown
from universal_neurons.render.figures.figure import judged_links
from universal_neurons.render.formatting import decimal, interval, plural
from universal_neurons.render.listings import drawing
from universal_neurons.render.tables import Cell, Column, DataTable, scrolling

if TYPE_CHECKING:
    from universal_neurons.inputs.suite import Checkpoint
    from universal_neurons.measurement import Measurement
    from universal_neurons.render.figures.emergence import PublishedCell
    from universal_neurons.render.figures.figure import Sources
    from universal_neurons.render.results import Results

PERCENT_PLACES = 2
LABEL = "Table 1 of the paper."
TABLE_CSV, PAIRS_CSV = "data/table-one.csv", "data/table-one-pairs.csv"


def table_one(found: Results, sources: Sources, anchor: str, code: str) -> Markdown:
    """Table 1: ours with interval and the pairs' standard deviation, below it what was printed."""
    words = (
        f"Share of neurons that are universal, in per cent, at each threshold (rows) and share of training, reference "
        f"{found.reference}, mean over {plural(len(found.partners), 'partner')}: ours with its interval over token "
        f"blocks and ± the standard deviation between partners, below it what was printed for GPT-2 Small."
    )
    opening = Html(f'<figure id="{anchor}" class="tbl">\n<figcaption>')
    caption = f"**{markdown(LABEL)}** {markdown(words)}{judged_links(sources)}"
    details = (
        f'<details class="data"><summary>Pair by pair</summary>{pairs_data(found).html(css="data")}'
        f'<p class="source">The same numbers, unrounded: <a href="{PAIRS_CSV}" download>{PAIRS_CSV}</a>, and the '
        f'table: <a href="{TABLE_CSV}" download>{TABLE_CSV}</a>. Computed by '
        f"{drawing(code).link()}.</p></details>"
    )
    body = Html(f"</figcaption>\n{_table(found)}\n{details}\n</figure>")
    return Markdown(f"{raw_html(opening)}\n\n{caption}\n\n{raw_html(body)}\n")


def _table(found: Results) -> Html:
    labels = [checkpoint.label for checkpoint in found.checkpoints]
    head = "".join(f'<th scope="col" class="number">{html_text(label)}</th>' for label in labels)
    rows = "\n".join(_rows(found, threshold) for threshold in found.suite.universality.thresholds)
    return scrolling(
        "Table of shares, ours beside the published",
        f'<table><thead><tr><th scope="col">threshold</th><th scope="col">models</th>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table>",
    )


def _rows(found: Results, threshold: float) -> str:
    ours = "".join(
        f'<td class="number">{_ours(found.emergence.share(threshold, checkpoint.label))}'
        f"{_spread(found, threshold, checkpoint.label)}</td>"
        for checkpoint in found.checkpoints
    )
    cells = {round(c.training, 6): c for c in found.emergence.published if c.threshold == threshold}
    printed = "".join(
        f'<td class="number">{_printed(cells.get(round(checkpoint.share, 6)))}</td>' for checkpoint in found.checkpoints
    )
    name = html_text(decimal(threshold, 1))
    return (
        f'<tr class="ours"><th scope="row">{name}</th><th scope="row">{html_text(found.suite.name)}</th>{ours}</tr>\n'
        f'<tr class="printed"><td></td><th scope="row">GPT-2 Small</th>{printed}</tr>'
    )


def _ours(measurement: Measurement) -> Html:
    if measurement.is_missing:
        return Html('<span class="none">undefined</span>')
    value = decimal(measurement.value * 100, PERCENT_PLACES)
    return Html(f'{html_text(value)}<span class="interval">{html_text(interval(measurement, PERCENT_PLACES))}</span>')


def _spread(found: Results, threshold: float, checkpoint: str) -> Html:
    return Html(
        f'<span class="interval">± {html_text(decimal(spread_of(found, threshold, checkpoint), PERCENT_PLACES))}</span>'
    )


def spread_of(found: Results, threshold: float, checkpoint: str) -> float:
    """The standard deviation (ddof 1) of the partners' shares in percentage points; 0 for one partner."""
    shares = [m.value * 100 for m in _by_partner(found, threshold, checkpoint).values()]
    return stdev(shares) if len(shares) > 1 else 0.0


def _cells(found: Results) -> list[tuple[float, Checkpoint]]:
    return [(threshold, c) for threshold in found.suite.universality.thresholds for c in found.checkpoints]


def _by_partner(found: Results, threshold: float, checkpoint: str) -> dict[str, Measurement]:
    """The share of universal neurons with each partner."""
    tables = found.emergence.tables[checkpoint].tables
    return {partner: universal_share(tables[partner], threshold) for partner in found.partners}


def _printed(cell: PublishedCell | None) -> Html:
    if cell is None:
        return Html('<span class="none" title="not printed">–</span>')
    return Html(
        f'{html_text(decimal(cell.value * 100, PERCENT_PLACES))}<span class="interval">{html_text(cell.label)}</span>'
    )


def table_one_data(found: Results) -> DataTable:
    """Table 1 for its CSV: one row per threshold and checkpoint."""
    cells = {(c.threshold, round(c.training, 6)): c for c in found.emergence.published}
    rows: list[tuple[Cell, ...]] = []
    for threshold, checkpoint in _cells(found):
        m = found.emergence.share(threshold, checkpoint.label)
        cell = cells.get((threshold, round(checkpoint.share, 6)))
        rows.append((decimal(threshold, 1), checkpoint.label, *shown(m), None if cell is None else cell.value * 100))
    names = ("threshold", "checkpoint", "share", "low", "high", "published for GPT-2 Small")
    return DataTable(
        "Table 1 in per cent", tuple(Column(name, 2 if i > 1 else None) for i, name in enumerate(names)), tuple(rows)
    )


def pairs_data(found: Results) -> DataTable:
    """Table 1 pair by pair, in per cent."""
    rows = tuple(
        (decimal(threshold, 1), checkpoint.label, partner, *shown(m))
        for threshold, checkpoint in _cells(found)
        for partner, m in _by_partner(found, threshold, checkpoint.label).items()
    )
    names = ("threshold", "checkpoint", "partner", "share", "low", "high")
    columns = tuple(Column(name, PERCENT_PLACES if i > 2 else None) for i, name in enumerate(names))
    return DataTable("Table 1 pair by pair, in per cent", columns, rows, row_headers=3)
