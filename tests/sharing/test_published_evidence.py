"""Evidence about published models: computed by one, put on a hub, judged by one who has neither weights nor text."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.hub import LoopbackHub
from tests.published import TEXT, Published
from tests.refusals import refusal
from tests.tiny_models import WORDS, use
from universal_neurons.artifacts.bundle import Bundle, ExportDamaged
from universal_neurons.evidence.log import PARTIAL, EvidenceLog
from universal_neurons.inputs.lock import EqualWeights, Lock, LockError
from universal_neurons.inputs.lock_adoption import LockUnfit
from universal_neurons.inputs.pinning import NotPinned
from universal_neurons.stages.registry import suite_keys, where
from universal_neurons.stages.runner import compute
from universal_neurons.stages.sharing import export_suite, pull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sharing.conftest import Reader
    from universal_neurons.artifacts.exchange import Pulled

CHECKOUT = Path(__file__).parents[2]
DATASET = "someone/evidence"
LIST = "evidence-tiny.json"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, _offline_on_one_thread: None) -> Iterator[Published]:
    """Someone who computed the suite from the hub; for reading only."""
    root = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch, LoopbackHub() as hub:
        patch.delenv("HF_HUB_OFFLINE")
        found = Published.built(root, hub)
        use(patch, hub, root=root, waits=found.waits)
        compute(found.workspace(local=True))
        yield found


@pytest.fixture
def export(world: Published, tmp_path: Path) -> Path:
    export_suite(world.workspace(), tmp_path / "export")
    return tmp_path / "export"


@pytest.fixture
def fresh(world: Published, tmp_path: Path) -> Path:
    """A checkout that has neither lock nor anything computed."""
    root = tmp_path / "fresh"
    shutil.copytree(world.root / "fixtures", root / "fixtures")
    (root / "fixtures" / "suites" / "tiny.lock.toml").unlink()
    return root


def lock_of(root: Path) -> Path:
    return root / "fixtures" / "suites" / "tiny.lock.toml"


def pulled(root: Path, source: Path | str, said: list[str] | None = None) -> Pulled:
    return pull("tiny", str(source), root=root, warn=(said if said is not None else []).append)


def test_a_reader_without_weights_and_text_judges_a_commit_of_a_data_set(
    world: Published, export: Path, fresh: Path
) -> None:
    files = {path.relative_to(export).as_posix(): path.read_bytes() for path in export.rglob("*") if path.is_file()}
    commit = world.hub.commit(DATASET, "main", {**files, "README.md": b"evidence"}, kind="datasets")
    asked = len(world.hub.seen)
    source = f"hf://datasets/{DATASET}@{commit}"
    for name in ("mini", "paper"):
        shutil.copy(CHECKOUT / "fixtures" / "suites" / f"{name}.toml", fresh / "fixtures" / "suites")
    shutil.copytree(CHECKOUT / "fixtures" / "published", fresh / "fixtures" / "published")
    ended = judged(fresh, world.hub, "--remote", source)
    log = EvidenceLog.read(fresh / ".universal-neurons" / "evidence" / "tiny" / PARTIAL).records
    # Measured and judged, and between two models no share is one over models.
    verdicts = {record.claim: str(record.verdict) for record in log if record.role == "claim"}
    assert verdicts == {"N1": "not_evaluated"}, ended
    said = " ".join(ended.split())
    assert "artifacts of suite tiny were imported, and no sample of them was computed again here" in said
    # Nothing but the evidence was asked for: no weights, no tokenizer, no text.
    models = ("someone/tiny-a", "someone/tiny-b", WORDS, TEXT)
    assert [one for one in world.hub.seen[asked:] if any(name in one.path for name in models)] == []
    assert Lock.read(lock_of(fresh)) == Lock.read(world.lock)
    # And once imported it is judged without any network.
    shutil.rmtree(fresh / ".universal-neurons" / "evidence")
    asked = len(world.hub.seen)
    ended = judged(fresh, world.hub, HF_HUB_OFFLINE="1")
    assert len(EvidenceLog.read(fresh / ".universal-neurons" / "evidence" / "tiny" / PARTIAL).records) == len(log), (
        ended
    )
    assert len(world.hub.seen) == asked


def judged(root: Path, hub: LoopbackHub, *options: str, **variables: str) -> str:
    """The output of pytest for a claim of this checkout, judged on the suite of another."""
    claim = CHECKOUT / "claims" / "emergence" / "test_n1_rare_but_present.py"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", str(claim), "--suite", "tiny", "-p", "no:cacheprovider", *options],
        cwd=CHECKOUT,
        env={
            **{name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"},
            "UNIVERSAL_NEURONS_ROOT": str(root), "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(root / "cache"),
            "DISABLE_SAFETENSORS_CONVERSION": "1", **variables,
        },
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return ended.stdout + ended.stderr


def test_the_lock_comes_with_the_evidence_and_names_the_same_artifacts(
    world: Published, export: Path, fresh: Path
) -> None:
    said: list[str] = []
    assert pulled(fresh, export, said).absent == ()
    assert said == ["the lock of suite tiny has 8 new entries: what the evidence is about"]
    work = replace(world.workspace(), root=fresh)
    there = pulled_workspace(fresh)
    assert suite_keys(there) == suite_keys(work)
    assert {where(there, key) for key in suite_keys(there)} == {"imported"}
    said.clear()
    assert pulled(fresh, export, said).new == 0
    assert said == []


def pulled_workspace(root: Path) -> Any:
    from universal_neurons.stages.workspace import open_workspace

    return open_workspace("tiny", root=root)


def test_a_lock_that_has_a_part_keeps_it_and_gets_the_rest(world: Published, export: Path, fresh: Path) -> None:
    whole = Lock.read(world.lock)
    whole.model_copy(update={"checkpoints": {"a": dict(whole.checkpoints["a"])}, "corpus": None}).write(
        lock_of(fresh), command="test"
    )
    said: list[str] = []
    pulled(fresh, export, said)
    assert said == ["the lock of suite tiny has 4 new entries: what the evidence is about"]
    assert Lock.read(lock_of(fresh)) == whole


def relocked(export: Path, change: Callable[[str], str | None]) -> None:
    """Change the lock of an export as somebody would who knows how to seal it."""
    bundle = Bundle.decode((export / LIST).read_bytes(), where="")
    assert bundle.lock is not None
    changed = change(bundle.lock)
    assert changed != bundle.lock
    (export / LIST).write_bytes(replace(bundle, lock=changed).encode())


def test_evidence_about_other_weights_than_are_pinned_here_is_refused(
    world: Published, export: Path, fresh: Path
) -> None:
    mine = Lock.read(world.lock)
    entry = mine.checkpoints["a"][10]
    other = entry.model_copy(update={"files": {**entry.files, entry.weights: "0" * 64}, "commit": "1" * 40})
    mine.with_entry("a@10", other).write(lock_of(fresh), command="test")
    before = lock_of(fresh).read_bytes()
    said = refusal(LockUnfit, lambda: pulled(fresh, export))
    assert "its evidence is about other files of a@10 (" in said
    assert said.endswith(
        "tiny.lock.toml pins (111111111111); to judge it remove that lock, to have what the hub has now run: "
        "universal-neurons fetch --suite tiny --accept-changes"
    )
    assert lock_of(fresh).read_bytes() == before
    assert not (fresh / ".universal-neurons" / "imported").exists()


STRANGERS: dict[str, Callable[[str], str]] = {
    "another repository": lambda text: text.replace('"someone/tiny-a"', '"stranger/tiny-a"', 1),
    "another branch": lambda text: text.replace('"checkpoint-10"', '"checkpoint-99"', 1),
    "another tokenizer": lambda text: text.replace(f'"{WORDS}"', '"stranger/words"'),
    "another text": lambda text: text.replace(f'"{TEXT}"', '"stranger/text"'),
    "a file that leaves the folder": lambda text: text.replace('"tokenizer.json"', '"../../tokenizer.json"'),
    "another format of weights": lambda text: text.replace("pytorch_model.bin", "weights.pkl"),
}


@pytest.mark.parametrize("change", STRANGERS.values(), ids=STRANGERS)
def test_a_lock_of_other_files_than_this_checkout_means_is_refused(
    export: Path, fresh: Path, change: Callable[[str], str]
) -> None:
    relocked(export, change)
    said = refusal(LockUnfit, lambda: pulled(fresh, export))
    assert "the evidence's lock names " in said
    assert said.endswith("; nothing was used")
    assert not lock_of(fresh).exists()


def test_a_damaged_lock_and_one_with_equal_weights_are_one_line(export: Path, fresh: Path, world: Published) -> None:
    relocked(export, lambda text: text.replace("[tokenizer]", "[[tokenizer]"))
    assert refusal(LockError, lambda: pulled(fresh, export)).startswith("folder export: lock: not TOML")
    lock = Lock.read(world.lock)
    same = lock.checkpoints["b"][10]
    relocked(
        export,
        lambda _: lock.with_entry("b@20", same.model_copy(update={"revision": "checkpoint-20"})).text(command="x"),
    )
    assert "have the same weights" in refusal(EqualWeights, lambda: pulled(fresh, export))
    assert not lock_of(fresh).exists()


def test_without_any_lock_the_evidence_has_no_keys(export: Path, fresh: Path) -> None:
    relocked(export, lambda _: None)
    assert "run: universal-neurons fetch --suite tiny" in refusal(NotPinned, lambda: pulled(fresh, export))


def test_the_lock_is_sealed_with_the_list(export: Path, fresh: Path) -> None:
    raw = json.loads((export / LIST).read_text())
    raw["lock"] = raw["lock"].replace("checkpoint-10", "checkpoint-11")
    (export / LIST).write_text(json.dumps(raw, sort_keys=True, indent=2) + "\n")
    assert "not what was written" in refusal(ExportDamaged, lambda: pulled(fresh, export))


def test_a_suite_whose_models_lie_in_the_checkout_has_no_lock(exports: Path, reader: Reader) -> None:
    assert Bundle.decode((exports / "folder" / "evidence-mini.json").read_bytes(), where="").lock is None
    reader.pull(exports / "folder")
    assert [path.name for path in (reader.project.root / "fixtures" / "suites").glob("*.lock.toml")] == []
