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
    "emergence": (621, "430342b61414bf02bd034c34ac563beacbbfcd862a312167ff0777c1b754ead1"),
    "gurnee_medium": (148, "aa81a1b95711d3218b42c621ab4c606b5822e164a920b9ff3d76af4cdbae29f7"),
    "gurnee_small": (148, "dd45d6bc59a6a905c45d4a22961ead36d0da2ffbd640b104cd5c6250d07ce97f"),
    "midi": (265, "3bb6ddcb7da9fe2e09713d66893c693df77cf7c89dec06d8ec6912206debd54d"),
    "mini": (283, "7b4f2a85dfcf18f84154ec327d806bf3b52b9ca8c0c8c5a508626784f3ed19f3"),
    "paper": (234, "c3cc7478a2a2fdc9e216bf855561650a87b8cc102d08bd9485938ea33d45e32d"),
    "paper_published": (229, "7c7e0f91b82f2cad51726f0547c866aa8b10a97910ba27d4e057c3ecdcc65c14"),
    "paper_v2": (320, "919f63d5765df1a452813faca5dcb2c052835d7b3c47cb5410525b59e732916c"),
    "pythia_160m": (114, "19acce202662404164a4e660d6511aabaa878de5bc3d9fb7d1ed39e845ae9e2f"),
    "polypythias_14m": (1016, "a265d25169f1267414e7993fa28f834375d482a231f2567ea4915ac9ed5ab729"),
    "polypythias_31m": (1016, "cb9aa6d9cfde83ed4fb220c42e020125d0744d97248958c10a30d8f98e0357c7"),
    "polypythias_70m": (1016, "53e24de3a452b6ccd88759db326fcd12d92f9dd435acc8b81ebd5a33ce308c9e"),
    "polypythias_160m": (1028, "ec53d534d984bcc701ce4176d2a5e8cdae3ae5c6ef3031c1d0a4bdc9f6eb31de"),
    "polypythias_410m": (1028, "62ff4f179290091d8e3785a9e3dabd38b8743859470ad716ef6485db3b184964"),
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
