"""What the benches publish, without running one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.publication import Publication, add_shape, command, cpu_name
from universal_neurons.inputs.benchmarks import read_benchmarks

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


def test_what_the_bench_of_the_engine_measured_is_a_file(publication: Publication, engine: Any) -> None:
    published(publication, engine)
    (path,) = publication.conclude()
    (bench,) = read_benchmarks(publication.root)
    assert path.name == bench.file == "engine-cpu.json"
    assert bench.device == f"{cpu_name()}, 2 threads, float32"
    assert (bench.note, bench.bench) == ("alone on the machine", "engine")
    assert (bench.figures["pass_seconds"].value, bench.figures["scores_seconds"].value) == pytest.approx((100.0, 20.0))


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


SHAPE: dict[str, Any] = {
    "device": "NVIDIA H200",
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "size": {"models": 5, "layers": 12, "width": 3072, "embedding": 768, "tokens": 1_000_000, "draws": 20},
    "command": "python tests/bench/bench_shape.py --out /tmp/x.json",
    "modes": [
        {
            "mode": "bfloat16", "passes": 1, "planned_bytes": 1, "peak_bytes": 2**33, "ceiling_flops": 7e14,
            "tokens_per_second": 5e4, "fraction_of_ceiling": 0.75, "forward_share": 0.1, "largest_error": 1e-4,
            "bound": 0.01, "scores_seconds": 30.0, "draws_share": 0.2, "paper_hours": 1.5,
            "planned_pass": 1.2, "planned_scores": 0.9,
        },
        {"mode": "tf32", "failed": "RuntimeError: no such mode"},
    ],
}  # fmt: skip


def test_what_the_shape_found_is_a_file_too_and_a_failed_precision_a_note(publication: Publication) -> None:
    add_shape(publication, SHAPE)
    publication.conclude()
    (bench,) = read_benchmarks(publication.root)
    assert (bench.file, bench.device) == ("shape-cuda.json", "NVIDIA H200, bfloat16")
    assert bench.size("residual") == 768
    assert (bench.figures["bfloat16_ceiling"].value, bench.figures["bfloat16_peak_memory"].value) == (700.0, 8.0)
    assert bench.figures["bfloat16_forward_share"].unit == "%"
    assert bench.note == "alone on the machine Failed: tf32: RuntimeError: no such mode."
    assert bench.command.startswith("nox -s shape")
    assert bench.versions == SHAPE["versions"]


def test_the_shape_on_a_processor_is_called_a_reduced_one(publication: Publication) -> None:
    add_shape(publication, {**SHAPE, "device": "x86_64, 2 threads"})
    (bench,) = publication.benches
    assert (bench.kind, bench.title) == ("cpu", "The engine at a reduced shape")
    assert bench.device == f"{cpu_name()}, bfloat16"


def test_what_the_plan_said_is_published_over_what_it_took(publication: Publication) -> None:
    plan = importlib.import_module("tests.bench.bench_plan")
    found = {
        "suite": "mini", "tokens": 100, "device": "CPU, 2 threads", "calibrated_in": 4.5, "planned_gb": 1.0,
        "measured_gb": 1.1, "stages": {"moments": {"planned": 90.0, "measured": 100.0, "ratio": 0.9}},
        "gpt2_small": {"moments": {"planned": 8.0, "measured": 10.0, "ratio": 0.8}},
    }  # fmt: skip
    plan.publish(publication, found)
    (bench,) = publication.benches
    assert (bench.file, bench.device) == ("plan-cpu.json", f"{cpu_name()}, 2 threads")
    assert (
        bench.figures["moments_ratio"].value,
        bench.figures["moments_seconds"].value,
        bench.figures["calibration"].value,
    ) == (0.9, 100, 4.5)
    assert bench.figures["gpt2_small_moments_ratio"].value == 0.8
    plan.publish(publication, found | {"device": "NVIDIA H200"})
    assert publication.benches[1].device == "NVIDIA H200, float32"
    assert publication.benches[1].kind == "cuda"


def test_the_command_has_what_changes_a_bench_and_nothing_of_the_machine() -> None:
    environment = {"BENCH_SHARE": "0.25", "HOME": "/home/a", "OMP_NUM_THREADS": "1", "PATH": "/bin"}
    assert command(environment) == "BENCH_SHARE=0.25 OMP_NUM_THREADS=1 nox -s bench -- --publish"


def test_a_processor_is_named_with_its_cores() -> None:
    assert cpu_name().endswith(("1 core", "cores"))
