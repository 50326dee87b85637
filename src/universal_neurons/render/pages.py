"""What each page says: the values that its template asks for, as text that is ready for it.

Decides which numbers are said in words and how.  Templates have no logic and no numbers; figures, tables and claims are
made elsewhere.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from universal_neurons.inputs.corpus import MaskPolicy
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.evidence_log import measured_of
from universal_neurons.render.figures import partner_lines, training_curves
from universal_neurons.render.grids import Cell, Column, Grid
from universal_neurons.render.numerals import (
    count,
    decimal,
    duration,
    listed,
    plural,
    with_interval,
)
from universal_neurons.render.overview import ambiguity_table, families_table
from universal_neurons.render.scoreboard import DIGEST_SHOWN, scoreboard, verdict_table
from universal_neurons.render.table_one import table_one
from universal_neurons.render.wording import summary_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.ids import CorpusRef, ModelRef
    from universal_neurons.render.ambiguities import Ambiguity
    from universal_neurons.render.citation import Citation
    from universal_neurons.render.deviations import Deviation
    from universal_neurons.render.plates import Figure
    from universal_neurons.render.results import PublishedCell, Results
    from universal_neurons.render.study import Study

PERCENT_PLACES = 2
DAY = len("2025-11-09")

MASKS = {
    MaskPolicy.PUBLISHED: "padding, beginning-of-sequence, end-of-text and newline tokens",
    MaskPolicy.PUBLISHED_FIRST: (
        "padding, beginning-of-sequence, end-of-text and newline tokens, and the first position of each row"
    ),
    MaskPolicy.SPECIAL_ONLY: "padding, beginning-of-sequence and end-of-text tokens",
    MaskPolicy.ALL: "nothing",
}


def figures(found: Results) -> tuple[Figure, ...]:
    """The figures of the front page, in the order of its text."""
    return partner_lines(found.by_partner), training_curves(found.training, found.checkpoint_tokens)


def index_page(
    found: Results, claims: Sequence[ClaimSummary], drawn: Sequence[Figure], unseen: Sequence[str]
) -> dict[str, Any]:
    """The values of the front page."""
    suite = found.suite
    return {
        "summary": summary(found, claims),
        "threshold": decimal(found.threshold, 1),
        "suite": {"title": suite.title, "description": suite.description},
        "scoreboard": scoreboard(claims),
        "unseen": listed(unseen) if unseen else "",
        "table_number": "1",
        "table_one": table_one(found),
        "reference": found.reference,
        "partners": plural(len(found.partners), "partner"),
        "level": f"{suite.resampling.level * 100:g} %",
        "figures": {figure.name: figure.block() for figure in drawn},
        "models": count(len(suite.zoo.models)),
    }


def methods_page(
    found: Results,
    admitted: Sequence[Deviation],
    provenance: Provenance,
    claims: Sequence[ClaimSummary],
    ambiguities: Mapping[str, Ambiguity],
    citation: Citation,
) -> dict[str, Any]:
    """The values of the page on methods and provenance."""
    spec, corpus, resampling = found.suite.universality, found.suite.corpus, found.suite.resampling
    rows = tuple((_dotted(d.where), d.text) for d in admitted)
    return {
        "tokens": count(corpus.tokens),
        "mask": MASKS[corpus.mask],
        "draws": count(spec.draws),
        "rotation": "Gaussian" if spec.rotation == "gaussian" else spec.rotation,
        "level": f"{resampling.level * 100:g} %",
        "blocks": count(spec.blocks),
        "resamples": count(resampling.resamples),
        "verdict_table": verdict_table(),
        "families": families_table(claims),
        "ambiguities": ambiguity_table(ambiguities, claims),
        "citation": {"sentence": citation.sentence, "bibtex": citation.bibtex()},
        "deviations": Grid("Deviations", (Column("where"), Column("deviation")), rows).html() if rows else "",
        "provenance": provenance.tables(),
    }


def _dotted(name: str) -> Html:
    """The name of a piece of code, which may break after a dot or an underscore and nowhere else."""
    breakable = re.sub(r"([._])", r"\1<wbr>", html_text(name))
    return Html(f"<code>{breakable}</code>")


def summary(found: Results, claims: Sequence[ClaimSummary]) -> tuple[str, str, str]:
    """The three sentences of the front page: what was tested, what came out, how many neurons that is about."""
    number = plural(len(claims), "claim")
    measurements = sum(len(measured_of(claim)) for claim in claims)
    first, last = found.checkpoints[0], found.checkpoints[-1]
    published = [cell for cell in found.published if cell.threshold == found.threshold]
    printed = ""
    if published:
        earliest, latest = min(published, key=_training), max(published, key=_training)
        printed = (
            f"; for GPT-2 small the paper printed {_percent(earliest.value)} at {earliest.label} and "
            f"{_percent(latest.value)} at {latest.label}"
        )
    return (
        f"{number} about universal neurons {'was' if len(claims) == 1 else 'were'} put to the test "
        f"on {plural(len(found.suite.zoo.models), 'model')} that differ in nothing but their seed: "
        f"{plural(measurements, 'measurement')}, each with an interval.",
        summary_sentence([(claim.claim, claim.verdict) for claim in claims]),
        f"Of the neurons of model {found.reference}, {with_interval(found.first, PERCENT_PLACES)} are universal at "
        f"{first.label} of the training and {with_interval(found.last, PERCENT_PLACES)} at {last.label}{printed}.",
    )


def _training(cell: PublishedCell) -> float:
    return cell.training


def _percent(share: float) -> str:
    return f"{decimal(share * 100, PERCENT_PLACES)} %"


@dataclass(frozen=True)
class Provenance:
    """What was computed from what: the weights by checkpoint label, the scored text, one row per artifact."""

    models: tuple[tuple[str, ModelRef], ...]
    corpus: CorpusRef
    artifacts: pd.DataFrame

    @classmethod
    def of(cls, study: Study) -> Provenance:
        """The provenance of everything that ``study`` reads."""
        models = tuple((c.label, study.model(name, c)) for name in study.suite.zoo.models for c in study.checkpoints)
        return cls(models, study.corpus(), study.provenance())

    def tables(self) -> dict[str, Html]:
        """The tables of the methods page, digests abbreviated."""
        return {
            "models": self._models().html(),
            "corpus": _corpus_grid(self.corpus).html(),
            "stages": _stages_grid(self.artifacts).html(),
            "software": _software_grid(self.artifacts).html(),
        }

    def grids(self) -> dict[str, Grid]:
        """The lists beside the page, digests whole, by file name."""
        models = tuple((ref.name, label, ref.step, ref.source, ref.digest) for label, ref in self.models)
        names = ("stage", "digest", "origin", "created", "git_commit", "device", "wall_seconds", "peak_memory_bytes")
        artifacts = tuple(tuple(_csv_value(row[name]) for name in names) for row in self.artifacts.to_dict("records"))
        columns = ("model", "checkpoint", "step", "source", "sha256 of the weights")
        return {
            "data/models.csv": Grid("Models", tuple(map(Column, columns)), models),
            "data/artifacts.csv": Grid("Artifacts", tuple(map(Column, names)), artifacts),
        }

    def _models(self) -> Grid:
        labels = list(dict.fromkeys(label for label, _ in self.models))
        names = list(dict.fromkeys(ref.name for _, ref in self.models))
        digests = {(ref.name, label): ref.digest for label, ref in self.models}
        rows = tuple((name, *(_digest(digests[name, label]) for label in labels)) for name in names)
        return Grid(
            "The models: sha256 of the weights at each checkpoint", (Column("model"), *map(Column, labels)), rows
        )


def _csv_value(value: object) -> Cell:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, int | float) else str(value)


def _corpus_grid(corpus: CorpusRef) -> Grid:
    rows: tuple[tuple[Cell, ...], ...] = (
        ("corpus", corpus.name),
        ("fingerprint of the text", _digest(corpus.revision)),
        ("tokenizer", _digest(corpus.tokenizer)),
        ("scored tokens", count(corpus.tokens)),
        ("row length", count(corpus.row_length)),
        ("mask", corpus.mask),
        ("sha256 of the rows", _digest(corpus.sha256)),
    )
    return Grid("The scored text", (Column("what"), Column("which")), rows)


def _stages_grid(artifacts: pd.DataFrame) -> Grid:
    rows = tuple(_stage_row(str(stage), part) for stage, part in artifacts.groupby("stage", sort=True))
    columns = ("stage", "artifacts", "store", "created", "device", "wall time", "peak memory")
    shown = tuple(Column(name, 0 if name == "artifacts" else None) for name in columns)
    return Grid("Stages of the computation", shown, (*rows, _whole(artifacts)))


def _whole(artifacts: pd.DataFrame) -> tuple[str, ...]:
    """All stages together: the sum of their times, once where a run wrote artifacts of two, and the largest memory."""
    return ("all", *_stage_row("", artifacts)[1:])


def _stage_row(stage: str, part: pd.DataFrame) -> tuple[str, ...]:
    # One run writes many artifacts, and each carries the time of the whole run.
    runs = part.drop_duplicates(["created", "wall_seconds"])
    days = sorted({str(created)[:DAY] for created in part["created"]})
    return (
        stage,
        count(len(part)),
        listed(sorted({str(origin) for origin in part["origin"]})),
        days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}",
        listed(sorted({str(device) for device in part["device"]})),
        duration(float(runs["wall_seconds"].sum())),
        _memory(part["peak_memory_bytes"].max()),
    )


def _memory(peak: float | None) -> str:
    return "unknown" if peak is None or pd.isna(peak) else f"{decimal(float(peak) / 2**30, 2)} GiB"


def _software_grid(artifacts: pd.DataFrame) -> Grid:
    seen: dict[str, set[str]] = {}
    for versions in artifacts["versions"]:
        for package, version in versions.items():
            seen.setdefault(str(package), set()).add(str(version))
    commits = sorted({str(commit)[:DIGEST_SHOWN] for commit in artifacts["git_commit"] if commit})
    rows = [(package, listed(sorted(versions))) for package, versions in sorted(seen.items())]
    rows.append(("commit of this project", listed(commits) if commits else "not under version control"))
    return Grid("Versions that the artifacts were computed with", (Column("package"), Column("version")), tuple(rows))


def _digest(digest: str) -> Html:
    return Html(f'<span class="digest">{html_text(digest[:DIGEST_SHOWN])}</span>')
