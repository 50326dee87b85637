"""Reading the evidence of a run for the report.

A report is built from the records of one finished run of one suite.  Every verdict is judged again from its measurement
and criterion, so no sentence of the report can contradict the evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.errors import UserError
from universal_neurons.evidence.log import PARTIAL, RECORDS, EvidenceLog
from universal_neurons.evidence.summary import ClaimSummary, summaries

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path


class EvidenceUnusable(UserError):
    """The evidence is missing, unfinished, inconsistent, or about another suite."""


def read_claims(evidence: Path, *, suite: str, narrowed_by: str = "") -> tuple[ClaimSummary, ...]:
    """The claims of the run recorded at ``evidence``: a log, or a folder with the log of a whole run.

    ``narrowed_by`` are the options that narrowed the suite, if any.  Raises EvidenceUnusable if there is no log, if it
    judged no claim, was about another suite or narrowing, or if the verdict of a record does not follow from its
    measurement and criterion; RecordError for a damaged log.
    """
    path = evidence / RECORDS if evidence.is_dir() else evidence
    wanted = f"{suite} {narrowed_by}".rstrip()
    again = f"run: pytest claims --suite {wanted}"
    if not path.is_file():
        part = ", only one of a part of the claims (report --partial)" if path.with_name(PARTIAL).is_file() else ""
        raise EvidenceUnusable(f"{path.parent}: no evidence log of a whole run here{part}; {again}")
    records = EvidenceLog.read(path).records
    for record in records:
        if (got := f"{record.suite} {record.narrowed_by}".rstrip()) != wanted:
            raise EvidenceUnusable(f"{path}: expected evidence of suite {wanted}, got {got}; {again}")
        judged = record.rejudged().verdict
        if judged is not record.verdict:
            raise EvidenceUnusable(f"{path}: {record.test} is recorded as {record.verdict}, its numbers give {judged}")
    claims = summaries(records)
    if not claims:
        raise EvidenceUnusable(f"{path}: the run judged no claim; {again}")
    return claims


def check_artifacts(claims: Sequence[ClaimSummary], present: Collection[str]) -> None:
    """Raise EvidenceUnusable if a claim was judged from an artifact that is not among those ``present``.

    The report would otherwise show verdicts beside numbers of another corpus or stage version.
    """
    for record in (record for claim in claims for record in claim.items):
        foreign = sorted(set(record.artifacts) - set(present))
        if foreign:
            raise EvidenceUnusable(
                f"{record.test} was judged from artifact {foreign[0][:12]}, which is not here in suite "
                f"{record.suite}; run: pytest claims --suite {record.suite} {record.narrowed_by}".rstrip()
            )
