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
    "emergence": (719, "49dd4ad2c697598ea3ec659e65da38f1d38bf2f19a14f41888a9aee68aee62cf"),
    "gurnee_medium": (169, "92eec399c8e25b4fd4d86ca71d05d083ffb7de80c62c2445c44769f4d19687ef"),
    "gurnee_small": (169, "834ec1b27283e541bf97dbf26a4428a07a3eb7960d56988aef8afb5a63cba212"),
    "mini": (325, "a5eff374ae04f694235e1e784be64c4ff72e23e5475b19b1cd09c8372bac946b"),
    "paper": (269, "295ff277ba819b49e14547989826de3c9875ef716c8c82af37effde15aff2a27"),
    "paper_published": (269, "f7d57df8a277228152e36a28b7fb7fde224fc4f10e3c311da4cb8f1efe577761"),
    "paper_v2": (369, "baeb77d32d66674349a5b9b6b592b13f8766d51b20cf4ad7166f9e58bbe4c3f1"),
    "pythia_160m": (128, "8a468cb100ed92d3534ea33fadf3aeff14af4e65a6360309ddde19d16e36c059"),
    "polypythias_14m": (1162, "57ec0fc3f02c5bec83c8a78cf6ababc647a9af0ee51a788a4e0779c24135cbe3"),
    "polypythias_31m": (1162, "138a54ed9aa7ed3fa5db49ea513478d74d38b5e1e0898e622aa14d17c3848f60"),
    "polypythias_70m": (1162, "29e889d0caff3e5fce1059e71a7ce58d515eeb0f161fd90cc51496408f570bea"),
    "polypythias_160m": (1174, "b0d9b22eb993a70e34be2b126699d657c931c3fde5d6af9e09541184ab41f087"),
    "polypythias_410m": (1174, "eabd453c4a05aab67c3e4e9743c3a726a65346bf22600690eb088d19bc4b8335"),
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
    shipped = ROOT / "fixtures" / "evidence"
    assert sorted(" ".join(path.parent.parts[-2:]) for path in shipped.glob("*/*/manifest.json")) == listed
