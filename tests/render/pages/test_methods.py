from __future__ import annotations

from typing import Any

from universal_neurons.inputs.benchmarks import FORMAT, Benchmark
from universal_neurons.render.pages.methods import coverage_table


def bench(name: str, **figures: Any) -> Benchmark:
    return Benchmark.model_validate(
        {
            "format": FORMAT, "bench": name, "title": "Coverage", "device": "a processor", "kind": "cpu",
            "date": "2026-11-29", "command": "nox -s coverage", "commit": None, "versions": {},
            "settings": {"studies": 400}, "note": "",
            "figures": {key: {"says": says, "value": value, "unit": "%"} for key, (says, value) in figures.items()},
        }
    )  # fmt: skip


def test_every_kind_of_interval_has_its_units_its_coverage_and_the_number_of_studies() -> None:
    found = bench(
        "coverage", share=("share, over token blocks", 94.25), gain=("gain, over the rest, over neurons", 96.0)
    )
    table = coverage_table([bench("engine", speed=("speed", 1.0)), found])
    assert "speed" not in table
    for text in ("token blocks", "94.2", "gain, over the rest", ">neurons<", "96.0", "400"):
        assert text in table


def test_without_a_measured_coverage_there_is_no_table() -> None:
    assert not coverage_table([bench("engine", speed=("speed", 1.0))])
