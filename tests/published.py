"""A checkout whose only suite is of published models and published text, and the hub on 127.0.0.1 that has both."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from tests.tiny_models import CATALOGUED, WORDS, A, B, in_bin, in_safetensors, relative, tiny
from universal_neurons.inputs.corpus import Document
from universal_neurons.inputs.hub import Folders, Hub
from universal_neurons.inputs.hub_corpus import HubCorpus
from universal_neurons.inputs.pinning import Pins
from universal_neurons.inputs.tokenization import train_tokenizer
from universal_neurons.stages.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

    from tests.hub import LoopbackHub
    from universal_neurons.stages.workspace import Workspace

CHECKOUT = Path(__file__).parents[1]
TEXT, FILE = "someone/text", "train/00.jsonl.zst"
RECIPE = f"""
kind = "hub"
title = "Text"
repository = "{TEXT}"
revision = "main"
files = ["{FILE}"]
text = ["text"]
subset = ["meta", "pile_set_name"]
shortest = 20
buffer = 8
evaluation_share = 0.3
cutting = "documents"
"""
SUITE = """
title = "Tiny"
description = "Two published models, two checkpoints."
checkpoints = ["step 10", "100 %"]
untrained = true

[zoo]
kind = "hub"
path = "tiny"
models = ["a", "b"]
reference = "a"

[corpus]
recipe = "text"
tokens = 1500
row_length = 16
mask = "published-first"
seed = 3

[universality]
threshold = 0.5
thresholds = [0.4, 0.5, 0.6]
rotation = "gaussian"
draws = 3
half_draws = 2
top_k = 2
blocks = 10
floor = 0.05
seed = 1

[ablation]
tokens = 150
blocks = 5
draws = 4
dose = [0.5]
orders = 1
seed = 1

[variants]
masks = ["all"]
tokens = [500]
rotations = ["orthogonal"]
single = [1]
padding = "!"
padded_tokens = 300
draws = 2

[profiles]
top = 3
bins = 6
shown = 4
ablation_rows = 0

[resampling]
resamples = 100
level = 0.95
seed = 1
"""
SUBSETS = ("Github", "Wikipedia (en)")


def words(number: int = 160) -> list[Document]:
    """Documents of two subsets that differ a little; every tenth is too short."""
    dice = np.random.default_rng(0)
    nouns = ["neuron", "layer", "token", "model", "seed"]
    return [
        Document(SUBSETS[i % 2], f"{FILE}:{i + 1}", f"{i}: " + " ".join(dice.choice(nouns, 1 if i % 10 == 9 else 30)))
        for i in range(number)
    ]


@cache
def tokenizer() -> Tokenizer:
    """A tokenizer of 300 tokens."""
    return train_tokenizer(words(), vocabulary=300, seed=0)


@cache
def checkpoints() -> dict[tuple[str, str], dict[str, bytes]]:
    """The files of every checkpoint, by repository and branch."""
    found = {}
    for step in (0, 10, 20):
        found[A, f"checkpoint-{step}"] = in_bin(tiny(step))
        found[B, f"checkpoint-{step}"] = in_safetensors(relative(tiny(step), 100 + step))
    return found


def packed(documents: Sequence[Document]) -> bytes:
    """Documents as the Pile's files have them, in two frames, as parallel compressors write them."""
    lines = [json.dumps({"text": d.text, "meta": {"pile_set_name": d.domain}}) + "\n" for d in documents]
    halves = (lines[: len(lines) // 2], lines[len(lines) // 2 :])
    return b"".join(zstandard.ZstdCompressor().compress("".join(half).encode()) for half in halves)


@dataclass
class Published:
    """The checkout in ``root``, its hub, and the pauses that were made while asking it."""

    root: Path
    hub: LoopbackHub
    waits: list[float] = field(default_factory=list)

    @classmethod
    def built(cls, root: Path, hub: LoopbackHub) -> Published:
        """Write catalogue, suite and recipe, and put models, tokenizer and text on the hub."""
        fixtures = root / "fixtures"
        for folder in ("suites", "corpora"):
            (fixtures / folder).mkdir(parents=True)
        (fixtures / "models.toml").write_text(CATALOGUED)
        (fixtures / "suites" / "tiny.toml").write_text(SUITE)
        (fixtures / "corpora" / "text.toml").write_text(RECIPE)
        for (repository, branch), files in checkpoints().items():
            hub.commit(repository, branch, files)
        hub.commit(WORDS, "main", {"tokenizer.json": tokenizer().to_str().encode()})
        found = cls(root, hub)
        found.publish(packed(words()))
        return found

    def complete(self) -> None:
        """Add what a suite needs to be judged and reported: claims, sources of the report, published numbers.

        Of the other suites only what loading them reads, so that a claim knows which suite has what it asks for.
        """
        fixtures, own = CHECKOUT / "fixtures", self.root / "fixtures"
        for name in ("claims", "report"):
            shutil.copytree(CHECKOUT / name, self.root / name, ignore=shutil.ignore_patterns("_build", "__pycache__"))
        for name in ("conftest.py", "pyproject.toml", "CITATION.cff"):
            shutil.copy(CHECKOUT / name, self.root)
        shutil.copytree(fixtures / "published", own / "published")
        for name in ("suites", "corpora"):
            shutil.copytree(fixtures / name, own / name, dirs_exist_ok=True)
        (own / "models.toml").write_text(CATALOGUED + (fixtures / "models.toml").read_text())
        (own / "zoo" / "mini").mkdir(parents=True)
        for name in ("manifest.json", "recipe.toml"):
            shutil.copy(fixtures / "zoo" / "mini" / name, own / "zoo" / "mini")

    def publish(self, content: bytes) -> str:
        """Put the text on the hub; the commit."""
        return self.hub.commit(TEXT, "main", {FILE: content, "README.md": b"text"}, kind="datasets")

    def corpus(self, *, folders: Path | None = None, **options: Any) -> HubCorpus:
        """The text, asked for through a client that does not really wait."""
        hub = Hub("universal-neurons fetch --suite tiny", wait=self.waits.append, **options)
        source = Folders(folders, hub) if folders else hub
        return HubCorpus.open("text", Pins.open(self.root, "tiny", source=source))

    def workspace(self, **options: Any) -> Workspace:
        """The workspace of the suite."""
        return open_workspace("tiny", root=self.root, **options)

    @property
    def lock(self) -> Path:
        """The suite's lock."""
        return self.root / "fixtures" / "suites" / "tiny.lock.toml"

    @property
    def downloads(self) -> list[Path]:
        """The pieces of the text that were read so far, in their order."""
        found = (self.root / ".universal-neurons" / "downloads").glob("*/*")
        return sorted(found, key=lambda path: int(path.name.partition("-")[0]))
