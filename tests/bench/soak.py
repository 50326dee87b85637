"""Faults at random, counted by kind: ``nox -s soak -- --minutes 15 --publish``.

A miniature project is killed, damaged and fed with nonsense; every kind of fault gets the same share of the time.  A
trial is right if the result is the same to the byte or the fault is refused in a line of ours; whatever else happens is
shown with the seed that repeats it, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.artifacts.test_store_machine import MOST, StoreMachine
from tests.bench.publication import ROOT, Publication
from tests.cluster.campaign import SELECTION, command, payloads, single
from tests.evidence.records import record
from tests.miniature import Miniature, folder_zoo
from tests.test_hostile_files import COMMANDS, CONTENTS, fault_of
from universal_neurons import cli
from universal_neurons.artifacts.folder import Folder
from universal_neurons.artifacts.manifest import DamageError
from universal_neurons.errors import UserError
from universal_neurons.evidence.history import path_of, read_history
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.log import EvidenceLog
from universal_neurons.evidence.record import RecordError
from universal_neurons.stages.resume import DOCUMENT, STATES, StateFolder
from universal_neurons.stages.sharing import export_suite, pull

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from universal_neurons.stages.workspace import Workspace

NARROWING = {"models": ("a", "b")}
LEDGER = ROOT / "fixtures" / "verdicts" / "mini.toml"
# Kills of one run, after which it is left to end.
KILLS = 4
# Calls of one trial of the store, between which everything is checked.
CALLS = 10


class Wrong(AssertionError):
    """A fault that went unseen, or an outcome that is neither the right bytes nor a line."""


@dataclass(frozen=True)
class Ground:
    """A computed project with a ``store``, what its artifacts should be, and the seconds that computing took."""

    project: Miniature
    store: Path
    expected: Mapping[str, str]
    seconds: float

    @classmethod
    def made(cls, folder: Path) -> Ground:
        """Train, compute and export a miniature project in ``folder``."""
        project = Miniature.built(folder / "project")
        os.environ["UNIVERSAL_NEURONS_ROOT"] = str(project.root)
        began = time.monotonic()
        expected = single(project, folder / "store")
        found = cls(project, folder / "store", expected, time.monotonic() - began)
        export_suite(found.workspace(), folder / "export.zip")
        return found

    @property
    def folder(self) -> Path:
        """Where trials may write."""
        return self.store.parent

    def workspace(self, store: Path | None = None) -> Workspace:
        """The workspace of the selected part of the suite."""
        options: dict[str, Any] = {"local": True, "narrowing": NARROWING, "warn": lambda _: None}
        return self.project.workspace("brief", store=store or self.store, **options)


def harmed(data: bytes, dice: Random) -> bytes:
    """``data`` with one bit flipped, or cut somewhere."""
    place = dice.randrange(len(data))
    if dice.random() < 0.2:
        return data[:place]
    return data[:place] + bytes([data[place] ^ (1 << dice.randrange(8))]) + data[place + 1 :]


@contextlib.contextmanager
def harm(path: Path, dice: Random) -> Any:
    """Harm a file for the time of the body."""
    data = path.read_bytes()
    path.write_bytes(harmed(data, dice))
    try:
        yield
    finally:
        path.write_bytes(data)


def check(holds: object, fault: str) -> None:
    """Raise :class:`Wrong` with ``fault`` unless it holds."""
    if not holds:
        raise Wrong(fault)


# --- the kinds of faults: each function makes some and returns how many ---------------------------------------------


def kills(ground: Ground, dice: Random) -> int:
    """Kill a computation at random moments until it ends: the same bytes, and no state is left."""
    store, done = ground.folder / "killed", 0
    shutil.rmtree(store, ignore_errors=True)
    words = command("compute", *SELECTION, "--store", str(store))
    while True:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            patience = None if done >= KILLS else dice.uniform(0, ground.seconds)
            _, said = process.communicate(timeout=patience)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            done += 1
    check(process.returncode == 0, f"status {process.returncode}: {said[-300:]!r}")
    work = ground.workspace(store)
    check(payloads(work) == ground.expected, "other bytes than those of a run that nothing happened to")
    check(not work.store.verify(), "damaged artifacts")
    check(not any((store / STATES).rglob(DOCUMENT)), "states are left")
    return done


def calls(_: Ground, dice: Random) -> int:
    """Kill or race the store at system calls, and damage it: it has what was written, or says what is damaged."""
    machine = StoreMachine()
    try:
        for _call in range(CALLS):
            number, variant, moment = dice.randrange(2), dice.randrange(2), dice.randrange(MOST)
            match dice.randrange(5):
                case 0:
                    machine.write_and_be_killed(number, variant, moment)
                case 1:
                    machine.two_write(number, variant, 1 - variant, moment)
                case 2:
                    machine.adopt_and_be_killed(number, variant, moment)
                case 3:
                    machine.read_and_be_killed(number, moment)
                case _:
                    machine.export_and_be_killed(number, moment)
            machine.everything_is_as_it_should_be()
    finally:
        machine.teardown()
    return CALLS


def artifacts(ground: Ground, dice: Random) -> int:
    """Harm a file of an artifact: its folder is damaged."""
    entry = dice.choice(ground.workspace().store.entries())
    folder = Folder.of(ground.store, entry.key)
    with harm(dice.choice(sorted(folder.path.iterdir())), dice), contextlib.suppress(DamageError):
        folder.contents()
        raise Wrong(f"damage in {folder} is not seen")
    return 1


def states(ground: Ground, dice: Random) -> int:
    """Harm a state: it is not used, and that is said."""
    import torch

    said: list[str] = []
    folder = StateFolder(ground.folder / "state", said.append)
    folder.write({"step": 1}, [("x", torch.arange(1000.0))])
    with harm(dice.choice([path for path in folder.path.rglob("*") if path.is_file()]), dice):
        check(folder.read() is None, "a damaged state is used")
        check(len(said) == 1, "damage of a state is not said")
    return 1


def ledgers(ground: Ground, dice: Random) -> int:
    """Harm a ledger or its history: it is refused, or reads as another one, which every run reports."""
    reader, original = dice.choice([(Ledger.read, LEDGER), (read_history, path_of(LEDGER))])
    path = Path(shutil.copyfile(original, ground.folder / "ledger.toml"))
    with harm(path, dice), contextlib.suppress(UserError):
        is_other = reader(path) != reader(original)
        check(is_other or _stated(path) == _stated(original), "damage is not seen")
    return 1


def _stated(path: Path) -> list[bytes]:
    """The lines of a TOML file without comments and blanks."""
    return [line.strip() for line in path.read_bytes().splitlines() if line.strip() and not line.startswith(b"#")]


def records(ground: Ground, dice: Random) -> int:
    """Harm the record of a run: it is refused."""
    path = ground.folder / "records.jsonl"
    EvidenceLog(tuple(record(item, test=f"x.py::{item}") for item in ("a-b", "a-c"))).write(path)
    with harm(path, dice), contextlib.suppress(RecordError):
        EvidenceLog.read(path)
        raise Wrong("damage in the record of a run is not seen")
    return 1


def weights(ground: Ground, dice: Random) -> int:
    """Harm a model's file: it is not loaded."""
    zoo = folder_zoo(ground.workspace())
    name, step = dice.choice(zoo.names), 30
    folder = zoo.folder / name / f"step-{step}"
    ref = zoo.ref(name, step)
    with harm(dice.choice(sorted(folder.iterdir())), dice), contextlib.suppress(UserError):
        zoo.load(ref)
        raise Wrong(f"damage in {folder.name} of {name} is not seen")
    return 1


