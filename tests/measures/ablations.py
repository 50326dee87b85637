"""Ablation tables made by hand: sets with planted effects on a few token blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from universal_neurons.measures.ablation_table import ALL_LAYERS, AblationTable, SetKind
from universal_neurons.measures.tables import Definition, Resampling

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS = 24
RESAMPLING = Resampling(resamples=400, level=0.95, seed=7)


@dataclass(frozen=True)
class Ablated:
    """One row: which set, and its effects, a number or one number per token block."""

    neurons: SetKind
    kl: Any
    loss: Any = 0.0
    draw: int = -1
    partner: str = "b"
    definition: Definition = Definition.PAIR
    threshold: float = 0.5
    layer: int = ALL_LAYERS
    mode: str = "zero"
    fraction: float = 1.0
    size: int = 10
    norm: float = 5.0


def table_of(
    sets: Sequence[Ablated],
    *,
    predictions: Sequence[int] | None = None,
    resampling: Resampling = RESAMPLING,
    blocks: int = BLOCKS,
) -> AblationTable:
    """The table of ``sets``, stored in the precision of the artifact."""
    columns = ("neurons", "draw", "partner", "definition", "threshold", "layer", "mode", "fraction", "size", "norm")
    frame = pd.DataFrame({name: [getattr(one, name) for one in sets] for name in columns})
    frame["neurons"] = [one.neurons.value for one in sets]
    frame["definition"] = [one.definition.value for one in sets]
    frame = frame.astype({"threshold": "float32", "fraction": "float32", "layer": "int16", "draw": "int16"})
    kl, loss = (
        np.array([np.broadcast_to(effect, blocks) for effect in effects], dtype=np.float32)
        for effects in ([one.kl for one in sets], [one.loss for one in sets])
    )
    counts = np.array(predictions if predictions is not None else [100] * blocks, dtype=np.int64)
    return AblationTable("a", 400, frame, kl, loss, np.full(blocks, 3.0), counts, resampling)


def draws(kind: SetKind, effects: Sequence[Any], **given: Any) -> list[Ablated]:
    """The draws of a random kind, one per effect; the loss increase is half of the KL unless given."""
    return [
        Ablated(kind, effect, **{"loss": np.asarray(effect) / 2, **given}, draw=draw)
        for draw, effect in enumerate(effects)
    ]
