from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from universal_neurons.render.html.tree import Element, PageUnusable, read_page, tree_of

if TYPE_CHECKING:
    from pathlib import Path


def only(text: str) -> Element:
    (element,) = tree_of(text).elements
    return element


def test_elements_have_their_attributes_classes_and_text() -> None:
    element = only('<p class="a b" id="x" hidden>one <em>two</em> &amp; &#123;three<br>four</p>')
    assert element.tag == "p"
    assert element.classes == {"a", "b"}
    assert element.attributes == {"class": "a b", "id": "x", "hidden": ""}
    assert element.text == "one two & {threefour"
    assert [one.tag for one in element.elements] == ["em", "br"]


def test_a_drawing_is_the_markup_that_it_was() -> None:
    drawing = '<svg viewBox="0 0 1 1"><clipPath id="A"><rect/></clipPath>\n<text>a &lt; b</text></svg>'
    element = only(f"<p>line\none\u2028and a half{drawing}after</p>").elements[0]
    assert element.markup == drawing
    assert [one.tag for one in element.elements] == ["clippath", "text"]
    assert element.attributes["viewbox"] == "0 0 1 1"


def test_two_drawings_and_an_empty_one_end_where_they_end() -> None:
    found = tree_of("<p><svg><g/></svg> and <svg/><b>bold</b></p>").elements[0].elements
    assert [(one.tag, one.markup) for one in found] == [("svg", "<svg><g/></svg>"), ("svg", "<svg/>"), ("b", "")]


def test_what_was_never_closed_ends_with_what_it_is_in() -> None:
    assert [one.tag for one in tree_of("<div><p>one</div></p><hr>").elements] == ["div", "hr"]


def test_the_first_element_is_found_by_tag_and_class() -> None:
    tree = tree_of('<div><p>one</p><p class="x">two</p></div>')
    found = tree.first("p", "x")
    assert found is not None
    assert found.text == "two"
    assert tree.first("table") is None


def test_a_page_is_called_as_the_menu_calls_it(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<nav><a href="index.html" aria-current="page"> The\nfindings</a></nav><main id="main"><p>text</p></main>'
    )
    page = read_page(tmp_path, "index.html")
    assert (page.name, page.called, page.main.text) == ("index.html", "The findings", "text")


def test_a_page_without_content_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>text</p>")
    with pytest.raises(PageUnusable, match=r"index\.html: expected a page with an element <main>, got none"):
        read_page(tmp_path, "index.html")
