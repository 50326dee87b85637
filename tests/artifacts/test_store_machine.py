"""A store against a model of it: any order of writes, reads, damage, exports and imports, killed at any system call.

What is killed leaves everything as it stands at that call; what another process does happens whole at one.  The model
knows which values may be there, and the store must have one of them, sound, or say which folder is damaged.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.kills import Killed, at_call, kill
from universal_neurons.artifacts.codec import encode
from universal_neurons.artifacts.folder import MANIFEST, Contents
from universal_neurons.artifacts.key import Key
from universal_neurons.artifacts.manifest import Manifest
from universal_neurons.artifacts.provenance import Provenance
from universal_neurons.artifacts.store import Artifact, Store, StoreError

PROVENANCE = Provenance("2026-01-02T03:04:05Z", "ab" * 20, "cpu", {"python": "3.11.7"}, 1.25, 2**30)
NUMBERS, VARIANTS = st.integers(0, 1), st.integers(0, 1)
# No operation makes more of these calls than this; at one that never comes nothing happens.
MOST = 30
MOMENTS = st.just(MOST) | st.integers(0, MOST)
ROOTS = ("working", "shipped", "imported")
FILES, HOWS = st.sampled_from(("payload.safetensors", MANIFEST)), st.sampled_from(("change", "cut", "remove"))


def key(number: int) -> Key:
    return Key("shares", 1, {"number": number})


def value(variant: int) -> dict[str, Any]:
    return {"values": np.full(3, variant, dtype=np.int64)}


def variant_of(artifact: Artifact | None) -> int | None:
    return None if artifact is None else int(artifact.arrays["values"][0])


class StoreMachine(RuleBasedStateMachine):
    """The values of two keys in a working, a shipped and an imported store, and which of them are damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.there: dict[tuple[str, int], int] = {}
        self.damaged: dict[tuple[str, int], tuple[str, bytes]] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def opened(self) -> Store:
        """The store as a new process sees it."""
        working, shipped, imported = (self.root / name for name in ROOTS)
        return Store(working, [shipped], imported=imported, warn=lambda _: None)

    def folder(self, root: str, number: int) -> Path:
        return self.root / root / "shares" / key(number).digest

    def in_root(self, root: str, number: int) -> int | None:
        """What a store of ``root`` alone has now."""
        return variant_of(Store(self.root / root, warn=lambda _: None).read(key(number)))

    def settle(self, root: str, number: int, *new: int) -> int | None:
        """Take over what lies in ``root`` after something was or may have been written; it must be old or new."""
        cell = (root, number)
        was_damaged = self.damaged.pop(cell, None) is not None
        old = None if was_damaged else self.there.get(cell)
        found = self.in_root(root, number)
        assert found == old if old is not None else found in (None, *new)
        self.there.pop(cell, None)
        if found is not None:
            self.there[cell] = found
        return found

    @rule(number=NUMBERS, variant=VARIANTS, moment=MOMENTS)
    def write_and_be_killed(self, number: int, variant: int, moment: int) -> None:
        try:
            with at_call(moment, kill):
                written = variant_of(self.opened().write(key(number), value(variant), PROVENANCE))
        except Killed:
            self.settle("working", number, variant)
        else:
            assert self.settle("working", number, variant) == written

    @rule(number=NUMBERS, first=VARIANTS, second=VARIANTS, moment=MOMENTS)
    def two_write(self, number: int, first: int, second: int, moment: int) -> None:
        """The second writes whole before some call of the first."""
        other: list[int | None] = []

        def write() -> None:
            other.append(variant_of(self.opened().write(key(number), value(second), PROVENANCE)))

        with at_call(moment, write):
            written = variant_of(self.opened().write(key(number), value(first), PROVENANCE))
        assert self.settle("working", number, first, second) == written
        assert set(other) <= {written}

    @rule(number=NUMBERS, variant=VARIANTS, moment=MOMENTS)
    def adopt_and_be_killed(self, number: int, variant: int, moment: int) -> None:
        suffix, payload = encode(value(variant))
        contents = Contents(Manifest.of(key(number), suffix, payload, PROVENANCE), payload)
        is_there = ("imported", number) in self.there and ("imported", number) not in self.damaged
        try:
            with at_call(moment, kill):
                assert self.opened().adopt(contents) is not is_there
        except Killed:
            self.settle("imported", number, variant)
        else:
            assert self.settle("imported", number, variant) is not None

    @rule(number=NUMBERS, moment=MOMENTS)
    def read_and_be_killed(self, number: int, moment: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda _: None)
            before = self.expected(number)
        try:
            with at_call(moment, kill):
                assert self.read(number) == before
        except Killed:
            pass
        # What the read came across is in quarantine, or still there.
        for root in ("working", "imported"):
            if (root, number) in self.damaged and not self.folder(root, number).exists():
                del self.damaged[root, number], self.there[root, number]

    @rule(number=NUMBERS, moment=MOMENTS)
    def export_and_be_killed(self, number: int, moment: int) -> None:
        source, cell = self.opened(), ("shipped", number)
        expected = self.expected(number)
        # Exported is what a read returns, which may be what is shipped already.
        may = isinstance(expected, int) and cell not in self.damaged and self.there.get(cell, expected) == expected
        try:
            with at_call(moment, kill):
                source.export([key(number)], self.root / "shipped")
        except Killed:
            if may:
                self.settle("shipped", number, *((expected,) if isinstance(expected, int) else ()))
        except StoreError:
            assert not may
        else:
            assert may
            assert self.settle("shipped", number, *((expected,) if isinstance(expected, int) else ())) == expected
        for root in ("working", "imported"):
            if (root, number) in self.damaged and not self.folder(root, number).exists():
                del self.damaged[root, number], self.there[root, number]

    @precondition(lambda self: self.there.keys() - self.damaged.keys())
    @rule(data=st.data(), file=FILES, how=HOWS, place=st.integers(-30, 30))
    def damage(self, data: st.DataObject, file: str, how: str, place: int) -> None:
        """Change, cut or remove a file; numbers lie at the end of a payload, and a place below zero is one there."""
        cells = sorted(self.there.keys() - self.damaged.keys(), key=lambda cell: ROOTS[::-1].index(cell[0]))
        self.damage_one(data.draw(st.sampled_from(cells)), file, how, place)

    def damage_one(self, cell: tuple[str, int], file: str, how: str, place: int) -> None:
        path = self.folder(*cell) / file
        data = path.read_bytes()
        self.damaged[cell] = file, data
        match how:
            case "change":
                path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place:][1:])
            case "cut":
                path.write_bytes(data[:place])
            case _:
                path.unlink()

    @rule()
    def remove_working_store(self) -> None:
        """What a new clone is."""
        shutil.rmtree(self.root / "working", ignore_errors=True)
        for cell in [cell for cell in self.there if cell[0] == "working"]:
            del self.there[cell]
            self.damaged.pop(cell, None)

    @precondition(lambda self: any(root == "shipped" for root, _ in self.damaged))
    @rule()
    def restore(self) -> None:
        """What ``git checkout`` does."""
        for cell in [cell for cell in self.damaged if cell[0] == "shipped"]:
            file, data = self.damaged.pop(cell)
            (self.folder(*cell) / file).write_bytes(data)

    def expected(self, number: int) -> int | type[StoreError] | None:
        """What a read must give."""
        for root in ROOTS:
            cell = (root, number)
            if cell in self.damaged:
                if root == "shipped":
                    return StoreError
            elif cell in self.there:
                return self.there[cell]
        return None

    def read(self, number: int) -> int | type[StoreError] | None:
        try:
            return variant_of(self.opened().read(key(number)))
        except StoreError:
            return StoreError

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        store = self.opened()
        assert {problem.path for problem in store.verify()} == {self.folder(*cell) for cell in self.damaged}
        for number in range(2):
            expected = self.expected(number)
            if expected is StoreError:
                with pytest.raises(StoreError, match="git checkout"):
                    store.has(key(number))
                # A read would move what is damaged in the working store.
                assert ("working", number) in self.damaged or self.read(number) is StoreError
            else:
                assert store.has(key(number)) is (expected is not None)


StoreMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=15, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
TestStoreMachine = StoreMachine.TestCase


@pytest.mark.parametrize("state", ["absent", "sound", "damaged"])
def test_two_that_write_at_once_have_the_same_artifact(state: str) -> None:
    """Whichever call of the first is interrupted by the second."""
    for moment in range(MOST):
        machine = StoreMachine()
        if state != "absent":
            machine.write_and_be_killed(0, 2, MOST)
        if state == "damaged":
            machine.damage_one(("working", 0), MANIFEST, "cut", 0)
        machine.two_write(0, first=0, second=1, moment=moment)
        machine.teardown()
