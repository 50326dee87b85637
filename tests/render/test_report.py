from __future__ import annotations

import dataclasses
import html
import math
import os
import re
import shutil
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.render.fakes import CHECKOUT, FakeStudy, control, fake_records, record, write_log
from tests.render.neurons import local_text
from universal_neurons.evidence.criteria import GreaterThan
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.registration import FILE as REGISTRATIONS
from universal_neurons.evidence.untested import read_untested
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.files import aside
from universal_neurons.measurement import Measurement, Over
from universal_neurons.render import build_report
from universal_neurons.render.evidence_log import EvidenceUnusable
from universal_neurons.render.formatting import decimal
from universal_neurons.render.html.checks import CheckedPage, ReportBroken
from universal_neurons.render.html.engines import RenderingFailed
from universal_neurons.render.report import ReportMisplaced, page_head
from universal_neurons.render.templates import TemplateWrong

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.render.pages.paper import Groups
    from universal_neurons.render.results import Results

PAGES = ("index", "paper", "parent", "mechanisms", "claims", "readings", "methods")


def build(root: Path, name: str, records: list[EvidenceRecord] | None = None, study: FakeStudy | None = None) -> Path:
    evidence = write_log(root.parent / f"{name}-log", fake_records() if records is None else records)
    page = build_report(
        study or FakeStudy(),
        root=root,
        text=local_text(),
        output=root.parent / name,
        verdicts=evidence,
        engine="pandoc",
    )
    return page.parent


def text_of(page: Path) -> str:
    body = page.read_text(encoding="utf-8").partition("<main")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ").split())


def test_the_front_page_says_what_was_found(report: Path) -> None:
    said = text_of(report / "index.html")
    assert said.index("It did not measure GPT-2 Small") < said.index("Emergence") < said.index("Of 8 claims, 1 is")
    assert "4.74 % at 100k steps and 5.71 % at 300k steps" in said
    assert "over 80 % from one checkpoint to the next" in said
    assert re.search(r"the loss of model a at 100 % of the training rises by \d\.\d+ nats \[", said)
    assert "Of 8 claims, 1 is reproduced, 2 are refuted" in said


def test_every_figure_has_its_drawings_its_data_and_its_file(report: Path) -> None:
    pages = {name: (report / f"{name}.html").read_text(encoding="utf-8") for name in PAGES}
    places = dict.fromkeys(("layers", "thresholds", "readings", "partners"), "paper") | {"training": "methods"}
    for name, page in places.items():
        html = pages[page]
        block = html[html.index(f'<figure id="fig-{name}"') :].partition("</figure>")[0]
        assert block.count('<svg class="wide"') == 1
        assert block.count('<svg class="narrow"') == 1
        assert "<details" in block
        assert f'href="data/{name}.csv"' in block
        assert len(pd.read_csv(report / "data" / f"{name}.csv")) >= 16


def test_the_csv_of_table_1_has_ours_beside_the_published(report: Path) -> None:
    table = pd.read_csv(report / "data" / "table-one.csv")
    assert len(table) == 12
    assert table["published for GPT-2 Small"].dropna().tolist() == [
        9.58,
        10.99,
        11.33,
        4.74,
        5.56,
        5.71,
        2.0,
        2.35,
        2.41,
    ]
    assert (table["low"] <= table["share"]).all()
    assert (table["share"] <= table["high"]).all()


SHOWN = {
    "G6": "vacuous", "G7": "error", "N1": "reproduced", "N2": "inconclusive", "N3": "refuted",
    "N5": "inconclusive", "N6": "refuted", "V5": "not_evaluated",
}  # fmt: skip


def test_every_claim_is_in_the_list_under_the_anchor_that_older_links_use(report: Path) -> None:
    page = CheckedPage.read(report / "claims.html")
    assert dict(page.verdicts) == SHOWN
    for claim in SHOWN:
        assert f"claim-{claim.lower()}" in page.ids
        assert f"claims/{claim.lower()}.html" in page.links


