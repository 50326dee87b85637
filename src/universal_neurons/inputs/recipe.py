"""Training recipes: architecture, optimiser and budget of a zoo in one TOML file, and what follows from them.

Nothing here imports torch, because a zoo is opened to read its steps.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import GPT2Config


class RecipeError(UserError):
    """A training recipe is missing, unreadable, or lacks a field."""


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """Architecture, optimiser and budget of a zoo (``fixtures/zoo/mini/recipe.toml``).

    ``batch`` is in rows of ``context`` tokens; ``learning_rate`` is the peak of a cosine with linear warm-up that ends
    at ``final_share`` of it.  ``checkpoints`` are shares of the training; ``seeds`` maps a model's letter to its seed.
    """

    layers: int
    width: int
    heads: int
    mlp: int
    context: int
    vocabulary: int
    tokens: int
    batch: int
    learning_rate: float
    final_share: float
    warmup_steps: int
    weight_decay: float
    betas: tuple[float, float]
    clip_norm: float
    checkpoints: tuple[float, ...]
    seeds: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> TrainingRecipe:
        """The recipe in the TOML file ``path``; raises :class:`RecipeError`."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read ({error.strerror}); expected a training recipe") from None
        return cls.parse(text, where=str(path))

    @classmethod
    def parse(cls, text: str, *, where: str) -> TrainingRecipe:
        """The recipe that the TOML ``text`` found at ``where`` describes; raises :class:`RecipeError`."""
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{where}: not TOML: {error}") from None
        known = {f.name for f in fields(cls)}
        required = {f.name for f in fields(cls) if f.default_factory is MISSING}
        if unknown := sorted(raw.keys() - known):
            raise RecipeError(f"{where}: {unknown[0]}: unknown field; expected one of {', '.join(sorted(known))}")
        if absent := sorted(required - raw.keys()):
            raise RecipeError(f"{where}: {absent[0]}: expected a value, got nothing")
        return cls(**{**raw, "betas": tuple(raw["betas"]), "checkpoints": tuple(raw["checkpoints"])})

    @property
    def steps(self) -> int:
        """Number of optimiser steps in the whole training."""
        return self.tokens // (self.batch * self.context)

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps after which a checkpoint is kept, in order; the last one is the end of training."""
        return tuple(round(self.steps * share) for share in self.checkpoints)

    def rate(self, step: int) -> float:
        """Learning rate of (zero-based) ``step``."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        low = self.learning_rate * self.final_share
        return low + (self.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * progress))

    def config(self) -> GPT2Config:
        """The model as Hugging Face describes it; end-of-text is the vocabulary's last token, as in GPT-2."""
        from transformers import GPT2Config

        end = self.vocabulary - 1
        return GPT2Config(
            vocab_size=self.vocabulary,
            n_positions=self.context,
            n_embd=self.width,
            n_layer=self.layers,
            n_head=self.heads,
            n_inner=self.mlp,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=end,
            eos_token_id=end,
            use_cache=False,
        )
