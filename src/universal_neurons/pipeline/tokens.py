"""The tokens of a suite: sampled from this machine's text or a hub's once, and the same rows for every model.

Two sets that share no row: the tokens that identify the neurons, and those on which ablations are judged.  The rows lie
in the working store only; what is shipped is their identity, and for text of a hub what went into them.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.artifacts.provenance import capture
from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import TokenSet
from universal_neurons.inputs.streamed_tokens import RowFormat, Taken, predicted_set, scored_set
from universal_neurons.workspace import (
    Workspace,
    corpus_fingerprint,
    corpus_key,
    corpus_recipe,
    corpus_ref_from,
    evaluation_key,
    hub_corpus,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from universal_neurons.artifacts.key import JSON, Key
    from universal_neurons.inputs.corpus import TokenStream
    from universal_neurons.inputs.hub_corpus import HubCorpus


def token_set(work: Workspace) -> TokenSet:
    """The scored tokens of the suite, from the working store or from the held-out documents of this machine.

    Raises UserError where the evidence that is asked for is about another text than this machine's, CorpusError where
    there are fewer tokens than the suite wants, and ``HubError`` where text of a hub cannot be had.
    """
    return _stored_or_sampled(work, corpus_key(work, "corpus"), corpus_key(work, "tokens"), _sampled_tokens)


def evaluation_tokens(work: Workspace) -> TokenSet:
    """The rows on which ablations are judged, from the working store or from the documents; raises as token_set."""
    key, rows = evaluation_key(work, "evaluation"), evaluation_key(work, "evaluation-tokens")
    return _stored_or_sampled(work, key, rows, _sampled_evaluation)


def _stored_or_sampled(
    work: Workspace, record_key: Key, key: Key, sampled_from: Callable[[Workspace], Taken]
) -> TokenSet:
    tokens, record = work.store.read(key), work.store.read(record_key)
    if tokens is not None and record is not None:
        return _stored_tokens(tokens.arrays, record.document)
    installed = hub_corpus(work) is None
    if installed and not work.local and corpus_recipe(work).manifest().fingerprint != corpus_fingerprint(work):
        raise UserError(
            f"corpus {work.suite.corpus.recipe}: the shipped evidence is about another version of the text; "
            f"run: {work.suite.command('universal-neurons compute')}"
        )
    with capture() as run:
        taken = sampled_from(work)
    sampled = taken.tokens
    if record is not None and (known := corpus_ref_from(record.document)) != sampled.ref:
        raise UserError(
            f"corpus {work.suite.corpus.recipe}: expected the tokens that the evidence is about "
            f"({known.sha256[:12]}), got {sampled.ref.sha256[:12]} from the same text; "
            "install what constraints.txt pins"
        )
    described: dict[str, JSON] = {
        "ref": asdict(sampled.ref),
        "domains": list(sampled.domains),
        "rows": len(sampled.rows),
        **taken.manifest,
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


def _sampled_tokens(work: Workspace) -> Taken:
    from universal_neurons.inputs.corpus import token_set as sampled

    spec = work.suite.corpus
    if (text := hub_corpus(work)) is not None:
        return _streamed_tokens(work, text)
    tokens = sampled(
        _held_out(work),
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
    return Taken(tokens, {})


def _sampled_evaluation(work: Workspace) -> Taken:
    from universal_neurons.inputs.corpus import evaluation_set

    if (text := hub_corpus(work)) is not None:
        return _streamed_evaluation(work, text)
    tokens = evaluation_set(
        _held_out(work),
        token_set(work),
        predictions=work.suite.ablation.tokens,
        seed=work.suite.corpus.seed,
        bos=work.zoo.end_of_text,
    )
    return Taken(tokens, {})


def _streamed_tokens(work: Workspace, text: HubCorpus) -> Taken:
    spec = work.suite.corpus
    work.progress.start(f"text: {text.recipe.repository}", spec.tokens)
    taken = scored_set(
        text.documents("identification", seed=spec.seed),
        work.zoo.tokenizer(),
        _row_format(work, text),
        policy=spec.mask,
        tokens=spec.tokens,
        progress=work.progress.advance,
    )
    work.progress.finish()
    return _with_source(taken, text)


def _streamed_evaluation(work: Workspace, text: HubCorpus) -> Taken:
    predictions = work.suite.ablation.tokens
    own = {row.tobytes() for row in token_set(work).rows}
    work.progress.start(f"text: {text.recipe.repository}, held out", predictions)
    taken = predicted_set(
        text.documents("evaluation", seed=work.suite.corpus.seed),
        work.zoo.tokenizer(),
        _row_format(work, text),
        predictions=predictions,
        without=own,
        progress=work.progress.advance,
    )
    work.progress.finish()
    return _with_source(taken, text)


def _row_format(work: Workspace, text: HubCorpus) -> RowFormat:
    return RowFormat(
        name=text.name,
        revision=text.fingerprint,
        tokenizer_digest=work.zoo.tokenizer_digest,
        row_length=work.suite.corpus.row_length,
        cutting=text.recipe.cutting,
        bos=work.zoo.end_of_text,
        newline=work.zoo.newline,
    )


def _with_source(taken: Taken, text: HubCorpus) -> Taken:
    """``taken`` with the commit and the bytes of the files that were read for it."""
    source = {"repository": text.recipe.repository, "commit": text.locked.commit, "bytes_read": dict(text.read)}
    return replace(taken, manifest={"manifest": {**taken.manifest, "source": source}})
