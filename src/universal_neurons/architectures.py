"""Adapters of model architectures: the parts of a transformers model, its configuration, and names in its checkpoints.

A new architecture is one more :class:`ModelAdapter` in ``ADAPTERS``.  Parts are given by dotted paths and options by
name, so that this module imports neither torch nor transformers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


class UnknownArchitecture(ValueError):
    """There is no adapter for a class of models."""


@dataclass(frozen=True)
class ModelAdapter:
    """One architecture, ``class_name`` in transformers and ``model_type`` in ``config.json``.

    ``options``: the configuration's name of each size (layers, width, heads, mlp, context, vocabulary).  ``blocks``
    and ``final_norm``: paths in the model; ``attention`` and all names that begin with ``mlp``: paths in a block, with
    ``mlp_norm`` the layer norm whose output the MLP reads.  ``parallel``: the MLP reads the input of its block, beside
    attention, instead of attention's output; the name of an option if the configuration decides.

    ``gated``: the input matrix and its activation are one factor of a product, and a neuron is that product, which the
    output matrix reads; otherwise a neuron is the activation itself.

    Of attention: ``attention_norm``, the layer norm that it reads; ``attention_input``, the one matrix that makes
    queries, keys and values, or the three; ``attention_output``; ``packing``: one matrix has all queries, then keys,
    then values, or these for each head of keys; ``key_heads``: the option with the number of heads of keys and values,
    where queries share them; ``rotary``: the model's rotary embedding, where it has one.  An
    architecture without these has neurons, but no heads that can be read.

    ``buffers``: ends of names of tensors that older checkpoints have beside the weights.  ``tied``: ends of the names
    of the embedding and of the output matrix, which repeats it where the configuration ties them.
    """

    class_name: str
    model_type: str
    options: Mapping[str, str]
    blocks: str
    final_norm: str
    attention: str
    mlp_norm: str
    mlp_input: str
    mlp_activation: str
    mlp_output: str
    parallel: bool | str
    buffers: tuple[str, ...]
    tied: tuple[str, str]
    gated: bool = False
    attention_norm: str = ""
    attention_input: tuple[str, ...] = ()
    attention_output: str = ""
    packing: Literal["parts", "heads"] = "parts"
    key_heads: str = ""
    rotary: str = ""

    def configuration(self, **sizes: int) -> dict[str, int]:
        """The options of a configuration with these sizes."""
        return {self.options[name]: size for name, size in sizes.items()}

    def is_buffer(self, name: str) -> bool:
        """True for a tensor of a checkpoint that is no weight, such as a causal mask."""
        return any(re.search(rf"(^|\.){re.escape(end)}$", name) for end in self.buffers)


# The names that most configurations have.
_OPTIONS = {
    "layers": "num_hidden_layers", "width": "hidden_size", "heads": "num_attention_heads",
    "mlp": "intermediate_size", "context": "max_position_embeddings", "vocabulary": "vocab_size",
}  # fmt: skip


def _gated(class_name: str, model_type: str, *, mlp_norm: str = "post_attention_layernorm") -> ModelAdapter:
    """A decoder in the shape of Llama: ``down_proj(act_fn(gate_proj(x)) * up_proj(x))`` after attention."""
    return ModelAdapter(
        class_name=class_name,
        model_type=model_type,
        options=_OPTIONS,
        blocks="model.layers",
        final_norm="model.norm",
        attention="self_attn",
        mlp_norm=mlp_norm,
        mlp_input="mlp.gate_proj",
        mlp_activation="mlp.act_fn",
        mlp_output="mlp.down_proj",
        parallel=False,
        buffers=("rotary_emb.inv_freq",),
        tied=("embed_tokens.weight", "lm_head.weight"),
        gated=True,
    )  # fmt: skip


ADAPTERS: dict[str, ModelAdapter] = {
    adapter.class_name: adapter
    for adapter in (
        ModelAdapter(
            class_name="GPT2LMHeadModel",
            model_type="gpt2",
            options={
                "layers": "n_layer", "width": "n_embd", "heads": "n_head", "mlp": "n_inner", "context": "n_positions",
                "vocabulary": "vocab_size",
            },
            blocks="transformer.h",
            final_norm="transformer.ln_f",
            attention="attn",
            mlp_norm="ln_2",
            mlp_input="mlp.c_fc",
            mlp_activation="mlp.act",
            mlp_output="mlp.c_proj",
            parallel=False,
            buffers=("attn.bias", "attn.masked_bias"),
            tied=("wte.weight", "lm_head.weight"),
            attention_norm="ln_1",
            attention_input=("attn.c_attn",),
            attention_output="attn.c_proj",
            packing="parts",
        ),
        ModelAdapter(
            class_name="GPTNeoXForCausalLM",
            model_type="gpt_neox",
            options=_OPTIONS,
            blocks="gpt_neox.layers",
            final_norm="gpt_neox.final_layer_norm",
            attention="attention",
            mlp_norm="post_attention_layernorm",
            mlp_input="mlp.dense_h_to_4h",
            mlp_activation="mlp.act",
            mlp_output="mlp.dense_4h_to_h",
            parallel="use_parallel_residual",
            buffers=("attention.bias", "attention.masked_bias", "rotary_emb.inv_freq"),
            tied=("embed_in.weight", "embed_out.weight"),
            attention_norm="input_layernorm",
            attention_input=("attention.query_key_value",),
            attention_output="attention.dense",
            packing="heads",
            rotary="gpt_neox.rotary_emb",
        ),
        ModelAdapter(
            class_name="Starcoder2ForCausalLM",
            model_type="starcoder2",
            options=_OPTIONS,
            blocks="model.layers",
            final_norm="model.norm",
            attention="self_attn",
            mlp_norm="post_attention_layernorm",
            mlp_input="mlp.c_fc",
            mlp_activation="mlp.act",
            mlp_output="mlp.c_proj",
            parallel=False,
            buffers=("rotary_emb.inv_freq",),
            tied=("embed_tokens.weight", "lm_head.weight"),
            attention_norm="input_layernorm",
            attention_input=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            attention_output="self_attn.o_proj",
            key_heads="num_key_value_heads",
            rotary="model.rotary_emb",
        ),
        _gated("LlamaForCausalLM", "llama"),
        _gated("MistralForCausalLM", "mistral"),
        _gated("Qwen2ForCausalLM", "qwen2"),
        _gated("Qwen3ForCausalLM", "qwen3"),
        _gated("GemmaForCausalLM", "gemma"),
        _gated("Gemma2ForCausalLM", "gemma2", mlp_norm="pre_feedforward_layernorm"),
        _gated("Gemma3ForCausalLM", "gemma3_text", mlp_norm="pre_feedforward_layernorm"),
    )
}  # fmt: skip


def adapter_of(class_name: str) -> ModelAdapter:
    """The adapter of a class of transformers models; raises :class:`UnknownArchitecture`."""
    if class_name not in ADAPTERS:
        raise UnknownArchitecture(f"architecture: expected one of {', '.join(ADAPTERS)}, got {class_name!r}")
    return ADAPTERS[class_name]


def adapter_of_type(model_type: str) -> ModelAdapter:
    """The adapter of a ``model_type`` in ``config.json``; raises :class:`UnknownArchitecture`."""
    known = {adapter.model_type: adapter for adapter in ADAPTERS.values()}
    if model_type not in known:
        raise UnknownArchitecture(f"model_type: expected one of {', '.join(known)}, got {model_type!r}")
    return known[model_type]
