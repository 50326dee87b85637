"""Every payload in every sink, one at a time: what comes out is text, and all of it."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from tests.evidence.records import record as evidence_record
from tests.render.fakes import record
from tests.render.payloads import PAYLOADS
from tests.render.read import attributes, elements, read
from universal_neurons.characters import visible
from universal_neurons.cli import _fail
from universal_neurons.evidence.summary import summaries
from universal_neurons.harness.table import verdict_lines
from universal_neurons.harness.terminal import _printable
from universal_neurons.ids import NeuronId
from universal_neurons.listing import show
from universal_neurons.progress import Reporter
from universal_neurons.render.escaping import csv_text, fragment, html_text, markdown, token_text
from universal_neurons.render.figures.drawing import drawing, inline_svg
from universal_neurons.render.figures.style import WIDE, Colour
from universal_neurons.render.html.checks import is_shown
from universal_neurons.render.html.engines import pandoc_command
from universal_neurons.render.links import page_of
from universal_neurons.render.pages.claim import commands
from universal_neurons.render.pages.claim_neurons import ClaimNeurons, neurons_of
from universal_neurons.render.pages.explorer_data import shard
from universal_neurons.render.tables import Column, DataTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

each = pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
COMMANDING = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """What a reader is to find of ``text``."""
    return visible(text).replace("\u00a0", " ")


def test_there_are_enough_of_them() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 60


@each
def test_text_and_attributes_hold_the_payload_and_nothing_else(payload: str) -> None:
    page = read(f"<p title=\"{html_text(payload)}\" aria-label='{html_text(payload)}'>{html_text(payload)}</p>")
    assert elements(page) == {"p": 1}
    assert attributes(page) == {"title": 1, "aria-label": 1}
    assert page.said.replace("\u00a0", " ") == plain(payload)


@each
def test_an_alternative_text_is_one_attribute(payload: str) -> None:
    page = read(f'<img alt="{html_text(payload)}" src="data:,">')
    assert attributes(page) == {"alt": 1, "src": 1}


def test_markdown_holds_every_payload_through_pandoc(tmp_path: Path) -> None:
    blocks = [f"::: {{#p{i}}}\n[{markdown(text)}]{{.x}}\n:::\n" for i, text in enumerate(PAYLOADS)]
    (tmp_path / "page.qmd").write_text("\n".join(blocks), encoding="utf-8")
    pandoc = pandoc_command("page", tmp_path / "page.html")[0]
    command = [pandoc, "page.qmd", "--from=markdown", "--to=html5", "--wrap=preserve", "--fail-if-warnings"]
    html = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=True).stdout
    page = read(html)
    assert elements(page) == {"div": len(PAYLOADS), "p": len(PAYLOADS), "span": len(PAYLOADS)}
    said = [plain(text) for text in html_texts(html)]
    assert said == [plain(payload) for payload in PAYLOADS]


def html_texts(html: str) -> list[str]:
    return [read(part).said for part in re.findall(r"<div id=\"p\d+\">(.*?)</div>", html, re.DOTALL)]


@each
def test_a_json_island_and_a_shard_are_one_script_that_ends_where_it_should(payload: str) -> None:
    script = shard("about", {"title": payload})
    page = read(f"<script>{script}</script><p>after</p>")
    assert elements(page) == {"script": 1, "p": 1}
    assert script.isascii()
    assert re.search(r"<|\u2028|\u2029", script) is None
    arguments = json.loads("[" + script.removeprefix("universalNeurons.take(").rstrip().removesuffix(");") + "]")
    assert arguments[1] == {"title": payload}


@each
def test_the_text_of_a_token_has_nothing_that_nobody_sees(payload: str) -> None:
    assert COMMANDING.search(token_text(payload)) is None


def drawn(text: str) -> str:
    with drawing(WIDE, 200, left=40, right=100) as canvas:
        canvas.axes.plot([0, 1], [1, 2])
        canvas.axes.set_xticks([0, 1], [text, "end"])
        canvas.label_x(text)
        canvas.label_y(text)
        canvas.label_ends([(1, 2, text, Colour.BLUE)])
    return inline_svg(canvas.svg(), name="payload", size=WIDE, alt=text)


@each
def test_a_drawing_has_the_payload_as_its_text(payload: str) -> None:
    found, expected = (ET.fromstring(drawn(text)) for text in (payload, "tame"))
    assert [one.tag for one in found.iter()] == [one.tag for one in expected.iter()]
    assert [sorted(one.attrib) for one in found.iter()] == [sorted(one.attrib) for one in expected.iter()]
    texts = [one.text for one in found.iter() if one.tag.endswith("text")]
    assert texts.count(visible(payload)) == 4
    assert (found.get("aria-label") or "").replace("\u00a0", " ") == plain(payload)


@each
@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
def test_a_cell_begins_no_formula_wherever_a_spreadsheet_cuts_it(payload: str, separator: str) -> None:
    table = DataTable("", (Column("a"), Column(payload)), ((payload, payload), (-0.5, payload)))
    cells = [cell for row in csv.reader(io.StringIO(table.csv()), delimiter=separator) for cell in row]
    cells = [cell for cell in cells if not re.match(r"-0\.5", cell)]
    assert [cell for cell in cells if re.match(r"[\s\ufeff]*[-=+@\uff1d\uff0b\uff0d\uff20]", cell)] == []
    assert COMMANDING.search(table.csv().replace("\n", "")) is None


@pytest.mark.parametrize(
    ("text", "cell"), [("a - b", "a - b"), ("1;2", "1;2"), ("x;-1", "x;'-1"), ("\uff0b1", "'\uff0b1")]
)
def test_a_cell_that_begins_no_formula_stays_as_it_is(text: str, cell: str) -> None:
    assert csv_text(text) == cell


def lines_of_a_reporter(text: str) -> str:
    stream = io.StringIO()
    reporter = Reporter(stream)
    reporter.warn(text)
    reporter.start(text, 1)
    reporter.finish()
    return stream.getvalue()


def rows_of_a_run(text: str) -> str:
    claim = summaries([evidence_record("a-b", claim=text, statement=text)])[0]
    shown = [line for width in (80, 200) for line in verdict_lines([claim], width=width)]
    return "\n".join(text for line in shown for text in (line.claim, line.said, line.rest, *line.below))


@each
@pytest.mark.parametrize("shows", [lines_of_a_reporter, rows_of_a_run, lambda text: _printable(text, "utf-8")])
def test_a_terminal_gets_no_command(payload: str, shows: Callable[[str], str]) -> None:
    assert COMMANDING.search(shows(payload).replace("\n", "")) is None


@each
def test_the_command_line_says_a_mistake_and_a_row_in_one_plain_line_each(
    payload: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _fail(f"error: {payload}", 4)
    error = capsys.readouterr().err
    assert error == f"{visible(f'error: {payload}')}\n"
    show([{"what": payload}], {"what": "what"}, as_json=False, title="rows")
    assert COMMANDING.search(capsys.readouterr().out.replace("\n", "")) is None


@each
def test_an_address_is_plain_and_leads_into_the_report(payload: str) -> None:
    assert re.fullmatch(r"claims/[a-z0-9][a-z0-9-]{0,90}\.html", page_of(payload))
    claim = ClaimNeurons(payload, ("b",), "25 %", 0.5, (1,), 1, (NeuronId(1, 2),))
    page = read(neurons_of(claim))
    assert page.faults == []
    assert elements(page) == {"div": 1, "p": 2, "ul": 1, "li": 1, "a": 2}
    for link in page.links:
        path, _, place = link.partition("#")
        assert path == "../neurons.html"
        assert is_shown(place, {payload: (5, 5)})
        assert not is_shown(place, {f"{payload}!": (5, 5)})


def test_two_long_texts_do_not_meet_at_one_anchor() -> None:
    assert fragment("x" * 500) != fragment("x" * 501)
    assert len(fragment("x" * 500)) < 100


@each
def test_a_command_to_copy_is_one_command(payload: str) -> None:
    claim = summaries([record(test=f"claims/{payload}.py::test_x", suite=payload or "x")])[0]
    html = commands(claim)
    said = read(html).said
    for line in said.split("\n"):
        assert shlex.split(line)[-1].strip() == plain(payload)


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX terminal")
def test_the_report_of_a_run_that_pytest_prints_has_no_command() -> None:
    assert COMMANDING.search(_printable("\x1b]8;;x\x07", None)) is None
