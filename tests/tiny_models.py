"""Tiny models on a hub of tests: their weights and files, a catalogue that lists them, and clients that use the hub."""

from __future__ import annotations

import copy
import io
import json
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from transformers import GPT2Config, GPT2LMHeadModel

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.hub import LoopbackHub

SHAPE: dict[str, Any] = {"n_layer": 3, "n_embd": 16, "n_head": 2, "n_positions": 16, "vocab_size": 300}
A, B, WORDS = "someone/tiny-a", "someone/tiny-b", "someone/words"
BIN, SAFE = "pytorch_model.bin", "model.safetensors"
CATALOGUED = """
[families.tiny]
title = "Tiny"
source = "nobody"
revision = "checkpoint-{step}"
ranges = [[0, 20, 10]]
tokenizer = { repository = "someone/words", revision = "main", file = "tokenizer.json" }
architecture = { name = "GPT2LMHeadModel", layers = 3, width = 16, heads = 2, mlp = 64, context = 16, vocabulary = 300 }
models.a = { repository = "someone/tiny-a", seed = 1, aliases = ["tiny-a"] }
models.b = { repository = "someone/tiny-b", seed = 2 }

[families.neox]
title = "Tiny with rotary positions"
source = "nobody"
revision = "step{step}"
steps = [1]
tokenizer = { repository = "someone/words", revision = "main", file = "tokenizer.json" }

[families.neox.architecture]
name = "GPTNeoXForCausalLM"
layers = 2
width = 16
heads = 2
mlp = 64
context = 16
vocabulary = 300

[families.neox.models]
a = { repository = "someone/neox", seed = 1 }
"""


def tiny(seed: int, **options: Any) -> Any:
    """A GPT-2 with Stanford's settings: attention scaled by layer, and weights large enough for this to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scaled = {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True, "initializer_range": 0.5}
        model: Any = GPT2LMHeadModel(GPT2Config(**SHAPE, **{**scaled, **options}))
        return model.eval()


def relative(model: Any, seed: int) -> Any:
    """A copy with every other neuron drawn anew, so that half of the neurons have a partner."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for block in other.transformer.h:
            reads, writes = block.mlp.c_fc.weight, block.mlp.c_proj.weight
            reads[:, ::2] = reads.std() * torch.randn(reads[:, ::2].shape, generator=generator)
            writes[::2] = writes.std() * torch.randn(writes[::2].shape, generator=generator)
    return other


def config_of(model: Any) -> bytes:
    return json.dumps({**model.config.to_dict(), "architectures": ["SomebodysOwnClass"]}).encode()


def pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def in_bin(model: Any) -> dict[str, bytes]:
    """Files as older checkpoints have them: pickled, with causal masks among the weights, and the tied matrix twice."""
    masks = {f"transformer.h.{i}.attn.bias": torch.ones(1, 1, 16, 16, dtype=torch.uint8) for i in range(3)}
    masks |= {f"transformer.h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(3)}
    return {"config.json": config_of(model), BIN: pickled({**model.state_dict(), **masks})}


def in_safetensors(model: Any) -> dict[str, bytes]:
    state = {name: tensor.clone() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    return {"config.json": config_of(model), SAFE: safetensors.torch.save(state, metadata={"format": "pt"})}


class Clock:
    """The module ``time`` for the clients; ``sleep`` records its argument and returns at once."""

    def __init__(self, waits: list[float]) -> None:
        self.sleep = waits.append

    def __getattr__(self, name: str) -> Any:
        import time

        return getattr(time, name)


def use(monkeypatch: pytest.MonkeyPatch, hub: LoopbackHub, *, root: Path, waits: list[float]) -> None:
    """Make the clients, which read their environment on import, use the hub and a cache below ``root``."""
    import huggingface_hub

    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(root / "cache"))
    monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(f"{constants}.HF_TOKEN_PATH", str(root / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("DISABLE_SAFETENSORS_CONVERSION", "1")
    # The client sends one request about its caller per process, which would be counted among those of a test.
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", {"harnesses": {}}, raising=False)
    for module in ("utils._http", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.time", Clock(waits))
    huggingface_hub.close_session()
