"""Text as rows of tokens: documents, their split, rows, and the mask of scored positions.

A row is integers; nothing here knows a model.

The *wheel corpus* is the Python source of pinned distributions that this project installs anyway.  It needs
no network and no text in the repository: a machine with the same versions has the same corpus, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np
import numpy.typing as npt

from universal_neurons.errors import UserError
from universal_neurons.ids import CorpusRef
from universal_neurons.inputs.validation import StrictTable, read_model

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
MIN_CHARACTERS = 300
MAX_CHARACTERS = 300_000
MAX_VOCABULARY = 2**16
# Characters of a text that are encoded at once, and the ends of words between which a text may be cut.
LONGEST_PART = 1 << 19
# Paragraphs of a description that are text: not a heading, a list of links or a line of code.
MIN_PARAGRAPH, LETTERS = 80, 0.9
_FENCED = re.compile(r"^[ \t]*(```|~~~).*?^[ \t]*\1[^\n]*$", re.MULTILINE | re.DOTALL)
_BLANK_LINE = re.compile(r"\n\s*\n")
_WORD_END = re.compile(r"(?<=[A-Za-z]) (?=[A-Za-z])")
# The mask of rows on which predictions are judged; no policy of MaskPolicy, because none is applied.
PREDICTING = "predicting"
# Written by the build of a wheel, so they differ between machines that have the same version installed.
BUILD_FILES = frozenset({"__config__.py", "version.py", "_version.py", "_build_config.py", "_distutils_config.py"})

TokenRows = npt.NDArray[np.uint16]
RowMask = npt.NDArray[np.bool_]
Split = Literal["train", "held-out"]
Cutting = Literal["documents", "published"]
TextKind = Literal["source", "descriptions"]


class CorpusError(UserError):
    """The corpus cannot be built or is not the expected one; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Document:
    """One source file: its distribution (the domain label), its path inside it, its text without licence header."""

    domain: str
    path: str
    text: str

    @property
    def name(self) -> str:
        """Distribution and path: what the held-out rule looks at."""
        return f"{self.domain}/{self.path}"


