"""The page that compares two runs: claims, shares and ablations of the report's own run and of another.

The cases are matched in :mod:`universal_neurons.evidence.comparison`.  The left run is the report's own, so its claims
have pages to link to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from universal_neurons.characters import visible
from universal_neurons.evidence.comparison import is_beyond
from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render.escaping import Html, Markdown, html_text
from universal_neurons.render.formatting import (
    count,
    is_share,
    listed,
    places_of,
    plural,
    scale,
    span,
    with_interval,
)
from universal_neurons.render.links import claim_link
from universal_neurons.render.pages.scoreboard import badge, case_name, measured_line, unit_of, words_of
from universal_neurons.render.tables import Cell, Column, DataTable
from universal_neurons.render.wording import criterion_phrase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.evidence.comparison import (
        CasePair,
        ClaimPair,
        JudgedRun,
        KeyFigurePair,
        RunComparison,
        SideBySide,
    )
    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.measurement import Measurement

PAGE = "compare"
CASES_CSV = "data/compare-cases.csv"
KEY_FIGURES_CSV = "data/compare-shares-and-ablations.csv"
POINTS = "points"
NONE = "none"
NOTHING = "–"
_WHAT = {"share": "share", "kl": "divergence of the output", "loss_increase": "increase of the loss"}
_OF = {
    "universal": "universal neurons",
    "layer_matched": "as many others of each layer",
}


def comparison_page(both: SideBySide) -> dict[str, Any]:
    """The values of the page."""
    comparison = both.comparison
    names = labels(comparison)
    return {
        "left": names[0],
        "right": names[1],
        "summary": summary(comparison),
        "runs": _runs(comparison).html(css="stack"),
        "claims": claims_table(comparison).html(css="stack compared-runs"),
        "absences": [f"Not compared here: {absence}" for absence in both.absences],
        "key_figures": _key_figures(both).html(css="stack") if both.key_figures else "",
        "settings": _settings(both).html(css="stack") if both.settings else "",
        "cases_csv": Markdown(f"[every case of every claim]({CASES_CSV})"),
        "key_figures_csv": Markdown(f"[shares and ablations]({KEY_FIGURES_CSV})"),
    }


def comparison_data(both: SideBySide) -> dict[str, DataTable]:
    """The data beside the page, by file name: cases, shares and ablations."""
    return {CASES_CSV: cases_table(both.comparison), KEY_FIGURES_CSV: key_figures_table(both)}


def other_verdicts(comparison: RunComparison) -> dict[str, str]:
    """The verdicts of the other run as the built page must show them ("other N1")."""
    return {f"other {claim.claim}": claim.verdict.value for claim in comparison.right.claims}


def labels(comparison: RunComparison) -> tuple[str, str]:
    """The names of the two runs, with their sides if the names are equal."""
    # On one line: a drawing would make two of it.
    left, right = visible(comparison.left.name), visible(comparison.right.name)
    return (left, right) if left != right else (f"{left} (left)", f"{right} (right)")


# --- words -----------------------------------------------------------------------------------------------------------


def summary(comparison: RunComparison) -> list[str]:
    """Summary sentences: verdicts, claims that only one run judged, and values."""
    left, right = labels(comparison)
    both = [pair for pair in comparison.claims if pair.left is not None and pair.right is not None]
    changed = [pair.claim for pair in both if pair.has_other_verdict]
    said = [
        f"{plural(len(both), 'claim')} {_was(len(both))} judged both in {left} and in {right}: {_verdicts(changed)}."
    ]
    for name, other, alone in (
        (left, right, [pair.claim for pair in comparison.claims if pair.right is None]),
        (right, left, [pair.claim for pair in comparison.claims if pair.left is None]),
    ):
        if alone:
            said.append(
                f"{count(len(alone))} {_was(len(alone))} judged in {name} and not in {other} ({listed(alone)})."
            )
    said.append(_values(both))
    for name, run in zip((left, right), (comparison.left, comparison.right), strict=True):
        if not run.complete:
            said.append(
                f"In {name} only a part of the claims ran, so corrections over families may differ for this reason."
            )
    return said


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _verdicts(changed: Sequence[str]) -> str:
    if not changed:
        return "no verdict differs"
    return f"{count(len(changed))} {'has' if len(changed) == 1 else 'have'} another verdict ({listed(changed)})"


def _values(pairs: Sequence[ClaimPair]) -> str:
    found = [m for pair in pairs for m in pair.differences]
    beyond = sum(map(is_beyond, found))
    if not found:
        return "No case has a measurement in both runs that can be subtracted."
    if all(_is_point(m) for m in found):
        return f"All {plural(len(found), 'measurement')} that both have are identical, with their intervals."
    return (
        f"Of {plural(len(found), 'measurement')} that both have, {count(beyond)} "
        f"{'differs' if beyond == 1 else 'differ'} by more than their combined uncertainty."
    )


def _is_point(m: Measurement) -> bool:
    return m.low == m.value == m.high == 0


def difference_line(pair: ClaimPair) -> str:
    """By how much a claim's values differ, in one line: right minus left, or the range over cases."""
    found = [in_points(m) for m in pair.differences]
    if not found:
        return "; ".join(pair.incomparable)
    if all(map(_is_point, found)):
        return NONE
    if len({m.unit for m in found}) > 1:
        return f"{plural(len(found), 'difference')} in different units"
    if len(found) == 1:
        return with_interval(found[0])
    beyond = sum(map(is_beyond, found))
    return (
        f"{span([m.value for m in found], found[0].unit, places_of(found))} over {plural(len(found), 'case')}, "
        f"{count(beyond)} beyond uncertainty"
    )


