"""A small world of suites, studies and published numbers, and claim files about it; written into pytester's folder."""

from __future__ import annotations

WORLD = """
from dataclasses import dataclass, field, replace

from universal_neurons.errors import ArtifactMissing, NotOnSuite, SuiteNotFetched, UserError
from universal_neurons.measurement import Measurement, Over


@dataclass(frozen=True)
class Checkpoint:
    step: int
    label: str


@dataclass(frozen=True)
class Zoo:
    models: tuple
    reference: str


@dataclass(frozen=True)
class Universality:
    thresholds: tuple = (0.4, 0.5)


@dataclass(frozen=True)
class Suite:
    name: str
    zoo: Zoo
    checkpoints: tuple
    universality: Universality = Universality()
    layers: int = 2
    narrowing: str = ""
    narrowed_by: str = ""

    @property
    def references(self):
        return self.zoo.models

    def __str__(self):
        return f"{self.name} ({self.narrowing})" if self.narrowing else self.name

    @property
    def folder(self):
        return f"{self.name}-narrowed" if self.narrowing else self.name

    def narrowed(self, *, checkpoints=None, **less):
        kept = tuple(c for c in self.checkpoints if checkpoints is None or c.label in checkpoints)
        if not kept:
            raise UserError(f"suite {self.name}: checkpoints: got {checkpoints}")
        said = {"checkpoints": checkpoints, **less} if checkpoints else less
        words = "; ".join(f"{name} {value}" for name, value in said.items())
        return replace(self, checkpoints=kept, narrowing=words, narrowed_by=f"--{words}")


SUITES = {
    "mini": Suite(
        "mini", Zoo(("a", "b", "c"), "a"), (Checkpoint(1, "25 %"), Checkpoint(2, "50 %"), Checkpoint(4, "100 %"))
    ),
    "tiny": Suite("tiny", Zoo(("a", "b"), "a"), (Checkpoint(4, "100 %"),)),
}


def around(value, margin=0.01):
    return Measurement(value, value - margin, value + margin, 10, Over.TOKEN_BLOCKS)


@dataclass
class Study:
    recompute: bool
    reads: list = field(default_factory=list)

    def share(self, partner="b", step=4):
        if partner == "c" and step == 1:
            raise ArtifactMissing("no table for c at 1", command="universal-neurons compute --suite mini")
        self.reads.append(f"digest-{partner}-{step}")
        return around(0.02)


class World:
    def __call__(self, suite, *, root, store, recompute, warn, progress, narrowing=None, remote=None):
        (root / "opened.txt").write_text(f"{suite} store={store} recompute={recompute}")
        if remote is not None:
            (root / "remote.txt").write_text(remote)
        if narrowing:
            (root / "narrowing.txt").write_text(repr(narrowing))
        if (root / "unfetched").exists():
            raise SuiteNotFetched("mini: a@10: not pinned; run: fetch", command="fetch")
        if (root / "damaged").exists():
            raise UserError(f"{root.name}: the store is damaged; run: universal-neurons store verify")
        if (root / "uncomputed").exists():
            raise ArtifactMissing("nothing there", command="universal-neurons compute")
        warn("the corpus of this machine is another one")
        progress.start("computing everything", 1)
        progress.finish()
        return Study(recompute)

    def load_suite(self, name, root):
        if name not in SUITES:
            raise UserError(f"unknown suite {name!r}; there are {', '.join(SUITES)}")
        return SUITES[name]

    def available_suites(self, root):
        return tuple(SUITES)

    def published(self, table, *, root, **where):
        step = where.get("step", 1)
        if step in (2, 3, None):
            raise NotOnSuite(f"{table} has no step {step}")
        return 0.0474


open_study = World()
"""

HEADER = """
from fake_world import around

from universal_neurons.errors import NotOnSuite, UserError
from universal_neurons.measurement import Over
from universal_neurons.harness import (
    AtLeast, AtMost, Between, GreaterThan, Measurement, Near, NotJudged, Published, claim, control, reading,
)
"""

STATEMENT = "Few neurons are universal at the first checkpoint, says the paper."

INI = """
[pytest]
addopts = --strict-markers --strict-config -p universal_neurons.harness.plugin --study-factory fake_world:open_study
xfail_strict = true
filterwarnings = error
"""


# A conftest.py with which pytest forgets the items whose name contains {lost}.
LOSE = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    return True if "{lost}" in item.name else None
"""


def claim_file(
    body: str = "around(0.02)",
    *,
    id: str = "N1",  # noqa: A002 - the word of the decorator
    name: str = "few",
    expect: str = "AtMost(0.05)",
    takes: str = "study",
    control: str | None = "around(0.5)",
    options: str = "",
    others: tuple[str, ...] = (),
) -> str:
    """One claim with its control and a reading for each of ``others``; the texts are what the functions return."""
    claim = f"""
@claim("{id}", "{STATEMENT}", source="table 1", expect={expect}{options})
def test_{name}({takes}):
    return {body}
"""
    for number, other in enumerate(others):
        claim += f"""
@reading(of=test_{name}, ambiguity="A1", says="the other way, {number}")
def test_other_{number}_of_{name}({takes}):
    return {other}
"""
    if control is None:
        return claim
    return f"""{claim}

@control(of=test_{name})
def test_control_of_{name}({takes}):
    return {control}
"""
