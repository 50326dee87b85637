"""Text of a hub, read from a local folder: what a line of a file may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.published import FILE, RECIPE, TEXT
from universal_neurons.inputs.corpus import CorpusError
from universal_neurons.inputs.hub import Folders
from universal_neurons.inputs.hub_corpus import HubCorpus
from universal_neurons.inputs.pinning import Pins

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from universal_neurons.inputs.corpus import Document

LONG = b"a text that is long enough, "


@pytest.fixture
def documents(tmp_path: Path) -> Callable[[bytes], list[Document]]:
    """Reads a file with the given content, all of it for identification but for a negligible share."""
    (tmp_path / "fixtures" / "suites").mkdir(parents=True)
    (tmp_path / "fixtures" / "corpora").mkdir()
    recipe = RECIPE.replace(FILE, "00.jsonl").replace("evaluation_share = 0.3", "evaluation_share = 1e-12")
    (tmp_path / "fixtures" / "corpora" / "text.toml").write_text(recipe)
    folder = tmp_path / "datasets" / TEXT / "main"
    folder.mkdir(parents=True)

    def read(content: bytes) -> list[Document]:
        (folder / "00.jsonl").write_bytes(content)
        corpus = HubCorpus.open("text", Pins.open(tmp_path, "tiny", source=Folders(tmp_path)))
        corpus.pin()
        return sorted(corpus.documents("identification", seed=1), key=lambda document: document.path)

    return read


def line(text: bytes, subset: bytes = b"x") -> bytes:
    return b'{"text": "' + LONG + text + b'", "meta": {"pile_set_name": "' + subset + b'"}}'


@pytest.mark.parametrize("blank", [b"", b" ", b"\r", b"\t \r"])
def test_blank_lines_are_skipped_and_counted(documents: Callable[[bytes], list[Document]], blank: bytes) -> None:
    found = documents(b"\n".join([blank, line(b"one"), blank, line(b"two"), blank]))
    assert [document.path for document in found] == ["00.jsonl:2", "00.jsonl:4"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"\ud83d\ude00", "\U0001f600"),
        (rb"\ud83d", "\ufffd"),
        (rb"\ude00 and \ud83d\u0041", "\ufffd and \ufffdA"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (b"plain", "plain"),
    ],
)
def test_a_lone_surrogate_is_read_as_the_replacement_character(
    documents: Callable[[bytes], list[Document]], written: bytes, read: str
) -> None:
    (found,) = documents(line(written, subset=b"s" + written))
    assert (found.text, found.domain) == (LONG.decode() + read, "s" + read)


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(
    documents: Callable[[bytes], list[Document]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("universal_neurons.inputs.hub_corpus.LONGEST_LINE", 1000)
    with pytest.raises(CorpusError, match=r"00\.jsonl: expected a document per line, got a line of 5000 bytes$"):
        documents(b"x" * 5000)


def test_a_line_that_is_nested_too_deeply_is_one_line(documents: Callable[[bytes], list[Document]]) -> None:
    with pytest.raises(CorpusError, match=r"00\.jsonl:1: expected JSON with .* \(RecursionError\)$"):
        documents(b"[" * 100_000)
