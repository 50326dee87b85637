"""The page on performance and limits: cost of the stages, benchmarks, undecided claims.

Every number comes from the provenance of an artifact, from a published benchmark or from the evidence; nothing is
measured here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.multiplicity import needed_to_decide
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.inputs.benchmarks import Benchmark, read_benchmarks
from universal_neurons.inputs.suite import available_suites, load_suite
from universal_neurons.measurement import Over
from universal_neurons.render.escaping import Html, Markdown, html_text
from universal_neurons.render.figures.charts import finite
from universal_neurons.render.formatting import count, decimal, duration, listed, plural, rounded_up
from universal_neurons.render.links import claim_link
from universal_neurons.render.pages.provenance import own_seconds, shared_runs, shared_seconds
from universal_neurons.render.pages.sections import PageSection
from universal_neurons.render.tables import Cell, Column, DataTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.inputs.suite import Suite

# A bench that measures no time: its figures are on the page on methods.
COVERAGE = "coverage"
PAGE = "performance"
BENCHES_CSV = "data/benchmarks.csv"
LIMITS_CSV = "data/undecided.csv"
# The suite whose size says what more neurons and tokens would decide: that of the papers' own models.
LARGER = "paper"
_SIGNIFICANT = 3
# Units of which there are whole ones, shown to the last.
_COUNTED = frozenset({"faults"})
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Performance:
    """The data of the page: stages, benchmarks, and the claims that the suite leaves open.

    ``seconds`` add up all stages, where a run that wrote for two of them counts once.  ``larger`` is the
    suite whose size says what more data would decide, None where there is no such suite or this is the one.
    """

    suite: Suite
    stages: tuple[StageCost, ...]
    seconds: float
    artifacts: int
    benches: tuple[Benchmark, ...]
    undecided: tuple[Undecided, ...]
    own: SuiteSize
    larger: SuiteSize | None


@dataclass(frozen=True, slots=True)
class SuiteSize:
    """The size of what a suite measures: layers and neurons of a model, scored tokens."""

    layers: int
    neurons: int
    tokens: int

    @classmethod
    def of(cls, suite: Suite, root: Path) -> SuiteSize:
        """The size of a suite, narrowed or whole; needs no network.  Raises the UserErrors of its models."""
        recipe = suite.open_zoo(root, warn=lambda _: None).recipe()
        return cls(recipe.layers, recipe.layers * recipe.mlp, suite.corpus.tokens)


@dataclass(frozen=True, slots=True)
class StageCost:
    """The cost of a stage on one kind of device: seconds of all its runs, peak memory in bytes."""

    stage: str
    device: str
    artifacts: int
    seconds: float
    memory: float | None


@dataclass(frozen=True, slots=True)
class Undecided:
    """A claim that the suite leaves open: how many times as many neurons and token blocks would decide every case.

    All else as observed; NaN where no case is about such units, infinite where no number of them would.
    """

    claim: str
    cases: int
    of: int
    neurons: float
    blocks: float

    def is_within(self, neurons: float, blocks: float) -> bool:
        """Return whether these multiples of neurons and blocks would decide every open case."""
        asked = [(self.neurons, neurons), (self.blocks, blocks)]
        known = [(needed, there) for needed, there in asked if not math.isnan(needed)]
        return bool(known) and all(needed <= there for needed, there in known)


def performance(root: Path, suite: Suite, artifacts: pd.DataFrame, claims: Sequence[ClaimSummary]) -> Performance:
    """Everything of the page; raises BenchmarkError and the suites' UserErrors, each one line."""
    has_larger = suite.name != LARGER and LARGER in available_suites(root)
    return Performance(
        suite=suite,
        stages=stage_costs(artifacts),
        seconds=whole_seconds(artifacts),
        artifacts=len(artifacts),
        benches=read_benchmarks(root),
        undecided=tuple(one for claim in claims if (one := undecided(claim)) is not None),
        own=SuiteSize.of(suite, root),
        larger=SuiteSize.of(load_suite(LARGER, root), root) if has_larger else None,
    )


def performance_page(found: Performance) -> dict[str, Any]:
    """The values of the page."""
    return {
        "total": total_sentence(found),
        "stages": stages_table(found).html(css="stack"),
        "benches": [_bench(bench) for bench in found.benches if bench.bench != COVERAGE],
        "benches_csv": Markdown(f"[every figure of every bench]({BENCHES_CSV})"),
        "limits": limits(found),
        "undecided": undecided_table(found).html(css="stack") if found.undecided else "",
        "undecided_csv": Markdown(f"[the table]({LIMITS_CSV})"),
    }


