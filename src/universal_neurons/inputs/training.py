"""Training of the mini zoo: small GPT-2s that differ in initialisation and in the order of their data.

One process trains one seed on one core (or on a GPU) and can be killed at any time: every minute the whole state is
written, and a run that finds a state resumes from it.  The data order is a function of the seed alone, so a resumed run
sees the tokens that the undisturbed run would have seen.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import GPT2LMHeadModel

from universal_neurons.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from universal_neurons.inputs.corpus import TokenRows
    from universal_neurons.inputs.recipe import TrainingRecipe


def initial_model(recipe: TrainingRecipe, *, seed: int) -> GPT2LMHeadModel:
    """The untrained model of ``seed``: GPT-2's initialisation from a generator of its own, in float32 on the CPU.

    Drawn tensor by tensor in the order of their names, so that neither the global generator nor the order in which a
    library builds its modules decides the weights.
    """
    model = GPT2LMHeadModel(recipe.config())
    generator = torch.Generator().manual_seed(seed)
    residual_sd = 0.02 / math.sqrt(2 * recipe.layers)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if name.endswith("bias"):
                parameter.zero_()
            elif ".ln_" in name:
                parameter.fill_(1.0)
            else:
                sd = residual_sd if name.endswith("c_proj.weight") else 0.02
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * sd)
    return model


@lru_cache(maxsize=8)
def data_order(rows: int, *, seed: int) -> npt.NDArray[np.int64]:
    """The order in which the model of ``seed`` sees the rows of one epoch."""
    return np.random.default_rng([seed, 1]).permutation(rows)


def batch_rows(rows: TokenRows, recipe: TrainingRecipe, *, seed: int, step: int) -> TokenRows:
    """The rows of ``step``; after an epoch the same order begins again."""
    batch = range(step * recipe.batch, (step + 1) * recipe.batch)
    return rows[data_order(len(rows), seed=seed).take(batch, mode="wrap")]


def next_token_loss(model: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats of predicting each token of ``rows`` (row position) from those before it."""
    logits = model(rows).logits[:, :-1]
    return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), rows[:, 1:].reshape(-1))


# Of one seed's run, in its folder: weights, both moments of the optimiser and the step they belong to; and one JSON
# record per line: step, tokens, loss (nats), learning rate, seconds, device.
STATE, LOG = "state.safetensors", "log.jsonl"


