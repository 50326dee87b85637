"""Duplicates of neurons in their own model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measures.families import labelled

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.measures.properties import Ranking
    from universal_neurons.measures.study import HasStep, Study


def duplicated(study: Study, checkpoint: HasStep, threshold: float, reference: str, *, above: float) -> Ranking:
    """1 for each neuron of a reference that another one of the model correlates with by more than ``above``, else 0."""
    table: pd.DataFrame = study.table("duplicates", model=reference, checkpoint=checkpoint)
    correlation = table["correlation"].to_numpy(dtype=np.float64)
    return labelled(
        study, np.where(np.isnan(correlation), np.nan, correlation > above), checkpoint, threshold, reference
    )