def performance_data(found: Performance) -> dict[str, DataTable]:
    """The data beside the page, by file name."""
    return {BENCHES_CSV: benches_table(found.benches), LIMITS_CSV: undecided_table(found, numbers=True)}


# --- stages ----------------------------------------------------------------------------------------------------------


def stage_costs(artifacts: pd.DataFrame) -> tuple[StageCost, ...]:
    """The cost of every stage from the provenance of its artifacts, the most expensive first.

    One run writes many artifacts, and each carries the time of the whole run: it is counted once.  A run that several
    stages rest on (the pass over the tokens) is a row of its own.
    """
    if artifacts.empty:
        return ()
    found = [
        _cost(str(stage), str(device), part, own_seconds(part))
        for (stage, device), part in artifacts.groupby(["stage", "device"], sort=True)
    ]
    for what in sorted({run.what for run in shared_runs(artifacts)}):
        rests = artifacts[[any(run.what == what for run in shared) for shared in artifacts["shared"]]]
        device = listed(sorted({str(device) for device in rests["device"]}))
        found.append(_cost(what, device, rests, shared_seconds(rests, what)))
    return tuple(sorted(found, key=lambda one: (-one.seconds, one.stage)))


def _cost(stage: str, device: str, part: pd.DataFrame, seconds: float) -> StageCost:
    peak = part["peak_memory_bytes"].max()
    return StageCost(stage, device, len(part), seconds, None if pd.isna(peak) else float(peak))


def whole_seconds(artifacts: pd.DataFrame) -> float:
    """The time of everything: of all runs that wrote artifacts, and of those that they share, each once."""
    if artifacts.empty:
        return 0.0
    return math.fsum([own_seconds(artifacts), *(run.wall_seconds for run in shared_runs(artifacts))])


def total_sentence(found: Performance) -> str:
    """A sentence on the total time and the devices."""
    if not found.stages:
        return "No artifact of this suite was computed."
    devices = listed(sorted({one.device for one in found.stages}))
    peaks = [one.memory for one in found.stages if one.memory is not None]
    memory = f", with at most {decimal(max(peaks) / 2**30, 1)} GiB of memory" if peaks else ""
    return (
        f"The {plural(found.artifacts, 'artifact')} of suite {found.suite.name} took {duration(found.seconds)} of wall "
        f"time on {devices}{memory}."
    )


def stages_table(found: Performance) -> DataTable:
    """Every stage with its share of the whole."""
    whole = found.seconds or 1.0
    rows = tuple(
        (
            one.stage, one.device, count(one.artifacts), duration(one.seconds), 100 * one.seconds / whole,
            None if one.memory is None else one.memory / 2**30,
        )
        for one in found.stages
    )  # fmt: skip
    columns = (
        Column("stage"), Column("device"), Column("artifacts"), Column("wall time"), Column("share of all, %", 1),
        Column("peak memory, GiB", 2),
    )  # fmt: skip
    return DataTable("What every stage cost", columns, rows)


# --- benches ---------------------------------------------------------------------------------------------------------


def _bench(bench: Benchmark) -> PageSection:
    commit = "" if bench.commit is None else f", commit {bench.commit[:12]}"
    versions = listed(f"{name} {version}" for name, version in sorted(bench.versions.items()))
    size = listed(f"{name.replace('_', ' ')} {_setting(value)}" for name, value in bench.settings.items())
    note = f" {bench.note}" if bench.note else ""
    return PageSection(
        heading=f"{bench.title}, {bench.device}",
        says=f"{_how(bench).capitalize()} on {bench.date} with {versions}{commit} by: {bench.command}. "
        f"Size: {size}.{note}",
        body=_figures(bench).html(),
    )


def _setting(value: float | str) -> str:
    return count(value) if isinstance(value, int) else str(value)


def _figures(bench: Benchmark) -> DataTable:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (figure.says, _number(figure.value, figure.unit)) for figure in bench.figures.values()
    )
    # Words: every figure has a unit of its own, and points under each other would say that they compare.
    return DataTable(f"{bench.title} on {bench.device}", (Column("what"), Column(_how(bench))), rows)


def _how(bench: Benchmark) -> str:
    return "simulated" if bench.kind == "simulated" else "measured"


