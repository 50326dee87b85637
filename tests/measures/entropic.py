"""Made-up tables of last-layer neurons with planted entropy neurons, null spaces and frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from universal_neurons.measures.entropy import CLAMPS, EntropyTables, NeuronsBelow

NEURONS, RANDOM, PLANTED, DIRECTIONS = 400, 60, 8, 440


@dataclass(frozen=True)
class Entropic:
    """One model's last layer.

    ``mediated``: the mediated share of the candidate, ``others`` of all other neurons and of random directions,
    ``planted`` of planted ones.  ``kept``: positions of which the candidate, set to 6, keeps the most probable token,
    ``others_kept`` of other neurons, ``planted_kept`` of a planted direction.  ``null``, ``frequency``: the share of
    neurons in the tail beyond random ones, ``shifted``: of every second random direction.  ``rho``: how the mediated
    share follows the null-space share.  ``raised``, ``scaled``: by how much entropy and the scale rise where any neuron
    is set to 6; ``opposed``, ``others_below``: by how much entropy rises where an opposed or another neuron of the
    layer before the last is set to 6.
    """

    mediated: float = 0.8
    others: float = 0.0
    planted: float = 0.85
    kept: float = 0.98
    others_kept: float = 0.6
    planted_kept: float = 0.99
    null: float = 0.05
    frequency: float = 0.15
    shifted: float = 0.0
    rho: float = 0.3
    raised: float = 0.6
    scaled: float = 0.1
    opposed: float = -0.5
    others_below: float = 0.4

    def below(self, model: str) -> NeuronsBelow:
        dice = np.random.default_rng(ord(model) + 40)
        rows = []
        for number, role in enumerate(["candidate", "opposed", "opposed", "other", "other", "other"]):
            # Only the most opposed one counts.
            rise = {"candidate": 0.1, "opposed": self.opposed, "other": self.others_below}[role] * (-1) ** (number == 2)
            noise = float(dice.normal(0, 0.01))
            for value in (np.nan, *CLAMPS):
                change = 0.2 + (rise + noise) * max(np.nan_to_num(value), 0) / 6
                rows.append(
                    {
                        "source_layer": 2, "source_neuron": number, "role": role, "value": np.float32(value),
                        "cosine": -0.8 if number == 1 else -0.1, "entropy_change": change, "scale_change": change / 4,
                        "total": abs(change), "direct": 0.9 * abs(change), "first_kept": 0.9,
                    }
                )  # fmt: skip
        return NeuronsBelow(pd.DataFrame(rows), 0.95)

    def tables(self, model: str) -> EntropyTables:
        dice = np.random.default_rng(ord(model) + 10)
        kind = np.repeat(["neuron", "random", "planted", "direction"], [NEURONS, RANDOM, PLANTED, DIRECTIONS])
        count = len(kind)
        null, frequency = dice.uniform(0, 0.3, count), dice.uniform(0, 0.3, count)
        mediated = self.others + self.rho * (null - 0.15) + dice.normal(0, 0.03, count)
        is_neuron, is_other = kind == "neuron", (np.arange(count) % 2 == 0) & np.isin(kind, ["random", "direction"])
        null = np.where(is_neuron & (dice.random(count) < self.null), 0.9, null)
        frequency = np.where(is_neuron & (dice.random(count) < self.frequency), -0.9, frequency)
        null = np.where(is_other & (dice.random(count) < self.shifted), 0.8, null)
        frequency = np.where(is_other & (dice.random(count) < self.shifted), 0.8, frequency)
        mediated[7] = self.mediated + dice.normal(0, 0.02)
        mediated = np.where(kind == "planted", self.planted, mediated)
        total = np.where(kind == "direction", np.nan, 0.1)
        columns = {"kind": kind, "source": np.where(is_neuron, np.arange(count), 0), "null_share": null}
        columns |= {"frequency_cosine": frequency, "total": total, "direct": total * (1 - mediated)}
        columns["entropy_change"] = total / 10
        return EntropyTables(pd.DataFrame(columns), self._clamps(dice), 0.95)

    def _clamps(self, dice: np.random.Generator) -> pd.DataFrame:
        rows = []
        for role, source, kept in (
            ("candidate", 7, self.kept), ("candidate", 9, 0.5), ("other", 20, self.others_kept),
            ("other", 21, self.others_kept), ("other", 22, self.others_kept), ("planted", 3, self.planted_kept),
        ):  # fmt: skip
            noise = float(dice.normal(0, 0.003))
            for value in CLAMPS:
                share = 1 + (kept - 1) * max(value, 0) / 6
                rows.append(
                    {
                        "role": role, "source": source, "value": np.float32(value),
                        "first_kept": min(share + noise, 1.0), "scale": 1 + self.scaled * value / 6,
                        "entropy": 2 + self.raised * value / 6,
                    }
                )  # fmt: skip
        return pd.DataFrame(rows)
