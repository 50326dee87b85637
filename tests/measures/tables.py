"""Universality tables with given scores, exact or noisy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from universal_neurons.measures.tables import (
    Resampling,
    UniversalityTable,
)

if TYPE_CHECKING:
    from universal_neurons.measures.arrays import Floats

RESAMPLING = Resampling(resamples=400, level=0.95, seed=7)
FLOOR = 0.2


def table(
    excess: npt.ArrayLike,
    *,
    layer: npt.ArrayLike | None = None,
    partner: str = "b",
    step: int = 1,
    partner_layer: npt.ArrayLike | None = None,
    influence: npt.ArrayLike | None = None,
    draws: npt.ArrayLike | None = None,
    correlation: npt.ArrayLike | None = None,
    half_a: npt.ArrayLike | None = None,
    half_b: npt.ArrayLike | None = None,
    candidates: npt.ArrayLike | None = None,
    dtype: type[np.floating[Any] | float] = np.float32,
    resampling: Resampling = RESAMPLING,
) -> UniversalityTable:
    """A table of neurons with these scores; every neuron above the floor is a candidate that never moves."""
    excess = np.asarray(excess, dtype=dtype)
    size = excess.size
    layer = np.zeros(size, dtype=np.int16) if layer is None else np.asarray(layer, dtype=np.int16)
    frame = pd.DataFrame(
        {
            "layer": layer,
            "neuron": np.arange(size, dtype=np.int32),
            "partner_layer": layer if partner_layer is None else np.asarray(partner_layer, dtype=np.int16),
            "correlation": excess if correlation is None else np.asarray(correlation, dtype=dtype),
            "excess": excess,
            "excess_half_a": excess if half_a is None else np.asarray(half_a, dtype=dtype),
            "excess_half_b": excess if half_b is None else np.asarray(half_b, dtype=dtype),
        }
    )
    chosen = np.flatnonzero(excess > FLOOR) if candidates is None else np.asarray(candidates, dtype=np.int64)
    moves = np.zeros((10, chosen.size)) if influence is None else np.asarray(influence)
    baselines = np.zeros((2, chosen.size)) if draws is None else np.asarray(draws)
    return UniversalityTable("a", partner, step, frame, chosen, moves, baselines, resampling)


def noisy(
    true: Floats,
    seed: int,
    *,
    noise: float = 0.02,
    shared: float = 0.3,
    blocks: int = 100,
    step: int = 1,
    common: Floats | None = None,
    resampling: Resampling = RESAMPLING,
) -> UniversalityTable:
    """A table measured on ``blocks`` token blocks: every block adds noise of its own, part of it to all neurons."""
    generator = np.random.default_rng(seed)
    scale = noise * math.sqrt(blocks)
    own = generator.normal(0, scale, (blocks, len(true))) if common is None else common
    noises = math.sqrt(1 - shared) * own + math.sqrt(shared) * generator.normal(0, scale, (blocks, 1))
    measured = true + noises.mean(axis=0)
    candidates = np.flatnonzero(measured > FLOOR)
    influence = (noises - noises.mean(axis=0))[:, candidates] / blocks
    return table(measured, influence=influence, candidates=candidates, step=step, dtype=float, resampling=resampling)


def tail(neurons: int, seed: int = 0) -> Floats:
    return np.asarray(0.1 + np.random.default_rng(seed).exponential(0.12, neurons).clip(max=0.85))
