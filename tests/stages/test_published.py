"""A suite of published models and text, from the hub to its verdicts; and what happens if the text cannot be had."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.cases import corpus_key
from tests.hub import Busy, Corrupted, Fault, LoopbackHub, Truncated, Vanished, Whole
from tests.published import CHECKOUT, FILE, SUBSETS, TEXT, Published, packed, tokenizer, words
from tests.refusals import refusal
from tests.tiny_models import use
from universal_neurons import cli
from universal_neurons.errors import NotOnSuite
from universal_neurons.evidence.log import RECORDS, EvidenceLog
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.inputs import hub_corpus
from universal_neurons.inputs.corpus import CorpusError, is_held_out, token_rows
from universal_neurons.inputs.hub import (
    DigestMismatch,
    FileMissing,
    HubError,
    NotInCache,
)
from universal_neurons.inputs.hub_corpus import shuffled
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.lock import Lock, LockError
from universal_neurons.inputs.pinning import NotPinned, RepositoryChanged
from universal_neurons.render.pages.paper import REQUIRED
from universal_neurons.stages.fetching import fetch, pin
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.runner import compute
from universal_neurons.stages.study import StoredStudy, open_study
from universal_neurons.stages.token_masks import published_padding
from universal_neurons.stages.tokens import evaluation_tokens, token_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from universal_neurons.inputs.hub import Source
    from universal_neurons.inputs.hub_corpus import HubCorpus
    from universal_neurons.inputs.suite import Suite

NOWHERE = "http://127.0.0.1:9"
FETCH = "universal-neurons fetch --suite tiny"


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_corpus, "PIECE", 700)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _offline_on_one_thread: None) -> Iterator[Published]:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with LoopbackHub() as hub:
        found = Published.built(tmp_path, hub)
        use(monkeypatch, hub, root=tmp_path, waits=found.waits)
        yield found


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def texts(world: Published, part: Any = "identification", **options: Any) -> list[str]:
    corpus = world.corpus(**options)
    corpus.pin_missing()
    return [document.text for document in corpus.documents(part, seed=3)]


def everything(world: Published) -> list[str]:
    return [*texts(world), *texts(world, "evaluation")]


# --- from the hub to the verdict -------------------------------------------------------------------------------------


def test_a_suite_that_is_not_pinned_names_the_command_before_there_are_keys(world: Published) -> None:
    work = world.workspace()
    assert f"text ({TEXT}): not pinned in" in refusal(NotPinned, lambda: corpus_key(work))
    said = refusal(NotPinned, lambda: work.models(10))
    assert said.endswith(f"run: {FETCH}")
    assert world.hub.seen == []


def test_pinning_downloads_neither_weights_nor_text(world: Published) -> None:
    work = world.workspace()
    pin(work)
    assert world.hub.asked("cdn") == []
    lock = Lock.read(world.lock)
    assert lock.corpus is not None
    content = world.hub.repositories["datasets", TEXT].commits[lock.corpus.commit][FILE]
    assert lock.corpus.bytes == {FILE: len(content)}
    assert len(list(lock.entries())) == 6
    asked = len(world.hub.seen)
    pin(world.workspace())
    assert len(world.hub.seen) == asked


def test_the_record_says_what_went_in(world: Published) -> None:
    work = world.workspace(local=True)
    pin(work)
    tokens = token_set(work)
    record = work.store.read(corpus_key(work))
    assert record is not None
    manifest: Any = record.document["manifest"]
    assert set(manifest["subsets"]) == set(SUBSETS)
    for key in ("documents", "bytes", "tokens"):
        assert manifest[key] == sum(subset[key] for subset in manifest["subsets"].values())
    assert manifest["tokens"] == len(tokens.rows) * 15
    assert 0 < manifest["source"]["bytes_read"][FILE] <= len(packed(words()))
    assert manifest["source"]["commit"] == world.hub.repositories["datasets", TEXT].branches["main"]


# --- documents and rows ----------------------------------------------------------------------------------------------


def test_the_documents_are_those_that_datasets_streams(world: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", world.hub.endpoint)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(world.root / "datasets"))
    stream = datasets.load_dataset(TEXT, data_files={"train": FILE}, streaming=True, split="train")
    theirs = [row["text"] for row in stream]
    assert theirs == [document.text for document in words()]
    assert sorted(everything(world)) == sorted(text for text in theirs if len(text) >= 20)


def test_no_document_is_in_both_parts_and_where_it_is_does_not_depend_on_the_others(world: Published) -> None:
    own, others = set(texts(world)), set(texts(world, "evaluation"))
    assert own & others == set()
    held = {d.text for d in words() if len(d.text) >= 20 and is_held_out(d.path, share=0.3, seed=3)}
    assert others == held
    assert 0.15 < len(others) / len(own | others) < 0.45


def test_a_shuffled_order_is_seeded_complete_and_the_same_however_much_follows() -> None:
    documents = words(100)
    order = list(shuffled(documents, buffer=10, seed=1))
    assert sorted(d.path for d in order) == sorted(d.path for d in documents)
    assert order != documents
    assert order == list(shuffled(documents, buffer=10, seed=1)) != list(shuffled(documents, buffer=10, seed=2))
    assert list(shuffled(documents[:60], buffer=10, seed=1))[:50] == order[:50]
    assert list(shuffled(documents, buffer=1, seed=1)) == documents
    # Of the first ones too, which are all that a suite of few tokens reads.
    assert order[:50] != list(shuffled(documents, buffer=10, seed=2))[:50]


def test_text_of_another_recipe_than_the_locked_one_is_not_taken_for_it(world: Published) -> None:
    world.corpus().pin()
    world.hub.commit("someone/other", "main", {FILE: packed(words(50))}, kind="datasets")
    recipe = world.root / "fixtures" / "corpora" / "text.toml"
    recipe.write_text(recipe.read_text().replace(TEXT, "someone/other"))
    assert "text (someone/other): not pinned in" in refusal(NotPinned, lambda: world.corpus().fingerprint)
    world.corpus().pin_missing()
    lock = Lock.read(world.lock)
    assert lock.corpus is not None
    assert lock.corpus.repository == "someone/other"
    assert len(everything(world)) == 45


def test_rows_are_the_documents_one_after_the_other_until_enough_is_scored(world: Published) -> None:
    work = world.workspace(local=True)
    pin(work)
    found, words_of = token_set(work), tokenizer()
    ends = work.zoo.end_of_text
    stream = [token for text in texts(world) for token in [*words_of.encode(text).ids, ends]]
    expected = token_rows(np.array(stream, dtype=np.uint16), row_length=16, bos=ends)
    rows = len(found.rows)
    np.testing.assert_array_equal(found.rows, expected[:rows])
    assert (found.rows[:, 0] == ends).all()
    assert found.mask[:-1].sum() < 1500 <= found.mask.sum() == found.scored
    assert not found.mask[found.rows == ends].any()


def test_more_tokens_begin_with_the_same_rows(world: Published) -> None:
    few = world.workspace(local=True, narrowing={"tokens": 400})
    pin(few)
    first, whole = token_set(few), token_set(world.workspace(local=True))
    np.testing.assert_array_equal(first.rows, whole.rows[: len(first.rows)])
    assert len(first.rows) < len(whole.rows) / 3


def test_held_out_rows_share_nothing_with_the_suites_own(world: Published) -> None:
    work = world.workspace(local=True)
    pin(work)
    own, held_out = token_set(work), evaluation_tokens(work)
    assert len(held_out.rows) == 10
    assert {row.tobytes() for row in own.rows} & {row.tobytes() for row in held_out.rows} == set()
    assert held_out.mask.sum() == 150
    assert not held_out.mask[:, -1].any()


def test_the_published_padding_of_the_published_cutting_is_what_that_code_makes(world: Published) -> None:
    """seq[:512] + [0] * (1024 - 512) of rows without beginning-of-sequence (claims/README.md, F7)."""
    recipe = world.root / "fixtures" / "corpora" / "text.toml"
    recipe.write_text(recipe.read_text().replace('cutting = "documents"', 'cutting = "published"'))
    work = world.workspace(local=True, narrowing={"tokens": 400})
    pin(work)
    models = LoadedModels.of(work, 0, [])
    rows, masks = published_padding(models)
    padding = tokenizer().token_to_id("!")
    expected = [[*row[:8].tolist(), *[padding] * 8] for row in models.tokens.rows[: len(rows)]]
    assert rows.tolist() == expected
    kept = [token not in (work.zoo.end_of_text, work.zoo.newline) for row in expected for token in row]
    assert masks["padding:published"].ravel().tolist() == kept
    assert masks["padding:published"][:, 0].any()
    assert not masks["padding:dropped"][:, 8:].any()


def test_the_published_cutting_takes_the_beginning_of_each_document_and_separates_nothing(world: Published) -> None:
    recipe = world.root / "fixtures" / "corpora" / "text.toml"
    recipe.write_text(recipe.read_text().replace('cutting = "documents"', 'cutting = "published"'))
    work = world.workspace(local=True, narrowing={"tokens": 400})
    pin(work)
    found, words_of = token_set(work), tokenizer()
    stream = [token for text in texts(world) for token in words_of.encode(text).ids[:16]]
    expected = np.array(stream[: found.rows.size]).reshape(-1, 16)
    np.testing.assert_array_equal(found.rows, expected)


def test_too_little_text_is_said_to_be_too_little(world: Published) -> None:
    world.publish(packed(words(20)))
    work = world.workspace(local=True)
    pin(work)
    assert "1500 tokens wanted" in refusal(CorpusError, lambda: token_set(work))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>\n", "00.jsonl:1: expected JSON with text and meta.pile_set_name, got b'<html>'"),
        (b'{"text": "x"}\n', "(KeyError)"),
        (b'{"text": 1, "meta": {"pile_set_name": "x"}}\n', "(TypeError)"),
    ],
)
def test_what_is_no_text_is_named_with_its_line(world: Published, content: bytes, said: str) -> None:
    recipe = world.root / "fixtures" / "corpora" / "text.toml"
    recipe.write_text(recipe.read_text().replace(FILE, "00.jsonl"))
    world.hub.commit(TEXT, "main", {"00.jsonl": content}, kind="datasets")
    assert said in refusal(CorpusError, lambda: texts(world))


def test_a_last_line_that_does_not_end_is_a_document_too(world: Published) -> None:
    recipe = world.root / "fixtures" / "corpora" / "text.toml"
    recipe.write_text(recipe.read_text().replace(FILE, "00.jsonl"))
    lines = [b'{"text": "%030d", "meta": {"pile_set_name": "x"}}' % i for i in range(20)]
    world.hub.commit(TEXT, "main", {"00.jsonl": b"\n".join(lines)}, kind="datasets")
    assert sorted(everything(world)) == [f"{i:030d}" for i in range(20)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("buffer = 8", "buffer = 0", "text.toml: buffer: Input should be greater than or equal to 1"),
        ("shortest = 20\n", "", "text.toml: shortest: Field required"),
        ('"documents"', '"mine"', "text.toml: cutting: Input should be 'documents' or 'published'"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(world: Published, old: str, new: str, said: str) -> None:
    recipe = world.root / "fixtures" / "corpora" / "text.toml"
    recipe.write_text(recipe.read_text().replace(old, new))
    assert said in refusal(CorpusError, world.corpus)


# --- faults of the hub -----------------------------------------------------------------------------------------------


def test_a_killed_reading_goes_on_where_it_stopped_with_the_same_rows(world: Published) -> None:
    work = world.workspace(local=True)
    pin(work)
    whole = token_set(work)
    needed = len(world.hub.asked("cdn", path="00.jsonl.zst"))
    assert needed > 3
    for path in world.downloads[1:]:
        path.unlink()
    again = token_set(world.workspace(local=True, store=world.root / "other"))
    spans = [one.range for one in world.hub.asked("cdn", path="00.jsonl.zst")[needed:]]
    assert spans[0] == "bytes=700-1399"
    np.testing.assert_array_equal(again.rows, whole.rows)


@pytest.mark.parametrize("harm", [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[:-1]])
def test_a_piece_that_changed_on_the_disk_is_said_and_fetched_again(
    world: Published, harm: Callable[[bytes], bytes]
) -> None:
    said: list[str] = []
    whole = texts(world)
    needed = len(world.hub.asked("cdn", path=FILE))
    path = world.downloads[1]
    path.write_bytes(harm(path.read_bytes()))
    corpus = world.corpus()
    corpus.pins.warn = said.append
    assert [document.text for document in corpus.documents("identification", seed=3)] == whole
    assert said == [f"{path}: changed on the disk since it was fetched; it is fetched again"]
    assert [one.range for one in world.hub.asked("cdn", path=FILE)[needed:]] == ["bytes=700-1399"]


@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        (Busy(429, times=1, retry_after=3, part="hub", path="00.jsonl"), [3.0]),
        (Busy(503, times=2, part="cdn"), [1.0, 2.0]),
        (Busy(503, times=1), [1.0]),
        (Truncated(FILE, at=300, times=2), [1.0, 2.0]),
        (Truncated(FILE, at=900, times=2), [1.0]),
    ],
    ids=["429", "503-cdn", "503-api", "truncated", "truncated-later"],
)
def test_what_passes_is_waited_for(world: Published, fault: Fault, waits: list[float]) -> None:
    whole = sorted(d.text for d in words() if len(d.text) >= 20)
    world.hub.faults.append(fault)
    assert sorted(everything(world)) == whole
    assert world.waits == waits


def gated(hub: LoopbackHub) -> None:
    hub.repositories["datasets", TEXT].gated = True


def private(hub: LoopbackHub) -> None:
    hub.repositories["datasets", TEXT].token = "secret"


def gone(hub: LoopbackHub) -> None:
    del hub.repositories["datasets", TEXT]


def renamed(hub: LoopbackHub) -> None:
    hub.commit(TEXT, "main", {"train/0.jsonl.zst": b""}, kind="datasets")


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Busy(503, times=99), HubError, "the hub is busy (HTTP 503, asked 4 times)"),
        (Busy(429, times=99, part="hub", path="00.jsonl"), HubError, "the hub is busy (HTTP 429, asked 4 times)"),
        (Truncated(FILE, at=900, times=99), HubError, "the transfer broke off"),
        (Corrupted(FILE, times=99), DigestMismatch, "damaged ("),
        (Whole(FILE), HubError, "700 bytes expected, got "),
        (Vanished(FILE), FileMissing, "the hub does not have this file"),
        (gated, HubError, "accept the terms at http://127.0.0.1"),
        (private, HubError, "hf auth login (or set HF_TOKEN)"),
        (gone, HubError, "no such repository"),
        (renamed, FileMissing, f"expected {FILE}, got train/0.jsonl.zst"),
    ],
)
def test_what_the_hub_refuses_is_one_line_and_no_token_is_used(
    world: Published, fault: Fault | Callable[[LoopbackHub], None], kind: type[HubError], said: str
) -> None:
    if callable(fault):
        fault(world.hub)
    else:
        world.hub.faults.append(fault)
    line = refusal(kind, lambda: texts(world))
    assert said in line
    assert line.startswith(f"datasets/{TEXT}@main")
    assert list((world.root / ".universal-neurons").glob("store/*")) == []


def test_wrong_bytes_at_the_end_are_found_when_the_end_is_read_and_fetched_again(world: Published) -> None:
    content = packed(words())
    lines = b"".join(b'{"text": "%030d", "meta": {"pile_set_name": "x"}}\n' % i for i in range(60))
    recipe = world.root / "fixtures" / "corpora" / "text.toml"
    recipe.write_text(recipe.read_text().replace(FILE, "00.jsonl"))
    world.hub.commit(TEXT, "main", {"00.jsonl": lines, FILE: content}, kind="datasets")
    texts(world)
    # A piece of other bytes under a name that fits them.
    kept = world.downloads[0]
    wrong = kept.read_bytes()[:30] + b"1" + kept.read_bytes()[31:]
    kept.with_name(f"0-700-{sha256(wrong).hexdigest()}").write_bytes(wrong)
    kept.unlink()
    assert "sha256" in refusal(DigestMismatch, lambda: texts(world))
    assert world.downloads == []
    assert len(everything(world)) == 60


def test_a_token_is_shown_to_the_hub_and_not_to_the_store_behind_it(world: Published) -> None:
    private(world.hub)
    assert texts(world, token="secret")
    assert {one.token for one in world.hub.asked("hub", path=TEXT)} == {"secret"}
    assert {one.token for one in world.hub.asked("cdn")} == {None}


def test_a_hub_that_is_not_there_is_said_to_be_not_there(world: Published) -> None:
    texts(world)
    for path in world.downloads:
        path.unlink()
    for action in (lambda: world.corpus(endpoint=NOWHERE).pin(),
                   lambda: texts(world, endpoint=NOWHERE)):  # fmt: skip
        said = refusal(HubError, action)
        assert "cannot be reached" in said
        assert f"$UNIVERSAL_NEURONS_MODELS/datasets/{TEXT}/main" in said
    assert world.waits == []


@pytest.mark.parametrize("pinned", [True, False])
def test_without_network_what_is_not_here_is_said_to_be_not_here(
    world: Published, offline: Callable[[], None], *, pinned: bool
) -> None:
    if pinned:
        world.corpus().pin()
    offline()
    said = refusal(NotInCache, lambda: texts(world))
    assert "HF_HUB_OFFLINE is set" in said
    assert FETCH in said


def test_text_that_changed_is_refused_with_both_commits_until_it_is_accepted(world: Published) -> None:
    world.corpus().pin()
    before, written = world.corpus().fingerprint, world.lock.read_bytes()
    new = world.publish(packed(words(200)))
    said = refusal(RepositoryChanged, lambda: world.corpus().pin())
    assert f"the branch is now {new}" in said
    assert f"{FETCH} --accept-changes" in said
    assert world.lock.read_bytes() == written
    assert len(everything(world)) == 144
    world.corpus().pin(accept=True)
    assert world.corpus().fingerprint != before
    assert len(everything(world)) == 180


def test_another_readme_is_no_other_text(world: Published) -> None:
    world.corpus().pin()
    before = world.corpus().fingerprint
    world.hub.commit(TEXT, "main", {FILE: packed(words()), "README.md": b"new"}, kind="datasets")
    world.corpus().pin(accept=True)
    assert world.corpus().fingerprint == before


def test_a_local_folder_is_read_instead_of_the_hub(world: Published) -> None:
    folder = world.root / "models"
    path = folder / "datasets" / TEXT / "main" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(packed(words()))
    assert len(texts(world, folders=folder)) > 50
    assert world.hub.seen == []
    path.write_bytes(packed(words())[:-1])
    for kept in world.downloads:
        kept.unlink()
    assert "expected the locked file" in refusal(DigestMismatch, lambda: texts(world, folders=folder))


# --- several at once -------------------------------------------------------------------------------------------------


@dataclass
class Slow:
    """A source whose first answer comes only when somebody else is done, or has had time enough to be."""

    source: Source
    begun: threading.Event
    others: threading.Event

    def snapshot(self, *arguments: Any) -> Any:
        found = self.source.snapshot(*arguments)
        if not self.begun.is_set():
            self.begun.set()
            self.others.wait(timeout=1)
        return found

    def content(self, *arguments: Any) -> bytes:
        return self.source.content(*arguments)

    def part(self, *arguments: Any) -> bytes:
        found = self.source.part(*arguments)
        if not self.begun.is_set():
            self.begun.set()
            self.others.wait(timeout=1)
        return found


def beside(slow: Callable[[Slow], object], quick: Callable[[], object], source: Source) -> None:
    """Run both; ``quick`` begins in the middle of ``slow``."""
    held = Slow(source, threading.Event(), threading.Event())
    failures: list[BaseException] = []

    def guarded(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001  a thread's failure is the test's
            failures.append(error)

    first = threading.Thread(target=guarded, args=(lambda: slow(held),))
    first.start()
    assert held.begun.wait(timeout=20)
    second = threading.Thread(target=guarded, args=(quick,))
    second.start()
    second.join(timeout=2)
    held.others.set()
    for thread in (first, second):
        thread.join(timeout=20)
    assert failures == []


def test_two_that_pin_one_suite_at_once_do_not_take_out_what_the_other_put_in(world: Published) -> None:
    work = world.workspace()
    assert isinstance(work.zoo, HubZoo)
    zoo, said = work.zoo, list[str]()

    def text() -> None:
        corpus = world.corpus()
        corpus.pins.warn = said.append
        corpus.pin()

    def models(source: Slow) -> None:
        zoo.pins.source = source
        zoo.pin(["a", "b"], [10])

    beside(models, text, zoo.pins.source)
    lock = Lock.read(world.lock)
    assert lock.corpus is not None
    assert len(list(lock.entries())) == 2
    assert said == ["tiny.lock.toml: another process is fetching; waiting for it"]


def test_two_that_read_one_text_at_once_fetch_every_piece_once(world: Published) -> None:
    world.corpus().pin()
    both: list[list[str]] = []

    def reading(corpus: HubCorpus) -> None:
        both.append([document.text for document in corpus.documents("identification", seed=3)])

    def slowly(source: Slow) -> None:
        corpus = world.corpus()
        corpus.pins.source = source
        reading(corpus)

    beside(slowly, lambda: reading(world.corpus()), world.corpus().pins.source)
    assert both[0] == both[1]
    assert len(both[0]) > 50
    ranges = [one.range for one in world.hub.asked("cdn", path="00.jsonl.zst")]
    assert len(ranges) > 3
    assert len(ranges) == len(set(ranges))
    assert b"".join(path.read_bytes() for path in world.downloads) == packed(words())


def test_a_turn_that_cannot_be_taken_is_one_line(world: Published) -> None:
    (world.root / ".universal-neurons").write_text("a file where a folder should be")
    assert "tiny.lock.toml: cannot be written (" in refusal(LockError, lambda: world.corpus().pin())
    assert world.hub.seen == []


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def run(
    world: Published, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("UNIVERSAL_NEURONS_ROOT", str(world.root))
        monkeypatch.setattr(sys, "argv", ["universal-neurons", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return called


def test_fetch_says_a_line_for_every_file_and_can_be_repeated(
    world: Published, run: Callable[..., tuple[int, str, str]]
) -> None:
    arguments = ("fetch", "--suite", "tiny", "--checkpoints", "step 10", "--tokens", "1k")
    status, out, _ = run(*arguments)
    lines = out.splitlines()
    assert (status, lines[-1]) == (0, "suite tiny: everything is here and verified")
    assert [line.partition(":")[0] for line in lines] == [
        "a@0", "a@0", "b@0", "b@0", "a@10", "a@10", "b@10", "b@10", "tokenizer", "tokens", "held-out tokens",
        "suite tiny",
    ]  # fmt: skip
    fetched = len(world.hub.asked("cdn"))
    assert run(*arguments)[:2] == (status, out)
    assert len(world.hub.asked("cdn")) == fetched


def test_what_changed_is_one_line_until_it_is_accepted(
    world: Published, run: Callable[..., tuple[int, str, str]]
) -> None:
    assert run("fetch", "--suite", "tiny")[0] == 0
    world.publish(packed(words(200)))
    status, out, err = run("fetch", "--suite", "tiny")
    assert (status, out, len(err.splitlines())) == (4, "", 1)
    assert err.startswith("error: text: someone/text@main changed: ")
    assert run("fetch", "--suite", "tiny", "--accept-changes")[0] == 0


def test_a_narrowed_suite_is_pinned_and_computed_as_far_as_it_goes(
    world: Published, run: Callable[..., tuple[int, str, str]]
) -> None:
    narrowing = ("--checkpoints", "20", "--tokens", "600", "--references", "a")
    status, _, err = run("compute", "--suite", "tiny", *narrowing)
    assert status == 0, err
    assert sorted({step for _, step, _ in Lock.read(world.lock).entries()}) == [0, 20]
    work = world.workspace(narrowing={"checkpoints": ["20"], "tokens": 600, "references": ["a"]})
    keys = suite_keys(work)
    assert [key for key in keys if not work.store.has(key)] == []
    assert {key.parameters["reference"] for key in keys if key.stage == "universality"} == {"a"}
    study = StoredStudy(work)
    assert "references: expected one of a, got 'b'" in refusal(
        NotOnSuite, lambda: study.reference_tables(checkpoint=study.checkpoints[0], reference="b")
    )


@pytest.mark.parametrize("tokens", ["many", "5G", "k", "1.5k"])
def test_a_number_of_tokens_that_is_none_is_one_line(run: Callable[..., tuple[int, str, str]], tokens: str) -> None:
    status, out, err = run("plan", "--suite", "tiny", "--tokens", tokens)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert f"expected a number such as 50000, 50k or 5M, got '{tokens}'" in err


ASKING = [("fetch",), ("compute",), ("compute", "--recompute"), ("plan",)]
READING = [
    ("status",),
    ("why", "0"),
    ("report",),
    ("store", "export", "elsewhere"),
    ("store", "verify", "--recompute-sample"),
]


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_a_hub_that_cannot_be_reached_is_one_line(
    world: Published,
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NOWHERE)
    status, out, err = run(*command, "--suite", "tiny")
    assert (status, out, len(err.splitlines())) == (4, "", 1)
    assert "the hub at http://127.0.0.1:9 cannot be reached" in err
    assert FETCH in err
    assert not world.lock.exists()


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_without_network_what_asks_a_hub_is_one_line(
    run: Callable[..., tuple[int, str, str]], offline: Callable[[], None], command: tuple[str, ...]
) -> None:
    offline()
    status, out, err = run(*command, "--suite", "tiny")
    assert (status, out, len(err.splitlines())) == (4, "", 1)
    assert "not in the cache, and HF_HUB_OFFLINE is set" in err
    assert FETCH in err


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize("narrowed", [False, True])
def test_what_reads_a_suite_that_nobody_pinned_is_one_line_and_asks_nobody(
    world: Published, run: Callable[..., tuple[int, str, str]], command: tuple[str, ...], *, narrowed: bool
) -> None:
    options = ("--tokens", "1k") if narrowed and command[0] in ("status", "report") else ()
    status, out, err = run(*command, "--suite", "tiny", *options)
    assert (status, len(err.splitlines())) == (4, 1)
    assert out in ("", "store: every digest fits\n")
    assert err.strip().endswith(f"run: {FETCH}{' --tokens 1000' if options else ''}")
    assert world.hub.seen == []


def test_the_claims_of_a_suite_that_nobody_pinned_are_one_line_and_not_a_thousand_skips(
    world: Published, offline: Callable[[], None]
) -> None:
    world.complete()
    status, out = judged(world)
    assert status == 4
    (line,) = [line for line in out.splitlines() if "error: " in line]
    assert "not pinned in" in line
    assert line.rstrip(" !").endswith(f"run: {FETCH}")
    assert "Traceback" not in out
    assert "verdicts of suite" not in out
    offline()
    # What --recompute opens.
    said = refusal(NotInCache, lambda: open_study("tiny", root=world.root, recompute=True))
    assert "HF_HUB_OFFLINE is set" in said
    assert FETCH in said


def judged(world: Published, *options: str) -> tuple[int, str]:
    """``pytest claims`` in the checkout, in a process of its own and without a hub."""
    path = os.pathsep.join([str(CHECKOUT / "src"), str(CHECKOUT)])
    variables = {"UNIVERSAL_NEURONS_ROOT": str(world.root), "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "claims", "--suite", "tiny", "-q", "-p", "no:cacheprovider", *options],
        cwd=world.root, env={**os.environ, **variables}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr


def log(world: Published, folder: str) -> EvidenceLog:
    return EvidenceLog.read(world.root / ".universal-neurons" / "evidence" / folder / RECORDS)


def text_of(page: Path) -> str:
    main = page.read_text(encoding="utf-8").partition("<main")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", main).replace("\u00a0", " ").split())


# Two models are too few for an interval over models, and random ones have too few universal neurons.
LACKING = {
    "F2-rotation", "F4", "F7", "F7-padding", "F8", "F13-bfloat16", "F13-float32", "F13-operands",
    "N1", "N2", "N3", "N4", "N5", "N6", "N7", "N10", "N11", "N12", "N18",
    "F16-identity-english", "F16-identity-python", "F16-share-english", "F16-share-python",
    "N18-neuron", "N18-random", "N22", "N24", "V3", "V5", "V6",
    # About several suites, none of which this one is.
    "G7b", "G8",
    # About named neurons, published rows, and heads that five of its neurons deactivate.
    "G1-ids", "G1-slope", "G35", "G52-loss", "G-weights", "R3",
    # Of four quarters of the depth three layers lack one.
    "G30a", "G30a-common", "G30a-published", "G31", "G33", "G33-prediction",
}  # fmt: skip
# One checkpoint, one reference, and what a first look neither varies nor patches nor ablates by layer.
REDUCED = (
    LACKING
    | {"F14", "F14-share", "G7", "G10-training", "N16", "N17", "N19", "N26", "R4", "R5"}
    | {"G6-mutual", "G10-layers", "G25", "G32", "N8", "N9", "R2", "R7", "R7-eight"}
    | {f"G{number}-pooled" for number in range(10, 18)}
)


OPTIONS = ("--quick", "--checkpoints", "100 %", "--tokens", "500")


def first_look(world: Published) -> Suite:
    return world.workspace(narrowing={"quick": True, "checkpoints": ["100 %"], "tokens": 500}).suite


def test_a_published_suite_goes_from_the_hub_to_its_report_and_a_narrowed_one_too(
    world: Published, run: Callable[..., tuple[int, str, str]], offline: Callable[[], None]
) -> None:
    world.complete()
    status, out, _ = run("fetch", "--suite", "tiny")
    assert (status, len(out.splitlines())) == (0, 2 * 3 * 2 + 1 + 2 + 1)
    asked = len(world.hub.seen)
    offline()
    compute_and_judge(world, run)
    check_study(StoredStudy(world.workspace()))
    assert compute(world.workspace(local=True)) == 0
    status, out, err = run("report", "--suite", "tiny")
    assert (status, out) == (0, "report: report/_build/index.html, report/_build/report.pdf\n"), err
    check_report(world.root / "report" / "_build")
    compute_and_judge(world, run, *OPTIONS)
    evidence = a_claim_of_every_family(world)
    status, out, err = run("report", "--suite", "tiny", *OPTIONS, "--to", "html", "--evidence", evidence)
    assert (status, out) == (0, "report: report/_build/index.html\n"), err
    check_report(world.root / "report" / "_build", narrowing=first_look(world).narrowing)
    assert len(world.hub.seen) == asked


def compute_and_judge(world: Published, run: Callable[..., tuple[int, str, str]], *narrowing: str) -> None:
    status, _, err = run("compute", "--suite", "tiny", *narrowing)
    assert status == 0, err
    # Nobody accepted a verdict of the whole suite yet; of a narrowed one nobody ever will.
    status, out = judged(world, *narrowing)
    assert status == (0 if narrowing else 1), out
    found = log(world, first_look(world).folder if narrowing else "tiny").records
    broken = [(one.test, one.reason) for one in found if one.verdict is Verdict.ERROR]
    assert broken == []
    assert [one.test for one in found if one.command is not None] == []
    claims = [one for one in found if one.role == "claim"]
    unanswered = {one.claim for one in claims if one.measurement is None}
    without = {one.claim for one in claims if "a first look does without" in one.reason}
    assert unanswered == (REDUCED | without if narrowing else LACKING)
    assert bool(without) == bool(narrowing)
    assert all("not evaluated on this suite: " in one.reason for one in claims if one.measurement is None)
    assert {one.verdict for one in claims} > {Verdict.NOT_EVALUATED, Verdict.REFUTED}


def a_claim_of_every_family(world: Published) -> str:
    """The folder of a log with the first claim of every folder of claims: a report has a page for each."""
    whole = log(world, first_look(world).folder)
    first = {one.test.rpartition("/")[0]: one.claim for one in reversed(whole.records)}
    few = tuple(one for one in whole.records if one.claim in first.values())
    replace(whole, records=few).write(world.root / "few" / RECORDS)
    return str(world.root / "few")


def check_study(study: StoredStudy) -> None:
    (_, last) = study.checkpoints
    assert [c.label for c in study.checkpoints] == ["step 10", "100 %"]
    frame = study.universality(partner="b", checkpoint=last).frame
    assert len(frame) == 3 * 64
    assert frame["excess"].notna().all()
    assert len(study.ablation(checkpoint=last).frame) > 0
    assert study.corpus().name == "text"


def check_report(built: Path, *, narrowing: str = "") -> None:
    is_narrowed = bool(narrowing)
    index, paper = text_of(built / "index.html"), (built / "paper.html").read_text(encoding="utf-8")
    assert "models published by others" in index
    assert "fig-training" not in (built / "index.html").read_text(encoding="utf-8")
    said = "The suite was reduced for a first look" in index
    assert said == is_narrowed
    assert f"{narrowing}." in index
    absent = set(re.findall(r'<p id="(fig-[\w-]+)" class="absent">', paper))
    assert all(f'id="{name}"' in paper for name in REQUIRED)
    # Of few neurons of random models none may be universal, which leaves out more; never less than this.
    must = {f"fig-paper-{number}" for number in ((1, 3, 4, 5, 6, 9, 10, 11, 12) if is_narrowed else (5, 6))}
    must |= {"fig-tokens", "fig-ceiling"} if is_narrowed else set()
    assert must <= absent
    assert ("nothing can be said of that: it needs two checkpoints" in text_of(built / "paper.html")) == is_narrowed
    assert not (built / "data" / "paper-5.csv").exists()


def test_a_suite_in_the_checkout_has_nothing_to_fetch(
    run: Callable[..., tuple[int, str, str]], miniature: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    work = miniature.workspace(local=True)
    assert fetch(work, accept=False, done=pytest.fail) == 0
