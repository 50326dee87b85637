"""What the benches publish, without running one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.publication import Publication, command, cpu_name
from universal_neurons.inputs.benchmarks import read_benchmarks
from universal_neurons.render.projection import extent_of_bench, is_projectable, projections

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

MEASURED: dict[str, dict[str, float]] = {
    "forward": {"tokens_per_second": 40_000.0},
    "bare": {"wall": 90.0, "cpu": 180.0},
    "engine": {"wall": 100.0, "cpu": 200.0, "scores_1": 4.0, "scores": 20.0, "peak_mebibytes": 1500.0},
    "published": {"real": 10.0, "rotated": 12.0, "peak_mebibytes": 120.0, "tokens": 50_000},
    "published-checked": {"real": 9.0, "rotated": 11.0, "peak_mebibytes": 120.0, "tokens": 50_000},
}


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    return importlib.import_module("tests.bench.bench_engine")


@pytest.fixture
def publication(tmp_path: Path) -> Publication:
    return Publication(wanted=True, note="alone on the machine", root=tmp_path)


def published(publication: Publication, engine: Any) -> None:
    publication.add(
        "engine", "The correlation engine", using="2 threads, float32", kind="cpu",
        settings=engine.published_settings(), figures=engine.published_figures(MEASURED),
    )  # fmt: skip


def test_what_the_bench_of_the_engine_measured_is_a_file_that_projects(publication: Publication, engine: Any) -> None:
    published(publication, engine)
    (path,) = publication.conclude()
    (bench,) = read_benchmarks(publication.root)
    assert path.name == bench.file == "engine-cpu.json"
    assert is_projectable(bench)
    assert bench.device == f"{cpu_name()}, 2 threads, float32"
    assert (bench.note, bench.bench) == ("alone on the machine", "engine")
    (own,) = projections(bench, {"own": extent_of_bench(bench)})
    assert (own.products, own.rotations) == pytest.approx((100.0, 20.0))
    assert own.forward == pytest.approx(engine.forward_seconds(MEASURED))


def test_ratios_are_those_of_the_times_beside_them(engine: Any) -> None:
    found = {name: value for name, (_, value, _) in engine.published_figures(MEASURED).items()}
    whole = found["pass_seconds"] + found["scores_seconds"]
    assert found["times_faster"] == pytest.approx(found["published_seconds"] / whole)
    assert found["times_faster_one"] == pytest.approx(
        found["published_one_seconds"] / (found["pass_seconds"] + found["scores_one_seconds"])
    )
    assert found["pass_fraction"] == pytest.approx(0.9)
    assert found["draws_share"] == pytest.approx(100 * 20 / 120)
    assert found["forward_share"] == pytest.approx(engine.forward_seconds(MEASURED))


def test_nothing_is_written_unless_asked_for(tmp_path: Path, engine: Any) -> None:
    quiet = Publication(wanted=False, root=tmp_path)
    published(quiet, engine)
    assert quiet.conclude() == []
    assert list(tmp_path.iterdir()) == []


def test_the_command_has_what_changes_a_bench_and_nothing_of_the_machine() -> None:
    environment = {"BENCH_SHARE": "0.25", "HOME": "/home/a", "OMP_NUM_THREADS": "1", "PATH": "/bin"}
    assert command(environment) == "BENCH_SHARE=0.25 OMP_NUM_THREADS=1 nox -s bench -- --publish"


def test_a_processor_is_named_with_its_cores() -> None:
    assert cpu_name().endswith(("1 core", "cores"))
