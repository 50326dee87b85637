"""The tokens of a suite: sampled from this machine's text once, and the same rows for every model."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.artifacts.provenance import capture
from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import TokenSet
from universal_neurons.workspace import Workspace, corpus_fingerprint, corpus_key, corpus_recipe, corpus_ref_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.artifacts.key import JSON


def token_set(work: Workspace) -> TokenSet:
    """The scored tokens of the suite, from the working store or from the held-out documents of this machine.

    Raises UserError where the evidence that is asked for is about another text than this machine's, and CorpusError
    where there are fewer tokens than the suite wants.
    """
    key = corpus_key(work, "tokens")
    tokens, record = work.store.read(key), work.store.read(corpus_key(work, "corpus"))
    if tokens is not None and record is not None:
        return _stored_tokens(tokens.arrays, record.document)
    revision = corpus_fingerprint(work)
    if not work.local and corpus_recipe(work).manifest().fingerprint != revision:
        raise UserError(
            f"corpus {work.suite.corpus.recipe}: the shipped evidence is about another version of the text; "
            f"run: universal-neurons compute --suite {work.suite.name}"
        )
    with capture() as run:
        sampled = _sampled_tokens(work, revision=revision)
    described: dict[str, JSON] = {
        "ref": asdict(sampled.ref),
        "domains": list(sampled.domains),
        "rows": len(sampled.rows),
    }
    arrays: dict[str, Any] = {"rows": sampled.rows, "mask": sampled.mask.astype(np.uint8), "domain": sampled.domain}
    work.store.write(key, arrays, run.provenance)
    work.store.write(corpus_key(work, "corpus"), described, run.provenance)
    return sampled


def _stored_tokens(arrays: Mapping[str, Any], record: Mapping[str, Any]) -> TokenSet:
    mask = arrays["mask"].astype(np.bool_)
    domains = tuple(str(name) for name in record["domains"])
    return TokenSet(arrays["rows"], mask, arrays["domain"], domains, corpus_ref_from(record))


def _sampled_tokens(work: Workspace, *, revision: str) -> TokenSet:
    from universal_neurons.inputs.corpus import encode_documents
    from universal_neurons.inputs.corpus import token_set as sampled

    spec = work.suite.corpus
    tokenizer = work.zoo.tokenizer()
    stream = encode_documents(corpus_recipe(work).documents("held-out"), tokenizer)
    return sampled(
        stream,
        name=spec.recipe,
        revision=revision,
        tokenizer_digest=work.zoo.tokenizer_digest,
        row_length=spec.row_length,
        policy=spec.mask,
        tokens=spec.tokens,
        seed=spec.seed,
        bos=work.zoo.end_of_text,
        newline=work.zoo.newline,
    )
