"""Made-up tables of what neurons write into the vocabulary, with planted differences between layers and roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from universal_neurons.measures.predictions import PredictionTables

LAYERS, WIDTH = 8, 500
LAYER, NEURON = np.repeat(np.arange(LAYERS), WIDTH), np.tile(np.arange(WIDTH), LAYERS)
DIRECTIONS, PLANTED = 4000, 64


@dataclass(frozen=True)
class Written:
    """One model's neurons.

    ``rise``: by how much the share of sharp neurons grows with every layer, from ``base`` on.  ``suppression``: the
    share of them that suppress in the last layer, beside 0.2 in all others.  ``universal``: the share of universal
    neurons that are sharp in the last layer.  ``auc``: of each role's next tokens, ``matched`` of other tokens.
    ``found``: the share of planted neurons that are sharp.  ``alike``: the share of their tokens that neurons of a pair
    have in common, neurons of one layer that fire alike; ``common``: that all neurons have in common.
    """

    base: float = 0.02
    rise: float = 0.03
    suppression: float = 0.6
    universal: float = 0.8
    auc: float = 0.6
    matched: float = 0.5
    permuted_rise: float = 0.0
    found: float = 0.9
    layers: int = LAYERS
    alike: float = 0.6
    common: float = 0.0

    def tables(self, model: str, universal: Any) -> PredictionTables:
        dice = np.random.default_rng(ord(model))
        layer = LAYER * self.layers // LAYERS
        rate = self.base + self.rise * layer
        rate = np.where(universal & (layer == layer.max()), self.universal, rate)
        sharp = dice.random(len(LAYER)) < rate
        negative = dice.random(len(LAYER)) < np.where(layer == layer.max(), self.suppression, 0.2)
        columns = {"auc": self.auc + dice.normal(0, 0.05, len(LAYER))}
        columns["matched_auc"] = self.matched + dice.normal(0, 0.05, len(LAYER))
        for prefix, flags in (
            ("", sharp), ("common_", sharp), ("permuted_", dice.random(len(LAYER)) < 0.02 + self.permuted_rise * layer)
        ):  # fmt: skip
            columns |= {
                f"{prefix}kurtosis": np.where(flags, 12.0, 3 + dice.uniform(0, 0.5, len(LAYER))),
                f"{prefix}skewness": np.where(negative, -1.0, 1.0),
                f"{prefix}variance": dice.uniform(0.5, 1, len(LAYER)),
            }
        neurons = pd.DataFrame({"layer": layer, "neuron": NEURON, **columns, "positives": 9, "members": 9})
        drawn = dice.uniform(3, 4, DIRECTIONS)
        drawn = np.where(np.arange(DIRECTIONS) % 2000 == 0, 5.0, drawn)
        directions = pd.DataFrame(
            {f"{prefix}{name}": drawn for prefix in ("", "common_") for name in ("kurtosis", "variance")}
        ).assign(skewness=1.0, common_skewness=1.0)
        return PredictionTables(neurons, directions, self._planted(dice), 0.95)

    def duplicates(self) -> pd.DataFrame:
        """Every neuron with an even number fires like the next one."""
        other = {"other_layer": LAYER * self.layers // LAYERS, "other_neuron": NEURON ^ 1}
        return pd.DataFrame({"layer": other["other_layer"], "neuron": NEURON, "correlation": 0.7, **other})

    def tokens(self, model: str) -> Any:
        """The tokens that each neuron promotes, which are also those that it suppresses (neuron, 10)."""
        dice = np.random.default_rng(ord(model) + 20)
        found = dice.permuted(np.tile(np.arange(1000), (len(LAYER), 1)), axis=1)[:, :10]
        shared, everyone = round(10 * self.alike), round(10 * self.common)
        found[1::2, :shared] = found[::2, :shared]
        found[:, :everyone] = 1000 + np.arange(everyone)
        return found

    def _planted(self, dice: np.random.Generator) -> pd.DataFrame:
        sign = np.where(np.arange(PLANTED) % 2, -1.0, 1.0)
        return pd.DataFrame(
            {
                "kurtosis": np.where(dice.random(PLANTED) < self.found, 9.0, 3.0),
                "skewness": sign,
                "variance": 0.5,
                "auc": self.auc + dice.normal(0, 0.02, PLANTED),
                "matched_auc": self.matched + dice.normal(0, 0.02, PLANTED),
            }
        )
