from __future__ import annotations

import pytest

from universal_neurons.render.escaping import Typst
from universal_neurons.render.html.tree import Element, PageContent, tree_of
from universal_neurons.render.pdf.markup import (
    PageUnprintable,
    Typesetting,
    anchors_of,
    formulas_of,
    printable_svg,
    references_of,
    widths,
)


def page(html: str, name: str = "paper.html") -> PageContent:
    return PageContent(name, "Name", Element("main", children=tree_of(html).children))


def setting(*pages: PageContent, formulas: dict[str, Typst] | None = None) -> Typesetting:
    anchors = frozenset(name for one in pages for name in anchors_of(one))
    return Typesetting(formulas or {}, anchors)


def typst(html: str, *others: PageContent) -> str:
    one = page(html)
    return " ".join(setting(one, *others).set_page(one).split())


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>a <em>b</em> <strong>c</strong></p>", "#prose[a #emph[b] #strong[c]]"),
        ("<p>a; <code>b_c</code>.</p>", r"#prose[a\; #mono[b\_c]\.]"),
        ("<h2>One</h2>", "#section(2)[One]"),
        ("<div class='lead'><p>x</p></div>", "#lead[#prose[x]]"),
        ("<div class='scroll'><p>x</p></div>", "#prose[x]"),
        ("<p class='source'>x</p>", "#aside[x]"),
        ("<ul><li>a</li><li>b</li></ul>", "#list([a], [b])"),
        ("<ol><li>a</li></ol>", "#enum([a])"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "#facts([a], [b])"),
        ("<pre><code>\na 'b'\n  c\n</code></pre>", "#listing(\"a 'b'\\n c\")"),
        ("<span class='verdict' data-verdict='refuted'>no</span>", '#verdict("refuted")[no]'),
        ("<span class='verdict same' data-reading='x' data-verdict='refuted'>no</span>", '#verdict("same")[no]'),
        ("<span class='interval'>x</span>", "#interval[x]"),
        ("<span class='whatever'>x</span>", "x"),
    ],
)
def test_elements_become_functions_of_the_look(html: str, expected: str) -> None:
    assert typst(html) == expected


@pytest.mark.parametrize(
    "html",
    [
        "<nav>x</nav>",
        "<details><summary>x</summary>y</details>",
        "<p class='crumbs'>x</p>",
        "<div class='filters' hidden><button>x</button></div>",
        "<div hidden>x</div>",
        "<span class='unseen'>x</span>",
        "<h1 class='title'>x</h1>",
        "<div id='refs'><div id='ref-x'>x</div></div>",
        "<script>x</script>",
    ],
)
def test_what_only_a_screen_can_do_is_left_out(html: str) -> None:
    assert typst(html) == ""


@pytest.mark.parametrize("html", ["<blink>x</blink>", "<p><blink>x</blink></p>", "<form class='a b'>x</form>"])
def test_what_has_no_rule_stops_the_build(html: str) -> None:
    with pytest.raises(PageUnprintable, match=r"paper\.html: the PDF has no rule for <(blink|form class=\"a b\")>"):
        typst(html)


def test_a_place_is_marked_and_a_link_to_it_leads_there() -> None:
    other = page("<p id='b'>x</p>", "claims/n1.html")
    said = typst(
        "<p id='a'>x</p><a href='#a'>1</a><a href='claims/n1.html#b'>2</a><a href='claims/n1.html'>3</a>", other
    )
    assert '#anchor("paper.html#a")#prose[x]' in said
    assert '#to("paper.html#a")[1]#to("claims/n1.html#b")[2]#to("claims/n1.html")[3]' in said


def test_a_page_in_a_folder_links_upwards() -> None:
    one, other = page("<a href='../paper.html'>x</a>", "claims/n1.html"), page("")
    assert setting(one, other).set_page(one) == '#to("paper.html")[x]'


@pytest.mark.parametrize(
    ("target", "text", "expected"),
    [
        ("https://example.org/a?b", "x", '#outward("https://example.org/a?b")[x]'),
        ("data/models.csv", "the list", '#beside("data/models.csv")[the list]'),
        ("data/models.csv", "data/models.csv", r"#mono[data\/models\.csv]"),
        ("#not-printed", "x", "x"),
        ("claims/n1.html", "x", "x"),
        ("javascript:alert(1)", "x", '#beside("alert(1)")[x]'),
    ],
)
def test_links_elsewhere(target: str, text: str, expected: str) -> None:
    assert typst(f'<a href="{target}">{text}</a>') == expected


def test_a_citation_leads_to_the_references_of_the_document() -> None:
    one = page("<a href='#ref-x'>X 2020</a><div id='refs'><div id='ref-x'><p>X.</p></div></div>")
    assert set(references_of(one)) == {"ref-x"}
    assert not any("ref-x" in name for name in anchors_of(one))
    known = Typesetting({}, frozenset({"references#ref-x"}))
    assert known.set_page(one) == '#to("references#ref-x")[X 2020]'


