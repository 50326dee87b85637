"""The bridge that transformer-lens builds around a model, as every measurement wants it.

This module decides the state in which a model is handed out.  It refuses to know where its weights came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel

    # So that who hands bridges on need not know the backend.
    Bridge = TransformerBridge


def frozen_bridge(model: PreTrainedModel, *, name: str) -> TransformerBridge:
    """The bridge around ``model`` (which it changes in place): raw weights, evaluation mode, no gradients, sdpa.

    The global generator is left alone.  Raises RuntimeError if transformer-lens changed the kind of attention.
    """
    import torch
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    with torch.random.fork_rng(devices=[]):
        bridge = build_bridge_from_module(
            model, architecture=type(model).__name__, hf_config=model.config, model_name=name
        )
    # After the bridge is built, because it makes parameters of its own (the split attention matrices).
    bridge.requires_grad_(requires_grad=False).train(mode=False)
    # Under eager attention a plain loop over the blocks sees the future, and nothing says so.
    if model.config._attn_implementation != "sdpa":
        raise RuntimeError(
            f"transformer-lens changed attention to {model.config._attn_implementation!r}; expected 'sdpa'"
        )
    return bridge


def random_bridge(*, layers: int, width: int, heads: int, mlp: int, vocabulary: int, context: int) -> TransformerBridge:
    """The bridge around a GPT-2 of this shape with random weights, for measuring how long one takes.

    The global generator is left alone.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_layer=layers, n_embd=width, n_head=heads, n_inner=mlp, vocab_size=vocabulary, n_positions=context,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, use_cache=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        model = GPT2LMHeadModel(config)
    return frozen_bridge(model, name="random")
