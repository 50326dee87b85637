from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from universal_neurons.render.checks import ReportBroken, Stated, check_pages, script_hash

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
    assert re.search(rf"(?m)^  index\.html:2: .*{re.escape(fault)}", str(broken.value))


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
