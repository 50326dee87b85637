"""Panels and rows: what is drawn, said and written down of measurements, some of them missing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from universal_neurons.measurement import Measurement, Over
from universal_neurons.render.escaping import Markdown
from universal_neurons.render.figures.charts import (
    ChartAxis,
    ChartRow,
    LineChart,
    RowChart,
    Rule,
    Series,
    alike,
    at_the_end,
    keys,
    line_figure,
    lowest_to_highest,
    nudge,
    row_figure,
)
from universal_neurons.render.figures.figure import FigureGroup, legend
from universal_neurons.render.figures.style import Colour, Mark, model_marks
from universal_neurons.render.formatting import MissingNumber

TRAINING = ChartAxis("share of training", (0.5, 1.0), ("50 %", "100 %"))
LAYERS = ChartAxis("layer", (0.0, 1.0), ("0", "1"), "in layer")
CODE = "render.figures.charts.line_figure"
HOSTILE = '</text><script>alert(1)</script>"&'


def nats(value: float, reach: float = 0.1, n: int = 7) -> Measurement:
    return Measurement(value, value - reach, value + reach, n, Over.TOKEN_BLOCKS, 0.95, "nats", {"size": 30.0})


MISSING = Measurement.missing(n=2, over=Over.TOKEN_BLOCKS, unit="nats")


def chart(
    *series: tuple[Measurement, ...], axis: ChartAxis = TRAINING, bars: bool = False, name: str = "with"
) -> LineChart:
    curves = tuple(
        Series(f"{name} {at}", mark, values, columns=(("neurons", (3.0, 4.0)),))
        for at, (mark, values) in enumerate(zip(model_marks(len(series), bars=bars), series, strict=True))
    )
    rules = (Rule(0.5, "printed: half"),)
    return LineChart("x", "Figure 7 of the paper.", "Loss", axis, "loss, nats", "partner", curves, rules, bars=bars)


@pytest.mark.parametrize("bars", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_a_panel_with_a_gap_is_drawn_and_the_gap_is_a_dash_in_its_table(bars: bool, wide: bool) -> None:
    made = line_figure(chart((nats(1.0), MISSING), (nats(-0.4), nats(0.8)), bars=bars), code=CODE, wide=wide)
    assert len(made.drawings) == (2 if wide else 1)
    lines = made.data.csv().splitlines()
    assert lines[0] == 'partner,share of training,"value, nats",low,high,n,interval over,neurons'
    assert lines[1] == "with 0,50 %,1.0,0.9,1.1,7,token blocks,3.0"
    assert lines[2] == "with 0,100 %,,,,2,token blocks,4.0"


def test_a_panel_without_any_number_is_an_error() -> None:
    with pytest.raises(MissingNumber, match="there is no number to draw"):
        line_figure(chart((MISSING, MISSING)), code=CODE)


def test_the_end_is_said_where_something_was_measured_last() -> None:
    assert at_the_end(chart((nats(1.0), nats(2.0)), (nats(3.0), nats(4.0)))) == "2.00 to 4.00 nats at 100 %"
    assert at_the_end(chart((nats(1.0), MISSING))).endswith("at 50 %")
    assert at_the_end(chart((MISSING, MISSING))) == "nothing to measure"


def test_over_an_axis_without_direction_the_two_ends_are_said() -> None:
    found = chart((nats(1.0), nats(2.0)), (nats(0.4), MISSING), axis=LAYERS)
    said = lowest_to_highest(found).replace("\u00a0", " ")
    assert said.startswith("from 0.40 nats [0.30, 0.50] (with 1, layer 0) to 2.00 nats")
    assert said.endswith("(with 0, layer 1)")
    assert lowest_to_highest(chart((MISSING, MISSING), axis=LAYERS)) == "nothing to measure"


def test_bars_at_one_place_are_moved_apart_and_bands_are_where_they_belong() -> None:
    panel = chart((nats(1.0), nats(2.0)), (nats(1.0), nats(2.0)))
    assert nudge(panel, 0) == -nudge(panel, 1) < 0
    assert nudge(replace(panel, logarithmic=True), 1) == 0


def test_panels_made_alike_share_limits_that_hold_every_interval() -> None:
    low, high = alike([chart((nats(1.0), nats(-2.0, 0.5))), chart((nats(9.0, 1.0), nats(0.0)))])
    assert low.limits == high.limits
    assert low.limits is not None
    assert low.limits[0] < -2.5
    assert low.limits[1] > 10.0


def test_a_panel_of_positive_numbers_begins_at_zero() -> None:
    (one,) = alike([chart((nats(1.0), nats(2.0)))])
    assert one.limits is not None
    assert one.limits[0] == 0


def test_the_legend_tells_series_apart_without_colour_and_names_what_was_printed() -> None:
    shown = legend(keys(chart((nats(1.0), nats(2.0)), (nats(1.0), nats(2.0)))))
    shapes = re.findall(r'<path d="(M1[^"]+|M9[^"]+)" fill', shown)
    assert len(shapes) == len(set(shapes)) == 2
    assert "printed: half" in shown
    assert "stroke-dasharray" in shown


def test_hostile_names_stay_text_in_drawing_legend_and_data() -> None:
    found = chart((nats(1.0), nats(2.0)), name=HOSTILE)
    made = line_figure(found, code=CODE, wide=True)
    block = FigureGroup((made, made), keys(found)).block()
    assert "<script" not in block
    assert HOSTILE not in "".join(made.drawings)


def test_rows_on_a_logarithmic_axis_leave_out_what_has_no_place_there() -> None:
    rows = (
        ChartRow("universal", nats(0.3, 0.01), Mark(Colour.BLUE)),
        ChartRow("draws", nats(0.1, 0.2), Mark(Colour.VERMILION), reach=(0.05, 0.2), columns=(("neurons", 3.0),)),
        ChartRow(
            "none", Measurement(0.0, 0.0, 0.0, 7, Over.TOKEN_BLOCKS, 0.95, "nats"), Mark(Colour.INK), reach=(0.0, 0.1)
        ),
        ChartRow("missing", MISSING, Mark(Colour.INK)),
    )
    made = row_figure(
        RowChart("x", "", "Sets", "KL, nats", rows, 0.3, logarithmic=True),
        code=CODE,
        caption=Markdown("Sets."),
    )
    wide = made.drawings[0]
    assert all(f">{name}</text>" in wide for name in ("universal", "draws", "none", "missing"))
    assert "nan" not in wide.lower().replace("divergence", "")
    assert made.data.csv().splitlines()[4] == "missing,,,,2,token blocks,"
    assert "missing undefined" in wide


def shapes(value: Measurement) -> int:
    rows = (ChartRow("universal", nats(0.3, 0.01), Mark(Colour.BLUE)), ChartRow("other", value, Mark(Colour.VERMILION)))
    found = RowChart("x", "", "Sets", "KL, nats", rows, logarithmic=True)
    return row_figure(found, code=CODE, caption=Markdown("Sets.")).drawings[0].count("var(--vermilion")


def test_nothing_is_drawn_of_a_row_without_a_place_on_its_axis() -> None:
    assert shapes(Measurement(0.0, 0.0, 0.0, 7, Over.TOKEN_BLOCKS, 0.95, "nats")) == shapes(MISSING) == 0
    assert shapes(nats(0.1, 0.01)) > 0


def few(size: float) -> Measurement:
    return Measurement(1.0, 0.9, 1.1, 24, Over.TOKEN_BLOCKS, 0.95, "nats", {"size": size})


@pytest.mark.parametrize(("size", "is_hollow"), [(9, True), (10, False)])
def test_a_mark_that_rests_on_few_neurons_is_hollow_and_the_caption_says_so(size: float, is_hollow: bool) -> None:
    made = line_figure(chart((few(size), few(40))), code=CODE)
    assert ("fill: var(--paper" in made.drawings[0]) == is_hollow
    assert ("Hollow: fewer than 10 neurons." in made.caption.replace("\\", "")) == is_hollow


def test_a_lopsided_interval_is_explained() -> None:
    lopsided = Measurement(1.0, 0.2, 1.1, 24, Over.TOKEN_BLOCKS, 0.95, "nats")
    assert "explained with the methods" in line_figure(chart((lopsided, nats(1.0))), code=CODE).caption
    assert "explained with the methods" not in line_figure(chart((nats(1.0), nats(1.0))), code=CODE).caption