def test_every_claim_has_a_page_with_its_verdict(report: Path) -> None:
    assert sorted(path.stem for path in (report / "claims").iterdir()) == sorted(name.lower() for name in SHOWN)
    for claim, verdict in SHOWN.items():
        assert set(CheckedPage.read(report / "claims" / f"{claim.lower()}.html").verdicts) == {(claim, verdict)}


def test_a_claims_page_says_what_was_measured_what_controls_showed_and_how_to_run_it(report: Path) -> None:
    said = text_of(report / "claims" / "n2.html")
    assert "Inconclusive: the interval crosses the bound of the criterion" in said
    assert "Its 12 cases:" in said
    assert "nox -s claims -- --claims N2 --suite mini" in said
    assert "pytest claims --claims N2 --suite mini" in said
    assert "no, as required, in all 12 cases" in said
    assert "universality (1)" in said
    assert "No control was run." in text_of(report / "claims" / "n3.html")
    assert "in 1 of 1 case: vacuous there" in text_of(report / "claims" / "g6.html")
    assert "The one case is without a number: ZeroDivisionError" in text_of(report / "claims" / "g7.html")


def test_the_page_of_readings_puts_every_reading_beside_the_default(report: Path) -> None:
    page = CheckedPage.read(report / "readings.html")
    assert dict(page.parts) == {
        "reading N1/test_on_average": "refuted",
        "reading N2/test_n2_on_average": "inconclusive",
    }
    said = text_of(report / "readings.html")
    assert "Of 2 readings, 1 would change the verdict on the claim (N1)." in said
    assert "A1: Is a neuron universal against one partner, or on average?" in said
    assert "1 reading would change the verdict." in text_of(report / "claims" / "n1.html")


def test_what_is_not_tested_is_listed_with_its_reason(report: Path) -> None:
    said = text_of(report / "claims.html")
    for one in read_untested(CHECKOUT / "claims" / "untested.toml"):
        assert " ".join(one.statement.split()) in said
        assert " ".join(one.reason.split()) in said


def test_the_scoreboard_is_whole_and_readable_without_its_script(report: Path) -> None:
    html = (report / "index.html").read_text(encoding="utf-8")
    assert '<div class="filters" id="filters"' in html
    assert re.search(r'<div class="filters"[^>]* hidden', html)
    table = html[html.index('id="scoreboard"') :].partition("</table>")[0]
    assert re.findall(r'href="claims/(\w+)\.html"', table) == [
        "g6", "g7", "n1", "n2", "n3", "n5", "n6", "v5",
    ]  # fmt: skip
    assert " hidden" not in table


def test_every_page_runs_the_same_script_and_only_that(report: Path) -> None:
    paths = [*report.glob("*.html"), *report.glob("claims/*.html")]
    # The explorer has a script of its own, which test_explorer.py is about.
    pages = [CheckedPage.read(path) for path in paths if path.name != "neurons.html"]
    assert len({page.policy for page in pages}) == 1
    assert {len(page.scripts) for page in pages} == {1}
    assert 'getElementById("scoreboard")' in pages[0].scripts[0].text


def test_the_methods_page_says_what_was_computed_from_what(report: Path) -> None:
    said = text_of(report / "methods.html")
    for part in ("wheels", "a1a1a1a1a1a1", "torch 2.10.0", "d4d4d4d4d4d4"):
        assert part in said
    assert len(pd.read_csv(report / "data" / "models.csv")) == 20
    assert set(pd.read_csv(report / "data" / "artifacts.csv")["stage"]) == {"corpus", "universality"}


@pytest.mark.usefixtures("measured_once")
@pytest.mark.parametrize("suite", ["mini", "another"])
def test_claims_that_the_run_left_out_are_counted_and_named(root: Path, suite: str) -> None:
    accepted = {name: {"": Verdict.REPRODUCED} for name in ("N1", "N99", "N10")}
    Ledger(accepted).write(root / "fixtures" / "verdicts" / f"{suite}.toml", suite)
    # The registrations of rules lie beside the ledgers.
    shutil.copy(CHECKOUT / "fixtures" / "verdicts" / REGISTRATIONS, root / "fixtures" / "verdicts")
    said = text_of(build(root, "built") / "index.html")
    assert "Of the project's 10 claims, 2 were not run: N10 and N99." in said