def difference_of(pair: KeyFigurePair) -> str:
    """A difference with its interval; "none" if the numbers are equal, empty if one is missing."""
    found = pair.difference
    if found is None:
        return ""
    return NONE if _is_point(found) else with_interval(in_points(found))


def in_points(difference: Measurement) -> Measurement:
    """A difference of shares in percentage points: "1 %" would be read as a hundredth of the share."""
    if not is_share(difference.unit):
        return difference
    ends = {name: getattr(difference, name) * scale(difference.unit) for name in ("value", "low", "high")}
    return replace(difference, **ends, unit=POINTS)


def other_differences(pair: ClaimPair) -> list[tuple[str, str, str]]:
    """What differs between two runs of a claim besides verdict and value, as rows of name, left and right.

    Empty where nothing does, and where one run did not judge the claim.  The evidence is compared within one suite
    only: another suite, which the table of the runs names, always has other evidence.
    """
    if pair.left is None or pair.right is None:
        return []
    both = (pair.left, pair.right)
    same_suite = _suite(pair.left) == _suite(pair.right)
    # Of both: where a suite cannot answer, nothing was measured that has a unit.
    unit = unit_of([*pair.left.items, *pair.right.items])
    rows = [
        ("criterion", *(_criteria(claim, unit) for claim in both)),
        ("correction", *(claim.first.correction or NONE for claim in both)),
        ("cases", *_counted(*({case_name(record) for record in claim.items} for claim in both))),
        ("artifacts", *(_counted(*map(_artifacts, both)) if same_suite else ("", ""))),
        ("controls that satisfy the criterion", *map(_satisfied, both)),
    ]
    return [(name, one, two) for name, one, two in rows if one != two]


def _suite(claim: ClaimSummary) -> str:
    return f"{claim.first.suite} {claim.first.narrowed_by}".rstrip()


def _artifacts(claim: ClaimSummary) -> set[str]:
    return {digest for record in claim.items for digest in record.artifacts}


def _satisfied(claim: ClaimSummary) -> str:
    controls = (control for record in claim.items for control in record.controls)
    return listed(sorted({words_of(c.test) for c in controls if c.verdict is Verdict.REPRODUCED}))


def _counted(left: set[str], right: set[str]) -> tuple[str, str]:
    """The sizes of two sets; with what they have in common where they differ."""
    shared = "" if left == right else f", {count(len(left & right))} in common"
    return count(len(left)), f"{count(len(right))}{shared}"


def other_differences_line(pair: ClaimPair) -> str:
    """The other differences in one line; empty where nothing differs."""
    return "; ".join(f"{name}: {left}, then {right}" for name, left, right in other_differences(pair))


def _criteria(claim: ClaimSummary, unit: str) -> str:
    phrases = dict.fromkeys(criterion_phrase(Criterion.from_dict(r.criterion), unit) for r in claim.items)
    return next(iter(phrases)) if len(phrases) == 1 else plural(len(phrases), "criterion", "criteria")


# --- tables ----------------------------------------------------------------------------------------------------------


def claims_table(comparison: RunComparison) -> DataTable:
    """One row per claim; claims with another verdict are marked."""
    left, right = labels(comparison)
    rows = tuple(
        (
            _claim_link(pair), pair.present.first.statement, _side(pair.left, other=False),
            _side(pair.right, other=True), difference_line(pair) or NOTHING, other_differences_line(pair) or NOTHING,
        )
        for pair in comparison.claims
    )  # fmt: skip
    marked = frozenset(place for place, pair in enumerate(comparison.claims) if pair.has_other_verdict)
    titles = ("claim", "statement", left, right, "difference", "what else differs")
    return DataTable(f"Claims in {left} and in {right}", tuple(map(Column, titles)), rows, marked=marked)


