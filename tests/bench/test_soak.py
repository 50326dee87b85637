from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench import soak
from tests.bench.soak import KINDS, Ground, campaign, harmed, publish
from tests.cluster.campaign import payloads
from universal_neurons import cli
from universal_neurons.artifacts.folder import Folder
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.log import EvidenceLog
from universal_neurons.inputs.benchmarks import read_benchmarks
from universal_neurons.inputs.zoo import Zoo
from universal_neurons.render.pages import performance
from universal_neurons.stages.resume import StateFolder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature


@pytest.fixture
def ground(own: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("UNIVERSAL_NEURONS_ROOT", str(own.root))
    own.working.rename(tmp_path / "store")
    work = own.workspace("mini", store=tmp_path / "store")
    return Ground(own, tmp_path / "store", payloads(work), seconds=1.0)


# Without these two a few seconds each: computing again, and an export.
QUICK = sorted(KINDS.keys() - {"kills", "archives"})


@pytest.mark.parametrize("kind", QUICK)
def test_every_kind_of_fault_is_met_as_it_should_be(ground: Ground, kind: str) -> None:
    made, wrong = campaign(ground, kind, seconds=60, most=3, seed=1)
    assert made >= 3
    assert wrong == []


BLIND: dict[str, tuple[Any, str, Any]] = {
    "artifacts": (Folder, "contents", lambda *_: None),
    "states": (StateFolder, "read", lambda *_: object()),
    "records": (EvidenceLog, "read", lambda *_: None),
    "weights": (Zoo, "load", lambda *_: None),
    "hostile": (cli, "main", lambda: 1 / 0),
    "ledgers": (Ledger, "read", lambda path: path.read_bytes().decode("latin-1") == 0),
}


@pytest.mark.parametrize("kind", BLIND)
def test_a_reader_that_sees_no_fault_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(*BLIND[kind])
    monkeypatch.setattr(soak, "read_history", Ledger.read)
    _, wrong = campaign(ground, kind, seconds=60, most=10, seed=1)
    assert wrong
    assert wrong[0].startswith(f"{kind} 1 ")


def test_harm_is_always_harm() -> None:
    dice = Random(1)
    assert all(harmed(b"some bytes", dice) != b"some bytes" for _ in range(1000))


def test_counts_are_published_for_the_report(tmp_path: Path) -> None:
    publish(dict.fromkeys(KINDS, (20, 1)), minutes=15, seed=1, root=tmp_path)
    (bench,) = read_benchmarks(tmp_path)
    assert (bench.figures["kills_made"].value, bench.figures["kills_wrong"].value) == (20, 1)
    # Counts, unlike measured numbers, are whole.
    body = performance._bench(bench).body
    assert "20 faults" in body
    assert "1 faults" in body
