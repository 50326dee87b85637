"""What table 1 owes to choices that no paper argues for, as the report shows it.

Asks ``measures.robustness`` for every number, as the claims do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.measures.robustness import table_one_under, token_convergence

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.render.study import Study


@dataclass(frozen=True)
class Robustness:
    """Table 1 under every variant and the convergence with tokens, in the columns of ``measures.robustness``."""

    reference: str
    table: pd.DataFrame
    convergence: pd.DataFrame
    threshold: float
    last: str
    neurons: int
    level: float
    artifacts: tuple[str, ...]


def robustness_results(study: Study) -> Robustness:
    """All numbers about robustness; raises the study's ArtifactMissing where the variants were not computed."""
    before = len(study.reads)
    spec, last = study.suite.universality, study.checkpoints[-1]
    table = table_one_under(study, spec.thresholds, study.checkpoints)
    convergence = token_convergence(study, checkpoint=last, threshold=spec.threshold)
    first = study.universality(partner=study.partners()[0], checkpoint=last)
    return Robustness(
        reference=study.reference,
        table=table,
        convergence=convergence,
        threshold=spec.threshold,
        last=last.label,
        neurons=len(first.frame),
        level=first.resampling.level,
        artifacts=tuple(dict.fromkeys(study.reads[before:])),
    )
