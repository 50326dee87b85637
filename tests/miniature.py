"""A small project for tests: build, copy, open and damage it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universal_neurons.inputs.zoo import Zoo
from universal_neurons.progress import NoProgress
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.study import StoredStudy
from universal_neurons.stages.workspace import Workspace, open_workspace
from universal_neurons.zoo_training import Training, publish, train_zoo

if TYPE_CHECKING:
    import pytest

    from universal_neurons.artifacts.key import Key
    from universal_neurons.ids import ModelRef

# The neuron that with_a_neuron_that_is_never_on turns off.
NEVER_ON = 7
RECIPE = """
layers = 2
width = 16
heads = 2
mlp = 24
context = 32
vocabulary = 300
tokens = 7680
batch = 8
learning_rate = 1e-2
final_share = 0.1
warmup_steps = 2
weight_decay = 0.1
betas = [0.9, 0.95]
clip_norm = 1.0
checkpoints = [0.5, 1.0]

[seeds]
a = 1
b = 2
c = 3
"""
CORPUS = """
distributions = ["jaxtyping", "iniconfig"]
held_out_share = 0.4
seed = 1
"""
# Floor and thresholds are low because models after thirty steps of training have little in common.
SUITE = """
title = "Miniature"
description = "Three models, two checkpoints."
checkpoints = {checkpoints}
untrained = {untrained}

[zoo]
kind = "fixtures"
path = "zoo/mini"
models = ["a", "b", "c"]
reference = "a"

[corpus]
recipe = "wheels"
tokens = {tokens}
row_length = 32
mask = "published-first"
seed = 1

[universality]
threshold = 0.03
thresholds = [0.03, 0.05]
rotation = "gaussian"
draws = 4
half_draws = 2
top_k = 3
blocks = 10
floor = 0.02
seed = 1

[ablation]
tokens = 300
blocks = 5
draws = 2
dose = [0.5]
orders = 2
seed = 1

[variants]
masks = ["published", "special-only", "all"]
tokens = [500]
rotations = ["orthogonal", "whitened"]
single = [1]
padding = "!"
padded_tokens = 800
draws = 3

[profiles]
top = 4
bins = 6
shown = 5
ablation_rows = 3

[labels]
sources = ["vocabulary", "python", "position", "domain"]

[resampling]
resamples = 100
level = 0.95
seed = 1
"""


@dataclass(frozen=True)
class Miniature:
    """A project in ``root`` with two suites: ``mini``, and ``brief`` with one checkpoint."""

    root: Path

    @classmethod
    def built(cls, root: Path, *, mlp: int = 24) -> Miniature:
        """Write suites, corpus and recipe, train the zoo and publish it; ``mlp``: neurons per layer."""
        recipe = RECIPE.replace("mlp = 24", f"mlp = {mlp}")
        fixtures = root / "fixtures"
        for folder in ("suites", "corpora", "zoo/mini"):
            (fixtures / folder).mkdir(parents=True)
        mini = SUITE.format(checkpoints=["50 %", "100 %"], untrained="true", tokens=3000)
        brief = SUITE.format(checkpoints=["100 %"], untrained="false", tokens=1000)
        (fixtures / "suites" / "mini.toml").write_text(mini)
        (fixtures / "suites" / "brief.toml").write_text(brief)
        (fixtures / "corpora" / "wheels.toml").write_text(CORPUS)
        (fixtures / "zoo" / "mini" / "recipe.toml").write_text(recipe)
        training = Training.of_suite("mini", root)
        for model in "abc":
            train_zoo(training, models=[model], device="cpu", jobs=1, progress=NoProgress())
        publish(training)
        shutil.rmtree(training.folder)
        return cls(root)

    def copied(self, target: Path) -> Miniature:
        """Copy the project to another folder."""
        return Miniature(Path(shutil.copytree(self.root, target)))

    @property
    def working(self) -> Path:
        """The working store."""
        return self.root / ".universal-neurons" / "store"

    @property
    def weights(self) -> Path:
        """One file of weights."""
        return self.root / "fixtures" / "zoo" / "mini" / "b" / "step-30" / "model.safetensors"

    @property
    def zoo_manifest(self) -> Path:
        """The zoo's manifest."""
        return self.root / "fixtures" / "zoo" / "mini" / "manifest.json"

    def workspace(self, suite: str = "mini", **options: Any) -> Workspace:
        """A workspace of the suite that complains about every unexpected warning."""
        return open_workspace(suite, **{"root": self.root, "warn": _unexpected, **options})

    def study(self, suite: str = "mini", **options: Any) -> StoredStudy:
        """The study of the suite."""
        return StoredStudy(self.workspace(suite, **options))

    def replace(self, relative: str, old: str, new: str) -> None:
        """Change a text file of the project."""
        path = self.root / relative
        text = path.read_text()
        assert text.count(old) == 1, (relative, old)
        path.write_text(text.replace(old, new))

    def ship(self, suite: str = "mini") -> tuple[Key, ...]:
        """Move the computed evidence of a suite to fixtures/evidence, so that no working store is left."""
        work = self.workspace(suite)
        keys = suite_keys(work)
        work.store.export(keys, self.root / "fixtures" / "evidence")
        shutil.rmtree(self.root / ".universal-neurons")
        return keys

    def pin_another_corpus(self) -> None:
        """Make the pinned corpus one that this machine does not have."""
        from universal_neurons.inputs.corpus import CorpusManifest, DistributionRecord

        path = self.root / "fixtures" / "corpora" / "wheels.json"
        here = CorpusManifest.read(path)
        first = here.distributions[0]
        other = DistributionRecord(first.name, "9.9", first.files, first.characters, "0" * 64)
        pinned = CorpusManifest((other, *here.distributions[1:]), here.held_out_share, here.seed)
        path.write_text(json.dumps(pinned.as_dict()))


def folder_zoo(work: Workspace) -> Zoo:
    """The zoo of a workspace whose models lie in a folder."""
    assert isinstance(work.zoo, Zoo)
    return work.zoo


def with_a_neuron_that_is_never_on(monkeypatch: pytest.MonkeyPatch, *models: str) -> None:
    """Lower the input of one neuron in the first layer of ``models``, on loading, until only rounding is left of it."""
    load = Zoo.load

    def lowered(zoo: Zoo, ref: ModelRef) -> Any:
        bridge: Any = load(zoo, ref)
        if ref.name in models:
            bridge.original_model.transformer.h[0].mlp.c_fc.bias.data[NEVER_ON] -= 5
        return bridge

    monkeypatch.setattr(Zoo, "load", lowered)


def _unexpected(line: str) -> None:
    raise AssertionError(f"unexpected warning: {line}")
