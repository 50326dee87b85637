"""The keys of every suite: the evidence that people have stays theirs when the code around it changes.

A key changes only where a number does: then bump the stage's version, ship new evidence and replace the digests here.
"""

from __future__ import annotations

import shutil
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cases import corpus_key
from tests.sources import ROOT
from universal_neurons.artifacts.provenance import capture
from universal_neurons.inputs.lock import LOCK_SUFFIX, Lock, LockedCheckpoint, LockedCorpus, LockedFiles
from universal_neurons.inputs.suite import available_suites, load_suite
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.workspace import open_workspace

if TYPE_CHECKING:
    from universal_neurons.artifacts.key import Key
    from universal_neurons.inputs.suite import Suite

# Number of keys, and sha256 of their sorted lines "<stage> <digest>", with the weights and the text of made_up_lock.
SUITES = {
    "emergence": (704, "869f8e4e9009cf8fda425eadd266cf5636ed242c06977766329b33c4f3da8e5a"),
    "gurnee_medium": (154, "f9e9ef4920571a8d1b55f75eab063f9f563260e8d9aea3801a053346aa3e0ccf"),
    "gurnee_small": (154, "c54eb10a2a79e24b18cd31c8112338a2923af9ff6e1aa3b7b56371f7384733fd"),
    "mini": (304, "4e5f12aa33480790a605397c9eefa63068a8974beba2050f7825cdb28885d897"),
    "paper": (254, "caa1a11d8a08e93e9c600825676f82a30db3f8eb61945bb69ae8d3dcdc39bea4"),
    "paper_published": (254, "c002f3f3d8a368222ebdec3340fe8b1e5a439a974fe5fe5dc00fc3d4dfb0245d"),
    "paper_v2": (354, "8e6244688d174436d366e937bcdd66f2a132e99f901fcf8aeadb24eecb63d0e2"),
    "pythia_160m": (118, "903cc77db5105bd6a9f1474008d37958064e3d36efcf844d2b2a2047befc2327"),
    "polypythias_14m": (1107, "f46d85e8d7541de84568903513bfc6c2c2cf20e2464647ee0b6d37200e844f91"),
    "polypythias_410m": (1119, "fea291c8c4d39d6db50adb0eaffddb26aa25b18ed0ee4fde88ef9dd941763bd9"),
}


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def lines(keys: tuple[Key, ...]) -> list[str]:
    return sorted(f"{key.stage} {key.digest}" for key in keys)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose published suites are pinned to made-up weights and text."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "fixtures").mkdir()
    for path in (ROOT / "fixtures").iterdir():
        if path.name != "suites":
            (root / "fixtures" / path.name).symlink_to(path)
    shutil.copytree(ROOT / "fixtures" / "suites", root / "fixtures" / "suites")
    for name in available_suites(root):
        suite = load_suite(name, root)
        if suite.zoo.kind == "hub":
            made_up_lock(suite, root).write(root / "fixtures" / "suites" / f"{name}{LOCK_SUFFIX}", command="made up")
    return root


def made_up_lock(suite: Suite, root: Path) -> Lock:
    """A lock that pins every checkpoint of ``suite``, its tokenizer and its text to made-up bytes."""

    def files(name: str) -> dict[str, Any]:
        content = {name: digest(suite.name + name)}
        return {"repository": "made/up", "revision": "main", "commit": "0" * 40, "files": content}

    recipe = tomllib.loads((root / "fixtures" / "corpora" / f"{suite.corpus.recipe}.toml").read_text("utf-8"))
    text = LockedCorpus(
        repository=recipe["repository"],
        revision=recipe["revision"],
        commit="1" * 40,
        files={name: digest(name) for name in recipe["files"]},
        bytes=dict.fromkeys(recipe["files"], 10**9),
    )
    lock = Lock(tokenizer=LockedFiles(**files("tokenizer.json")), corpus=text)
    for model in suite.zoo.models:
        for checkpoint in (*([] if suite.untrained is None else [suite.untrained]), *suite.checkpoints):
            weights = f"{model}{checkpoint.step}.safetensors"
            lock = lock.with_checkpoint(model, checkpoint.step, LockedCheckpoint(**files(weights), weights=weights))
    return lock


def keys_with_made_up_tokens(name: str, checkout: Path, store: Path) -> tuple[Key, ...]:
    """The keys of a suite whose tokens are said to be there, because all other keys are made from their digest."""
    work = open_workspace(name, root=checkout, store=store)
    spec = work.suite.corpus
    if work.suite.zoo.kind == "hub":
        ref: dict[str, Any] = {
            "name": spec.recipe, "revision": "r", "tokenizer": digest("t"), "row_length": spec.row_length,
            "mask": spec.mask.value, "tokens": spec.tokens, "sha256": digest(f"tokens{name}"),
        }  # fmt: skip
        with capture() as run:
            pass
        record: dict[str, Any] = {"ref": ref, "rows": 1, "domains": ["x"]}
        work.store.write(corpus_key(work), record, run.provenance)
    return suite_keys(work)


def test_every_suite_is_held() -> None:
    assert set(SUITES) == set(available_suites(ROOT))


@pytest.mark.parametrize("name", SUITES)
def test_the_keys_of_a_suite_are_the_ones_that_evidence_has(name: str, checkout: Path, tmp_path: Path) -> None:
    keys = lines(keys_with_made_up_tokens(name, checkout, tmp_path))
    assert (len(keys), digest("\n".join(keys))) == SUITES[name]


def test_the_keys_of_mini_are_the_shipped_ones() -> None:
    listed = Path(__file__).with_name("mini_keys.txt").read_text("utf-8").splitlines()
    assert lines(suite_keys(open_workspace("mini", root=ROOT))) == listed
    shipped = ROOT / "fixtures" / "evidence"
    assert sorted(" ".join(path.parent.parts[-2:]) for path in shipped.glob("*/*/manifest.json")) == listed