def test_a_run_of_all_claims_says_nothing_about_others(report: Path) -> None:
    said = text_of(report / "index.html")
    assert "not run" not in said
    assert "not part of this run" not in said


@pytest.mark.usefixtures("measured_once")
def test_claims_without_an_end_or_beyond_all_axes_are_shown(root: Path) -> None:
    ends = [(-math.inf, 0.5, math.inf), (1.0, math.inf, math.inf), (1e299, 1e300, 1.7e308), (0.4, 0.5, 0.6)]
    measured = [
        Measurement(value, low, high, 10, Over.NEURONS, details={"ratio": math.inf}) for low, value, high in ends
    ]
    mirrored = [dataclasses.replace(m, value=-m.value, low=-m.high, high=-m.low) for m in measured]
    alone = [
        record(f"X{i}", GreaterThan(0.0), m, controls=(control(Verdict.REFUTED, other),))
        for i, (m, other) in enumerate(zip(measured, mirrored, strict=True))
    ]
    together = [record("X9", GreaterThan(0.0), m, parameters={"case": i}) for i, m in enumerate(measured)]
    built = build(root, "built", [*fake_records(), *alone, *together])
    said = text_of(built / "index.html")
    for written in ("0.50 [\u2212\u221e, \u221e]", "\u221e [1.00, \u221e]", "1.0e+300 [1.0e+299, 1.7e+308]"):
        assert written in said
    assert "to \u221e [\u2212\u221e, \u221e] over 4 cases" in said
    assert "\u221e" in text_of(built / "claims" / "x9.html")


def line_with(name: str, words: str) -> str:
    """The number of the first line of a template of ours that has ``words``."""
    lines = (CHECKOUT / "report" / name).read_text(encoding="utf-8").splitlines()
    return str(next(number for number, line in enumerate(lines, start=1) if words in line))


def change(root: Path, name: str, old: str, new: str) -> None:
    path = root / "report" / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("new", "error", "fault"),
    [
        ("<< nothing >>", TemplateWrong, r"paper\.qmd\.j2:\d+: 'nothing' is undefined"),
        ("<< figures.nothing >>", TemplateWrong, r"paper\.qmd\.j2:\d+: .*no attribute 'nothing'"),
        ("About 5 % are.", TemplateWrong, r"paper\.qmd\.j2:LINE: 5 %: a template states a number"),
        ("Five claims are refuted.", TemplateWrong, r"paper\.qmd\.j2:LINE: Five .* refuted\.: .*states a verdict"),
        ("<< numbers.nothing >>", TemplateWrong, r"paper\.qmd\.j2:LINE: .*no attribute 'nothing'"),
        ("See @fig-nothing.", RenderingFailed, r"paper\.qmd .*citation fig-nothing not found"),
        ("![A picture](nothing.svg)", ReportBroken, r"paper\.html:\d+: src of <img> makes a request .*: nothing\.svg"),
        ("As @nobody2020 says.", RenderingFailed, r"paper\.qmd .*citation nobody2020 not found"),
        ("[x](nothing.html)", ReportBroken, r"paper\.html:\d+: link to a file that is not there: nothing\.html"),
        (
            '[It]{data-claim="N1" data-verdict="refuted"}',
            ReportBroken,
            r"paper\.html:\d+: claim N1 is shown as 'refuted', the evidence says 'reproduced'",
        ),
    ],
)
@pytest.mark.usefixtures("measured_once")
def test_a_fault_in_a_template_stops_the_build_and_leaves_the_last_report(
    root: Path, new: str, error: type[Exception], fault: str
) -> None:
    output = root.parent / "built"
    # As a killed build leaves it: the old report aside, its own unfinished.
    (aside(output) / "source").mkdir(parents=True)
    (aside(output) / "source" / "_quarto.yml").touch()
    (root.parent / ".report-1" / "report").mkdir(parents=True)
    os.utime(root.parent / ".report-1", (0, 0))
    change(root, "paper.qmd.j2", "The threshold is a convention.", new)
    line = line_with("paper.qmd.j2", "The threshold is a convention.")
    with pytest.raises(error, match=fault.replace("LINE", line)):
        build(root, "built")
    assert [path.name for path in output.rglob("*")] == ["source", "_quarto.yml"]
    assert [path.name for path in root.parent.iterdir() if path.name.startswith(".report-")] == []


