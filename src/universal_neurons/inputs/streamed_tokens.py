"""Rows of tokens from a stream of documents, in their order until enough tokens count, and a manifest of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from universal_neurons.inputs.corpus import CorpusError, TokenRows, TokenSet, chunks, encode_documents, token_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from tokenizers import Tokenizer

    from universal_neurons.inputs.corpus import Document, MaskPolicy, RowFormat

# Documents that are encoded together; the last ones are mostly in vain.
CHUNK = 64
MOST_SUBSETS = 2**8


@dataclass(frozen=True, slots=True)
class Taken:
    """A token set and its manifest: documents, bytes of text and tokens, in all and by subset."""

    tokens: TokenSet
    manifest: dict[str, Any]


@dataclass
class _Growing:
    """Rows so far, and the documents that they are made of."""

    tokenizer: Tokenizer
    form: RowFormat
    rows: list[TokenRows] = field(default_factory=list)
    domain: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    domains: dict[str, int] = field(default_factory=dict)
    # (label, bytes of text, tokens) of every document in order.
    documents: list[tuple[int, int, int]] = field(default_factory=list)
    _tokens: npt.NDArray[np.uint16] = field(default_factory=lambda: np.empty(0, dtype=np.uint16))
    _labels: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))

    def add(self, documents: list[Document]) -> TokenRows:
        """The rows that ``documents`` complete."""
        for document in documents:
            tokens = self._encoded(document)
            label = self.domains.setdefault(document.domain, len(self.domains))
            if label >= MOST_SUBSETS:
                raise CorpusError(f"corpus {self.form.name}: expected at most {MOST_SUBSETS} subsets, got more")
            self.documents.append((label, len(document.text.encode()), len(tokens)))
            self._tokens = np.concatenate([self._tokens, tokens])
            self._labels = np.concatenate([self._labels, np.full(len(tokens), label, dtype=np.uint8)])
        rows, domain = self._cut(self._tokens, bos=self.form.bos), self._cut(self._labels.astype(np.uint16), bos=0)
        used = len(rows) * self.width
        self._tokens, self._labels = self._tokens[used:], self._labels[used:]
        if self.form.cutting == "documents":
            domain[:, 0] = domain[:, 1]
        self.rows.append(rows)
        self.domain.append(domain.astype(np.uint8))
        return rows

    @property
    def width(self) -> int:
        """Tokens of text in a row."""
        return self.form.row_length - (self.form.cutting == "documents")

    def _encoded(self, document: Document) -> npt.NDArray[np.uint16]:
        tokens = encode_documents([document], self.tokenizer).tokens
        # The published code neither separates documents nor takes more of one than a row holds.
        return tokens if self.form.cutting == "documents" else tokens[:-1][: self.form.row_length]

    def _cut(self, tokens: npt.NDArray[np.uint16], *, bos: int) -> TokenRows:
        if self.form.cutting == "documents":
            return token_rows(tokens, row_length=self.form.row_length, bos=bos)
        count = len(tokens) // self.form.row_length
        return tokens[: count * self.form.row_length].reshape(count, self.form.row_length)

    def manifest(self, rows: int) -> dict[str, Any]:
        """The contents of the first ``rows`` rows; a document that is in them in part counts as one."""
        subsets = {name: {"documents": 0, "bytes": 0, "tokens": 0} for name in self.domains}
        names, left = list(self.domains), rows * self.width
        for label, size, tokens in self.documents:
            if left <= 0:
                break
            counts = subsets[names[label]]
            counts["documents"] += 1
            counts["bytes"] += size
            counts["tokens"] += min(tokens, left)
            left -= tokens
        used = {name: counts for name, counts in sorted(subsets.items()) if counts["documents"]}
        totals = {key: sum(counts[key] for counts in used.values()) for key in ("documents", "bytes", "tokens")}
        return {**totals, "subsets": used}


def streamed_set(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    form: RowFormat,
    *,
    policy: MaskPolicy | None,
    tokens: int,
    without: Collection[bytes] = (),
    progress: Callable[[int], None],
) -> Taken:
    """Just enough whole rows of ``documents``, in their order, for ``tokens`` tokens under the mask of ``policy``.

    Without a policy these are predicted tokens, as in :func:`evaluation_set`.  Rows whose bytes are in ``without`` are
    left out.  ``progress`` gets the number of new tokens.  Raises :class:`CorpusError` if there are too few documents.
    """
    growing = _Growing(tokenizer, form)
    counted: list[npt.NDArray[np.int64]] = []
    total = 0
    for chunk in chunks(documents, CHUNK):
        rows = growing.add(chunk)
        counts = form.mask(rows, policy).sum(axis=1, dtype=np.int64)
        if without:
            counts[[row.tobytes() in without for row in rows]] = 0
        counted.append(counts)
        progress(min(int(counts.sum()), tokens - total))
        total += int(counts.sum())
        if total >= tokens:
            break
    if total < tokens:
        raise CorpusError(
            f"corpus {form.name}: {tokens} tokens wanted, {total} there; ask for fewer (suite: corpus.tokens, "
            "ablation.tokens) or name more files in the corpus recipe"
        )
    every = np.concatenate(counted)
    stop = int(np.searchsorted(np.cumsum(every), tokens)) + 1
    kept = np.flatnonzero(every[:stop] > 0) if without else np.arange(stop)
    rows, domain = np.concatenate(growing.rows)[kept], np.concatenate(growing.domain)[kept]
    return Taken(form.token_set(rows, domain, growing.domains, policy), growing.manifest(stop))
