from __future__ import annotations

import getpass
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from universal_neurons.artifacts import provenance as module
from universal_neurons.artifacts.provenance import (
    Provenance,
    ProvenanceError,
    SharedRun,
    capture,
    git_commit,
    peak_memory_bytes,
)

SOUND = Provenance("2026-01-02T03:04:05Z", None, "cpu", {"python": "3.11.7"}, 1.5, 2**30)
PASS = SharedRun("moments", "2026-01-02T03:04:04Z", 107.8)


def test_a_computation_is_measured_from_its_beginning_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 107.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    before = datetime.now(UTC).replace(microsecond=0)
    with capture() as run:
        run.device = "NVIDIA H200"
    assert run.provenance.wall_seconds == 7.25
    assert run.provenance.device == "NVIDIA H200"
    assert before <= datetime.fromisoformat(run.provenance.created) <= datetime.now(UTC)


def test_peak_memory_is_in_bytes_and_includes_memory_freed_since() -> None:
    before = peak_memory_bytes()
    assert before is not None
    block = bytearray(before + 50_000_000)
    block[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(range(0, len(block), os.sysconf("SC_PAGE_SIZE")))
    del block
    with capture() as run:
        pass
    assert run.provenance.peak_memory_bytes is not None
    assert before + 50_000_000 <= run.provenance.peak_memory_bytes < 4 * before + 500_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="others count for every process alone")
def test_peak_memory_excludes_the_parent_process() -> None:
    block = bytearray(b"x") * 400_000_000
    code = "from universal_neurons.artifacts.provenance import peak_memory_bytes; print(peak_memory_bytes())"
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5_000_000 < int(started.stdout) < len(block)


def test_peak_memory_is_none_where_the_system_does_not_report_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STATUS", Path("nowhere"))
    monkeypatch.setitem(sys.modules, "resource", None)
    with capture() as run:
        pass
    assert run.provenance.peak_memory_bytes is None
    assert Provenance.from_dict(run.provenance.as_dict()) == run.provenance


def test_versions_come_from_the_installed_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", (*module.PACKAGES, "no-such-distribution"))
    found = module.versions()
    assert {"python", "numpy", "torch", "transformers", "transformer-lens"} <= set(found)
    assert found["numpy"] == metadata.version("numpy")
    assert "no-such-distribution" not in found


def test_there_is_no_provenance_before_the_end_nor_after_a_failure() -> None:
    with capture() as run, pytest.raises(RuntimeError, match="not finished"):
        run.provenance  # noqa: B018
    assert run.provenance.wall_seconds >= 0
    with pytest.raises(ZeroDivisionError), capture() as run:
        1 / 0  # noqa: B018
    with pytest.raises(RuntimeError, match="not finished"):
        run.provenance  # noqa: B018


def test_provenance_names_no_user_host_or_path() -> None:
    with capture() as run:
        pass
    text = json.dumps(run.provenance.as_dict())
    for secret in (
        socket.gethostname(),
        getpass.getuser(),
        str(Path.home()),
        str(Path.cwd()),
        str(Path(__file__).parent),
    ):
        assert f'"{secret}' not in text
        assert f"{secret}/" not in text


def test_provenance_travels() -> None:
    with capture() as run:
        pass
    for travelled in (Provenance.from_dict(run.provenance.as_dict()), pickle.loads(pickle.dumps(run.provenance))):
        assert travelled == run.provenance


@pytest.mark.parametrize(
    "change",
    [
        {"created": None},
        {"device": 1},
        {"device": "/dev/nvidia0"},
        {"device": "cpu\nroot"},
        {"git_commit": "~/x"},
        {"versions": {"python": 3}},
        {"versions": {"python": "C:\\python"}},
        {"wall_seconds": -1.0},
        {"wall_seconds": float("nan")},
        {"wall_seconds": float("inf")},
        {"wall_seconds": "1"},
        {"wall_seconds": True},
        {"wall_seconds": None},
        {"peak_memory_bytes": -1},
        {"peak_memory_bytes": "1"},
    ],
)
def test_a_provenance_of_other_types_or_with_a_path_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProvenanceError):
        replace(SOUND, **change)
    with pytest.raises(ProvenanceError):
        Provenance.from_dict({**SOUND.as_dict(), **change})