def archives(ground: Ground, dice: Random) -> int:
    """Harm an archive: it is refused, or gives the right artifacts; the sound one is imported after it."""
    root = ground.folder / "reader"
    if not root.exists():
        ground.project.copied(root)
    archive = Path(shutil.copyfile(ground.folder / "export.zip", ground.folder / "harmed.zip"))
    with harm(archive, dice), contextlib.suppress(UserError):
        pull("brief", str(archive), root=root, warn=lambda _: None, narrowing=NARROWING)
    pull("brief", str(archive), root=root, warn=lambda _: None, narrowing=NARROWING)
    imported = root / ".universal-neurons" / "imported"
    found = {f"{key.parent.name} {key.name}": Folder(key, key.parent.name, key.name).manifest() for key in
             imported.glob("[!.]*/[!.]*") if key.is_dir()}  # fmt: skip
    wrong = [key for key, manifest in found.items() if manifest is None or manifest.sha256 != ground.expected[key]]
    check(found and not wrong, f"imported wrongly: {wrong}")
    shutil.rmtree(root / ".universal-neurons")
    return 1


def hostile(ground: Ground, dice: Random) -> int:
    """Put nonsense into a text file: every command answers with one line or does not read it."""
    files = sorted(path for path in ground.project.root.glob("fixtures/**/*") if path.suffix in (".toml", ".json"))
    path, content, words = dice.choice(files), dice.choice(list(CONTENTS)), dice.choice(COMMANDS)
    before, err = path.read_bytes(), io.StringIO()
    path.write_bytes(CONTENTS[content])
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            sys.argv = ["universal-neurons", *words]
            cli.main()
    except SystemExit as end:
        fault = fault_of(int(end.code or 0), err.getvalue())
        check(not fault, f"{path.name} is {content}: {' '.join(words)}: {fault}")
    finally:
        path.write_bytes(before)
    return 1


