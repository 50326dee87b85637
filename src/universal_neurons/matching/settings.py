"""The settings of a comparison of models, and their values for a quick one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from universal_neurons.errors import UserError
from universal_neurons.ids import Rotation

if TYPE_CHECKING:
    from universal_neurons.core.spans import SpanPooling

# The excess above which a neuron is called universal unless another is asked for: the middle of the papers' three.
THRESHOLD = 0.5
# What none of the models could use more of.
_LIMITS = {
    "tokens": (2, 10**9), "context": (2, 10**6), "blocks": (2, 10**4), "draws": (1, 10**4), "half_draws": (1, 10**4),
    "top_k": (1, 100), "resamples": (2, 10**6), "seed": (0, 2**62),
}  # fmt: skip


class SettingWrong(UserError):
    """A setting of a comparison that has no meaning."""


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """Everything besides models and text that decides the numbers.

    ``tokens``: spans of text that are scored, tokens where both models have the same tokenizer.  ``context``: tokens of
    a row, at most, the first one included.  ``pooling``: a neuron's value for a span, at its last token or the mean
    over its tokens.  ``blocks``: blocks of rows that the intervals are over.  ``draws``: rotations of the baseline, and
    ``half_draws`` of them for each half of the text.  ``top_k``: partners that are kept.  ``null``: whether rotated
    models are matched too.  ``resamples``, ``level``: of the bootstrap.

    Raises :class:`SettingWrong`.
    """

    tokens: int = 1_000_000
    context: int = 256
    pooling: SpanPooling = "last"
    blocks: int = 100
    draws: int = 20
    half_draws: int = 5
    top_k: int = 5
    rotation: Rotation = "gaussian"
    null: bool = True
    seed: int = 0
    resamples: int = 1000
    level: float = 0.95

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise SettingWrong(f"{name}: expected a whole number from {low} to {high}, got {value!r}")
        if not 0 < self.level < 1:
            raise SettingWrong(f"level: expected a number between 0 and 1, got {self.level!r}")
        for name, known in (("pooling", ("last", "mean")), ("rotation", get_args(Rotation))):
            if getattr(self, name) not in known:
                raise SettingWrong(f"{name}: expected {' or '.join(known)}, got {getattr(self, name)!r}")


# Enough for a first look on a laptop: a neuron's own interval tells what the rest is worth.
QUICK = MatchSettings(tokens=50_000, draws=3, half_draws=1, top_k=4, null=False)
THOROUGH = MatchSettings()
