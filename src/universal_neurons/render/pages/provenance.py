"""Tables of the computation behind a report: models, text and software.

Everything here is read from the artifacts that the numbers come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from universal_neurons.artifacts.receipt import Imported
from universal_neurons.render.formatting import count, listed
from universal_neurons.render.tables import DIGEST_SHOWN, Cell, Column, DataTable, short_digest

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.artifacts.provenance import SharedRun
    from universal_neurons.ids import CorpusRef, ModelRef
    from universal_neurons.render.escaping import Html
    from universal_neurons.stages.study import StoredStudy


@dataclass(frozen=True)
class ReportProvenance:
    """The inputs and artifacts of a report: weights by checkpoint label, scored text, one row per artifact, imports."""

    models: tuple[tuple[str, ModelRef], ...]
    corpus: CorpusRef
    artifacts: pd.DataFrame
    imported: Imported = field(default_factory=Imported)

    @classmethod
    def of(cls, study: StoredStudy) -> ReportProvenance:
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
            "corpus": _corpus_table(self.corpus).html(),
            "software": _software_table(self.artifacts).html(),
        }

    def data_files(self) -> dict[str, DataTable]:
        """The lists beside the page, digests whole, by file name."""
        models = tuple((ref.name, label, ref.step, ref.source, ref.digest) for label, ref in self.models)
        names = ("stage", "digest", "origin", "created", "git_commit", "device", "wall_seconds", "peak_memory_bytes")
        artifacts = tuple(tuple(_csv_value(row[name]) for name in names) for row in self.artifacts.to_dict("records"))
        columns = ("model", "checkpoint", "step", "source", "sha256 of the weights")
        return {
            "data/models.csv": DataTable("Models", tuple(map(Column, columns)), models),
            "data/artifacts.csv": DataTable("Artifacts", tuple(map(Column, names)), artifacts),
        }

    def _models(self) -> DataTable:
        labels = list(dict.fromkeys(label for label, _ in self.models))
        names = list(dict.fromkeys(ref.name for _, ref in self.models))
        digests = {(ref.name, label): ref.digest for label, ref in self.models}
        rows = tuple((name, *(short_digest(digests[name, label]) for label in labels)) for name in names)
        return DataTable(
            "The models: sha256 of the weights at each checkpoint", (Column("model"), *map(Column, labels)), rows
        )


def _csv_value(value: object) -> Cell:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, int | float) else str(value)


def _corpus_table(corpus: CorpusRef) -> DataTable:
    rows: tuple[tuple[Cell, ...], ...] = (
        ("corpus", corpus.name),
        ("fingerprint of the text", short_digest(corpus.revision)),
        ("tokenizer", short_digest(corpus.tokenizer)),
        ("scored tokens", count(corpus.tokens)),
        ("row length", count(corpus.row_length)),
        ("mask", corpus.mask),
        ("sha256 of the rows", short_digest(corpus.sha256)),
    )
    return DataTable("The scored text", (Column("what"), Column("which")), rows)


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


def _software_table(artifacts: pd.DataFrame) -> DataTable:
    seen: dict[str, set[str]] = {}
    for versions in artifacts["versions"]:
        for package, version in versions.items():
            seen.setdefault(str(package), set()).add(str(version))
    commits = sorted({str(commit)[:DIGEST_SHOWN] for commit in artifacts["git_commit"] if commit})
    rows = [(package, listed(sorted(versions))) for package, versions in sorted(seen.items())]
    rows.append(("commit of this project", listed(commits) if commits else "not under version control"))
    return DataTable(
        "Versions that the artifacts were computed with", (Column("package"), Column("version")), tuple(rows)
    )
