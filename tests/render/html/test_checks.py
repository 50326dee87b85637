from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import typst

from universal_neurons.render.html.checks import ReportBroken, Stated, check_pages, check_print, script_hash

if TYPE_CHECKING:
    from pathlib import Path

VERDICTS = {"N1": "reproduced"}


def page(body: str = "", *, script: str = "let x;", policy: str | None = None) -> str:
    rule = f"default-src 'none'; script-src {script_hash(script)}" if policy is None else policy
    return (
        f'<!DOCTYPE html><html><head><meta http-equiv="Content-Security-Policy" content="{rule}">'
        f"<script>{script}</script></head><body><main id='main'>"
        f'<span data-claim="N1" data-verdict="reproduced">reproduced</span>\n{body}</main></body></html>'
    )


def check(folder: Path, text: str) -> None:
    (folder / "index.html").write_text(text, encoding="utf-8")
    check_pages(folder, VERDICTS)


def test_a_sound_page_passes(tmp_path: Path) -> None:
    (tmp_path / "data.csv").touch()
    links = '<a href="#main">a</a><a href="index.html#main">b</a><a href="data.csv">c</a><a href="https://example.org">d</a>'
    table = '<table><tr><th scope="col">x</th></tr></table><svg role="img" aria-label="x"><use href="#main"/></svg>'
    check(tmp_path, page(f'{links}{table}<br><img src="data:image/png;base64," alt="x"><code>@fig-x</code>'))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<p>see ?@fig-x</p>", "unresolved reference"),
        ("<p>see @tbl-x</p>", "unresolved reference"),
        ("<p>says ???</p>", "unresolved reference"),
        ("<p>says. ## Models {#sec-models}</p>", "unresolved reference: {#sec-models"),
        ('<a href="#nowhere">x</a>', "link to a place that is not there: #nowhere"),
        ('<a href="index.html#nowhere">x</a>', "link to a place that is not there"),
        ('<a href="nothing.csv">x</a>', "link to a file that is not there: nothing.csv"),
        ('<a href="javascript:alert(1)">x</a>', "not allowed"),
        ('<img src="figure.svg" alt="x">', "makes a request"),
        ('<img alt="x" src="https://example.org/x.png">', "makes a request"),
        ('<img src="data:," alt="">', "image without alternative text"),
        ('<svg role="img"></svg>', "drawing without alternative text"),
        ("<svg aria-label='x'><image href='https://example.org/x.png'/></svg>", "not allowed"),
        ('<link rel="stylesheet" href="x.css">', "not allowed"),
        ("<style>@import 'x.css'</style>", "style sheet makes a request"),
        ("<style>p{background:url(https://example.org)}</style>", "style sheet makes a request"),
        ('<p style="background:url(x.png)">x</p>', "makes a request"),
        ("<iframe></iframe>", "has no place"),
        ('<p onclick="x()">x</p>', "runs a script"),
        ("<script>other()</script>", "policy does not name"),
        ("<table><tr><th>x</th></tr></table>", "table header without scope"),
        ('<p id="main">x</p>', "occurs 2 times"),
        ('<b data-claim="N1" data-verdict="refuted">x</b>', "claim N1 is shown as 'refuted'"),
        ('<b data-claim="N1" data-verdict="reproduced">refuted: no</b>', "a place for the verdict 'reproduced' says"),
        ('<b data-claim="N1" data-verdict="reproduced">not reproduced</b>', "says 'not reproduced'"),
        ('<b data-claim="N1" data-verdict="fine">fine</b>', "a place for the verdict 'fine' says 'fine'"),
        ('<a href="claims/n9.html">x</a>', "link to a file that is not there: claims/n9.html"),
        ('<b data-claim="N9" data-verdict="refuted">x</b>', "claim N9 is shown as 'refuted', the evidence says None"),
    ],
)
def test_a_fault_is_named_with_its_page(tmp_path: Path, body: str, fault: str) -> None:
    with pytest.raises(ReportBroken) as broken:
        check(tmp_path, page(body))
    assert re.search(rf"(?m)^  index\.html:[12]: .*{re.escape(fault)}", str(broken.value))


def test_a_claim_that_no_page_shows_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page(), encoding="utf-8")
    with pytest.raises(ReportBroken, match="claim N2 is in the evidence and on no page"):
        check_pages(tmp_path, {**VERDICTS, "N2": "refuted"})


def test_a_page_without_a_policy_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ReportBroken, match="no content security policy"):
        check(tmp_path, page(policy="script-src 'unsafe-inline'"))


def test_a_report_without_a_first_page_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ReportBroken, match=r"no index\.html"):
        check_pages(tmp_path, {})


