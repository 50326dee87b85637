from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import CHECKOUT
from universal_neurons.render.escaping import Html, Markdown
from universal_neurons.render.templates import TemplateWrong, filled, stray_digits

if TYPE_CHECKING:
    from pathlib import Path


def template(folder: Path, text: str) -> Path:
    (folder / "page.qmd.j2").write_text(text, encoding="utf-8")
    return folder


def test_a_value_is_escaped_unless_it_is_marked_safe(tmp_path: Path) -> None:
    folder = template(tmp_path, "<< text >> << safe >>\n<< block >>\n<< number >>")
    said = filled(
        folder, "page.qmd.j2", {"text": "*a*", "safe": Markdown("*b*"), "block": Html("<i>c</i>"), "number": 3}
    )
    assert said == "\\*a\\* *b*\n```{=html}\n<i>c</i>\n```\n3"


def test_quartos_delimiters_and_attributes_are_left_alone(tmp_path: Path) -> None:
    text = "## Title {#sec-x .y}\n\n{% not jinja %} {# neither #}\n"
    assert filled(template(tmp_path, text), "page.qmd.j2", {}) == text


@pytest.mark.parametrize(
    "text", ["one\ntwo << nothing >>", "one\n<< thing.nothing >>", "one\n<% if nothing %>x<% endif %>"]
)
def test_an_undefined_value_names_file_and_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(TemplateWrong, match=r"page\.qmd\.j2:2: .*nothing"):
        filled(template(tmp_path, text), "page.qmd.j2", {"thing": {}})


def test_a_number_without_decimals_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateWrong, match=r"page\.qmd\.j2:1: a template was given float 0\.1"):
        filled(template(tmp_path, "<< x >>"), "page.qmd.j2", {"x": 0.1})


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(TemplateWrong, match=r"page\.qmd\.j2:2: "):
        filled(template(tmp_path, "one\n<% if %>"), "page.qmd.j2", {})


def test_a_short_code_is_refused_because_pandoc_would_print_it(tmp_path: Path) -> None:
    with pytest.raises(TemplateWrong, match="short code"):
        filled(template(tmp_path, "{{< include x >}}"), "page.qmd.j2", {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("About 5 % of them.", ["1: 5 %"]),
        ("one\n\nAt 0.5 and\n12 more", ["3: 0.5", "4: 12"]),
        ("---\ntitle: The 5 seeds\n---\n", ["2: 5"]),
        ("<% if x %>\n3\n<% endif %>", ["2: 3"]),
    ],
)
def test_a_digit_in_prose_is_found_with_its_line(tmp_path: Path, text: str, found: list[str]) -> None:
    place = template(tmp_path, text) / "page.qmd.j2"
    assert list(stray_digits(tmp_path)) == [f"{place}:{one}" for one in found]


@pytest.mark.parametrize(
    "text",
    [
        "<< x[1] >>",
        "<!--# 12 #-->",
        "GPT-2 small",
        "[@gurnee2024; @nandan2025]",
        "## T {#sec-2}",
        "[x](a1.html)",
        "`a1`",
    ],
)
def test_digits_that_state_no_number_are_allowed(tmp_path: Path, text: str) -> None:
    assert stray_digits(template(tmp_path, text)) == ()


def test_our_own_templates_state_no_number() -> None:
    assert stray_digits(CHECKOUT / "report") == ()