KINDS: dict[str, tuple[str, Callable[[Ground, Random], int]]] = {
    "kills": ("kills of runs that then end", kills),
    "calls": ("kills and races at system calls of the store", calls),
    "artifacts": ("damaged artifacts", artifacts),
    "states": ("damaged states of unfinished work", states),
    "ledgers": ("damaged ledgers and histories", ledgers),
    "records": ("damaged records of runs", records),
    "weights": ("damaged models", weights),
    "archives": ("damaged archives", archives),
    "hostile": ("files with nonsense", hostile),
}


def campaign(ground: Ground, kind: str, *, seconds: float, most: int, seed: int) -> tuple[int, list[str]]:
    """The number of faults of one kind made in ``seconds`` and at most ``most`` trials, and what was wrong."""
    made, wrong, end = 0, list[str](), time.monotonic() + seconds
    for trial in range(most):
        if trial and time.monotonic() > end:
            break
        try:
            made += KINDS[kind][1](ground, Random(f"{seed} {kind} {trial}"))
        except Exception as fault:  # noqa: BLE001  any exception is a finding
            made += 1
            wrong.append(f"{kind} {seed} {trial}: {type(fault).__name__}: {fault!s:.300}")
    return made, wrong


def publish(counts: Mapping[str, tuple[int, int]], *, minutes: float, seed: int, root: Path = ROOT) -> Path:
    """Write the counts for the report."""
    publication = Publication(wanted=True, root=root)
    figures = {
        f"{kind}_{what}": (f"{KINDS[kind][0]}: {said}", number, "faults")
        for kind, numbers in counts.items()
        for what, said, number in zip(("made", "wrong"), ("made", "with a wrong outcome"), numbers, strict=True)
    }
    publication.add(
        "soak", "Faults at random", using="one thread", kind="cpu", figures=figures, command="nox -s soak -- --publish",
        settings={"minutes": minutes, "seed": seed},
    )  # fmt: skip
    return publication.conclude()[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign and print a line per kind; the status is 1 if an outcome was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--most", type=int, default=2000, help="trials of a kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--publish", action="store_true", help="keep the counts for the report")
    given = parser.parse_args(arguments)
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    counts, wrong = dict[str, tuple[int, int]](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground.made(Path(folder))
        for kind, (title, _) in KINDS.items():
            share = given.minutes * 60 / len(KINDS)
            made, faults = campaign(ground, kind, seconds=share, most=given.most, seed=given.seed)
            counts[kind] = made, len(faults)
            wrong += faults
            print(f"{title:<46} {made:6d} made  {len(faults):4d} wrong", flush=True)
    print(*wrong, sep="\n")
    if given.publish:
        print(f"published: {publish(counts, minutes=given.minutes, seed=given.seed).relative_to(ROOT)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