def train_seed(
    recipe: TrainingRecipe,
    rows: TokenRows,
    held_out: TokenRows,
    folder: Path,
    *,
    seed: int,
    device: str = "cpu",
    save_seconds: float = 60.0,
    log_every: int = 100,
) -> Iterator[dict[str, float | int | str]]:
    """Train one seed to the end, yielding one log record every ``log_every`` steps; resumes from a saved state.

    ``rows`` and ``held_out`` are (row position) token ids.  State, log and checkpoints are written to ``folder``, these
    as float16 Hugging Face folders ``step-...``.
    """
    target = torch.device(device)
    folder.mkdir(parents=True, exist_ok=True)
    model = initial_model(recipe, seed=seed).train()
    for block in model.transformer.h:
        # The same function as GPT-2's, which transformers computes in eight operations.
        block.mlp.act = nn.GELU(approximate="tanh")
    # transformers' own signature of ``to`` rejects what it accepts; torch's is right.
    nn.Module.to(model, target)
    optimiser = _optimiser(model, recipe)
    start, spent = _restore(folder, model, optimiser)
    began = saved = time.monotonic()
    total, counted = torch.zeros((), device=target), 0
    for step in range(start, recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        batch = torch.from_numpy(batch_rows(rows, recipe, seed=seed, step=step).astype(np.int64)).to(target)
        total += _step(model, optimiser, batch, recipe)
        done, counted = step + 1, counted + 1
        now = time.monotonic()
        is_checkpoint = done in recipe.checkpoint_steps
        if done % log_every == 0 or is_checkpoint:
            record = _record(recipe, done, float(total) / counted, spent + now - began, target)
            if is_checkpoint:
                record["held_out_loss"] = held_out_loss(model, held_out)
                save_checkpoint(model, recipe, folder / f"step-{done}")
            total, counted = torch.zeros((), device=target), 0
            with (folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
            yield record
        if now - saved > save_seconds and done % log_every == 0:
            _save(folder, model, optimiser, done, spent + now - began)
            saved = now
    _save(folder, model, optimiser, recipe.steps, spent + time.monotonic() - began)


def _optimiser(model: nn.Module, recipe: TrainingRecipe) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)


def _step(
    model: nn.Module, optimiser: torch.optim.Optimizer, batch: torch.Tensor, recipe: TrainingRecipe
) -> torch.Tensor:
    # With rows as short as these the flash kernel takes a third of a step on a CPU, plain products a tenth.
    plain = sdpa_kernel(SDPBackend.MATH) if batch.device.type == "cpu" else nullcontext()
    with plain, torch.autocast(batch.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        loss = next_token_loss(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    optimiser.step()
    optimiser.zero_grad()
    return loss.detach()


def _record(
    recipe: TrainingRecipe, step: int, loss: float, seconds: float, device: torch.device
) -> dict[str, float | int | str]:
    tokens = step * recipe.batch * recipe.context
    return {
        "step": step,
        "tokens": tokens,
        "loss": round(loss, 5),
        "learning_rate": recipe.rate(step - 1),
        "seconds": round(seconds, 1),
        "device": device.type,
    }


@torch.no_grad()
def held_out_loss(model: nn.Module, rows: TokenRows, *, batch: int = 32) -> float:
    """Mean held-out cross-entropy in nats of predicting every token of ``rows`` but the first of each row."""
    model.eval()
    device = next(model.parameters()).device
    mixed = torch.autocast(device.type, dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()
    total = 0.0
    with mixed:
        for start in range(0, len(rows), batch):
            part = torch.from_numpy(rows[start : start + batch].astype(np.int64)).to(device)
            total += float(next_token_loss(model, part)) * len(part)
    model.train()
    return total / len(rows)


def save_checkpoint(model: GPT2LMHeadModel, recipe: TrainingRecipe, folder: Path) -> None:
    """Write the weights as a Hugging Face folder of float16 safetensors that every GPT-2 loader reads."""
    fresh = GPT2LMHeadModel(recipe.config())
    fresh.load_state_dict({name: tensor.cpu() for name, tensor in model.state_dict().items()})
    nn.Module.to(fresh, torch.float16)
    fresh.save_pretrained(folder)


def _save(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, step: int, seconds: float) -> None:
    tensors = {f"model.{name}": p.detach().contiguous() for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        state = optimiser.state[p]
        tensors |= {f"{moment}.{name}": state[moment] for moment in ("exp_avg", "exp_avg_sq")}
    with replacing(folder / STATE) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step), "seconds": str(seconds)})


def _restore(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    if not (folder / STATE).exists():
        (folder / LOG).unlink(missing_ok=True)
        return 0, 0.0
    from safetensors import safe_open

    with safe_open(folder / STATE, framework="pt") as file:
        described = file.metadata()
    tensors = load_file(folder / STATE)
    step = int(described["step"])
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(tensors[f"model.{name}"])
            optimiser.state[p] = {
                # Fused AdamW wants its counter where the weights are; on a GPU a counter on the CPU is an error.
                "step": torch.tensor(float(step), device=p.device),
                "exp_avg": tensors[f"exp_avg.{name}"].to(p.device),
                "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(p.device),
            }
    _trim_log(folder / LOG, step)
    return step, float(described["seconds"])


def _trim_log(log: Path, step: int) -> None:
    # Records after the saved state belong to work that is lost and will be done again.  A kill in the middle of a write
    # leaves a last line without its end, which is no JSON; it is later than the state.
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and int(json.loads(line)["step"]) <= step]
    log.write_text("".join(kept), encoding="utf-8")