def _number(value: float, unit: str) -> Html:
    """A measured number with three significant digits: what a second run would give differs in the third."""
    if unit == "s":
        return html_text(duration(value))
    if unit in _COUNTED:
        return html_text(f"{count(round(value))} {unit}")
    if value and abs(value) < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return html_text(f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)} {unit}".strip())
    places = max(0, _SIGNIFICANT - 1 - (math.floor(math.log10(abs(value))) if value else 0))
    whole = count(round(value)) if places == 0 else decimal(value, places)
    return html_text(f"{whole} {unit}".strip())


def benches_table(benches: Sequence[Benchmark]) -> DataTable:
    """Every figure of every bench, unrounded."""
    rows = tuple(
        (bench.bench, bench.device, bench.date, name, figure.says, figure.value, figure.unit)
        for bench in benches
        for name, figure in bench.figures.items()
    )
    columns = tuple(map(Column, ("bench", "device", "date", "figure", "what", "value", "unit")))
    return DataTable("Benches", columns, rows)


# --- limits ----------------------------------------------------------------------------------------------------------


def undecided(claim: ClaimSummary) -> Undecided | None:
    """The data needed to decide a claim; None unless the claim is inconclusive."""
    if claim.verdict is not Verdict.INCONCLUSIVE:
        return None
    open_cases = [record for record in claim.items if record.verdict is Verdict.INCONCLUSIVE]
    return Undecided(
        claim=claim.claim,
        cases=len(open_cases),
        of=len(claim.items),
        neurons=_most_needed(open_cases, Over.NEURONS),
        blocks=_most_needed(open_cases, Over.TOKEN_BLOCKS),
    )


def _most_needed(records: Sequence[EvidenceRecord], over: Over) -> float:
    """The factor that decides the hardest of the cases whose interval is over ``over``; NaN where there is none."""
    factors = []
    for record in records:
        m = record.measured()
        if m is not None and not m.is_missing and m.over is over:
            factors.append(needed_to_decide(Criterion.from_dict(record.criterion), m))
    known = [factor for factor in factors if not math.isnan(factor)]
    return max(known, default=math.nan)


def limits(found: Performance) -> list[str]:
    """Sentences on the conclusions that the size of the suite allows."""
    own, larger = found.own, found.larger
    size = (
        f"A model of suite {found.suite.name} has {count(own.neurons)} neurons in {plural(own.layers, 'layer')}, "
        f"measured over {count(own.tokens)} tokens"
    )
    if larger is not None:
        size += (
            f"; a model of suite {LARGER} has {count(larger.neurons)} in {plural(larger.layers, 'layer')}, measured "
            f"over {count(larger.tokens)}"
        )
    number = len(found.undecided)
    if not number:
        return [f"{size}.", "No claim is left undecided for lack of data."]
    left = f"{plural(number, 'claim')} {'is' if number == 1 else 'are'} left open."
    if larger is None:
        return [f"{size}.", left]
    neurons, tokens = larger.neurons / own.neurons, larger.tokens / own.tokens
    within = [one.claim for one in found.undecided if one.is_within(neurons, tokens)]
    return [
        f"{size}.",
        f"{left} If every value stayed as it is, {decimal(neurons, 0)} times the neurons and {decimal(tokens, 0)} "
        f"times the tokens, which is the size of suite {LARGER}, would decide {_of(within, number)}.",
    ]


def _of(names: Sequence[str], whole: int) -> str:
    if not names:
        return "none of them"
    if len(names) == whole:
        return "all of them"
    return f"{count(len(names))} of them ({listed(names)})"


def undecided_table(found: Performance, *, numbers: bool = False) -> DataTable:
    """The open claims and what would decide all their cases; as plain ``numbers`` for the file."""
    rows: list[tuple[Cell, ...]] = []
    for one in found.undecided:
        factors = [finite(f) if numbers else _times(f) for f in (one.neurons, one.blocks)]
        name = one.claim if numbers else claim_link(one.claim)
        rows.append((name, f"{count(one.cases)} of {count(one.of)}", *factors))
    columns = ("claim", "open cases", "times the neurons", "times the token blocks")
    return DataTable("What would decide the open claims", tuple(map(Column, columns)), tuple(rows))


def _times(factor: float) -> str:
    """A factor rounded upwards; in words if it is infinite, empty if it is NaN."""
    if math.isnan(factor):
        return ""
    if math.isinf(factor):
        return "no number decides"
    return rounded_up(factor)
