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
    "emergence": (615, "b0eccde875d1f3129468fabdebeeb4f5da130e4ab1f09324d038f8ab642b79c7"),
    "gurnee_medium": (142, "4afd537fb72a2827a518e4e0981bf418d60338697c9b54322ece46dfba3bb466"),
    "gurnee_small": (142, "48cb848bc03fdc1f497fd4619cfa8a52e28ab964c2a33d1e389e1f6257621c45"),
    "midi": (259, "967e9b20a3a44c02a4820aaf81f392ca55b3ddf5c96091193dccc8199a86f4b5"),
    "mini": (277, "c6f19655f42a3ad8b1e664b9d77a2622b6bb31861bfd3148be0000cf2d6dd2c8"),
    "paper": (228, "dd5a1378d1ed83d94a2de44578e7be649c7f4a73094211b3690df94e14d489b4"),
    "paper_published": (223, "86ee8923a5a592a769ddad36a78b0b706388a61e12e6589588de52c7e5146e4a"),
    "paper_v2": (314, "943bd24ba3ae6508902edf590850f8b3fca969df8259f5d60b2ec4042b9af57e"),
    "pythia_160m": (111, "ed64006953f9165cdee7e3d4131c7742f24fa96648eca503194ce9fff4c2cb79"),
    "polypythias_14m": (980, "eba6d1551df5e95fa6e7d3212582e33aba5c6b7ac730bd2aa97c76f7cdac886a"),
    "polypythias_31m": (980, "4f5058771decc1adc783cb5fef5339b8f65810b2e93495b2bde19b9c57a4dfa2"),
    "polypythias_70m": (980, "1cc147635fb399c266c9fb44041eb82d590ff29954867992ae09c76de1b27242"),
    "polypythias_160m": (992, "e842ed7767e7e9e3769aa18a10571258600fe109abef6884553037ddb10e24a6"),
    "polypythias_410m": (992, "9120d08e506f7400b4e69f030ada6aa5f151ea001d0b24a5ca678ae96d234d3c"),
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
