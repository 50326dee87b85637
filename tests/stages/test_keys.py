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
    "emergence": (704, "3ee45afc0236113c8737c9c9af50daf3422e7247ca2e53c0284c3a733e48c019"),
    "gurnee_medium": (154, "08e05b2266ac20982a42ea52f61f84a4794e9603487248468e1fccffaa60b66a"),
    "gurnee_small": (154, "7a74aa3a1780634b9d49719e77c607f66124f515530b5d0b0f0063a10a0f8491"),
    "mini": (304, "da2961642b110fb4dbbd0edf9a288e35fa8c1b99efbfb2826f86305fec96da0f"),
    "paper": (254, "c60bdf98aa51b8e1e5b2a9e80e1a413ea8f90e24d852e5d507441f841de07302"),
    "paper_published": (254, "fe3b88f58e8afd5511a749beec8bde02d6d75969a01ded9cd9f4139865215c9a"),
    "paper_v2": (354, "9b89fa73790a3d966bd1f8f7aa78c6e110fdbc4fc81a55e373021b374c9bf2ff"),
    "pythia_160m": (118, "f6a8c23fbd5c07746bc9840108ce0d8a50069517183b01211d1b2957c30eb093"),
    "polypythias_14m": (1107, "53699fa09f56890507629730747889d64cf9836d79245b62b3b593ee62e1b73d"),
    "polypythias_410m": (1119, "11502c1001b37a8778337f5e7400abc0d5a0f8082f701df441a6a16d84428dba"),
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