def _claim_link(pair: ClaimPair) -> Cell:
    """The claim's page, which only the report's own claims have."""
    return pair.claim if pair.left is None else claim_link(pair.claim)


def _side(claim: ClaimSummary | None, *, other: bool) -> Html:
    if claim is None:
        return Html('<span class="none">not judged</span>')
    named = {"other": claim.claim} if other else {"claim": claim.claim}
    line = measured_line(claim.items)
    value = f'<span class="origin">{html_text(line)}</span>' if line else ""
    return Html(f"{badge(claim.verdict, **named)}{value}")


def _runs(comparison: RunComparison) -> DataTable:
    rows = tuple(
        (name, side.suite, count(len(side.claims)), count(_measurements(side)), _code(side))
        for name, side in zip(labels(comparison), (comparison.left, comparison.right), strict=True)
    )
    return DataTable("The two runs", tuple(map(Column, ("run", "suite", "claims", "measurements", "judged by"))), rows)


def _measurements(run: JudgedRun) -> int:
    found = (record.measured() for claim in run.claims for record in claim.items)
    return sum(m is not None and not m.is_missing for m in found)


def _code(run: JudgedRun) -> str:
    commit = run.code.get("commit")
    return f"commit {commit[:12]}" if commit else "not recorded"


def cases_table(comparison: RunComparison) -> DataTable:
    """Every case of every claim: both verdicts, both measurements, the difference, what else differs."""
    rows = tuple(_case(pair, case) for pair in comparison.claims for case in pair.cases)
    names = ("value", "low", "high")
    columns = (
        "claim", "case", "unit", "left verdict", *(f"left {name}" for name in names), "right verdict",
        *(f"right {name}" for name in names), *(f"difference {name}" for name in names), "what else differs",
    )  # fmt: skip
    return DataTable("Cases of both runs", tuple(map(Column, columns)), rows)


def _case(pair: ClaimPair, case: CasePair) -> tuple[Cell, ...]:
    present = [record for record in (case.left, case.right) if record is not None]
    return (
        pair.claim, case.case or "all", unit_of(present), *_recorded(case.left), *_recorded(case.right),
        *_ends(case.difference), other_differences_line(pair),
    )  # fmt: skip


def _recorded(record: EvidenceRecord | None) -> tuple[Cell, ...]:
    if record is None:
        return ("", None, None, None)
    return (record.verdict.value, *_ends(record.measured()))


def _ends(m: Measurement | None) -> tuple[Cell, Cell, Cell]:
    return (None, None, None) if m is None or m.is_missing else (m.value, m.low, m.high)


def key_figure_rows(both: SideBySide) -> list[tuple[str, ...]]:
    """Shares and ablations of both sides, and their differences, in words."""
    return [
        (
            _WHAT.get(pair.what, pair.what), _OF.get(pair.of, pair.of), f"{pair.threshold:g}", pair.checkpoint,
            _number(pair.left), _number(pair.right), difference_of(pair) or NOTHING,
        )
        for pair in both.key_figures
    ]  # fmt: skip


def _number(m: Measurement | None) -> str:
    return NOTHING if m is None or m.is_missing else with_interval(m)


def key_figure_titles(both: SideBySide) -> tuple[str, ...]:
    """The titles of the columns of :func:`key_figure_rows`."""
    return ("what", "of", "threshold", "checkpoint", *labels(both.comparison), "difference")


def _key_figures(both: SideBySide) -> DataTable:
    columns = tuple(map(Column, key_figure_titles(both)))
    return DataTable("Shares and ablations of both runs", columns, tuple(key_figure_rows(both)), row_headers=4)


def key_figures_table(both: SideBySide) -> DataTable:
    """Shares and ablations of both sides, unrounded."""
    rows = tuple(
        (*row[:4], *_ends(pair.left), *_ends(pair.right), *_ends(pair.difference))
        for row, pair in zip(key_figure_rows(both), both.key_figures, strict=True)
    )
    names = [f"{side} {end}" for side in ("left", "right", "difference") for end in ("value", "low", "high")]
    columns = tuple(map(Column, ("what", "of", "threshold", "checkpoint", *names)))
    return DataTable("Shares and ablations of both runs", columns, rows)


def _settings(both: SideBySide) -> DataTable:
    left, right = labels(both.comparison)
    rows = tuple((setting.name, setting.left, setting.right) for setting in both.settings)
    return DataTable("What the two runs were made with", tuple(map(Column, ("setting", left, right))), rows)
