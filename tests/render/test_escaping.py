from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.render.payloads import PAYLOADS
from universal_neurons.render.checks import Page
from universal_neurons.render.escaping import Html, csv_text, fragment, html_text, markdown, raw_html, visible
from universal_neurons.render.grids import Column, Grid


@pytest.mark.parametrize("payload", PAYLOADS)
def test_html_text_is_one_text_node_in_an_element_and_in_an_attribute(payload: str) -> None:
    page = Page(Path("nowhere.html"))
    page.feed(f'<p title="{html_text(payload)}">{html_text(payload)}</p>')
    assert dict(page.elements) == {"p": 1}
    assert dict(page.attributes) == {"title": 1}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markdown_has_no_symbol_that_is_not_escaped(payload: str) -> None:
    escaped = markdown(payload)
    bare = escaped.replace("\\\\", "").replace("\\", "\0")
    assert not any(c in "<>{}[]`*_@#|$!&" and (i == 0 or bare[i - 1] != "\0") for i, c in enumerate(bare))
    assert "{{<" not in escaped
    assert "\n" not in escaped


@pytest.mark.parametrize("payload", PAYLOADS)
def test_csv_cells_come_back_and_run_no_formula(payload: str) -> None:
    grid = Grid("", (Column("text"),), ((payload,),))
    cell = list(csv.reader(io.StringIO(grid.csv())))[1][0]
    assert cell in {visible(payload), f"'{visible(payload)}"}
    assert not csv_text(payload).startswith(("=", "+", "-", "@"))


def test_control_and_bidirectional_characters_become_visible() -> None:
    assert visible("a\x00b\u202ec\u200bd\ufeff") == "a⟨U+0000⟩b⟨U+202E⟩c⟨U+200B⟩d⟨U+FEFF⟩"


def test_a_number_and_its_per_cent_sign_stay_on_one_line() -> None:
    assert html_text("at 25 %") == "at 25\u00a0%"
    assert csv_text("at 25 %") == "at 25 %"


def test_a_raw_block_cannot_be_ended_by_what_it_holds() -> None:
    block = raw_html(Html("<pre>\n````\n</pre>"))
    assert block.startswith("`````{=html}\n")
    assert block.endswith("\n`````")


@pytest.mark.parametrize(("text", "expected"), [("N1", "n1"), ("a b/c", "a-b-c"), ("<>", "x")])
def test_fragments_are_words_and_hyphens(text: str, expected: str) -> None:
    assert fragment(text) == expected
