from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.render.fakes import CHECKOUT, FakeStudy, fake_records, fake_suite, record, write_log
from tests.render.neurons import local_text
from tests.render.payloads import PAYLOADS
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.record import ControlResult
from universal_neurons.evidence.untested import read_untested
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render import build_report
from universal_neurons.render.checks import Page
from universal_neurons.render.engines import RenderingFailed
from universal_neurons.render.evidence_log import EvidenceUnusable
from universal_neurons.render.report import ReportMisplaced, page_head
from universal_neurons.render.templates import TemplateWrong

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from pathlib import Path

    from universal_neurons.evidence.record import EvidenceRecord

PAGES = ("index", "paper", "claims", "readings", "methods")


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
    html = page.read_text(encoding="utf-8").partition("<main")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace("\u00a0", " ").split())


def test_the_front_page_says_what_was_found(report: Path) -> None:
    said = text_of(report / "index.html")
    assert "8 claims about universal neurons were put to the test on 5 models" in said
    assert "21 measurements, each with an interval" in said
    assert "Of 8 claims, 1 is reproduced (N1), 2 are refuted (N3 and N6)" in said
    assert "the paper printed 4.74 % at 100k and 5.71 % at 300k" in said
    assert "9.58" in said
    assert "11.33" in said


def test_every_figure_has_its_drawings_its_data_and_its_file(report: Path) -> None:
    pages = {name: (report / f"{name}.html").read_text(encoding="utf-8") for name in PAGES}
    places = dict.fromkeys(("layers", "thresholds", "readings", "partners"), "paper") | {"training": "index"}
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
    assert table["published for GPT-2 small"].dropna().tolist() == [
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
    page = Page.read(report / "claims.html")
    assert dict(page.verdicts) == SHOWN
    for claim in SHOWN:
        assert f"claim-{claim.lower()}" in page.ids
        assert f"claims/{claim.lower()}.html" in page.links


def test_every_claim_has_a_page_with_its_verdict(report: Path) -> None:
    assert sorted(path.stem for path in (report / "claims").iterdir()) == sorted(name.lower() for name in SHOWN)
    for claim, verdict in SHOWN.items():
        assert set(Page.read(report / "claims" / f"{claim.lower()}.html").verdicts) == {(claim, verdict)}


def test_a_claims_page_says_what_was_measured_what_controls_showed_and_how_to_run_it(report: Path) -> None:
    said = text_of(report / "claims" / "n2.html")
    assert "Inconclusive: the uncertainty reaches across the border of the criterion" in said
    assert "Its 12 cases:" in said
    assert "nox -s claims -- -k test_share --suite mini" in said
    assert "pytest claims/emergence/test_share.py --suite mini" in said
    assert "no, as it must, in all 12 cases" in said
    assert "universality (1)" in said
    assert "No control was run." in text_of(report / "claims" / "n3.html")
    assert "in 1 of 1 case: vacuous there" in text_of(report / "claims" / "g6.html")
    assert "The one case is without a number: ZeroDivisionError" in text_of(report / "claims" / "g7.html")


def test_the_page_of_readings_puts_every_reading_beside_the_default(report: Path) -> None:
    page = Page.read(report / "readings.html")
    assert dict(page.parts) == {"reading N1/test_on_average": "refuted", "reading N2/test_on_average": "inconclusive"}
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
    pages = [Page.read(path) for path in paths if path.name != "neurons.html"]
    assert len({page.policy for page in pages}) == 1
    assert {len(page.scripts) for page in pages} == {1}
    assert 'getElementById("scoreboard")' in pages[0].scripts[0]


def test_the_methods_page_says_what_was_computed_from_what(report: Path) -> None:
    said = text_of(report / "methods.html")
    for part in ("wheels", "a1a1a1a1a1a1", "61.5 s", "2.00 GiB", "torch 2.10.0", "2025-11-20", "d4d4d4d4d4d4"):
        assert part in said
    assert len(pd.read_csv(report / "data" / "models.csv")) == 20
    assert set(pd.read_csv(report / "data" / "artifacts.csv")["stage"]) == {"corpus", "universality"}


def test_two_builds_are_the_same_bytes(report: Path, root: Path) -> None:
    again = build(root, "again")
    files = sorted(path.relative_to(report) for path in report.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [path for path in files if (report / path).read_bytes() != (again / path).read_bytes()] == []


def hostile(text: str, number: int) -> EvidenceRecord:
    # A line separator ends a line of the evidence log for its reader; the other places of the report get it.
    payload = text.replace("\u2028", " ").replace("\u2029", " ")
    return record(
        f"N{number}",
        statement=payload,
        source=payload,
        parameters={payload: payload},
        verdict=Verdict.ERROR,
        reason=payload,
        locator=payload,
        promise=payload,
        family=payload,
    )


def hostile_reading(text: str, number: int) -> EvidenceRecord:
    payload = text.replace("\u2028", " ").replace("\u2029", " ")
    test = f"claims/x.py::test_reading_{number}"
    return replace(hostile(text, number), role="reading", test=test, ambiguity="A1", says=payload)


def hostile_measured(text: str, number: int) -> EvidenceRecord:
    payload = text.replace("\u2028", " ").replace("\u2029", " ")
    unit = fake_records()[0].measurement
    guard = ControlResult(f"claims/x.py::test_{payload}", Verdict.REFUTED, payload, None)
    return replace(
        hostile(text, number), verdict=Verdict.REPRODUCED, measurement=unit, controls=(guard,), item="measured",
        test=f"claims/x.py::test_measured_{number}",
    )  # fmt: skip


def hostile_log(texts: Sequence[str]) -> list[EvidenceRecord]:
    kinds = (hostile, hostile_measured, hostile_reading)
    return [one(text, i) for i, text in enumerate(texts) for one in kinds]


def structure(folder: Path) -> dict[str, tuple[Counter[str], Counter[str]]]:
    paths = [folder / f"{name}.html" for name in PAGES] + sorted((folder / "claims").iterdir())
    pages = {path.relative_to(folder).as_posix(): Page.read(path) for path in paths}
    return {name: (page.elements, page.attributes) for name, page in pages.items()}


def test_hostile_texts_leave_no_new_element_and_no_new_attribute(root: Path) -> None:
    everything = " ".join(PAYLOADS)
    tame = build(root, "tame", hostile_log(["tame"] * len(PAYLOADS)))
    suite = fake_suite(title=everything, description=everything)
    wild = build(root, "wild", hostile_log(PAYLOADS), FakeStudy(suite))
    assert structure(wild) == structure(tame)
    for name in ("claims.html", "readings.html", "claims/n0.html"):
        assert "<script>alert(1)</script>" in text_of_entities(wild / name)


def text_of_entities(page: Path) -> str:
    return page.read_text(encoding="utf-8").replace("&lt;", "<").replace("&gt;", ">")


@pytest.mark.usefixtures("measured_once")
def test_a_claim_that_the_run_left_out_is_named(root: Path) -> None:
    ledger = root / "fixtures" / "verdicts" / "mini.toml"
    Ledger({"N1": {"": Verdict.REPRODUCED}, "N99": {"": Verdict.REFUTED}}).write(ledger, "mini")
    said = text_of(build(root, "built") / "index.html")
    assert "Not part of this run, although the suite has an accepted verdict on them: N99." in said


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
        ("About 5 % are.", TemplateWrong, r"paper\.qmd\.j2:\d+: 5 %: a template states a number"),
        ("See @fig-nothing.", RenderingFailed, "reference to nothing: @fig-nothing"),
        ("![A picture](nothing.svg)", RenderingFailed, r"image that is not there: nothing\.svg"),
        ("As @nobody2020 says.", RenderingFailed, "citation of nothing: @nobody2020"),
    ],
)
@pytest.mark.usefixtures("measured_once")
def test_a_fault_in_a_template_stops_the_build_and_leaves_the_last_report(
    root: Path, new: str, error: type[Exception], fault: str
) -> None:
    output = root.parent / "built"
    (output / "source").mkdir(parents=True)
    (output / "source" / "_quarto.yml").touch()
    change(root, "paper.qmd.j2", "No principle sets the threshold.", new)
    with pytest.raises(error, match=fault):
        build(root, "built")
    assert [path.name for path in output.rglob("*")] == ["source", "_quarto.yml"]
    assert [path.name for path in root.parent.iterdir() if path.name.startswith(".report-")] == []


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
    (root / "report" / "crossref.lua").unlink()
    with pytest.raises(ReportMisplaced, match=r"crossref\.lua: missing"):
        build(root, "built")


@pytest.mark.usefixtures("measured_once")
def test_without_evidence_there_is_no_report(root: Path) -> None:
    with pytest.raises(EvidenceUnusable, match="no evidence log here; run: pytest claims --suite mini"):
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
