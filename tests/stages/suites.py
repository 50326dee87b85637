"""Suites of published models of any shape, of which nothing but the shape is there, and made-up speeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.published import RECIPE, SUITE
from universal_neurons.stages.costs import WorkKind
from universal_neurons.stages.registry import in_groups, suite_cases
from universal_neurons.stages.speeds import DeviceSpeed
from universal_neurons.stages.workspace import open_workspace, unpinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from universal_neurons.stages.base import Case
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace


def step_costs(
    work: Workspace, sizes: Sizes, step: int | None, *, lacking: Mapping[str, Sequence[Case]] | None = None
) -> dict[str, Cost]:
    """The cost of every stage at one step where all of it is requested, and all or ``lacking`` is not there."""
    found: dict[str, Cost] = {}
    for group, at, cases in in_groups(suite_cases(work)):
        if at == step:
            absent = {stage.name: (lacking or cases).get(stage.name, ()) for stage in group.stages}
            found |= group.costs(work, sizes, cases, absent) if any(absent.values()) else {}
    return found


APART = (WorkKind.FORWARD, WorkKind.PRODUCT)


def speed(**changed: Any) -> DeviceSpeed:
    """A processor that does one unit of every kind of work in a second."""
    given: dict[str, Any] = {
        "device": "CPU, 1 thread",
        "kind": "cpu",
        "threads": 1,
        "forward": {128: 1.0},
        "products": {"float32": 1.0},
        "rates": {str(kind): 1.0 for kind in WorkKind if kind not in APART},
        "memory_bytes": 0,
        "process_bytes": 0,
        "source": "made-up speeds",
    }
    return DeviceSpeed(**given | changed)


FAMILY = """
[families.tiny]
title = "Shape"
source = "nobody"
revision = "checkpoint-{{step}}"
ranges = [[0, 20, 10]]
tokenizer = {{ repository = "someone/words", revision = "main", file = "tokenizer.json" }}

[families.tiny.architecture]
name = "GPT2LMHeadModel"
layers = {layers}
width = {width}
heads = 2
mlp = {mlp}
context = 1024
vocabulary = {vocabulary}

[families.tiny.models]
a = {{ repository = "someone/shape-a", seed = 1 }}
b = {{ repository = "someone/shape-b", seed = 2 }}
"""


def shaped(
    root: Path, *, layers: int, mlp: int, tokens: int, width: int = 64, vocabulary: int = 300, row: int = 128
) -> Workspace:
    """The workspace of a suite of two models of this shape, which nobody pinned."""
    fixtures = root / "fixtures"
    for folder in ("suites", "corpora"):
        (fixtures / folder).mkdir(parents=True)
    family = FAMILY.format(layers=layers, width=width, mlp=mlp, vocabulary=vocabulary)
    suite = SUITE.replace("tokens = 1500", f"tokens = {tokens}").replace("row_length = 16", f"row_length = {row}")
    suite = suite.replace("tokens = 150\n", "tokens = 1500\n")
    (fixtures / "models.toml").write_text(family)
    (fixtures / "suites" / "tiny.toml").write_text(suite)
    (fixtures / "corpora" / "text.toml").write_text(RECIPE)
    return unpinned(open_workspace("tiny", root=root))
