"""Token sets of a suite: the scored tokens that identify neurons, and the rows on which ablations are judged.

Both are sampled once from this machine's text or a hub's, share no row, and are the same for every model.  The rows lie
in the working store only; evidence has their identity, and for text of a hub its source.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from universal_neurons.artifacts.key import Key
from universal_neurons.artifacts.provenance import capture
from universal_neurons.errors import UserError
from universal_neurons.ids import CorpusRef
from universal_neurons.inputs.corpus import (
    RowFormat,
    TokenSet,
    encode_documents,
    evaluation_set,
    has_version,
)
from universal_neurons.inputs.corpus import token_set as installed_token_set
from universal_neurons.inputs.streamed_tokens import Taken, streamed_set
from universal_neurons.inputs.suite_file import OTHER_ROWS
from universal_neurons.stages.base import Case, Need, Reader, Stage, read_artifact
from universal_neurons.stages.costs import READ_CHARACTERS, Cost, WorkKind
from universal_neurons.stages.schemas import check
from universal_neurons.stages.workspace import (
    Workspace,
    corpus_fingerprint,
    corpus_manifest,
    corpus_recipe,
    hub_corpus,
    row_cutting,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.inputs.corpus import MaskPolicy, TokenStream
    from universal_neurons.inputs.hub_corpus import HubCorpus, Part
    from universal_neurons.stages.costs import Sizes

# Token sets belong to the whole suite and not to a model or a step.
ONLY = Case()


class Tokens(Stage):
    """The identity of the scored tokens; the tokens themselves stay in the working store."""

    name: ClassVar[str] = "corpus"
    scratch: ClassVar[tuple[str, ...]] = ("tokens",)
    # The digest of the tokens is part of every key.
    is_compared: ClassVar[bool] = False

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """The one token set of the suite."""
        return (ONLY,)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The corpus recipe, and how its tokens are chosen."""
        spec = work.suite.corpus
        return {
            "recipe": spec.recipe,
            "split": "held-out" if hub_corpus(work) is None else "streamed",
            "tokens": spec.tokens,
            "row_length": spec.row_length,
            "mask": spec.mask.value,
            "seed": spec.seed,
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The text and the tokenizer."""
        return {"corpus": corpus_fingerprint(work), "tokenizer": work.zoo.tokenizer_digest}

    def describe(self, work: Workspace, case: Case) -> str:
        """The subject of a case in a few words."""
        return f"{work.suite.corpus.tokens} tokens of {work.suite.corpus.recipe}"

    def sample(self, work: Workspace) -> Taken:
        """Sample the tokens from the text."""
        spec = work.suite.corpus
        if (text := hub_corpus(work)) is not None:
            return _streamed(work, text, "identification", policy=spec.mask, tokens=spec.tokens)
        return Taken(_installed_tokens(work, spec.recipe), {})

    def produce(self, work: Workspace, case: Case) -> None:
        """Sample and commit the tokens."""
        self.token_set(work)

    def payloads(self, taken: Taken) -> dict[str, Payload]:
        """The record of a token set and its rows, by part."""
        sampled = taken.tokens
        rows: dict[str, Any] = {"rows": sampled.rows, "mask": sampled.mask.astype(np.uint8), "domain": sampled.domain}
        return {self.parts[0]: {**token_record(sampled), **taken.manifest}, self.scratch[0]: rows}

    def token_set(self, work: Workspace) -> TokenSet:
        """The token set from the working store, or sampled and committed; raises as :func:`token_set`."""
        rows, record = work.store.read(self.key(work, ONLY, self.scratch[0])), work.store.read(self.key(work, ONLY))
        if rows is not None and record is not None:
            return _stored_tokens(rows.arrays, record.document)
        # Where the versions are the evidence's, its tokens say whether the text is, without reading all of it twice.
        if record is None or not _has_its_versions(work):
            _check_text(work)
        with capture() as run:
            taken = self.sample(work)
        if record is not None and (known := corpus_ref_from(record.document)) != taken.tokens.ref:
            _check_text(work)
            raise UserError(
                f"corpus {work.suite.corpus.recipe}: expected the tokens that the evidence is about "
                f"({known.sha256[:12]}), got {taken.tokens.ref.sha256[:12]} from the same text; "
                "install what constraints.txt pins"
            )
        self.commit(work, ONLY, self.payloads(taken), run.provenance)
        return taken.tokens

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of sampling; no time is known of text that a hub has to send."""
        positions = self.positions(sizes)
        # Ids of 16 bits, the mask, and a row's domain.
        disk = 3 * positions + positions // sizes.shape.row
        if hub_corpus(work) is not None:
            return Cost({}, disk_bytes=disk)
        return replace(reading_cost(work, work.suite.corpus.recipe), disk_bytes=disk)

    def positions(self, sizes: Sizes) -> int:
        """Positions of all rows."""
        return sizes.positions

    def case(self, work: Workspace, asked: Case) -> Case:
        """The one token set of the suite."""
        return ONLY

    def read(self, reader: Reader, work: Workspace, case: Case) -> CorpusRef:
        """The identity of the tokens."""
        return corpus_ref_from(reader(self, case)[0].document)

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The record of made-up tokens."""
        return {self.parts[0]: example_record(work, work.suite.corpus.recipe)}


class EvaluationRows(Tokens):
    """The identity of the rows on which ablations are judged; the rows themselves stay in the working store.

    They follow the suite's own rows, so everything that chooses those is in this key too.
    """

    name: ClassVar[str] = "evaluation"
    scratch: ClassVar[tuple[str, ...]] = ("evaluation-tokens",)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The settings of the scored tokens, and the number of predictions."""
        return {**super().parameters(work, case), "predictions": work.suite.ablation.tokens}

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The scored tokens, whose rows are left out."""
        return ((TOKENS, ONLY),)

    def describe(self, work: Workspace, case: Case) -> str:
        """The subject of a case in a few words."""
        return f"{work.suite.ablation.tokens} predictions of {work.suite.corpus.recipe}"

    def positions(self, sizes: Sizes) -> int:
        """Positions of all rows."""
        return sizes.evaluated

    def sample(self, work: Workspace) -> Taken:
        """Sample rows that hold none of the scored ones."""
        predictions = work.suite.ablation.tokens
        if (text := hub_corpus(work)) is not None:
            own = {row.tobytes() for row in token_set(work).rows}
            return _streamed(work, text, "evaluation", policy=None, tokens=predictions, without=own)
        rows = evaluation_set(
            _held_out(work, work.suite.corpus.recipe),
            _row_format(work),
            identified=token_set(work),
            predictions=predictions,
            seed=work.suite.corpus.seed,
        )
        return Taken(rows, {})


TOKENS, EVALUATION = Tokens(), EvaluationRows()


class TokenTable(Stage):
    """A table that is computed from the suite's scored tokens."""

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The tokens."""
        return ((TOKENS, ONLY),)


def corpus_ref(work: Workspace) -> CorpusRef:
    """The identity of the suite's scored tokens, which is all that evidence has of the text; raises ArtifactMissing."""

    def known() -> CorpusRef:
        artifact = read_artifact(work, TOKENS.key(work, ONLY))
        check(work, TOKENS, ONLY, [artifact])
        return corpus_ref_from(artifact.document)

    return work.cached("corpus", known)


def evaluation_digest(work: Workspace, *, rows: int | None = None) -> str:
    """The digest of the key that chooses the rows of ablations, or the first ``rows`` of them.

    Keys name these rows by it and not by their content, because keys must not depend on text that is not here.  The
    first rows are the same however many follow.
    """
    if rows is None:
        return EVALUATION.key(work, ONLY).digest
    predictions = rows * (work.suite.corpus.row_length - 1)
    parameters = {**EVALUATION.parameters(work, ONLY), "predictions": predictions}
    return Key(EVALUATION.name, EVALUATION.version, parameters, EVALUATION.inputs(work, ONLY)).digest


def token_record(tokens: TokenSet) -> dict[str, JSON]:
    """The identity of a token set, as it is stored."""
    return {"ref": asdict(tokens.ref), "domains": list(tokens.domains), "rows": len(tokens.rows)}


def example_record(work: Workspace, text: str) -> dict[str, JSON]:
    """The record of made-up tokens of a text."""
    spec = work.suite.corpus
    ref = CorpusRef(text, "made up", "0" * 64, spec.row_length, spec.mask, spec.tokens, "0" * 64)
    return {"ref": asdict(ref), "domains": ["made up"], "rows": 1}


def corpus_ref_from(record: Mapping[str, Any]) -> CorpusRef:
    """The reference inside the record of a token set."""
    return CorpusRef(**record["ref"])


def token_set(work: Workspace) -> TokenSet:
    """The scored tokens of the suite, from the working store or from the held-out documents of this machine.

    Raises UserError where the evidence that is asked for is about another text than this machine's, CorpusError where
    there are fewer tokens than the suite wants, and ``HubError`` where text of a hub cannot be had.
    """
    return TOKENS.token_set(work)


def evaluation_tokens(work: Workspace) -> TokenSet:
    """The rows on which ablations are judged, from the working store or from the documents; raises as token_set."""
    return EVALUATION.token_set(work)


def text_tokens(work: Workspace, text: str) -> TokenSet:
    """The tokens of another text: as many as the suite's own, in the same rows and under the same mask.

    ``other_rows`` are rows of the suite's own text that are not among its tokens.  Raises as :func:`token_set`.
    """
    if text != OTHER_ROWS:
        _check_text(work, text)
        return _installed_tokens(work, text)
    return _installed_tokens(work, work.suite.corpus.recipe, {row.tobytes() for row in token_set(work).rows})


def text_recipe(work: Workspace, text: str) -> str:
    """The name of the recipe of a text."""
    return work.suite.corpus.recipe if text == OTHER_ROWS else text


def reading_cost(work: Workspace, recipe: str) -> Cost:
    """The cost of reading the text of installed distributions and of encoding its held-out documents."""
    characters = sum(distribution.characters for distribution in corpus_manifest(work, recipe).distributions)
    encoded = characters * corpus_recipe(work, recipe).held_out_share
    # The documents, and their tokens as Python's integers before they are an array.
    return Cost({WorkKind.TEXT: encoded + characters / READ_CHARACTERS}, host_bytes=int(encoded) * 4)


def _check_text(work: Workspace, recipe: str = "") -> None:
    """Raise UserError where the evidence that is asked for is about another text than this machine's.

    ``recipe``: of installed distributions, by default the suite's own.
    """
    name = recipe or work.suite.corpus.recipe
    installed = bool(recipe) or hub_corpus(work) is None
    if (
        installed
        and not work.local
        and corpus_recipe(work, name).manifest().fingerprint != corpus_fingerprint(work, recipe)
    ):
        raise UserError(
            f"corpus {name}: the shipped evidence is about another version of the text; "
            f"run: {work.suite.command('universal-neurons compute')}"
        )


def _has_its_versions(work: Workspace) -> bool:
    """Whether the text is of installed distributions, all in the versions of the manifest that is asked for."""
    if hub_corpus(work) is not None:
        return False
    manifest = corpus_manifest(work, work.suite.corpus.recipe)
    return all(has_version(one.name, one.version) for one in manifest.distributions)


def _stored_tokens(arrays: Mapping[str, Any], record: Mapping[str, Any]) -> TokenSet:
    mask = arrays["mask"].astype(np.bool_)
    domains = tuple(str(name) for name in record["domains"])
    return TokenSet(arrays["rows"], mask, arrays["domain"], domains, corpus_ref_from(record))


def _installed_tokens(work: Workspace, recipe: str, without: Collection[bytes] = ()) -> TokenSet:
    """A sample of the held-out documents of a recipe, chosen as the suite says."""
    spec, form = work.suite.corpus, _row_format(work, recipe)
    return installed_token_set(
        _held_out(work, recipe), form, policy=spec.mask, tokens=spec.tokens, seed=spec.seed, without=without
    )


def _held_out(work: Workspace, recipe: str) -> TokenStream:
    """The tokens of the held-out documents of a recipe, encoded once for all rows that are sampled of them."""
    documents = corpus_recipe(work, recipe).documents("held-out")
    return work.cached(("held out", recipe), lambda: encode_documents(documents, work.zoo.tokenizer()))


def _row_format(work: Workspace, recipe: str = "") -> RowFormat:
    return RowFormat(
        name=recipe or work.suite.corpus.recipe,
        revision=corpus_fingerprint(work, recipe),
        tokenizer_digest=work.zoo.tokenizer_digest,
        row_length=work.suite.corpus.row_length,
        bos=work.zoo.end_of_text,
        newline=work.zoo.newline,
        cutting="documents" if recipe else row_cutting(work),
    )


def _streamed(
    work: Workspace,
    text: HubCorpus,
    part: Part,
    *,
    policy: MaskPolicy | None,
    tokens: int,
    without: Collection[bytes] = (),
) -> Taken:
    """A token set of a hub's documents, with the commit and the bytes of the files that were read for it."""
    held_out = ", held out" if part == "evaluation" else ""
    work.progress.start(f"text: {text.recipe.repository}{held_out}", tokens)
    taken = streamed_set(
        text.documents(part, seed=work.suite.corpus.seed),
        work.zoo.tokenizer(),
        _row_format(work),
        policy=policy,
        tokens=tokens,
        without=without,
        progress=work.progress.advance,
    )
    work.progress.finish()
    source = {"repository": text.recipe.repository, "commit": text.locked.commit, "bytes_read": dict(text.read)}
    return replace(taken, manifest={"manifest": {**taken.manifest, "source": source}})
