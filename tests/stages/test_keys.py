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
from universal_neurons.inputs.catalogue import CATALOGUE, Catalogue
from universal_neurons.inputs.lock import LOCK_SUFFIX, Lock, LockedCheckpoint, LockedCorpus, LockedFiles
from universal_neurons.inputs.suite import available_suites, load_suite
from universal_neurons.inputs.zoo import CONFIG
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.workspace import open_workspace

if TYPE_CHECKING:
    from universal_neurons.artifacts.key import Key
    from universal_neurons.inputs.suite import Suite

# Number of keys, and sha256 of their sorted lines "<stage> <digest>", with the weights and the text of made_up_lock.
SUITES = {
    "emergence": (724, "8d41c82298e7aeb26f47a710482cba22553899a134b5ac6539335324e50e229b"),
    "gurnee_medium": (174, "fe98ea6629bad421d8567e07efb8f57991b8fb53f305a8d1f69c7d47ef4234cf"),
    "gurnee_small": (174, "6d23592f7528eb5c1dd55426b84276700b2b2729a1690fc7dadbe4e0d00dc215"),
    "midi": (312, "0efb03eddfde19677aafdc51c966d58af023f61a920a692498c507c4668fbf91"),
    "mini": (330, "8bf16d7fe770e0edad8a5f221d1d66046771d184f1374e62485c3f2c258a2bed"),
    "paper": (274, "43f86d3d4073ad0cb8345ae8098cc747eb7bb73bb1ef51a5294d284dfac8b4e2"),
    "paper_published": (269, "f7d57df8a277228152e36a28b7fb7fde224fc4f10e3c311da4cb8f1efe577761"),
    "paper_v2": (374, "fd0fbaeb362bb3e697dc620076da9a75f114cd36dc6bbfa5f5363333365cbdaa"),
    "pythia_160m": (132, "f4242e9580c026b9c2f09c296315b5904aa9fe6251e37b5fd8a68c762ebb3607"),
    "polypythias_14m": (1172, "c3493930342a92d1e2aeda8d2c1c2746aa342049996ed9d105c2608179577a7e"),
    "polypythias_31m": (1172, "aa4ad6fca8964de2e9b4afc5d465817ee7cc1babf39bb2a1023b7b8d19fbdc81"),
    "polypythias_70m": (1172, "4b7a8c26e7eef75ed7bbe0921e0be0d64b13dae82444e0d6f84ac386726daf90"),
    "polypythias_160m": (1184, "9fa4e91ded792ae07a6f02f056781e5accf4896428034da330ab1abb6b27b513"),
    "polypythias_410m": (1184, "01d698f187e43370a013ac03a942ce084d8383c53426b568e1ed4523c851f6dc"),
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

    family = Catalogue.read(root / CATALOGUE).family(suite.zoo.path)

    def files(name: str, repository: str, revision: str, *others: str) -> dict[str, Any]:
        content = dict.fromkeys((name, *others), digest(suite.name + name))
        return {"repository": repository, "revision": revision, "commit": "0" * 40, "files": content}

    recipe = tomllib.loads((root / "fixtures" / "corpora" / f"{suite.corpus.recipe}.toml").read_text("utf-8"))
    text = LockedCorpus(
        repository=recipe["repository"],
        revision=recipe["revision"],
        commit="1" * 40,
        files={name: digest(name) for name in recipe["files"]},
        bytes=dict.fromkeys(recipe["files"], 10**9),
    )
    meant = family.tokenizer
    lock = Lock(tokenizer=LockedFiles(**files(meant.file, meant.repository, meant.revision)), corpus=text)
    for model in suite.zoo.models:
        for checkpoint in (*([] if suite.untrained is None else [suite.untrained]), *suite.checkpoints):
            weights = f"{model}{checkpoint.step}.safetensors"
            of = files(weights, family.models[model].repository, family.branch(checkpoint.step), CONFIG)
            lock = lock.with_entry(f"{model}@{checkpoint.step}", LockedCheckpoint(**of, weights=weights))
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


def test_the_evidence_of_mini_and_midi_is_shipped_and_nothing_else() -> None:
    shipped = ROOT / "fixtures" / "evidence"
    keys = {key for name in ("mini", "midi") for key in suite_keys(open_workspace(name, root=ROOT))}
    assert sorted(" ".join(path.parent.parts[-2:]) for path in shipped.glob("*/*/manifest.json")) == lines(tuple(keys))