@dataclass(frozen=True, slots=True)
class DistributionRecord:
    """The share of one distribution in the corpus; ``sha256`` is over its documents' paths and texts in order."""

    name: str
    version: str
    files: int
    characters: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CorpusManifest:
    """Everything that identifies a wheel corpus: contents per distribution, and how it is held out."""

    distributions: tuple[DistributionRecord, ...]
    held_out_share: float
    seed: int

    @property
    def fingerprint(self) -> str:
        """sha256 over what the documents say; the version labels do not enter, the texts do."""
        material = [[d.name, d.sha256] for d in self.distributions]
        text = json.dumps([material, self.held_out_share, self.seed], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only, the fingerprint first; :meth:`read` is the inverse of writing this as JSON."""
        return {"fingerprint": self.fingerprint, **asdict(self)}

    @classmethod
    def read(cls, path: Path) -> CorpusManifest:
        """The manifest stored at ``path``; raises :class:`CorpusError` if its fingerprint does not fit its contents."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            stated = str(raw["fingerprint"])
            manifest = cls(
                distributions=tuple(DistributionRecord(**d) for d in raw["distributions"]),
                held_out_share=raw["held_out_share"],
                seed=raw["seed"],
            )
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read ({error.strerror}); expected a corpus manifest") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CorpusError(f"{path}: not a corpus manifest; run: git checkout -- {path}") from None
        if stated != manifest.fingerprint:
            raise CorpusError(
                f"{path}: fingerprint is {stated[:12]}, its contents give {manifest.fingerprint[:12]}; "
                f"run: git checkout -- {path}"
            )
        return manifest

    def difference(self, other: CorpusManifest) -> str | None:
        """One line naming the distributions in which ``other`` deviates from this manifest, or None."""
        if self.fingerprint == other.fingerprint:
            return None
        mine, theirs = ({d.name: d for d in manifest.distributions} for manifest in (self, other))
        parts = []
        for name in sorted(mine.keys() | theirs.keys()):
            ours, here = mine.get(name), theirs.get(name)
            if ours is None or here is None or ours.sha256 != here.sha256:
                parts.append(f"{name} {ours.version if ours else 'absent'} -> {here.version if here else 'absent'}")
        what = ", ".join(parts) or "held-out rule or order"
        return f"corpus {self.fingerprint[:12]} expected, {other.fingerprint[:12]} here: {what}"


_LICENCE = re.compile(r"licen[cs]e|copyright|all rights reserved|spdx-", re.IGNORECASE)


def strip_licence_header(text: str) -> str:
    """``text`` without its leading comment block if that block is a licence or copyright notice.

    >>> strip_licence_header("# Copyright 2020 Someone\\n# MIT licence\\n\\nimport os\\n")
    'import os\\n'
    >>> strip_licence_header("# Helpers for reading\\nimport os\\n")
    '# Helpers for reading\\nimport os\\n'
    """
    lines = text.splitlines(keepends=True)
    end = 0
    while end < len(lines) and (lines[end].startswith("#") or not lines[end].strip()):
        end += 1
    return "".join(lines[end:]) if _LICENCE.search("".join(lines[:end])) else text


def _text_digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _installed(distribution: str) -> metadata.Distribution:
    try:
        return metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        raise CorpusError(
            f"corpus: distribution {distribution!r} is not installed; run: pip install {distribution}"
        ) from None


def wheel_documents(distribution: str) -> Iterator[Document]:
    """The Python files of one installed distribution, by path; too short, too long and duplicate files are left out.

    Raises :class:`CorpusError` if the distribution is not installed.
    """
    installed = _installed(distribution)
    paths = {f.as_posix(): f for f in installed.files or () if f.suffix == ".py" and ".." not in f.parts}
    seen: set[bytes] = set()
    for path in sorted(paths):
        file = Path(str(paths[path].locate()))
        if file.name in BUILD_FILES or not file.is_file():
            continue
        text = strip_licence_header(file.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n"))
        digest = _text_digest(text)
        if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS or digest in seen:
            continue
        seen.add(digest)
        yield Document(distribution, path, text)


def prose(text: str) -> str:
    """The sentences of a Markdown or reStructuredText file: its paragraphs outside fenced blocks that are mostly words.

    A paragraph of at least :data:`MIN_PARAGRAPH` characters is kept on one line if letters and blanks are at least
    :data:`LETTERS` of it; paragraphs are parted by a blank line.

    >>> words = "This library reads what other libraries write, and it says in one line what is wrong with it."
    >>> prose(f"# Title\\n\\n```sh\\n{words}\\n```\\n\\n{words}\\n\\n| a | b | c |\\n") == words
    True
    """
    paragraphs = (" ".join(part.split()) for part in _BLANK_LINE.split(_FENCED.sub("\n", text)))
    return "\n\n".join(part for part in paragraphs if len(part) >= MIN_PARAGRAPH and _letters(part) >= LETTERS)


def _letters(text: str) -> float:
    """The share of Latin letters and blanks in a text."""
    return sum(one == " " or (one.isascii() and one.isalpha()) for one in text) / len(text)


def description_documents(distribution: str) -> Iterator[Document]:
    """The prose of the description of one installed distribution, which package indexes show; nothing of a short one.

    Raises :class:`CorpusError` if the distribution is not installed.
    """
    about = _installed(distribution).metadata
    text = prose(about["Description"]) if "Description" in about else ""
    if len(text) >= MIN_CHARACTERS:
        yield Document(distribution, "METADATA", text)


def has_version(distribution: str, version: str) -> bool:
    """True if the distribution is installed in this version."""
    try:
        return metadata.version(distribution) == version
    except metadata.PackageNotFoundError:
        return False


def is_held_out(name: str, *, share: float, seed: int) -> bool:
    """Tell whether the document called ``name`` is held out.

    Decided by a hash of its name, so that one file that comes or goes never moves another.
    """
    number = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")
    return number < share * 2**64


class CorpusRecipe(StrictTable):
    """The distributions of a wheel corpus and the rule for its held-out documents (a TOML file in fixtures).

    ``text``: what is read of a distribution, its Python ``source`` or the prose of its description.
    """

    distributions: tuple[str, ...]
    held_out_share: float
    seed: int
    text: TextKind = "source"

    @classmethod
    def read(cls, path: Path) -> CorpusRecipe:
        """The recipe in the TOML file ``path``; raises :class:`CorpusError`."""
        return read_model(cls, path, error=CorpusError, advice="expected a corpus recipe")

    def documents(self, split: Split) -> Iterator[Document]:
        """The documents of one split, distribution by distribution, in the order of their paths.

        A held-out document whose text a training document repeats under another name (vendored code) is left out: what
        was trained on is not held out.
        """
        everything = (document for name in self.distributions for document in self._documents_of(name))
        if split == "train":
            return (document for document in everything if not self._holds_out(document))
        trained_on: set[bytes] = set()
        candidates: list[Document] = []
        for document in everything:
            if self._holds_out(document):
                candidates.append(document)
            else:
                trained_on.add(_text_digest(document.text))
        return (document for document in candidates if _text_digest(document.text) not in trained_on)

    def _holds_out(self, document: Document) -> bool:
        return is_held_out(document.name, share=self.held_out_share, seed=self.seed)

    def manifest(self) -> CorpusManifest:
        """The manifest of the corpus as this machine has it."""
        return CorpusManifest(tuple(self._record(name) for name in self.distributions), self.held_out_share, self.seed)

    def _documents_of(self, name: str) -> Iterator[Document]:
        match self.text:
            case "source":
                return wheel_documents(name)
            case "descriptions":
                return description_documents(name)
            case _:
                assert_never(self.text)

    def _record(self, name: str) -> DistributionRecord:
        digest, files, characters = hashlib.sha256(), 0, 0
        for document in self._documents_of(name):
            digest.update(f"{document.path}\0{len(document.text)}\0{document.text}\0".encode())
            files, characters = files + 1, characters + len(document.text)
        return DistributionRecord(name, metadata.version(name), files, characters, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class TokenStream:
    """Encoded documents one after the other, each followed by end-of-text; ``domain`` labels every token."""

    tokens: npt.NDArray[np.uint16]
    domain: npt.NDArray[np.uint8]
    domains: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)


def encode_documents(documents: Iterable[Document], tokenizer: Tokenizer, *, chunk: int = 64) -> TokenStream:
    """The token stream of ``documents``; every document ends with the end-of-text token.

    Raises :class:`CorpusError` if there is no document, and if the tokenizer has no end-of-text token or more ids than
    16 bits hold: both would go on as other tokens.
    """
    end = token_id(tokenizer, END_OF_TEXT)
    if (size := tokenizer.get_vocab_size()) > MAX_VOCABULARY:
        raise CorpusError(f"tokenizer: expected at most {MAX_VOCABULARY} tokens, got {size}")
    tokens: list[npt.NDArray[np.uint16]] = []
    labels: list[npt.NDArray[np.uint8]] = []
    domains: dict[str, int] = {}
    for batch in chunks(documents, chunk):
        parts = [(document, part) for document in batch for part in _parts(document.text)]
        encodings = tokenizer.encode_batch([part for _, part in parts], add_special_tokens=False)
        encoded: dict[int, list[int]] = {id(document): [] for document in batch}
        for (document, _), encoding in zip(parts, encodings, strict=True):
            encoded[id(document)] += encoding.ids
        for document in batch:
            ids = np.asarray([*encoded[id(document)], end], dtype=np.uint16)
            label = domains.setdefault(document.domain, len(domains))
            tokens.append(ids)
            labels.append(np.full(len(ids), label, dtype=np.uint8))
    if not tokens:
        raise CorpusError("corpus: no document is left after the split; check distributions and held_out_share")
    return TokenStream(np.concatenate(tokens), np.concatenate(labels), tuple(domains))


def _parts(text: str) -> Iterator[str]:
    """``text`` in parts that are encoded one by one: a tokenizer takes more than two hundred bytes per character.

    A part ends between a word and the blank before the next one, where no token of a byte-level vocabulary reaches
    across, so that the tokens are the ones of the whole text.
    """
    start = 0
    while len(text) - start > LONGEST_PART:
        limit = start + LONGEST_PART
        stop = next((match.start() for match in _WORD_END.finditer(text, limit, limit + LONGEST_PART)), limit)
        yield text[start:stop]
        start = stop
    yield text[start:]


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of ``token``; raises :class:`CorpusError` if there is none."""
    number = tokenizer.token_to_id(token)
    if number is None:
        raise CorpusError(f"tokenizer: expected a token {token!r}, got none; it was not trained by this project")
    return int(number)


def chunks(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """``documents`` in lists of ``size``, the last one shorter if need be."""
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def token_rows(tokens: npt.NDArray[np.uint16], *, row_length: int, bos: int) -> TokenRows:
    """Rows (row position): beginning-of-sequence, then ``row_length`` - 1 tokens of the stream.

    A last partial row is dropped: padding it would put tokens into the model that no text has.  Raises
    :class:`CorpusError` if ``row_length`` leaves no room for text.
    """
    if row_length < 2:
        raise CorpusError(f"corpus: row_length: expected an integer of at least 2, got {row_length}")
    width = row_length - 1
    count = len(tokens) // width
    rows = np.empty((count, row_length), dtype=np.uint16)
    rows[:, 0] = bos
    rows[:, 1:] = tokens[: count * width].reshape(count, width)
    return rows


class MaskPolicy(StrEnum):
    """The rule by which tokens are scored.

    ``published``: all but padding, beginning-of-sequence, end-of-text and the newline token (Gurnee et al. appendix
    A.2; in GPT-2 the first three are one token).  ``published-first``: the same, and position 0 is dropped whatever
    stands there, because a transformer's first position carries attention-sink activations.  ``special-only``: keeps
    newlines.  ``all``: every position.

    Deviation: the published code of the newer paper pads rows with token 0 and counts the padding as text.  Here rows
    are full, nothing is padded, and position 0 is never scored in the shipped suite.
    """

    PUBLISHED = "published"
    PUBLISHED_FIRST = "published-first"
    SPECIAL_ONLY = "special-only"
    ALL = "all"


def score_mask(rows: TokenRows, policy: MaskPolicy, *, special: Sequence[int], newline: int) -> RowMask:
    """True where a token is scored (row position); ``special`` are the ids of padding, beginning and end of text."""
    match policy:
        case MaskPolicy.ALL:
            return np.ones(rows.shape, dtype=np.bool_)
        case MaskPolicy.SPECIAL_ONLY:
            return ~np.isin(rows, list(special))
        case MaskPolicy.PUBLISHED:
            return ~np.isin(rows, [*special, newline])
        case MaskPolicy.PUBLISHED_FIRST:
            mask = ~np.isin(rows, [*special, newline])
            mask[:, 0] = False
            return mask
        case _:
            assert_never(policy)


def prediction_mask(rows: TokenRows) -> RowMask:
    """True where a token predicts its successor (row position): everywhere but at the last position.

    No mask policy is applied: newlines and ends of text are predicted like any other token (claims/README.md A7).
    """
    mask = np.ones(rows.shape, dtype=np.bool_)
    mask[:, -1] = False
    return mask


def padded_rows(
    rows: TokenRows, *, length: int, context: int, padding: int, begun: bool = True
) -> tuple[TokenRows, RowMask]:
    """Rows as the newer paper's code reads them, and where they are text (both: row, position up to ``context``).

    An emulation of that code (claims/README.md, Published code): ``seq[:length]`` followed by token ``padding`` up to
    the models' context, and nothing filters the padding or position 0.  The text is taken from ``rows``, without their
    first token where they are ``begun`` with beginning-of-sequence: the published ones are not, and an ordinary token
    stands at position 0.  The published padding is token 0, in GPT-2's vocabulary "!", which is an ordinary token too.

    A row with less than ``length`` tokens of text is padded from where its text ends.  Raises :class:`CorpusError`
    where ``length`` lies outside 1..context.
    """
    if not 1 <= length <= context:
        raise CorpusError(f"padded rows: length: expected 1 to {context} (the context), got {length}")
    text = rows[:, int(begun) : int(begun) + length]
    padded = np.full((len(rows), context), padding, dtype=rows.dtype)
    padded[:, : text.shape[1]] = text
    is_text = np.zeros(padded.shape, dtype=np.bool_)
    is_text[:, : text.shape[1]] = True
    return padded, is_text


@dataclass(frozen=True, slots=True)
class TokenSet:
    """The tokens of an analysis: rows (row position), the mask of scored positions, a domain label per position."""

    rows: TokenRows
    mask: RowMask
    domain: npt.NDArray[np.uint8]
    domains: tuple[str, ...]
    ref: CorpusRef

    @property
    def scored(self) -> int:
        """Number of scored tokens."""
        return int(self.mask.sum())

    def first(self, tokens: int) -> TokenSet:
        """The first rows, as few as have this many scored tokens; all where there are not so many."""
        rows = int(np.searchsorted(np.cumsum(self.mask.sum(axis=1)), tokens)) + 1
        return replace(self, rows=self.rows[:rows], mask=self.mask[:rows], domain=self.domain[:rows])


@dataclass(frozen=True, slots=True)
class RowFormat:
    """The rule that makes rows of documents, and their names: corpus, its fingerprint, the tokenizer's digest."""

    name: str
    revision: str
    tokenizer_digest: str
    row_length: int
    bos: int
    newline: int
    cutting: Cutting = "documents"

    def mask(self, rows: TokenRows, policy: MaskPolicy | None) -> RowMask:
        """:func:`score_mask` of a policy, :func:`prediction_mask` without one."""
        if policy is None:
            return prediction_mask(rows)
        return score_mask(rows, policy, special=(self.bos,), newline=self.newline)

    def token_set(
        self, rows: TokenRows, domain: npt.NDArray[np.uint8], domains: Iterable[str], policy: MaskPolicy | None
    ) -> TokenSet:
        """The token set of ``rows``, masked by ``policy``."""
        mask = self.mask(rows, policy)
        ref = CorpusRef(
            name=self.name,
            revision=self.revision,
            tokenizer=self.tokenizer_digest,
            row_length=self.row_length,
            mask=PREDICTING if policy is None else policy.value,
            tokens=int(mask.sum()),
            sha256=rows_digest(rows, mask),
        )
        return TokenSet(rows, mask, domain, tuple(domains), ref)


def token_set(
    stream: TokenStream,
    form: RowFormat,
    *,
    policy: MaskPolicy,
    tokens: int,
    seed: int,
    without: Collection[bytes] = (),
) -> TokenSet:
    """Seeded sample of whole rows of ``stream`` with just enough rows for ``tokens`` scored tokens.

    Rows whose bytes are in ``without`` are left out.  Raises :class:`CorpusError` if nothing is left to score or the
    stream is too short.
    """
    rows, domain = _shuffled_rows(stream, form, seed=seed, without=without)
    kept = np.cumsum(form.mask(rows, policy).sum(axis=1))
    if tokens < 1 or len(kept) == 0 or kept[-1] == 0:
        raise CorpusError(f"corpus {form.name}: no token is left to score (asked for {tokens}, policy {policy.value})")
    if kept[-1] < tokens:
        raise CorpusError(
            f"corpus {form.name}: {tokens} scored tokens wanted, {int(kept[-1])} there; ask for fewer "
            "(suite: corpus.tokens)"
        )
    count = int(np.searchsorted(kept, tokens)) + 1
    return form.token_set(rows[:count].copy(), domain[:count].copy(), stream.domains, policy)


def evaluation_set(
    stream: TokenStream, form: RowFormat, *, identified: TokenSet, predictions: int, seed: int
) -> TokenSet:
    """The rows on which ablations are judged: those that follow ``identified``'s own in the same permutation.

    ``stream``, ``form`` and ``seed`` must be the ones given to :func:`token_set`.  As many rows are taken as give
    ``predictions``.  A row whose text is also in ``identified`` is left out, so the neurons were identified on none of
    these rows.  The mask is :func:`prediction_mask`.

    Raises :class:`CorpusError` if the stream is too short.
    """
    rows, domain = _shuffled_rows(stream, form, seed=seed, without={row.tobytes() for row in identified.rows})
    scored = form.row_length - 1
    count = -(-predictions // scored)
    if len(rows) < count:
        raise CorpusError(
            f"corpus {form.name}: {predictions} predictions wanted beyond the suite's own tokens, "
            f"{len(rows) * scored} there; ask for fewer (suite: corpus.tokens, ablation.tokens)"
        )
    return form.token_set(rows[:count].copy(), domain[:count].copy(), identified.domains, None)


def _shuffled_rows(
    stream: TokenStream, form: RowFormat, *, seed: int, without: Collection[bytes]
) -> tuple[TokenRows, npt.NDArray[np.uint8]]:
    """The whole rows of ``stream`` whose bytes are not in ``without``, in a seeded order; the domain at each place."""
    rows = token_rows(stream.tokens, row_length=form.row_length, bos=form.bos)
    domain = token_rows(stream.domain.astype(np.uint16), row_length=form.row_length, bos=0).astype(np.uint8)
    domain[:, 0] = domain[:, 1]
    order = _row_order(len(rows), seed)
    if without:
        order = order[[row.tobytes() not in without for row in rows[order]]]
    return rows[order], domain[order]


def _row_order(count: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(count)


def token_places(tokens: int, *, row_length: int, rows: int, seed: int) -> npt.NDArray[np.int64]:
    """The place of each of the ``tokens`` of a stream in the first ``rows`` rows of its sample: row * row_length +
    position; -1 for a token that is in none of them.  ``seed`` must be the one given to :func:`token_set`.
    """
    width = row_length - 1
    order = _row_order(tokens // width, seed)
    row_of = np.full(len(order) + 1, -1)
    row_of[order[:rows]] = np.arange(min(rows, len(order)))
    row, position = np.divmod(np.arange(tokens), width)
    found = row_of[row]
    return np.where(found < 0, -1, found * row_length + 1 + position)


def rows_digest(rows: TokenRows, mask: RowMask) -> str:
    """sha256 of rows and mask, whatever the machine's byte order."""
    digest = hashlib.sha256(repr(rows.shape).encode())
    digest.update(np.ascontiguousarray(rows).astype("<u2").tobytes())
    digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()
