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
    "emergence": (699, "73edeb4f13a2854c0225d61cec830904f2e7cd4a28bbc12d86dba8a8d7a04387"),
    "gurnee_medium": (149, "dcdbab5163b3e5e911553039c817d7eae4990457ce2d173f833290456a5f07f0"),
    "gurnee_small": (149, "b4f4b7355b2355afdfb109bf42f0aa3a9b53e9d94397d3b990a14d5cdb5adffb"),
    "mini": (299, "a1b9875292dd7806f2220d96822d086493096005c8425ee43c351cfba32de2ad"),
    "paper": (249, "d0da89d384d4513da45e469acd4a23ad3c48e7070d8949f969da8dbb04ea7177"),
    "paper_published": (249, "7f1d399db45be6329c6ae732a97012bb10eacd6a499c89622db6ecb0671f7e20"),
    "paper_v2": (349, "bd00301acf0050dedfa5c574d013fc1b93939d07ccd44954c3afccf771d43ded"),
    "pythia_160m": (114, "bb95da36407c811287f53db19803cc1a3c2f3f8525c3ba6e3583177a9378df13"),
    "polypythias_14m": (1097, "662f71db496b2c3e4d9fdbcde5247a840f7125e034cdb2e20b2a69eac1a73216"),
    "polypythias_410m": (1109, "786b5206c3bfcad2902fd6e8e6b11ec1697c1c6b96075fe2d1895b94e8fcf49a"),
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
