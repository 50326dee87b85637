from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.sources import ROOT
from universal_neurons.inputs.benchmarks import BENCHMARKS, Benchmark, BenchmarkError, read_benchmarks

if TYPE_CHECKING:
    from pathlib import Path

RAW: dict[str, Any] = {
    "format": 1,
    "bench": "engine",
    "title": "The engine",
    "device": "A processor, 2 cores",
    "kind": "cpu",
    "date": "2026-11-21",
    "command": "nox -s bench -- --publish",
    "commit": None,
    "versions": {"torch": "2.13.0"},
    "settings": {"tokens": 1000, "share": 0.5, "dtype": "float32"},
    "figures": {"pass_seconds": {"says": "one pass", "value": 12.5, "unit": "s"}},
    "note": "",
}


def written(root: Path, raw: Any, name: str = "engine-cpu.json") -> None:
    path = root / BENCHMARKS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(raw if isinstance(raw, str) else json.dumps(raw), encoding="utf-8")


def test_a_bench_that_was_written_is_read_again(tmp_path: Path) -> None:
    bench = Benchmark.model_validate(RAW)
    path = bench.write(tmp_path)
    assert path.name == "engine-cpu.json"
    assert read_benchmarks(tmp_path) == (bench,)
    assert (bench.size("tokens"), bench.size("share")) == (1000, 0.5)
    first = path.read_bytes()
    bench.write(tmp_path)
    assert path.read_bytes() == first
    assert [other.name for other in path.parent.iterdir()] == ["engine-cpu.json"]


def test_a_checkout_without_benches_has_none(tmp_path: Path) -> None:
    assert read_benchmarks(tmp_path) == ()


def test_what_an_archive_leaves_behind_is_no_bench(tmp_path: Path) -> None:
    (tmp_path / BENCHMARKS).mkdir(parents=True)
    (tmp_path / BENCHMARKS / "._engine-cpu.json").write_bytes(b"\xff")
    assert read_benchmarks(tmp_path) == ()


def test_the_benches_that_are_shipped_are_sound() -> None:
    assert [bench.file for bench in read_benchmarks(ROOT)] == sorted(
        path.name for path in (ROOT / BENCHMARKS).glob("*.json")
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "format: "),
        ({"bench": "The Engine"}, "bench: expected a word of lower-case letters and digits, got 'The Engine'"),
        ({"kind": "../cpu"}, "kind: expected a word"),
        ({"date": "yesterday"}, "date: "),
        ({"figures": {}}, "figures: "),
        ({"figures": {"x": {"says": "x", "value": "12", "unit": "s"}}}, "figures.x.value: "),
        ({"figures": {"x": {"says": "x", "value": float("inf"), "unit": "s"}}}, "figures.x.value: "),
        ({"settings": {"tokens": [1]}}, "settings.tokens"),
        ({"host": "mine"}, "host: "),
        ({"device": "/dev/nvidia0"}, "device: expected printable text without a path of one machine"),
        ({"command": "python /tmp/x.py"}, "command: expected printable text without a path"),
        ({"note": "in ~/bench"}, "note: expected printable text without a path"),
        ({"title": "a\nb"}, "title: expected printable text"),
    ],
)
def test_what_a_bench_may_not_say_is_one_line_with_file_and_field(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    written(tmp_path, {**RAW, **changes})
    with pytest.raises(BenchmarkError) as refused:
        read_benchmarks(tmp_path)
    line = str(refused.value)
    assert line.startswith("fixtures/benchmarks/engine-cpu.json: ")
    assert said in line
    assert line.endswith("run: nox -s bench -- --publish")
    assert "\n" not in line.replace("a\\nb", "")


@pytest.mark.parametrize("raw", ["", "{", "[]", "nonsense"])
def test_a_file_that_is_no_bench_is_one_line(tmp_path: Path, raw: str) -> None:
    written(tmp_path, raw)
    with pytest.raises(BenchmarkError, match=r"^fixtures/benchmarks/engine-cpu\.json: .*; run: nox -s bench"):
        read_benchmarks(tmp_path)


def test_a_file_under_the_name_of_another_bench_is_refused(tmp_path: Path) -> None:
    written(tmp_path, RAW, name="engine-cuda.json")
    with pytest.raises(BenchmarkError, match=r"engine-cuda\.json: expected the name engine-cpu\.json"):
        read_benchmarks(tmp_path)


def test_a_setting_that_is_no_number_is_named() -> None:
    bench = Benchmark.model_validate(RAW)
    for name in ("draws", "dtype"):
        with pytest.raises(BenchmarkError, match=rf"settings\.{name}: expected a number"):
            bench.size(name)
