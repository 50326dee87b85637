from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import (
    MAX_CHARACTERS,
    MIN_CHARACTERS,
    CorpusError,
    CorpusManifest,
    CorpusRecipe,
    DistributionRecord,
    Document,
    MaskPolicy,
    RowFormat,
    TokenSet,
    TokenStream,
    encode_documents,
    evaluation_set,
    is_held_out,
    padded_rows,
    prose,
    score_mask,
    strip_licence_header,
    token_rows,
    token_set,
    wheel_documents,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

quick = settings(deadline=None, derandomize=True, database=None)

END, NEWLINE = 9, 8


def text(word: str, *, length: int = 2 * MIN_CHARACTERS) -> str:
    return (f"{word} = 1\n" * length)[:length]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a made-up distribution that consists of some files."""
    monkeypatch.syspath_prepend(tmp_path)

    def installed(name: str, files: Mapping[str, str], version: str = "1.0") -> None:
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content)

    return installed


# --- documents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# Copyright 2020 Someone\n# more of it\n\nimport os\n", "import os\n"),
        ("#!/usr/bin/env python\n# SPDX-License-Identifier: MIT\nimport os\n", "import os\n"),
        ("# Licence: see elsewhere\n", ""),
        ("# Helpers for reading\nimport os\n", "# Helpers for reading\nimport os\n"),
        ("import os\n# Copyright below the code stays\n", "import os\n# Copyright below the code stays\n"),
        ("", ""),
    ],
)
def test_a_leading_licence_is_stripped_and_nothing_else(before: str, after: str) -> None:
    assert strip_licence_header(before) == after


@quick
@given(st.text(alphabet="#c \nimport", max_size=80))
def test_without_a_licence_nothing_is_stripped(content: str) -> None:
    assert strip_licence_header(content) == content


def test_documents_are_the_python_files_of_a_distribution_by_path(install: Callable[..., None]) -> None:
    install(
        "wheel-a",
        {
            "a/z.py": text("z"),
            "a/b.py": f"# Copyright: nobody\n{text('b')}",
            "a/data.txt": text("data"),
            "a/same_as_z.py": text("z"),
            "a/short.py": text("s", length=MIN_CHARACTERS - 1),
            "a/long.py": text("l", length=MAX_CHARACTERS + 1),
            "a/version.py": text("version"),
            "../bin/script.py": text("script"),
        },
    )
    documents = list(wheel_documents("wheel-a"))
    assert [document.name for document in documents] == ["wheel-a/a/b.py", "wheel-a/a/same_as_z.py"]
    assert documents[0].text == text("b")


def test_a_distribution_that_is_not_installed_is_one_line() -> None:
    with pytest.raises(CorpusError, match=r"^corpus: distribution 'no-such-wheel' is not installed; run: pip install"):
        next(wheel_documents("no-such-wheel"))


# --- splits ----------------------------------------------------------------------------------------------------------


def test_the_held_out_share_is_as_asked_for_and_follows_from_the_name_and_the_seed() -> None:
    names = [f"wheel/{i}.py" for i in range(20_000)]
    held_out = [name for name in names if is_held_out(name, share=0.05, seed=1)]
    assert len(held_out) / len(names) == pytest.approx(0.05, abs=0.006)
    assert held_out == [name for name in names if is_held_out(name, share=0.05, seed=1)]
    other = [name for name in names if is_held_out(name, share=0.05, seed=2)]
    assert len(set(held_out) & set(other)) < 0.2 * len(held_out)


@quick
@given(st.text(), st.integers(0, 9), st.floats(0, 1), st.floats(0, 1))
def test_what_a_share_holds_out_a_larger_share_holds_out_too(name: str, seed: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert is_held_out(name, share=low, seed=seed) <= is_held_out(name, share=high, seed=seed)
    assert not is_held_out(name, share=0.0, seed=seed)
    assert is_held_out(name, share=1.0, seed=seed)


def test_every_document_is_in_exactly_one_split(install: Callable[..., None]) -> None:
    for wheel in ("wheel-a", "wheel-b"):
        install(wheel, {f"{wheel[-1]}/{i}.py": text(f"{wheel[-1]}{i}") for i in range(40)})
    recipe = CorpusRecipe(distributions=("wheel-a", "wheel-b"), held_out_share=0.3, seed=0)
    train, held_out = list(recipe.documents("train")), list(recipe.documents("held-out"))
    assert len(train) > 0
    assert len(held_out) > 0
    assert Counter(d.name for d in [*train, *held_out]) == Counter(
        d.name for wheel in recipe.distributions for d in wheel_documents(wheel)
    )
    assert held_out == list(recipe.documents("held-out"))


def test_a_text_that_is_trained_on_is_not_held_out_under_another_name(install: Callable[..., None]) -> None:
    texts = [text(f"vendored{i}") for i in range(40)]
    install("wheel-a", {f"a/{i}.py": content for i, content in enumerate(texts)})
    install("wheel-b", {f"b/{i}.py": content for i, content in enumerate(texts)})
    recipe = CorpusRecipe(distributions=("wheel-a", "wheel-b"), held_out_share=0.5, seed=0)
    trained_on = {document.text for document in recipe.documents("train")}
    held_out = {document.text for document in recipe.documents("held-out")}
    assert trained_on
    assert held_out
    assert not trained_on & held_out


# --- manifest --------------------------------------------------------------------------------------------------------


@pytest.fixture
def recipe(install: Callable[..., None]) -> CorpusRecipe:
    install("wheel-a", {"a/x.py": text("x"), "a/y.py": text("y")}, version="1.2")
    install("wheel-b", {"b/z.py": text("z")})
    return CorpusRecipe(distributions=("wheel-a", "wheel-b"), held_out_share=0.05, seed=0)


def test_a_manifest_counts_what_every_distribution_gives(recipe: CorpusRecipe) -> None:
    records = recipe.manifest().distributions
    assert [(r.name, r.version, r.files, r.characters) for r in records] == [
        ("wheel-a", "1.2", 2, 4 * MIN_CHARACTERS),
        ("wheel-b", "1.0", 1, 2 * MIN_CHARACTERS),
    ]


def test_a_fingerprint_follows_the_texts_and_not_the_version_labels(recipe: CorpusRecipe, tmp_path: Path) -> None:
    manifest = recipe.manifest()
    relabelled = replace(manifest.distributions[0], version="9.9")
    assert replace(manifest, distributions=(relabelled, manifest.distributions[1])).fingerprint == manifest.fingerprint
    assert replace(manifest, seed=1).fingerprint != manifest.fingerprint
    assert replace(manifest, held_out_share=0.06).fingerprint != manifest.fingerprint
    (tmp_path / "a/x.py").write_text(text("changed"))
    assert recipe.manifest().fingerprint != manifest.fingerprint


def test_a_difference_is_one_line_that_names_the_versions(recipe: CorpusRecipe) -> None:
    manifest = recipe.manifest()
    one, two = manifest.distributions
    newer = DistributionRecord("wheel-a", "1.3", 2, 1, "another")
    there = replace(manifest, distributions=(newer, DistributionRecord("wheel-c", "3.0", 1, 1, "c")))
    assert manifest.difference(replace(manifest, distributions=(one, two))) is None
    assert manifest.difference(there) == (
        f"corpus {manifest.fingerprint[:12]} expected, {there.fingerprint[:12]} here: "
        "wheel-a 1.2 -> 1.3, wheel-b 1.0 -> absent, wheel-c absent -> 3.0"
    )
    assert str(manifest.difference(replace(manifest, seed=7))).endswith("here: held-out rule or order")


def test_a_manifest_is_read_as_it_was_written(recipe: CorpusRecipe, tmp_path: Path) -> None:
    path = tmp_path / "wheels.json"
    path.write_text(json.dumps(recipe.manifest().as_dict()))
    assert CorpusManifest.read(path) == recipe.manifest()


def test_a_manifest_whose_contents_were_edited_is_refused(recipe: CorpusRecipe, tmp_path: Path) -> None:
    path = tmp_path / "wheels.json"
    path.write_text(json.dumps({**recipe.manifest().as_dict(), "seed": 5}))
    with pytest.raises(
        CorpusError, match=r"wheels.json: fingerprint is .*, its contents give .*; run: git checkout --"
    ):
        CorpusManifest.read(path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"fingerprint": 1, "distributions": [{"name": "x"}]}'])
def test_what_is_no_manifest_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wheels.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"wheels.json: not a corpus manifest; run: git checkout -- ") as raised:
        CorpusManifest.read(path)
    assert "\n" not in str(raised.value)


def test_a_missing_manifest_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"cannot be read \(No such file or directory\); expected a corpus manifest"):
        CorpusManifest.read(tmp_path / "wheels.json")


def test_a_recipe_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "wheels.toml"
    path.write_text('distributions = ["numpy", "scipy"]\nheld_out_share = 0.05\nseed = 3\n')
    assert CorpusRecipe.read(path) == CorpusRecipe(distributions=("numpy", "scipy"), held_out_share=0.05, seed=3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("distributions = ", "not TOML: "),
        ("seed = 3", "distributions: Field required"),
        ('distributions = 1\nheld_out_share = "x"\nseed = 1', "distributions: Input should be a valid array"),
    ],
)
def test_what_is_no_recipe_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "wheels.toml"
    path.write_text(content)
    with pytest.raises(CorpusError, match=f"wheels.toml: {said}"):
        CorpusRecipe.read(path)


# --- descriptions ----------------------------------------------------------------------------------------------------

SENTENCE = "This library reads what other libraries write, and it says in one line what is wrong with it."


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (SENTENCE, SENTENCE),
        (f"Title\n=====\n\n{SENTENCE.replace(' ', chr(10))}\n  \n* {SENTENCE}\n", f"{SENTENCE}\n\n* {SENTENCE}"),
        (f"```python\n{SENTENCE}\n\n{SENTENCE}\n```\n", ""),
        (f"  ~~~\n{SENTENCE}\n  ~~~\n\n{SENTENCE}", SENTENCE),
        ("Too short to be more than a heading.", ""),
        ("| 0.1 | 0.2 | 0.3 | 0.4 | 0.5 | 0.6 | 0.7 | 0.8 | 0.9 | words and words and words and words |", ""),
        ("".join(chr(0x410 + place % 32) for place in range(200)), ""),
        ("", ""),
    ],
)
def test_the_sentences_of_a_description_are_kept(text: str, kept: str) -> None:
    assert prose(text) == kept


def test_a_recipe_of_descriptions_reads_the_prose_of_each_distribution_and_no_source(
    install: Callable[..., None], tmp_path: Path
) -> None:
    install("wheel-a", {"a/x.py": text("x")})
    install("wheel-b", {"b/y.py": text("y")})
    for name, times in (("wheel_a", 5), ("wheel_b", 1)):
        described = "\n\n".join([SENTENCE] * times)
        with (tmp_path / f"{name}-1.0.dist-info" / "METADATA").open("a") as file:
            file.write(f"\n# Title\n\n{described}\n")
    recipe = CorpusRecipe(distributions=("wheel-a", "wheel-b"), held_out_share=1.0, seed=0, text="descriptions")
    assert list(recipe.documents("train")) == []
    # The description of the other one is too short.
    (document,) = recipe.documents("held-out")
    assert document == Document("wheel-a", "METADATA", "\n\n".join([SENTENCE] * 5))
    assert [record.files for record in recipe.manifest().distributions] == [1, 0]
    source = recipe.model_copy(update={"text": "source"})
    assert source.manifest().fingerprint != recipe.manifest().fingerprint


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_every_document_ends_with_end_of_text_and_labels_its_tokens(tokenizer: Tokenizer) -> None:
    documents = [Document("x", "1.py", "neuron"), Document("y", "2.py", "layer token"), Document("x", "3.py", "")]
    stream = encode_documents(documents, tokenizer, chunk=2)
    ids = [tokenizer.encode(document.text).ids for document in documents]
    assert stream.tokens.tolist() == [*ids[0], 299, *ids[1], 299, 299]
    assert stream.domain.tolist() == [0] * (len(ids[0]) + 1) + [1] * (len(ids[1]) + 1) + [0]
    assert stream.domains == ("x", "y")


def test_no_document_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(CorpusError, match="no document is left after the split"):
        encode_documents([], tokenizer)


def test_a_tokenizer_whose_ids_do_not_fit_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"expected a token '<\|endoftext\|>', got none"):
        encode_documents([], Tokenizer(models.BPE()))
    large = Tokenizer(models.WordLevel({**{str(i): i for i in range(2**16)}, "<|endoftext|>": 2**16}, unk_token="0"))
    with pytest.raises(CorpusError, match="expected at most 65536 tokens, got 65537"):
        encode_documents([], large)


@quick
@given(st.lists(st.integers(0, 9), max_size=60), st.integers(2, 9))
def test_rows_hold_the_stream_in_order_and_drop_less_than_a_row(stream: list[int], row_length: int) -> None:
    rows = token_rows(np.array(stream, dtype=np.uint16), row_length=row_length, bos=END)
    kept = rows[:, 1:].ravel().tolist()
    assert (rows[:, 0] == END).all()
    assert kept == stream[: len(kept)]
    assert len(stream) - len(kept) < row_length - 1


def test_rows_without_room_for_text_are_refused() -> None:
    with pytest.raises(CorpusError, match="row_length: expected an integer of at least 2, got 1"):
        token_rows(np.zeros(4, dtype=np.uint16), row_length=1, bos=END)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (MaskPolicy.PUBLISHED, [[0, 1, 0, 1, 0], [1, 1, 0, 1, 1]]),
        (MaskPolicy.PUBLISHED_FIRST, [[0, 1, 0, 1, 0], [0, 1, 0, 1, 1]]),
        (MaskPolicy.SPECIAL_ONLY, [[0, 1, 1, 1, 0], [1, 1, 1, 1, 1]]),
        (MaskPolicy.ALL, [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]),
    ],
)
def test_a_mask_drops_what_its_policy_names(policy: MaskPolicy, expected: list[list[int]]) -> None:
    rows = np.array([[END, 1, NEWLINE, 2, END], [3, 4, NEWLINE, 0, 5]], dtype=np.uint16)
    assert score_mask(rows, policy, special=(END,), newline=NEWLINE).astype(int).tolist() == expected


def test_padded_rows_are_half_text_without_its_first_token_and_half_padding() -> None:
    rows = np.array([[END, 1, 2, 3, 4], [END, 5, 0, 6, 7]], dtype=np.uint16)
    padded, is_text = padded_rows(rows, length=3, context=6, padding=0)
    assert padded.tolist() == [[1, 2, 3, 0, 0, 0], [5, 0, 6, 0, 0, 0]]
    # The padding's id is an ordinary token of the text too: what is padding is where it stands.
    assert is_text.astype(int).tolist() == [[1, 1, 1, 0, 0, 0]] * 2
    assert padded.dtype == rows.dtype


def test_rows_with_less_text_than_asked_for_are_padded_from_where_it_ends() -> None:
    rows = np.array([[END, 1, 2]], dtype=np.uint16)
    padded, is_text = padded_rows(rows, length=4, context=5, padding=8)
    assert (padded.tolist(), is_text.astype(int).tolist()) == ([[1, 2, 8, 8, 8]], [[1, 1, 0, 0, 0]])


@pytest.mark.parametrize("length", [0, 7])
def test_padding_beyond_the_context_is_refused(length: int) -> None:
    with pytest.raises(CorpusError, match=f"length: expected 1 to 6 .*got {length}"):
        padded_rows(np.zeros((1, 4), dtype=np.uint16), length=length, context=6, padding=0)


FORM = RowFormat("wheels", "r", "t", row_length=9, bos=END, newline=NEWLINE)


def tokens_of(
    length: int = 400,
    *,
    tokens: int = 40,
    policy: MaskPolicy = MaskPolicy.PUBLISHED_FIRST,
    seed: int = 0,
    without: Collection[bytes] = (),
) -> TokenSet:
    drawn = np.random.default_rng(5).integers(0, 10, length).astype(np.uint16)
    stream = TokenStream(drawn, (np.arange(length) >= length // 2).astype(np.uint8), ("x", "y"))
    return token_set(
        stream,
        FORM,
        policy=policy,
        tokens=tokens,
        seed=seed,
        without=without,
    )


def evaluated(length: int = 400, *, tokens: int = 40, predictions: int = 50, repeated: bool = False) -> TokenSet:
    drawn = np.random.default_rng(5).integers(0, 10, length).astype(np.uint16)
    if repeated:
        drawn = np.tile(drawn[: length // 2], 2)
    stream = TokenStream(drawn, (np.arange(length) >= length // 2).astype(np.uint8), ("x", "y"))
    identified = token_set(
        stream,
        FORM,
        policy=MaskPolicy.PUBLISHED_FIRST,
        tokens=tokens,
        seed=0,
    )
    found = evaluation_set(stream, FORM, identified=identified, predictions=predictions, seed=0)
    assert not {row.tobytes() for row in identified.rows} & {row.tobytes() for row in found.rows}
    return found


def test_evaluation_rows_follow_those_that_identify_neurons() -> None:
    whole, own, found = tokens_of(tokens=150), tokens_of(), evaluated()
    assert np.array_equal(found.rows, whole.rows[len(own.rows) : len(own.rows) + 7])
    assert np.array_equal(found.domain, whole.domain[len(own.rows) : len(own.rows) + 7])


def test_every_evaluation_row_predicts_everywhere_but_at_its_end() -> None:
    found = evaluated(predictions=50)
    # 50 predictions, 8 in a row: newlines and ends of text are among them.
    assert found.mask.tolist() == [[True] * 8 + [False]] * 7
    assert (found.scored, found.ref.tokens, found.ref.mask) == (56, 56, "predicting")
    assert np.isin(found.rows[:, :-1], [NEWLINE]).any()
    assert found.ref.sha256 != evaluated(predictions=60).ref.sha256


def test_a_row_whose_text_identified_neurons_is_not_judged_on() -> None:
    # Every row is there twice: most of what is left is asked for, and among it are twins of rows identified on.
    assert len(evaluated(repeated=True, predictions=30 * 8).rows) == 30


@pytest.mark.parametrize(("tokens", "predictions"), [(40, 5000), (300, 100)])
def test_too_little_text_for_an_evaluation_is_one_line(tokens: int, predictions: int) -> None:
    said = rf"^corpus wheels: {predictions} predictions wanted beyond the suite's own tokens, \d+ there; ask for fewer"
    with pytest.raises(CorpusError, match=said):
        evaluated(tokens=tokens, predictions=predictions)


def test_a_token_set_has_just_enough_whole_rows() -> None:
    chosen = tokens_of()
    assert chosen.scored >= 40 > chosen.mask[:-1].sum()
    assert chosen.ref.tokens == chosen.scored
    assert chosen.rows.shape == chosen.mask.shape == chosen.domain.shape
    assert (chosen.ref.name, chosen.ref.mask, chosen.ref.row_length) == ("wheels", "published-first", 9)


def test_rows_keep_the_labels_of_their_tokens() -> None:
    chosen = tokens_of(tokens=200)
    drawn = np.random.default_rng(5).integers(0, 10, 400).astype(np.uint16)
    rows = {tuple(row): i for i, row in enumerate(drawn.reshape(50, 8).tolist())}
    for row, domain in zip(chosen.rows.tolist(), chosen.domain.tolist(), strict=True):
        index = rows[tuple(row[1:])]
        assert domain == [int(index >= 25)] * 9


def test_a_token_set_follows_from_its_seed() -> None:
    assert tokens_of().ref == tokens_of().ref
    assert np.array_equal(tokens_of().rows, tokens_of().rows)
    assert tokens_of(seed=1).ref.sha256 != tokens_of().ref.sha256


def test_the_mask_is_part_of_a_token_sets_digest() -> None:
    published, first = tokens_of(policy=MaskPolicy.PUBLISHED), tokens_of()
    assert np.array_equal(published.rows, first.rows)
    assert np.array_equal(published.mask, first.mask)
    everything = tokens_of(tokens=len(first.rows) * 9 - 8, policy=MaskPolicy.ALL)
    assert np.array_equal(everything.rows, first.rows)
    assert everything.ref.sha256 != first.ref.sha256


def test_the_first_rows_of_a_larger_set_are_the_smaller_set() -> None:
    small, large = tokens_of(), tokens_of(tokens=100)
    assert np.array_equal(large.rows[: len(small.rows)], small.rows)


def test_rows_that_are_left_out_make_room_for_the_next_ones() -> None:
    own, all_rows = tokens_of(), tokens_of(tokens=200)
    next_rows = tokens_of(without={row.tobytes() for row in own.rows})
    assert np.array_equal(next_rows.rows, all_rows.rows[len(own.rows) :][: len(next_rows.rows)])
    assert np.array_equal(next_rows.domain, all_rows.domain[len(own.rows) :][: len(next_rows.rows)])


def test_too_few_tokens_are_one_line() -> None:
    with pytest.raises(CorpusError, match=r"^corpus wheels: 5000 scored tokens wanted, \d+ there; ask for fewer"):
        tokens_of(tokens=5000)


@pytest.mark.parametrize(("length", "tokens"), [(400, 0), (4, 10), (0, 10)])
def test_an_empty_token_set_is_one_line(length: int, tokens: int) -> None:
    with pytest.raises(CorpusError, match=rf"no token is left to score \(asked for {tokens}, policy published-first\)"):
        tokens_of(length, tokens=tokens)


def test_rows_of_nothing_but_newlines_are_an_empty_token_set() -> None:
    stream = TokenStream(np.full(80, NEWLINE, dtype=np.uint16), np.zeros(80, dtype=np.uint8), ("x",))
    with pytest.raises(CorpusError, match="no token is left to score"):
        token_set(
            stream,
            FORM,
            policy=MaskPolicy.PUBLISHED,
            tokens=1,
            seed=0,
        )


def test_a_long_text_is_encoded_in_parts_with_the_tokens_of_the_whole(
    tokenizer: Tokenizer, documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = Document("text", "long.py", "".join(document.text for document in documents))
    every = [long, documents[0], Document("text", "one-word.py", "x" * 500)]
    whole = encode_documents(every[:2], tokenizer)
    monkeypatch.setattr("universal_neurons.inputs.corpus.LONGEST_PART", 50)
    parts: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def encode_batch(self, texts: list[str], **options: Any) -> Any:
            parts.extend(map(len, texts))
            return tokenizer.encode_batch(texts, **options)

    assert np.array_equal(encode_documents(every[:2], cast("Any", Counting())).tokens, whole.tokens)
    assert len(parts) > 20
    assert max(parts) < 200
    assert len(encode_documents(every, tokenizer)) > len(whole)
