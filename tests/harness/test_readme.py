from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.claims.declared import declared_in
from tests.evidence.records import record
from tests.harness.worlds import STATEMENT, claim_file
from tests.sources import ROOT
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.log import PARTIAL, EvidenceLog
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.readme import BEGIN, END, opening, readme_with, verdicts_text
from universal_neurons.harness.table import measured_cell
from universal_neurons.measurement import Measurement, Over

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.projects import Project
    from universal_neurons.evidence.claim import ClaimKind

pytest_plugins = ("pytester",)

EMPTY = f"# Project\n\n{BEGIN}{END}\n\nProse.\n"


def block(text: str) -> str:
    return text.partition(BEGIN)[2].partition(END)[0]


def measured(*ends: tuple[float, float, float], unit: str = "share") -> list[Measurement]:
    return [Measurement(value, low, high, 9, Over.NEURONS, unit=unit) for low, value, high in ends]


@pytest.mark.parametrize(
    ("measurements", "cell"),
    [
        (measured((0.024, 0.03, 0.035), (0.03, 0.036, 0.041)), "3.0 to 3.6 % [2.4, 4.1]"),
        (measured((-0.0001, 0.0, 0.0019)), "0.0 % [0.0, 0.2]"),
        (measured((-3e-5, -3e-5, 2e-5)), "0.00 % [0.00, 0.00]"),
        (measured((-0.011, -0.0007, 0.008), unit="nats"), "-0.001 nats [-0.011, 0.008]"),
        (measured((0.13, 0.31, 4.7), unit="ratio"), "0.31 [0.13, 4.70]"),
        (measured((-0.001, -0.0003, 0.002), unit=""), "0.000 [-0.001, 0.002]"),
        (measured((0.1, 0.2, math.inf), unit=""), "0.20 [0.10, inf]"),
        ([], "nothing"),
        ([*measured((0, 0, 0)), *measured((0, 0, 0), unit="nats")], "several units"),
    ],
)
def test_measurements_are_shown_as_a_range_and_the_outermost_ends(measurements: list[Measurement], cell: str) -> None:
    assert measured_cell(measurements) == cell


def test_the_opening_sentence_counts_every_verdict_once() -> None:
    assert opening([*Verdict, Verdict.REFUTED]) == (
        "Of the eight claims about models, one is reproduced on the mini suite, two are refuted, one stays open "
        "because its intervals reach across the bound, one is vacuous because a control satisfies it too, one cannot "
        "be judged on it, one was judged by another criterion, and one has no verdict because its test failed."
    )


def test_a_bar_in_a_statement_ends_no_cell() -> None:
    (_, _, _, _, row, *_) = verdicts_text(summaries([record(statement="a | b")])).splitlines()
    assert "| a \\| b |" in row


def test_a_readme_without_markers_is_left_alone() -> None:
    for text in ("# Project\n", BEGIN, END, ""):
        assert readme_with(text, summaries([record()])) == text


def test_accepting_the_verdicts_of_a_whole_run_writes_the_table(project: Project) -> None:
    readme = project.root / "README.md"
    readme.write_text(EMPTY)
    project.write(claim_file(takes="study, partner"), claim_file("around(0.2)", id="N2", name="two"))
    project.run("claims", "--update-verdicts", "--claims", "N1")
    assert readme.read_text() == EMPTY
    result = project.run("claims", "--update-verdicts")
    result.stdout.fnmatch_lines(["table of verdicts rewritten: *README.md"])
    before, after = readme.read_text().split(block(readme.read_text()))
    assert (before + after) == EMPTY
    assert block(readme.read_text()).splitlines() == [
        "Of the two claims about models, one is reproduced on the mini suite, and one is refuted.",
        "",
        "| claim | statement | criterion on mini | measured, with the outermost interval ends | verdict |",
        "|---|---|---|---|---|",
        f"| N1 | {STATEMENT} | at most 0.05 | 0.02 [0.01, 0.03] | **reproduced** (2 cases) |",
        f"| N2 | {STATEMENT} | at most 0.05 | 0.20 [0.19, 0.21] | **refuted** |",
        "",
    ]
    assert "README" not in project.run().stdout.str()


def test_a_run_says_that_the_readme_has_another_table(project: Project) -> None:
    (project.root / "README.md").write_text(EMPTY)
    project.write(claim_file())
    project.accept(N1="reproduced")
    result = project.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["README.md does not have this run's table of verdicts; run with --update-verdicts"])
    for arguments in (("--claims", "N1", "-k", "control"), ("--suite", "tiny"), ("--tokens", "1k")):
        assert "README" not in project.run("claims", *arguments).stdout.str()


# --- the README of this project --------------------------------------------------------------------------------------


def test_the_readme_counts_the_accepted_verdicts() -> None:
    ledger = Ledger.read(ROOT / "fixtures" / "verdicts" / "mini.toml")
    declared = declared_in(sorted((ROOT / "claims").rglob("test_*.py")))
    kinds: dict[ClaimKind, list[Verdict]] = {"finding": [], "method": []}
    for name, claim in declared.items():
        if (verdict := ledger.accepted_claim(name)) is not None:
            kinds[claim.claim.kind].append(verdict)
    shown = block((ROOT / "README.md").read_text("utf-8"))
    expected = " ".join(opening(verdicts, kind) for kind, verdicts in kinds.items())
    assert " ".join(shown.partition("\n\n")[0].split()) == expected


def test_the_readme_has_the_rows_that_a_run_of_the_claims_gives(tmp_path: Path) -> None:
    """Of claims that are judged quickly and corrected together with no other; a whole run compares every row."""
    claims = "N1,N6,N22,N23,N24,V5,V6"
    subprocess.run(
        [sys.executable, "-m", "pytest", "claims", "--claims", claims, "-q", "-p", "no:cacheprovider",
         "--evidence-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    shown = block((ROOT / "README.md").read_text("utf-8")).splitlines()
    judged = summaries(EvidenceLog.read(tmp_path / PARTIAL).records)
    rows = [line for line in verdicts_text(judged).splitlines() if line[:1] == "|"]
    assert len(rows) == 2 + len(claims.split(","))
    assert [row for row in rows if row not in shown] == []
