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
    "emergence": (719, "64cfd1a89d95a3aa2d24c59aa826616bef5e8f841b55d19ca196a9828654bab6"),
    "gurnee_medium": (169, "e6a6200b5e80d955d4f2bb5992435ea57a06c5cb7bfcf703e3160bd7f5670213"),
    "gurnee_small": (169, "5c67aa467c068256afd5e4cf1e9f387adf2eac9316348f9af59e8b1aec9f6325"),
    "mini": (319, "66c71b830396d5b82125a7e52c02364e2425e8a23eb4d66155a19fa57c5e39ea"),
    "paper": (269, "201dbeff87ee6a16f6b454124a2decede18d44a013be1bf4d6d84d9bc6692460"),
    "paper_published": (269, "3528e5bbb90dd0a2af9cdf77c99174d70d0c800d314f4dff469009c712cd06cc"),
    "paper_v2": (369, "d7eee9240acb9ec89ee9326b64abf056693ea52d3d19e09dedbdc03186026484"),
    "pythia_160m": (128, "5ce8b6fc88f075c1e1919f84c3602cd7644d1ead5c09c604b74ebf9377ec902d"),
    "polypythias_14m": (1162, "6aafbffef84704386a945f13887cf6be8dd0965fca84d1b7805d2353222ef8a9"),
    "polypythias_410m": (1174, "07b5ab4761c50a62336e0c5d11fe6423099440d1aca48f76fcb6ba6637706f0c"),
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
            lock = lock.with_checkpoint(model, checkpoint.step, LockedCheckpoint(**of, weights=weights))
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
