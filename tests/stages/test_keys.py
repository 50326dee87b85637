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
    "emergence": (654, "7356296125c7d5ff07e5814ab144640f8b6a35cdbc0a2f838c9bab09dc4eb911"),
    "gurnee_medium": (104, "cd2b7694c7a470f57b10d35da19aac47284574d9b2d96d95684c55b735c796e5"),
    "gurnee_small": (104, "6e670186b52a6cc7dc4e9e1ed7d3e9172968df4d669e5eed4c417a91de75b0b8"),
    "mini": (254, "8696c3a1d9545bd1741155c8b68a20fb37312024ac126f9a0c116d4f1551f4e4"),
    "paper": (204, "de8e49420f137e361fbfa487358f99304ae86b14d5c6fbe707a407e69ba06a61"),
    "paper_published": (204, "c3c1e415f483c21e17acc1dee536290a88e8b50cd630573839f1fe4ad80e6fd7"),
    "paper_v2": (304, "1be34be4e1b5569c00b96445f99262d78dcd10b867bc1d1253f0d24a16884d41"),
    "pythia_160m": (77, "41b84cfc7ac48028f3a36a55bfa612ab512cc0c185c3f27e1a55a89f4fe24b8c"),
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
