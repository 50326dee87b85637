"""Published models from the bytes of their configuration and weights; nothing but tensors is ever unpickled.

The caller has verified the bytes.  Names in files and configurations are in :mod:`universal_neurons.architectures`.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from universal_neurons.architectures import adapter_of
from universal_neurons.characters import visible
from universal_neurons.errors import UserError
from universal_neurons.inputs.validation import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor
    from transformers import PreTrainedModel

# In order of preference: the first two cannot hold anything but tensors.  An index names the shards of a large model.
INDEX = "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", INDEX, "pytorch_model.bin")
SHARD = re.compile(r"[\w-]+\.safetensors")
# The function that a pickle asked to call, in the messages of torch's guarded loader.
_CALLED = re.compile(r"GLOBAL:? (\S+)")


class UnsafeWeights(UserError):
    """A file of weights holds something other than tensors, or cannot be read as tensors."""


class WeightsUnfit(UserError):
    """Configuration, weights and catalogue do not describe the same model."""


def shards(content: bytes, *, where: str) -> tuple[str, ...]:
    """The names of the files that an index of shards lists; raises :class:`UnsafeWeights` for any other file."""
    with one_line(where, "an index of shards", error=UnsafeWeights):
        names = tuple(sorted(set(json.loads(content)["weight_map"].values())))
        if not names or not all(SHARD.fullmatch(name) for name in names):
            raise ValueError(f"files {str(names)[:80]}")
    return names


def sharded(files: Mapping[str, bytes], *, where: str) -> dict[str, Tensor]:
    """The tensors of all shards by name; raises :class:`UnsafeWeights`, also where two shards have the same tensor."""
    state: dict[str, Tensor] = {}
    for name, content in files.items():
        part = tensors(name, content, where=where)
        if twice := state.keys() & part.keys():
            raise UnsafeWeights(f"{where}/{name}: {visible(min(twice))}: expected in one shard, got it in two")
        state |= part
    return state


def tensors(name: str, content: bytes, *, where: str) -> dict[str, Tensor]:
    """The tensors in a file of weights, by name.

    ``.safetensors`` holds nothing else; any other file is read by torch's weights-only unpickler, which builds tensors
    and refuses to call anything.  Raises :class:`UnsafeWeights`.
    """
    import safetensors.torch
    import torch

    with one_line(f"{where}/{name}", "a file of tensors only", error=UnsafeWeights):
        state: Any = safetensors.torch.load(content) if name.endswith(".safetensors") else _unpickled(content)
    named = isinstance(state, dict) and all(isinstance(key, str) for key in state)
    if not named or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UnsafeWeights(f"{where}/{name}: expected tensors by name, got {type(state).__name__}")
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise WeightsUnfit(f"{where}/{name}: {visible(key)}: expected finite numbers, got infinity or NaN")
    return dict(state)


def published_model(
    config: Mapping[str, Any], state: Mapping[str, Tensor], architecture: str, *, where: str
) -> PreTrainedModel:
    """The model of the class ``architecture`` with these weights in float32, attention by sdpa.

    Every option of its configuration is honoured.  Buffers among the tensors are ignored.  transformers assigns the
    others (older files lack the prefix of the trunk or repeat the tied embedding); no code and no file of the
    repository is used.  The global generator is left alone.  Raises :class:`WeightsUnfit` if a tensor is missing,
    unknown or of another shape, or if a repeated embedding differs from the one it is tied to.
    """
    import torch
    import transformers

    adapter = adapter_of(architecture)
    kind: Any = getattr(transformers, adapter.class_name)
    weights = {name: tensor for name, tensor in state.items() if not adapter.is_buffer(name)}
    options = {key: value for key, value in config.items() if key not in ("dtype", "torch_dtype")}
    for name, tensor in weights.items():
        # Quantized ones would be taken for numbers of the model.
        if not tensor.is_floating_point():
            kind_of = str(tensor.dtype).removeprefix("torch.")
            raise WeightsUnfit(f"{where}: {visible(name)}: expected floating-point numbers, got {kind_of}")
    building = one_line(where, f"config.json and weights of a {architecture}", error=WeightsUnfit)
    with torch.random.fork_rng(devices=[]), _quietly(), building:
        model, report = kind.from_pretrained(
            None,
            config=kind.config_class.from_dict(options),
            state_dict=dict(weights),
            dtype=torch.float32,
            attn_implementation="sdpa",
            # They are refused below, by name.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    reshaped = (name for name, *_ in report["mismatched_keys"])
    if wrong := sorted({*report["missing_keys"], *report["unexpected_keys"], *reshaped}):
        raise WeightsUnfit(f"{where}: weights and config.json do not fit: {wrong[0]} (and {len(wrong) - 1} more)")
    _check_tied(model, weights, adapter.tied, where=where)
    return model  # type: ignore[no-any-return]


def _unpickled(content: bytes) -> Any:
    import torch

    with warnings.catch_warnings():
        # It warns that another protocol may hold unknown instructions, which it refuses anyway.
        warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
        try:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # Not torch's own message: it advises to load the file without its guard.
            called = _CALLED.search(str(error))
            refused = f"a call of {visible(called[1])[:80]}" if called else "what torch's guarded loader refuses"
            raise ValueError(refused) from None


def _check_tied(model: PreTrainedModel, state: Mapping[str, Tensor], tied: tuple[str, str], *, where: str) -> None:
    import torch

    embedding, output = (next((name for name in state if name.endswith(end)), None) for end in tied)
    if embedding is None or output is None or not model.config.tie_word_embeddings:
        return
    if not torch.equal(state[output], state[embedding]):
        raise WeightsUnfit(f"{where}: {output}: expected the embedding, to which it is tied, got other numbers")


@contextmanager
def _quietly() -> Iterator[None]:
    # Its progress bar and its table are for interactive use; the content of the table is checked above.
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
