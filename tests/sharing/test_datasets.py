"""Exports in a data set of a hub, pinned by its commit."""

from __future__ import annotations

import io
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.artifacts.test_remote import FILES, everything, put
from tests.hub import Busy, Corrupted, LoopbackHub, Truncated, Vanished
from tests.tiny_models import use
from universal_neurons.artifacts.bundle import ExportDamaged, FileAbsent, SourceUnavailable
from universal_neurons.artifacts.remote import opened
from universal_neurons.inputs.hub import Hub, HubError, NotInCache, RevisionMissing
from universal_neurons.stages.sharing import open_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from universal_neurons.artifacts.remote import Files
    from universal_neurons.errors import UserError

DATASET = "someone/evidence"
COMMAND = "universal-neurons store import"


def read_from(source: str, scratch: Path, action: Callable[[Files], Any]) -> Any:
    dataset = partial(open_dataset, command=COMMAND, warn=print, largest=lambda: 10**10)
    with opened(source, scratch=scratch, dataset=dataset, largest=lambda: 10**10) as files:
        return action(files)


def refusal(kind: type[UserError], source: str, scratch: Path, name: str = "evidence-mini.json") -> str:
    """The one line that reading a file fails with."""
    with pytest.raises(kind) as caught:
        read_from(source, scratch, lambda files: files.read(name, 100))
    assert type(caught.value) is kind
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("UNIVERSAL_NEURONS_MODELS", raising=False)
    with LoopbackHub() as running:
        use(monkeypatch, running, root=tmp_path, waits=[])
        monkeypatch.setattr("time.sleep", lambda _: None)
        yield running


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not really wait before it asks again."""
    waiting = partial(Hub, wait=lambda _: None)
    monkeypatch.setattr("universal_neurons.stages.sharing.source_from_environment", waiting)


def committed(hub: LoopbackHub, tmp_path: Path) -> str:
    """A data set with an export in its root and one in a folder, an archive and a card; its address by commit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, data in FILES.items():
            zipped.writestr(name, data)
    files = {**FILES, **{f"paper/{name}": data for name, data in FILES.items()}}
    commit = hub.commit(
        DATASET, "main", {**files, "README.md": b"evidence", "all/mini.zip": buffer.getvalue()}, kind="datasets"
    )
    return f"hf://datasets/{DATASET}@{commit}"


def test_a_commit_of_a_data_set_is_read_whole_in_a_folder_and_as_an_archive(hub: LoopbackHub, tmp_path: Path) -> None:
    source = committed(hub, tmp_path)
    shown = f"datasets/{DATASET}@{source[-40:][:12]}"
    assert read_from(source, tmp_path, everything) == (FILES, shown)
    assert read_from(f"{source}/", tmp_path, everything) == (FILES, shown)
    assert read_from(f"{source}/paper/", tmp_path, everything) == (FILES, f"{shown}/paper")
    assert read_from(f"{source}/all/mini.zip", tmp_path, everything) == (FILES, f"{shown}/all/mini.zip")


def test_files_of_a_commit_are_read_from_the_cache_without_the_network(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = committed(hub, tmp_path)
    read_from(source, tmp_path, everything)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    asked = len(hub.seen)
    assert read_from(source, tmp_path, everything)[0] == FILES
    assert len(hub.seen) == asked
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    assert "HF_HUB_OFFLINE is set" in refusal(NotInCache, source, tmp_path)


def test_a_branch_is_refused_with_the_commit_that_it_is_now(hub: LoopbackHub, tmp_path: Path) -> None:
    commit = committed(hub, tmp_path)[-40:]
    said = refusal(SourceUnavailable, f"hf://datasets/{DATASET}@main", tmp_path)
    assert said.endswith(f"main is a branch and may come to mean something else; name a commit, now {commit}")


def test_a_later_commit_changes_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    source = committed(hub, tmp_path)
    hub.commit(DATASET, "main", {"evidence-mini.json": b"other"}, kind="datasets")
    assert read_from(source, tmp_path, everything)[0] == FILES


@pytest.mark.parametrize(
    "source", ["hf://datasets/someone", "hf://someone/evidence@main", f"hf://datasets/{DATASET}", "hf://", "hf://x@y"]
)
def test_an_address_of_a_hub_without_a_commit_is_one_line(tmp_path: Path, source: str) -> None:
    said = refusal(SourceUnavailable, source, tmp_path)
    assert said.startswith(f"{source}: expected hf://datasets/OWNER/NAME@COMMIT")


def test_a_file_commit_or_repository_missing_on_a_hub_is_a_one_line_error(hub: LoopbackHub, tmp_path: Path) -> None:
    source = committed(hub, tmp_path)
    assert f"datasets/{DATASET}@" in refusal(FileAbsent, source, tmp_path, "other")
    assert "has no all/other.zip" in refusal(FileAbsent, f"{source}/all/other.zip", tmp_path)
    refusal(RevisionMissing, f"hf://datasets/{DATASET}@{'0' * 40}", tmp_path)
    refusal(HubError, f"hf://datasets/no/body@{'0' * 40}", tmp_path)
    hub.faults.append(Vanished("evidence-mini.json"))
    assert "the hub does not have this file" in refusal(FileAbsent, source, tmp_path)


def test_a_file_of_a_hub_that_is_too_large_is_not_even_downloaded(hub: LoopbackHub, tmp_path: Path) -> None:
    source = committed(hub, tmp_path)
    assert "has 999 bytes, expected at most 100" in refusal(ExportDamaged, source, tmp_path, "shares/aa/payload.json")
    assert hub.asked("hub", path="payload") == []


@pytest.mark.parametrize(
    "fault",
    [Corrupted("all/mini.zip", 99), Truncated("all/mini.zip", 40, 99), Busy(503, 99, part="hub", path="mini.zip")],
    ids=["corrupted", "truncated", "busy"],
)
@pytest.mark.usefixtures("_impatient")
def test_a_hub_that_fails_is_one_line_and_the_same_command_succeeds_later(
    hub: LoopbackHub, tmp_path: Path, fault: Any
) -> None:
    source = f"{committed(hub, tmp_path)}/all/mini.zip"
    hub.faults.append(fault)
    assert "universal-neurons store import" in refusal(SourceUnavailable, source, tmp_path)
    hub.faults.clear()
    assert read_from(source, tmp_path, everything)[0] == FILES


@pytest.mark.usefixtures("_impatient")
def test_a_hub_that_is_not_there_and_one_that_is_busy_are_one_line(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = committed(hub, tmp_path)
    hub.faults.append(Busy(503, 9))
    assert "universal-neurons store import" in refusal(HubError, source, tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    refusal(HubError, source, tmp_path)


def test_a_folder_beside_the_cache_is_read_instead_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: LoopbackHub
) -> None:
    commit = "ab" * 20
    put(tmp_path / "models" / "datasets" / DATASET / commit)
    monkeypatch.setenv("UNIVERSAL_NEURONS_MODELS", str(tmp_path / "models"))
    assert read_from(f"hf://datasets/{DATASET}@{commit}", tmp_path, everything)[0] == FILES
    assert hub.seen == []
