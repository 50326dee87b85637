"""The tokens of a suite: sampled from this machine's text once, and the same rows for every model.

Two sets that share no row: the tokens that identify the neurons, and those on which ablations are judged.  The rows lie
in the working store only; what is shipped is their identity.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.artifacts.provenance import capture
from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import TokenSet
from universal_neurons.workspace import (
    Workspace,
    corpus_fingerprint,
    corpus_key,
    corpus_recipe,
    corpus_ref_from,
    evaluation_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from universal_neurons.artifacts.key import JSON, Key
    from universal_neurons.inputs.corpus import TokenStream


def token_set(work: Workspace) -> TokenSet:
    """The scored tokens of the suite, from the working store or from the held-out documents of this machine.

    Raises UserError where the evidence that is asked for is about another text than this machine's, and CorpusError
    where there are fewer tokens than the suite wants.
    """
    return _stored_or_sampled(work, corpus_key(work, "corpus"), corpus_key(work, "tokens"), _sampled_tokens)


def evaluation_tokens(work: Workspace) -> TokenSet:
    """The rows on which ablations are judged, from the working store or from the documents; raises as token_set."""
    key, rows = evaluation_key(work, "evaluation"), evaluation_key(work, "evaluation-tokens")
    return _stored_or_sampled(work, key, rows, _sampled_evaluation)


def _stored_or_sampled(
    work: Workspace, record_key: Key, key: Key, sampled_from: Callable[[Workspace, TokenStream], TokenSet]
) -> TokenSet:
    tokens, record = work.store.read(key), work.store.read(record_key)
    if tokens is not None and record is not None:
        return _stored_tokens(tokens.arrays, record.document)
    if not work.local and corpus_recipe(work).manifest().fingerprint != corpus_fingerprint(work):
        raise UserError(
            f"corpus {work.suite.corpus.recipe}: the shipped evidence is about another version of the text; "
            f"run: universal-neurons compute --suite {work.suite.name}"
        )
    with capture() as run:
        sampled = sampled_from(work, _held_out(work))
    described: dict[str, JSON] = {
        "ref": asdict(sampled.ref),
        "domains": list(sampled.domains),
        "rows": len(sampled.rows),
    }
    arrays: dict[str, Any] = {"rows": sampled.rows, "mask": sampled.mask.astype(np.uint8), "domain": sampled.domain}
    work.store.write(key, arrays, run.provenance)
    work.store.write(record_key, described, run.provenance)
    return sampled


def _stored_tokens(arrays: Mapping[str, Any], record: Mapping[str, Any]) -> TokenSet:
    mask = arrays["mask"].astype(np.bool_)
    domains = tuple(str(name) for name in record["domains"])
    return TokenSet(arrays["rows"], mask, arrays["domain"], domains, corpus_ref_from(record))


def _held_out(work: Workspace) -> TokenStream:
    from universal_neurons.inputs.corpus import encode_documents

    return encode_documents(corpus_recipe(work).documents("held-out"), work.zoo.tokenizer())


def _sampled_tokens(work: Workspace, stream: TokenStream) -> TokenSet:
    from universal_neurons.inputs.corpus import token_set as sampled

    spec = work.suite.corpus
    return sampled(
        stream,
        name=spec.recipe,
        revision=corpus_fingerprint(work),
        tokenizer_digest=work.zoo.tokenizer_digest,
        row_length=spec.row_length,
        policy=spec.mask,
        tokens=spec.tokens,
        seed=spec.seed,
        bos=work.zoo.end_of_text,
        newline=work.zoo.newline,
    )


def _sampled_evaluation(work: Workspace, stream: TokenStream) -> TokenSet:
    from universal_neurons.inputs.corpus import evaluation_set

    return evaluation_set(
        stream,
        token_set(work),
        predictions=work.suite.ablation.tokens,
        seed=work.suite.corpus.seed,
        bos=work.zoo.end_of_text,
    )
