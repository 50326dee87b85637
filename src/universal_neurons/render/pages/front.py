"""What each page says: the values that its template asks for, as text that is ready for it.

Decides which numbers are said in words and how.  Templates have no logic and no numbers; figures, tables and claims are
made elsewhere.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from universal_neurons.artifacts.receipt import Imported
from universal_neurons.inputs.corpus import MaskPolicy
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.evidence_log import measured_of
from universal_neurons.render.figures.emergence import partner_lines, training_curves
from universal_neurons.render.figures.figure import Sources
from universal_neurons.render.formatting import (
    count,
    decimal,
    duration,
    listed,
    plural,
    with_interval,
)
from universal_neurons.render.pages.claims import ambiguity_table, families_table
from universal_neurons.render.pages.imported import checked
from universal_neurons.render.pages.paper import CLAIMS
from universal_neurons.render.pages.scoreboard import DIGEST_SHOWN, scoreboard, verdict_table
from universal_neurons.render.pages.table_one import table_one
from universal_neurons.render.tables import Cell, Column, Grid
from universal_neurons.render.templates import known
from universal_neurons.render.wording import summary_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.provenance import SharedRun
    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.ids import CorpusRef, ModelRef
    from universal_neurons.render.citation import Citation
    from universal_neurons.render.figures.figure import Figure
    from universal_neurons.render.listings import Listing
    from universal_neurons.render.pages.ambiguities import Ambiguity
    from universal_neurons.render.pages.deviations import Deviation
    from universal_neurons.render.results import PublishedCell, Results
    from universal_neurons.render.study import Study

PERCENT_PLACES = 2
FRONT_CLAIMS = {"partners": CLAIMS["partners"], "training": ("N24",)}
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
    """The figures of the front page, in the order of its text; of published models without their training."""
    training = (training_curves(found.training, found.checkpoint_tokens),) if found.training else ()
    return partner_lines(found.by_partner), *training


def with_sources(found: Results, drawn: Sequence[Figure], tests: Mapping[str, Listing]) -> tuple[Figure, ...]:
    """The figures of the front page with what they rest on: claims, their tests, artifacts or the training log."""
    digests = {"partners": found.artifacts, "training": (found.training_digest,)}
    return tuple(
        replace(one, sources=Sources(FRONT_CLAIMS[one.name], tuple(filter(None, digests[one.name]))).among(tests))
        for one in drawn
    )


def index_page(
    found: Results, claims: Sequence[ClaimSummary], drawn: Sequence[Figure], unseen: Sequence[str]
) -> dict[str, Any]:
    """The values of the front page."""
    suite = found.suite
    return known(
        {
            "summary": lambda: summary(found, claims),
            "threshold": lambda: decimal(found.threshold, 1),
            "suite": lambda: {"title": suite.title, "description": suite.description},
            "narrowing": lambda: suite.narrowing,
            "is_ours": lambda: found.is_ours,
            "scoreboard": lambda: scoreboard(claims),
            "unseen": lambda: listed(unseen) if unseen else "",
            "table_number": lambda: "1",
            "table_one": lambda: table_one(found),
            "reference": lambda: found.reference,
            "partners": lambda: plural(len(found.partners), "partner"),
            "level": lambda: f"{suite.resampling.level * 100:g} %",
            "figures": lambda: known({figure.name: figure.block for figure in drawn}),
            "models": lambda: count(len(suite.zoo.models)),
        }
    )


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
    return known(
        {
            "narrowing": lambda: found.suite.narrowing,
            "tokens": lambda: count(corpus.tokens),
            "mask": lambda: MASKS[corpus.mask],
            "draws": lambda: count(spec.draws),
            "rotation": lambda: "Gaussian" if spec.rotation == "gaussian" else spec.rotation,
            "level": lambda: f"{resampling.level * 100:g} %",
            "blocks": lambda: count(spec.blocks),
            "resamples": lambda: count(resampling.resamples),
            "verdict_table": verdict_table,
            "families": lambda: families_table(claims),
            "ambiguities": lambda: ambiguity_table(ambiguities, claims),
            "citation": lambda: {"sentence": citation.sentence, "bibtex": citation.bibtex()},
            "deviations": lambda: deviations_table(admitted),
            "provenance": lambda: provenance.tables(),
            "checked_imports": lambda: checked(provenance.imported),
        }
    )


def deviations_table(admitted: Sequence[Deviation]) -> Html:
    """Every admitted deviation after the object that admits it; empty where there is none."""
    rows = tuple((_dotted(d.where), d.text) for d in admitted)
    return Grid("Deviations", (Column("where"), Column("deviation")), rows).html() if rows else Html("")


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
    later = f" and {with_interval(found.last, PERCENT_PLACES)} at {last.label}" if last != first else ""
    return (
        f"{number} about universal neurons {'was' if len(claims) == 1 else 'were'} put to the test "
        f"on {plural(len(found.suite.zoo.models), 'model')} that differ in nothing but their seed: "
        f"{plural(measurements, 'measurement')}, each with an interval.",
        summary_sentence([(claim.claim, claim.verdict) for claim in claims]),
        f"Of the neurons of model {found.reference}, {with_interval(found.first, PERCENT_PLACES)} are universal at "
        f"{first.label} of the training{later}{printed}.",
    )


def _training(cell: PublishedCell) -> float:
    return cell.training


def _percent(share: float) -> str:
    return f"{decimal(share * 100, PERCENT_PLACES)} %"


@dataclass(frozen=True)
class Provenance:
    """What was computed from what: the weights by checkpoint label, the scored text, one row per artifact, and what of
    it was computed elsewhere."""

    models: tuple[tuple[str, ModelRef], ...]
    corpus: CorpusRef
    artifacts: pd.DataFrame
    imported: Imported = field(default_factory=Imported)

    @classmethod
    def of(cls, study: Study) -> Provenance:
        """The provenance of everything that ``study`` reads."""
        models = tuple((c.label, study.model(name, c)) for name in study.suite.zoo.models for c in study.checkpoints)
        return cls(models, study.corpus(), study.provenance(), study.imported())

    @property
    def stages(self) -> dict[str, str]:
        """The stage of every artifact by digest."""
        return dict(zip(self.artifacts["digest"], self.artifacts["stage"], strict=True))

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
    rows = [_stage_row(str(stage), part, own_seconds(part)) for stage, part in artifacts.groupby("stage", sort=True)]
    for what in sorted({run.what for run in shared_runs(artifacts)}):
        rests = artifacts[[any(run.what == what for run in shared) for shared in artifacts["shared"]]]
        rows.append(_stage_row(f"{what} (shared)", rests, shared_seconds(rests, what)))
    whole = math.fsum([own_seconds(artifacts), *(run.wall_seconds for run in shared_runs(artifacts))])
    columns = ("stage", "artifacts", "store", "created", "device", "wall time", "peak memory")
    every = _stage_row("all", artifacts, whole)
    shown = tuple(Column(name, 0 if name == "artifacts" else None) for name in columns)
    return Grid("Stages of the computation", shown, (*rows, every))


def own_seconds(artifacts: pd.DataFrame) -> float:
    """The time of the runs that wrote ``artifacts``, each counted once: one run writes many, and all carry its time.

    What several runs shared is not in it.
    """
    return float(artifacts.drop_duplicates(["created", "wall_seconds"])["wall_seconds"].sum())


def shared_runs(artifacts: pd.DataFrame) -> set[SharedRun]:
    """The runs that several of ``artifacts`` rest on, each once."""
    return {run for shared in artifacts["shared"] for run in shared}


def shared_seconds(artifacts: pd.DataFrame, what: str) -> float:
    """The time of the shared runs called ``what``."""
    # Exact, because a set has another order in every process, and the last digit must not.
    return math.fsum(run.wall_seconds for run in shared_runs(artifacts) if run.what == what)


def _stage_row(stage: str, part: pd.DataFrame, seconds: float) -> tuple[str, ...]:
    days = sorted({str(created)[:DAY] for created in part["created"]})
    return (
        stage,
        count(len(part)),
        listed(sorted({str(origin) for origin in part["origin"]})),
        days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}",
        listed(sorted({str(device) for device in part["device"]})),
        duration(seconds),
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
