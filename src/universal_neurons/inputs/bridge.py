"""Bridges of transformer-lens around models, in the state that every measurement expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.architectures import adapter_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel

    # For modules that pass bridges on without knowing the backend.
    Bridge = TransformerBridge


def frozen_bridge(model: PreTrainedModel, *, name: str) -> TransformerBridge:
    """The bridge around ``model``, which is changed in place: raw weights, evaluation mode, no gradients, sdpa.

    The global generator is left alone.  Raises RuntimeError if transformer-lens changed the kind of attention.
    """
    import torch
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    with torch.random.fork_rng(devices=[]):
        bridge = build_bridge_from_module(
            model, architecture=type(model).__name__, hf_config=model.config, model_name=name
        )
    # After the bridge is built, because it adds parameters of its own (the split attention matrices).
    bridge.requires_grad_(requires_grad=False).train(mode=False)
    # Under eager attention a plain loop over the blocks sees the future, without any error.
    if model.config._attn_implementation != "sdpa":
        raise RuntimeError(
            f"transformer-lens changed attention to {model.config._attn_implementation!r}; expected 'sdpa'"
        )
    return bridge


def random_bridge(architecture: str = "GPT2LMHeadModel", **sizes: int) -> TransformerBridge:
    """The bridge around a model of these sizes with random weights, to measure the time that one takes.

    ``sizes`` are layers, width, heads, mlp, vocabulary and context.  The global generator is left alone.
    Raises ``UnknownArchitecture`` for a class of models without an adapter.
    """
    import torch
    import transformers

    adapter = adapter_of(architecture)
    options = adapter.configuration(**sizes)
    kind = getattr(transformers, adapter.class_name)
    with torch.random.fork_rng(devices=[]):
        model = kind(kind.config_class(**options, bos_token_id=0, eos_token_id=0, use_cache=False))
    return frozen_bridge(model, name="random")