def test_a_shared_run_is_named_in_each_artifact_and_not_counted_in_their_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 100.0, 100.0, 103.0, 103.0, 104.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with capture() as common:
        pass
    shared = common.as_shared("moments")
    parts = []
    for _ in range(2):
        with capture(shared=[shared]) as run:
            pass
        parts.append(run.provenance)
    assert shared == SharedRun("moments", common.provenance.created, 100.0)
    assert [part.wall_seconds for part in parts] == [3.0, 1.0]
    assert [part.shared for part in parts] == [(shared,), (shared,)]


def test_a_run_that_has_not_finished_cannot_be_shared() -> None:
    with capture() as run, pytest.raises(RuntimeError, match="not finished"):
        run.as_shared("moments")


def test_shared_runs_travel_and_their_absence_leaves_no_trace() -> None:
    resting = replace(SOUND, shared=[PASS])
    assert Provenance.from_dict(json.loads(json.dumps(resting.as_dict()))) == resting
    # The manifests of older artifacts have no such field and must stay, to the byte, what would be written today.
    assert "shared" not in SOUND.as_dict()
    assert resting.as_dict() == {
        **SOUND.as_dict(),
        "shared": [{"what": "moments", "created": "2026-01-02T03:04:04Z", "wall_seconds": 107.8}],
    }


@pytest.mark.parametrize(
    "shared",
    [
        None,
        1,
        "moments",
        {"what": "moments"},
        [None],
        ["moments"],
        [{"what": "moments", "created": "x"}],
        [{**PASS.as_dict(), "host": "x"}],
        [{**PASS.as_dict(), "what": "/home/somebody"}],
        [{**PASS.as_dict(), "wall_seconds": -1}],
        [{**PASS.as_dict(), "wall_seconds": True}],
    ],
)
def test_shared_runs_of_other_types_or_with_a_path_are_refused(shared: Any) -> None:
    with pytest.raises(ProvenanceError):
        Provenance.from_dict({**SOUND.as_dict(), "shared": shared})


@pytest.mark.parametrize("raw", [None, [], {}, {"created": "x"}, {**SOUND.as_dict(), "host": "x"}])
def test_a_provenance_has_exactly_its_fields(raw: Any) -> None:
    with pytest.raises(ProvenanceError, match="exactly the fields"):
        Provenance.from_dict(raw)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=none")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "src" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    git(tmp_path / "repository", "init", "-q")
    git_commit.cache_clear()
    return folder


def committed(package: Path) -> str:
    git(package, "add", "-A")
    git(package, "commit", "-q", "-m", "first")
    return git(package, "rev-parse", "HEAD")


def test_the_commit_is_the_commit_of_the_package(package: Path) -> None:
    commit = committed(package)
    (package.parent / "elsewhere.txt").write_text("not part of the package")
    assert git_commit(package) == commit
    assert len(commit) == 40


@pytest.mark.parametrize("name", ["__init__.py", "new_module.py"])
def test_a_changed_package_is_not_passed_off_as_the_commit(package: Path, name: str) -> None:
    commit = committed(package)
    (package / name).write_text("x = 1\n")
    assert git_commit(package) == f"{commit}-dirty"


def test_there_is_no_commit_without_one(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_commit(package) is None, "not tracked"
    git(package, "add", "-A")
    git_commit.cache_clear()
    assert git_commit(package) is None, "no commit yet"
    assert git_commit(tmp_path) is None, "no repository"
    assert git_commit(tmp_path / "absent") is None, "no such folder"
    monkeypatch.setenv("PATH", "")
    git_commit.cache_clear()
    assert git_commit(package) is None, "no git"


def test_a_package_installed_inside_another_repository_has_no_commit(package: Path) -> None:
    committed(package)
    installed = package / ".venv" / "site-packages" / "universal_neurons"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert git_commit(installed) is None


def test_a_git_hook_does_not_lend_its_repository(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = committed(package)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert git_commit(package) == commit
