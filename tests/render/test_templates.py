from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import CHECKOUT
from universal_neurons.render.escaping import Html, Markdown
from universal_neurons.render.formatting import decimal
from universal_neurons.render.templates import TemplateWrong, filled, known, stray_digits, stray_verdicts

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
        ("<< x >>\n<!--# 4\n#-->half: ½", ["3: ½"]),
        ("`5` of `n1`", ["1: 5"]),
        ("`x` and 7 of `y`, `5` and 8 of `z`", ["1: 7", "1: 5", "1: 8"]),
        ('[a](b1.html "of 7")', ["1: 7"]),
        ('![x](y){fig-alt="8 dots" width=90}', ["1: 8"]),
        ("[5 of them]{.quoted}", ["1: 5"]),
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
        "GPT-2 Small",
        "[@gurnee2024; @nandan2025]",
        "## T {#sec-2}",
        "[x](a1.html)",
        "`a1`",
    ],
)
def test_digits_that_state_no_number_are_allowed(tmp_path: Path, text: str) -> None:
    assert stray_digits(template(tmp_path, text)) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<p title="9 of them">x</p>', ["1: 9"]),
        ('<p class="a1">\n<img alt="ten, or 10" width=5>', ["2: 10"]),
        ('<p class="a1" style="width:5px">x</p>', []),
    ],
)
def test_a_digit_in_a_page_of_html_is_found_where_it_is_read(tmp_path: Path, text: str, found: list[str]) -> None:
    for name in ("neurons.html.j2", "page.html"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    expected = [f"{tmp_path / name}:{one}" for name in ("neurons.html.j2", "page.html") for one in found]
    assert list(stray_digits(tmp_path)) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Most claims are refuted.", ["1: Most claims are refuted."]),
        ("One.\nTwo << x >> is\n*Reproduced*. Three.", ["2: Two is *Reproduced*."]),
        ("## Inconclusive\n\ntext", ["1: ## Inconclusive"]),
        ("[vacuous]{.x}", ["1: [vacuous]"]),
        ("A claim is refuted if a case is.", []),
        ("What would be not evaluated here is said.", []),
        ("<< verdict >> and `refuted` and an error bar", []),
    ],
)
def test_a_verdict_that_a_template_states_is_found_with_its_line(tmp_path: Path, text: str, found: list[str]) -> None:
    place = template(tmp_path, text) / "page.qmd.j2"
    assert list(stray_verdicts(tmp_path)) == [f"{place}:{one}" for one in found]


def test_our_own_templates_state_no_number_and_no_verdict() -> None:
    assert stray_digits(CHECKOUT / "report") == ()
    assert stray_verdicts(CHECKOUT / "report") == ()


def test_a_value_whose_number_is_missing_stops_at_the_line_that_asks_for_it(tmp_path: Path) -> None:
    values = known({"there": lambda: decimal(1.0, 1), "missing": lambda: decimal(math.nan, 1)})
    assert filled(template(tmp_path, "<< there >>"), "page.qmd.j2", values) == "1\\.0"
    for asked in ("<< missing >>", "<% if missing %>x<% endif %>", "<% for x in missing %>x<% endfor %>"):
        with pytest.raises(TemplateWrong, match=r"page\.qmd\.j2:2: missing: a number .* with 1 decimals is nan"):
            filled(template(tmp_path, f"one\n{asked}"), "page.qmd.j2", values)
