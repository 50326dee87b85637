"""The encoders one by one; ``test_sinks.py`` has every payload in every place."""

from __future__ import annotations

import pytest

from tests.render.payloads import PAYLOADS
from universal_neurons.characters import visible
from universal_neurons.render.escaping import Html, csv_text, fragment, html_text, markdown, raw_html


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markdown_has_no_symbol_that_is_not_escaped(payload: str) -> None:
    escaped = markdown(payload)
    bare = escaped.replace("\\\\", "").replace("\\", "\0")
    assert not any(c in "<>{}[]`*_@#|$!&" and (i == 0 or bare[i - 1] != "\0") for i, c in enumerate(bare))
    assert "{{<" not in escaped
    assert "\n" not in escaped


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
