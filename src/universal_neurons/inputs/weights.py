"""A published model out of the bytes of its configuration and its weights; nothing but tensors is ever unpickled.

This module decides which files of weights are read and how.  It refuses to know where the bytes came from: whoever
calls it has verified them.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from universal_neurons.characters import visible
from universal_neurons.inputs.zoo import ZooError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor
    from transformers import PreTrainedModel

    from universal_neurons.inputs.catalogue import Architecture

# In the order of preference: the first cannot hold anything but tensors.
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# Masks and rotation frequencies that old versions of transformers saved with the weights, and that are not weights.
_NOT_WEIGHTS = re.compile(
    r"(^|\.)(attn\.(masked_)?bias|attention\.(masked_)?bias|attention\.rotary_emb\.inv_freq|rotary_emb\.inv_freq)$"
)
# How torch's guarded loader names the function that a pickle asked it to call.
_CALLED = re.compile(r"GLOBAL:? (\S+)")
# What ``config.json`` calls the architectures.  Its list of class names is no guide: it has whichever class of whoever
# trained the model wrote it.
_TYPE = {"GPT2LMHeadModel": "gpt2", "GPTNeoXForCausalLM": "gpt_neox"}
# Configuration names of the architectures' shapes, in the order of ``_shape``.
_SHAPE = {
    "GPT2LMHeadModel": ("n_layer", "n_embd", "n_head", "n_inner", "n_positions", "vocab_size"),
    "GPTNeoXForCausalLM": (
        "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings",
        "vocab_size",
    ),
}  # fmt: skip


class UnsafeWeights(ZooError):
    """A file of weights holds something else than tensors, or cannot be read as tensors."""


class WeightsUnfit(ZooError):
    """Configuration, weights and catalogue do not describe the same model."""


def configuration(content: bytes, architecture: Architecture, *, where: str) -> dict[str, Any]:
    """The configuration in ``config.json``; raises :class:`WeightsUnfit` unless it is of the catalogued shape."""
    try:
        raw = json.loads(content)
        got = raw["model_type"], _shape(raw, architecture.name)
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsUnfit(f"{where}: not the configuration of a {architecture.name} ({error!r})") from None
    expected = _TYPE[architecture.name], _catalogued(architecture)
    if got != expected:
        raise WeightsUnfit(f"{where}: expected {expected[0]} of shape {expected[1]}, got {got[0]} of shape {got[1]}")
    return dict(raw)


def tensors(name: str, content: bytes, *, where: str) -> dict[str, Tensor]:
    """The tensors in a file of weights, by name, without the buffers that are none.

    ``.safetensors`` holds nothing else; any other file goes through torch's weights-only unpickler, which builds
    tensors and refuses to call anything.  Raises :class:`UnsafeWeights`.
    """
    import safetensors
    import safetensors.torch
    import torch

    found: Any
    try:
        found = safetensors.torch.load(content) if name.endswith(".safetensors") else _unpickled(content)
    except (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise UnsafeWeights(f"{where}/{name}: expected a file of tensors only, got {_instead(error)}") from None
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise UnsafeWeights(f"{where}/{name}: expected tensors by name, got {type(found).__name__}")
    return {key: value for key, value in found.items() if not _NOT_WEIGHTS.search(key)}


def published_model(
    config: Mapping[str, Any], state: Mapping[str, Tensor], architecture: Architecture, *, where: str
) -> PreTrainedModel:
    """The model with these weights in float32, attention by sdpa, every option of its configuration honoured.

    transformers puts the tensors into place (older files lack the prefix of the trunk or repeat the tied embedding);
    no code and no file of the repository is used.  The global generator is left alone.  Raises :class:`WeightsUnfit` if
    a tensor is missing, unknown or of another shape, or if a repeated embedding differs from the one it is tied to.
    """
    import torch
    import transformers

    kind: Any = getattr(transformers, architecture.name)
    options = {key: value for key, value in config.items() if key not in ("dtype", "torch_dtype")}
    with torch.random.fork_rng(devices=[]), _quietly():
        try:
            model, report = kind.from_pretrained(
                None,
                config=kind.config_class.from_dict(options),
                state_dict=dict(state),
                dtype=torch.float32,
                attn_implementation="sdpa",
                output_loading_info=True,
            )
        except RuntimeError as error:
            raise WeightsUnfit(f"{where}: weights of another shape than config.json says ({_line(error)})") from None
    if wrong := sorted({*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]}):
        raise WeightsUnfit(f"{where}: weights and config.json do not fit: {wrong[0]} (and {len(wrong) - 1} more)")
    _check_tied(model, state, where=where)
    return model  # type: ignore[no-any-return]


def _unpickled(content: bytes) -> Any:
    import torch

    with warnings.catch_warnings():
        # That another protocol may hold instructions it does not know; it refuses those by itself.
        warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _instead(error: Exception) -> str:
    """What a file holds that ``error`` kept from being read as tensors, on one line."""
    # Torch advises to load the file without its guard, which is what nobody should do with such a file.
    if isinstance(error, pickle.UnpicklingError):
        called = _CALLED.search(str(error))
        return f"a call of {visible(called[1])[:80]}" if called else "something that torch's guarded loader refuses"
    lines = str(error).strip().splitlines()
    return f"something else ({visible(lines[0])[:200] if lines else type(error).__name__})"


def _check_tied(model: PreTrainedModel, state: Mapping[str, Tensor], *, where: str) -> None:
    import torch

    repeated = state.get("lm_head.weight")
    embedding = next((tensor for key, tensor in state.items() if key.endswith("wte.weight")), None)
    if repeated is None or embedding is None or not model.config.tie_word_embeddings:
        return
    if not torch.equal(repeated, embedding):
        raise WeightsUnfit(f"{where}: lm_head.weight: expected the embedding, to which it is tied, got other numbers")


def _shape(raw: Mapping[str, Any], name: str) -> tuple[int, ...]:
    layers, width, heads, mlp, context, vocabulary = (raw.get(key) for key in _SHAPE[name])
    shape = (layers, width, heads, mlp if mlp is not None else 4 * int(width or 0), context, vocabulary)
    return tuple(int(number or 0) for number in shape)


def _catalogued(a: Architecture) -> tuple[int, ...]:
    return (a.layers, a.width, a.heads, a.mlp, a.context, a.vocabulary)


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")


@contextmanager
def _quietly() -> Iterator[None]:
    # Its progress bar and its table of findings are for interactive use; what they say is in the report, and checked.
    import logging as levels

    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity(levels.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