def test_what_a_claim_says_may_look_like_a_reference(tmp_path: Path) -> None:
    check(tmp_path, page('<div class="claim quoted"><p>?@fig-x</p></div>'))


def test_a_page_without_a_required_figure_is_broken(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page('<figure id="fig-paper-1"></figure>'), encoding="utf-8")
    check_pages(tmp_path, VERDICTS, {"index.html": ("fig-paper-1",)})
    with pytest.raises(ReportBroken, match=r"index\.html: the figure or table fig-paper-2 is missing"):
        check_pages(tmp_path, VERDICTS, {"index.html": ("fig-paper-1", "fig-paper-2")})
    with pytest.raises(ReportBroken, match=r"paper\.html: the figure or table fig-paper-1 is missing"):
        check_pages(tmp_path, VERDICTS, {"paper.html": ("fig-paper-1",)})


def stated_page(folder: Path, body: str, stated: Stated) -> None:
    (folder / "claims").mkdir(exist_ok=True)
    (folder / "index.html").write_text(page(), encoding="utf-8")
    (folder / "claims" / "n1.html").write_text(page(body), encoding="utf-8")
    check_pages(folder, VERDICTS, stated=stated)


def test_the_verdict_of_a_reading_and_of_a_case_is_that_of_the_evidence(tmp_path: Path) -> None:
    stated = Stated(parts={"reading N1/test_x": "refuted", "case N1/0": "reproduced"})
    reading = '<b data-reading="N1/test_x" data-verdict="refuted">✕refuted</b>'
    case = '<b data-case="N1/0" data-verdict="reproduced"><i>● </i>reproduced</b>'
    stated_page(tmp_path, reading + case, stated)
    wrong = reading.replace("refuted", "vacuous").replace("✕", "")
    with pytest.raises(ReportBroken, match="reading N1/test_x is shown as 'vacuous', the evidence says 'refuted'"):
        stated_page(tmp_path, wrong, stated)
    with pytest.raises(ReportBroken, match="case N1/7 is shown as 'reproduced', the evidence says None"):
        stated_page(tmp_path, case.replace("N1/0", "N1/7"), stated)


def test_a_claim_without_its_page_is_a_fault(tmp_path: Path) -> None:
    stated_page(tmp_path, "", Stated(pages={"claims/n1.html": "N1"}))
    with pytest.raises(ReportBroken, match=r"claim N2 has no page claims/n2\.html"):
        stated_page(tmp_path, "", Stated(pages={"claims/n2.html": "N2"}))
    with pytest.raises(ReportBroken, match=r"claims/n1\.html: the page of claim N2 does not state its verdict"):
        stated_page(tmp_path, "", Stated(pages={"claims/n1.html": "N2"}))


def test_a_sentence_that_the_evidence_does_not_give_is_a_fault(tmp_path: Path) -> None:
    stated = Stated(sentences={"claims/n1.html": ["Of 2 claims, 1 is refuted (N1)."]})
    stated_page(tmp_path, "<p>Of 2 claims,\n1 is refuted (N1).</p>", stated)
    with pytest.raises(ReportBroken, match="does not say: Of 2 claims"):
        stated_page(tmp_path, "<p>Of 2 claims, 2 are refuted.</p>", stated)


def test_links_of_a_page_in_a_folder_are_read_from_there(tmp_path: Path) -> None:
    stated_page(tmp_path, '<a href="../index.html#main">a</a><a href="n1.html#main">b</a>', Stated())
    with pytest.raises(ReportBroken, match=r"claims/n1\.html:2: link to a file that is not there: index\.html"):
        stated_page(tmp_path, '<a href="index.html">a</a>', Stated())
    with pytest.raises(ReportBroken, match=r"link to a place that is not there: \.\./index\.html#x"):
        stated_page(tmp_path, '<a href="../index.html#x">a</a>', Stated())


@pytest.mark.parametrize(
    ("place", "is_there"),
    [
        ("a:L2.17", True),
        ("a:L2.18", False),
        ("a:L3.0", False),
        ("b:L0.0", False),
        ("a%20b:L0.0", True),
        ("L0.0", False),
        ("a:l0.0", False),
        ("?model=a&layer=2&least=1&above=0.5", True),
        ("?model=a%20b", True),
        ("?model=b", False),
        ("?model=a&layer=3", False),
        ("?model=a&other=1", False),
        ("?layer=0", False),
    ],
)
def test_a_link_into_the_explorer_leads_to_a_neuron_or_a_list_that_is_there(
    tmp_path: Path, place: str, is_there: bool
) -> None:
    (tmp_path / "neurons.html").write_text(page(), encoding="utf-8")
    (tmp_path / "index.html").write_text(page(f'<a href="neurons.html#{place}">x</a>'), encoding="utf-8")
    stated = Stated(neurons={"a": (20, 20, 18), "a b": (3,)})
    if is_there:
        check_pages(tmp_path, VERDICTS, stated=stated)
    else:
        with pytest.raises(ReportBroken, match=rf"index\.html:2: .* not there: neurons\.html#{re.escape(place)}"):
            check_pages(tmp_path, VERDICTS, stated=stated)


