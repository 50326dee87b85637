"""Made-up tables of attention heads with planted sinks, tails, and neurons that turn heads off and on."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from universal_neurons.measures.attention import AttentionTables

LAYERS, HEADS, NEURONS = 4, 6, 200
SIGNS = {"top": (-1, -1, 1), "bottom": (1, -1, -1), "planted": (-1, -1, 1)}


@dataclass(frozen=True)
class Attended:
    """One model's heads.

    ``ratio``: of norms at later positions over the first one, ``middle`` over the middle one.  ``tails``: what the
    kurtosis of scores has beyond 3; ``random``: what the kurtosis of random directions has beyond 2.9.  ``strength``:
    of the three correlations of top and bottom neurons, ``matched`` of their controls, ``planted`` of planted ones.
    ``worth``: how much more than others, in sd, the model loses without a top neuron, ``matched_worth`` without a
    matched one.  ``cause``: how much of a random neuron's effect is its score, with the sign of the paper.  ``sinks``:
    heads per layer that rest on the first position.
    """

    ratio: float = 3.0
    middle: float = 1.0
    tails: float = 2.0
    random: float = 0.0
    strength: float = 0.8
    matched: float = 0.0
    planted: float = 0.7
    cause: float = 0.95
    sinks: int = 2
    worth: float = 2.0
    matched_worth: float = 0.0

    def losses(self, model: str) -> pd.DataFrame:
        """What the ablation of each neuron costs: tops are 0 and 1, matched ones 4 to 7 of the first layer."""
        dice = np.random.default_rng(ord(model) + 30)
        loss = dice.normal(0, 1, LAYERS * NEURONS)
        loss[:2] += self.worth
        loss[[4, 5, 6, 7]] += self.matched_worth
        layer, neuron = np.repeat(np.arange(LAYERS), NEURONS), np.tile(np.arange(NEURONS), LAYERS)
        return pd.DataFrame({"layer": layer, "neuron": neuron, "loss": loss})

    def profiles(self, model: str) -> Any:
        """The part of profiles that has these losses."""
        losses = self.losses(model)
        effect = pd.DataFrame({"value": losses["loss"]})
        return SimpleNamespace(frame=losses, loss_increase=np.zeros((len(losses), 8)), effect=lambda _: effect)

    def tables(self, model: str) -> AttentionTables:
        dice = np.random.default_rng(ord(model))
        layer, head = np.repeat(np.arange(LAYERS), HEADS), np.tile(np.arange(HEADS), LAYERS)
        noise = dice.normal(0, 0.02, (5, len(layer)))
        heads = pd.DataFrame(
            {
                "layer": layer,
                "head": head,
                "to_first": np.where(head < self.sinks, 0.3, 0.02),
                "first_norm": 1 / (self.ratio + noise[0]),
                "middle_norm": 1 / (self.middle + noise[1] - 0.01),
                "other_norm": 1.0,
                "raw_kurtosis": 3 + self.tails + noise[2],
                "relative_kurtosis": 3 + self.tails + noise[3],
                "random_kurtosis": 2.9 + self.random + noise[4],
            }
        )
        rows = [row for at in range(1, LAYERS) for number in range(HEADS) for row in self._paths(at, number, dice)]
        return AttentionTables(heads, pd.DataFrame(rows), pd.DataFrame(), 0.95)

    def _paths(self, layer: int, head: int, dice: np.random.Generator) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for role, count, strength in (
            ("top", 2, self.strength), ("bottom", 2, self.strength), ("matched", 4, self.matched),
            ("planted", 1, self.planted), ("random", 40, 0.0),
        ):  # fmt: skip
            for place in range(count):
                kind = role if role != "matched" else ("top", "bottom")[place // 2]
                signs = SIGNS.get(kind, (1, 1, 1))
                sway = dice.uniform(-0.2, 0.2, 3) if role == "matched" else dice.uniform(-0.05, 0.05, 3)
                values = [sign * strength + part for sign, part in zip(signs, sway, strict=True)]
                score = float(dice.normal())
                effect = -self.cause * score + np.sqrt(1 - self.cause**2) * float(dice.normal())
                rows.append(
                    {
                        "layer": layer, "head": head, "role": role, "source_layer": 0,
                        "source_neuron": place + 4 if role == "matched" else place,
                        "active": 100, "relative": score, "effect": effect, "r_activation_attention": values[0],
                        "r_attention_norm": values[1], "r_activation_norm": values[2],
                    }
                )  # fmt: skip
        return rows