@pytest.mark.usefixtures("measured_once")
def test_pages_that_fail_a_check_are_kept_until_a_build_is_sound(root: Path) -> None:
    written = '[It]{data-claim="N1" data-verdict="refuted"}'
    change(root, "paper.qmd.j2", "The threshold is a convention.", written)
    with pytest.raises(ReportBroken) as broken:
        build(root, "built")
    kept = root.parent / "built.broken"
    assert str(kept) in str(broken.value)
    (fault,) = [one for one in broken.value.faults if "says 'it'" in one]
    line = int(re.search(r"paper\.html:(\d+): ", fault)[1])  # type: ignore[index]
    assert 'data-claim="N1"' in (kept / "paper.html").read_text(encoding="utf-8").splitlines()[line - 1]
    change(root, "paper.qmd.j2", written, "The threshold is a convention.")
    build(root, "built")
    assert not kept.exists()


@pytest.mark.usefixtures("measured_once")
@pytest.mark.parametrize(
    ("template", "written", "page"),
    [
        ("index.qmd.j2", "<< summary >>", "index.html"),
        ("readings.qmd.j2", "<< summary >>", "readings.html"),
        ("claim.qmd.j2", "<< outcome >>", "claims/g6.html"),
    ],
)
def test_a_page_without_its_sentence_on_the_verdicts_is_not_built(
    root: Path, template: str, written: str, page: str
) -> None:
    change(root, template, written, "Nothing.")
    with pytest.raises(ReportBroken, match=rf"{re.escape(page)}: does not say: "):
        build(root, "built")


def test_a_number_that_is_not_there_names_the_line_that_asks_for_it(
    root: Path, found: Results, drawn: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("universal_neurons.render.report.results", lambda *_: found)
    monkeypatch.setattr("universal_neurons.render.pages.index.with_interval", lambda *_: decimal(math.inf, 2))
    monkeypatch.setattr("universal_neurons.render.report.drawn_figures", lambda _: drawn)
    line = line_with("index.qmd.j2", "finding in findings")
    with pytest.raises(TemplateWrong, match=rf"index\.qmd\.j2:{line}: findings: a number .* with 2 decimals is inf"):
        build(root, "built")


def test_a_folder_that_is_no_report_is_not_replaced(root: Path) -> None:
    (root.parent / "built").mkdir()
    (root.parent / "built" / "precious.txt").touch()
    with pytest.raises(ReportMisplaced, match="holds something that is not a report"):
        build(root, "built")


@pytest.mark.usefixtures("measured_once")
def test_a_report_is_replaced_by_the_next_one(root: Path) -> None:
    old = root.parent / "built" / "source"
    old.mkdir(parents=True)
    (old / "_quarto.yml").touch()
    (old / "old.qmd").touch()
    assert build(root, "built") == old.parent
    assert not (old / "old.qmd").exists()
    assert (old / "index.qmd").is_file()


def test_a_checkout_without_report_sources_is_named(root: Path) -> None:
    (root / "report" / "page.html").unlink()
    with pytest.raises(ReportMisplaced, match=r"page\.html: missing"):
        build(root, "built")


@pytest.mark.usefixtures("measured_once")
def test_without_evidence_there_is_no_report(root: Path) -> None:
    with pytest.raises(EvidenceUnusable, match="no evidence log of a whole run here; run: pytest claims --suite mini"):
        build_report(FakeStudy(), root=root, text=local_text(), output=root.parent / "built")


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    "theme", [r":root \{", r':root\[data-theme="dark"\] \{', r':root:not\(\[data-theme="light"\]\) \{']
)
def test_text_has_a_contrast_of_at_least_4_5_in_every_theme(root: Path, theme: str) -> None:
    block = re.split(theme, page_head(root / "report"))[1].partition("}")[0]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
    for name in ("ink", "muted", "link", "good", "bad", "open", "void", "none"):
        for ground in ("paper", "wash"):
            light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)