FIGURE = """
<figure id="fig-x" class="fig">
<div class="plot"><svg class="wide" aria-label="A &quot;line&quot;"><path fill="var(--blue, #0072b2)"/></svg>
<svg class="narrow" aria-label="small"><g/></svg></div>
<details class="data"><table><tr><td>1</td></tr></table><p class="source">Unrounded:
<a href="data/x.csv" download>data/x.csv</a>. Drawn by <code>render.f</code>, see
<a href="data/figures.csv" download>data/figures.csv</a>.</p></details>
<figcaption><p><strong>Figure 7.</strong> Words.</p></figcaption></figure>
"""


def test_a_figure_is_printed_once_with_its_caption_and_where_its_data_are() -> None:
    one = page(FIGURE)
    shared = setting(one)
    said = " ".join(shared.set_page(one).split())
    assert said == (
        '#plate("fig", caption: [#strong[Figure 7\\.] Words\\.], source: [#data("render.f", "data/x.csv")])'
        '[#anchor("paper.html#fig-x")#picture("drawings/paper-1.svg", alt: "A \\"line\\"")]'
    )
    assert list(shared.drawings) == ["paper-1.svg"]
    assert 'fill="#0072b2"' in shared.drawings["paper-1.svg"]


def test_figures_side_by_side_keep_their_key_and_their_places() -> None:
    said = typst(f'<div class="multiples"><ul class="key"><li>with b</li></ul>{FIGURE}</div>')
    assert said.startswith("#multiples([#key[#series[with b]]], [#plate(")
    assert "half: true)" in said
    assert '#anchor("paper.html#fig-x")' in said


def test_a_drawing_is_a_picture_of_its_own() -> None:
    shown = printable_svg('<svg class="wide"><path stroke="var(--ink, #1c1e22)" style="fill: var(--x, #fff)"/></svg>')
    assert shown.startswith('<svg font-family="Inter" xmlns="http://www.w3.org/2000/svg" class="wide">')
    assert "var(" not in shown
    assert 'stroke="#1c1e22" style="fill: #fff"' in shown
    written = '<svg viewbox="0 0 1 1"><clippath id="a"/><text>a viewbox </text></svg>'
    assert 'viewBox="0 0 1 1"' in printable_svg(written)
    assert '<clipPath id="a"/><text>a viewbox </text>' in printable_svg(written)
    assert printable_svg('<svg xmlns="http://www.w3.org/2000/svg"/>').count("xmlns=") == 1


def test_small_drawings_stand_in_their_line_and_hidden_ones_are_not_read_aloud() -> None:
    assert 'alt: "A strip")' in typst('<svg class="strip" width="180" aria-label="A strip"></svg>')
    assert typst('<svg class="mark" viewBox="0 0 150 16" aria-hidden="true"></svg>').endswith(", 150, alt: none)")


TABLE = """
<table class="cases"><caption>Cases</caption>
<thead><tr><th scope="col">name</th><th class="number">share</th></tr></thead>
<tbody><tr class="marked"><th scope="row">a</th><td class="number">1.5<span class="interval">[1, 2]</span></td></tr>
<tr><td colspan="2">whole</td></tr></tbody></table>
"""


def test_a_table_has_its_head_its_rows_and_numbers_to_the_right() -> None:
    said = typst(TABLE)
    assert said == (
        '#sheet(kinds: ("cases", ), caption: [Cases], columns: (auto, auto, ), align: (left, right, ), '
        "head: ([name], [share], ), rows: ( "
        '("marked", [#rowname[a]], [1\\.5#origin[\\[1\\, 2\\]]], ), '
        '("", table.cell(colspan: 2)[whole], ), ), )'
    )


def test_a_table_may_break_over_pages() -> None:
    """A figure is set in one piece, so a table taken for one would lose the rows below the first page."""
    said = typst(f'<figure class="tbl"><figcaption>Table 1.</figcaption>{TABLE}</figure>')
    assert '#plate("tbl", caption: [Table 1\\.]' in said
    assert "[#rowname[a]]" in said


def cells(*texts: str) -> list[Element]:
    return [only for text in texts for only in tree_of(f"<td>{text}</td>").elements]


def test_columns_are_as_wide_as_their_words_or_share_what_is_left() -> None:
    short, long = "x" * 20, "word " * 40
    assert widths([cells(short, long, "y" * 40), cells("a", "b", "c")]) == ["auto", "72fr", "40fr"]
    assert widths([cells(f"{short}<span class='origin'>{short}</span>")]) == ["auto"]
    assert widths([tree_of(f"<td colspan='2'>{'x' * 60}</td>").elements, cells("a", "b")]) == ["auto", "auto"]


MATH = '<math display="block"><mi>i</mi><annotation encoding="application/x-tex">\\rho_i</annotation></math>'


def test_a_formula_is_that_of_its_tex_source() -> None:
    one = page(MATH)
    assert list(formulas_of(one)) == [r"\rho_i"]
    known = setting(one, formulas={r"\rho_i": Typst("$rho_i$")})
    assert known.set_page(one) == r'#formula("\\rho_i", true, $rho_i$)'
    with pytest.raises(PageUnprintable, match=r"paper\.html: expected a formula with its TeX source, got 'i"):
        setting(one).set_page(one)
