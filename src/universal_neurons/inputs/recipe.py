"""Training recipes: architecture, optimiser and budget of a zoo in one TOML file, and what follows from them.

Nothing here imports torch, because a zoo is opened to read its steps.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from universal_neurons.errors import UserError
from universal_neurons.inputs.validation import Table, checked_model, parsed_toml, read_model

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import GPT2Config


class RecipeError(UserError):
    """A training recipe is missing, unreadable, or lacks a field."""


class TrainingRecipe(Table):
    """Architecture, optimiser and budget of a zoo (``fixtures/zoo/mini/recipe.toml``).

    ``batch`` is in rows of ``context`` tokens.  ``learning_rate`` is the peak, reached linearly in ``warmup_steps``;
    from ``falls_from`` to ``falls_until``, shares of the training, the rate falls as a cosine to ``final_share`` of the
    peak and stays there.  Forward passes are computed in ``precision``: bfloat16 is the faster one where the processor
    multiplies it (AVX-512 BF16, AMX), and takes eight times as long as float32 where it does not.  ``checkpoints`` are
    shares of the training too; ``seeds`` maps a model's letter to its seed.
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
    falls_from: float = Field(default=0.0, ge=0, le=1)
    falls_until: float = Field(default=1.0, ge=0, le=1)
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    weight_decay: float
    betas: tuple[float, float]
    clip_norm: float
    checkpoints: tuple[float, ...]
    seeds: dict[str, int] = Field(default={})

    @classmethod
    def read(cls, path: Path) -> TrainingRecipe:
        """The recipe in the TOML file ``path``; raises :class:`RecipeError`."""
        return read_model(cls, path, error=RecipeError, advice="expected a training recipe")

    @classmethod
    def parse(cls, text: str, *, where: str) -> TrainingRecipe:
        """The recipe that the TOML ``text`` found at ``where`` describes; raises :class:`RecipeError`."""
        raw = parsed_toml(text, where=where, error=RecipeError)
        return checked_model(cls, raw, where=where, error=RecipeError)

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
        start = max(self.warmup_steps, self.falls_from * self.steps)
        progress = (step - start) / max(1, self.falls_until * self.steps - start)
        low = self.learning_rate * self.final_share
        return low + (self.learning_rate - low) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))

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