def test_only_the_explorer_has_places_that_come_about_in_a_browser(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page('<a href="#a:L0.0">x</a>'), encoding="utf-8")
    with pytest.raises(ReportBroken, match="link to a place that is not there"):
        check_pages(tmp_path, VERDICTS, stated=Stated(neurons={"a": (5,)}))


@pytest.mark.parametrize(
    "directive",
    [
        "script-src 'unsafe-inline'",
        "connect-src https://example.org",
        "img-src *",
        "script-src 'unsafe-eval'",
        "x wss:",
    ],
)
def test_a_policy_that_allows_a_request_or_any_script_is_a_fault(tmp_path: Path, directive: str) -> None:
    rule = f"default-src 'none'; style-src 'unsafe-inline'; script-src {script_hash('let x;')}"
    check(tmp_path, page(policy=rule))
    with pytest.raises(ReportBroken, match=rf"the policy's {directive.split()[0]} allows"):
        check(tmp_path, page(policy=f"{rule}; {directive}"))


def test_a_name_may_look_like_a_reference_and_a_reference_may_not_look_like_a_name(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page("<p>model @fig-x</p>"), encoding="utf-8")
    check_pages(tmp_path, VERDICTS, stated=Stated(names=("a @fig-x b",)))
    with pytest.raises(ReportBroken, match="unresolved reference: @fig-x"):
        check_pages(tmp_path, VERDICTS, stated=Stated(names=("a", "fig-x")))


def test_the_line_of_a_fault_inside_a_text_is_where_its_element_begins(tmp_path: Path) -> None:
    with pytest.raises(ReportBroken, match=r"index\.html:2: unresolved reference: \?@fig-x"):
        check(tmp_path, page("<p>one\ntwo\nsee ?@fig-x</p>"))


def test_a_verdict_is_compared_as_a_reader_finds_the_name_of_its_claim(tmp_path: Path) -> None:
    shown = '<b data-claim="N\u27e8U+202E\u27e91" data-verdict="refuted">refuted</b>'
    (tmp_path / "index.html").write_text(page(shown), encoding="utf-8")
    check_pages(tmp_path, {**VERDICTS, "N\u202e1": "refuted"})
    with pytest.raises(ReportBroken, match="is shown as 'refuted', the evidence says 'vacuous'"):
        check_pages(tmp_path, {**VERDICTS, "N\u202e1": "vacuous"})


def test_a_row_or_a_label_that_a_page_does_not_have_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page("<table><tr><td>N1</td><td>Few <b>are</b>.</td></tr></table>"))
    check_pages(tmp_path, VERDICTS, stated=Stated(listed={"index": ("N1 Few are.",)}))
    with pytest.raises(ReportBroken, match=r"index\.html: does not list: N2 Few are\."):
        check_pages(tmp_path, VERDICTS, stated=Stated(listed={"index": ("N2 Few are.",)}))
    with pytest.raises(ReportBroken, match=r"paper\.html: does not list: Figure 1\."):
        check_pages(tmp_path, VERDICTS, stated=Stated(listed={"paper": ("Figure 1.",)}))


@pytest.mark.parametrize(("breakable", "is_whole"), [("true", True), ("false", False)])
def test_a_row_that_the_pdf_lost_is_a_fault(tmp_path: Path, breakable: str, is_whole: bool) -> None:
    """Rows below the end of a page are lost where the block around a table may not break, with exit status 0."""
    rows = [f"N{number} emergence A statement." for number in range(60)]
    cells = ", ".join(f"[{row}]" for row in rows)
    source = f"#set page(height: 10cm)\n#block(breakable: {breakable}, table(columns: 1, {cells}))"
    (tmp_path / "x.typ").write_text(source, encoding="utf-8")
    typst.compile(tmp_path / "x.typ", output=tmp_path / "x.pdf")
    if is_whole:
        check_print(tmp_path / "x.pdf", {"index": rows})
    else:
        with pytest.raises(ReportBroken, match=r"x\.pdf: does not list: N59 emergence A statement\."):
            check_print(tmp_path / "x.pdf", {"index": rows})
