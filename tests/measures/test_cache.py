import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.measures.tables import noisy
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures import cache
from universal_neurons.measures.cache import cached, caching, digest
from universal_neurons.measures.tables import Resampling, UniversalityTable
from universal_neurons.measures.universality import share_by_layer, universal_share

CALLS: list[str] = []
TABLE = noisy(np.linspace(0.1, 0.9, 60), 5)


@pytest.fixture(autouse=True)
def _no_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


@cached
def largest(table: UniversalityTable, scale: object = 1) -> Measurement:
    """A made-up measure that counts how often it is computed."""
    CALLS.append(table.partner)
    value = float(np.nanmax(table.frame["excess"])) * (scale if isinstance(scale, int | float) else 1)
    return Measurement(value, value, value, len(table.frame), Over.NOTHING)


@cached
def doubled(values: np.ndarray) -> np.ndarray:
    """A made-up function that returns an array."""
    CALLS.append("doubled")
    return 2 * values


def changed(table: UniversalityTable, row: int) -> UniversalityTable:
    excess = table.frame["excess"].to_numpy().copy()
    excess[row] += 0.001
    return replace(table, frame=table.frame.assign(excess=excess))


def test_nothing_is_kept_unless_asked() -> None:
    assert largest(TABLE) == largest(TABLE)
    assert len(CALLS) == 2


def test_a_result_is_computed_once_also_by_the_next_command(tmp_path: Path) -> None:
    plain = largest(TABLE)
    for _ in range(2):
        with caching(tmp_path / "measures.sqlite"):
            assert largest(TABLE) == largest(noisy(np.linspace(0.1, 0.9, 60), 5)) == plain
    assert len(CALLS) == 2


@pytest.mark.parametrize(
    "other",
    [
        changed(TABLE, 0),
        replace(TABLE, influence=np.nextafter(TABLE.influence, 1)),
        replace(TABLE, draws=TABLE.draws + 1),
        replace(TABLE, partner="another"),
        replace(TABLE, resampling=replace(TABLE.resampling, seed=TABLE.resampling.seed + 1)),
        replace(TABLE, resampling=replace(TABLE.resampling, resamples=TABLE.resampling.resamples + 1)),
        replace(TABLE, resampling=replace(TABLE.resampling, level=0.9)),
        replace(TABLE, frame=TABLE.frame.rename(columns={"excess_half_a": "a"})),
        replace(TABLE, frame=TABLE.frame.set_axis(TABLE.frame.index + 1)),
    ],
)
def test_any_change_of_a_table_is_another_question(tmp_path: Path, other: UniversalityTable) -> None:
    with caching(tmp_path / "measures.sqlite"):
        largest(TABLE)
        largest(other)
    assert len(CALLS) == 2


def test_numbers_of_other_types_are_other_arguments(tmp_path: Path) -> None:
    with caching(tmp_path / "measures.sqlite"):
        for scale in (1, 1.0, True, "1", None, 0.0, -0.0, (1,), [1], {"a": 1}, {"b": 1}, Over.NEURONS, "neurons"):
            largest(TABLE, scale)
        assert len(CALLS) == 13
        largest(TABLE, scale=1)
        largest(TABLE)
    assert len(CALLS) == 13


def test_other_code_or_other_libraries_compute_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "measures.sqlite"
    with caching(file):
        largest(TABLE)
    for change in (("_PACKAGE", _edited_package(tmp_path)), ("_LIBRARIES", ("numpy", "pytest"))):
        with monkeypatch.context() as patch:
            patch.setattr(cache, *change)
            cache.code_digest.cache_clear()
            cache._code.cache_clear()
            with caching(file):
                largest(TABLE)
        cache.code_digest.cache_clear()
        cache._code.cache_clear()
    assert len(CALLS) == 3
    with caching(file):
        largest(TABLE)
    assert len(CALLS) == 4, "results of other code are not kept either"


def _edited_package(folder: Path) -> Path:
    """A copy of the package's text in which one module has another line."""
    copy = folder / "universal_neurons" / "measures"
    copy.mkdir(parents=True)
    for path in [*cache._PACKAGE.glob("*.py"), cache._PACKAGE.with_name("measurement.py")]:
        target = copy / path.name if path.parent == cache._PACKAGE else copy.with_name(path.name)
        target.write_bytes(path.read_bytes() + (b"#\n" if path.name == "intervals.py" else b""))
    return copy


def test_a_function_of_another_file_is_known_by_the_text_of_that_file(tmp_path: Path) -> None:
    values = []
    for constant in (2, 3):
        path = tmp_path / str(constant) / "made_up.py"
        path.parent.mkdir()
        path.write_text(
            f"def times(x):\n    return Measurement({constant} * x, {constant} * x, {constant} * x, 1, over)\n"
        )
        names: dict[str, Any] = {"__name__": "made_up", "Measurement": Measurement, "over": Over.NOTHING}
        exec(compile(path.read_text(), str(path), "exec"), names)
        with caching(tmp_path / "measures.sqlite"):
            values.append(cached(names["times"])(1.0).value)
    assert values == [2.0, 3.0]


@pytest.mark.parametrize("text", ['{"measurement": {"value": 0.0}}', ""])
def test_a_damaged_result_is_computed_again(tmp_path: Path, text: str) -> None:
    file = tmp_path / "measures.sqlite"
    with caching(file):
        right = largest(TABLE)
    with sqlite3.connect(file) as opened:
        opened.execute("update results set text = ?", (text,))
    opened.close()
    with caching(file):
        assert largest(TABLE) == right
    assert len(CALLS) == 2


@pytest.mark.parametrize("what", ["text", "a folder", "in a file"])
def test_a_file_that_cannot_be_used_changes_nothing(tmp_path: Path, what: str) -> None:
    file = tmp_path / "measures.sqlite"
    if what == "a folder":
        file.mkdir()
    else:
        file.write_text("no database\n" * 100)
    with caching(file / "below" if what == "in a file" else file):
        assert largest(TABLE) == largest(TABLE)
    assert len(CALLS) == 1


def test_what_has_no_digest_is_computed_each_time(tmp_path: Path) -> None:
    with caching(tmp_path / "measures.sqlite"):
        for _ in range(2):
            largest(TABLE, len)
            largest(TABLE, iter([1]))
    assert len(CALLS) == 4


def test_arrays_stay_in_memory_up_to_a_bound_and_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_BYTES_IN_MEMORY", 1000)
    one, two = np.arange(100.0), np.arange(1.0, 101.0)
    with caching():
        result = doubled(one)
        assert doubled(one) is result
        with pytest.raises(ValueError, match="read-only"):
            result[0] = 1
        doubled(two)
        doubled(one)
    assert len(CALLS) == 3


def test_a_measure_is_the_same_to_the_bit_cached_or_not(tmp_path: Path) -> None:
    plain = universal_share(TABLE, 0.5), share_by_layer(TABLE, 0.5)
    for _ in range(2):
        with caching(tmp_path / "measures.sqlite"):
            share, layers = universal_share(TABLE, 0.5), share_by_layer(TABLE, 0.5)
            assert repr(share) == repr(plain[0])
            pd.testing.assert_frame_equal(layers, plain[1], check_exact=True)


def test_a_digest_depends_on_shape_and_type() -> None:
    values = [np.zeros(4), np.zeros((2, 2)), np.zeros(4, dtype=np.float32), np.zeros(4, dtype=np.int64), [0.0] * 4]
    values += [["ab", "c"], ["a", "bc"], [["a"], "bc"], Resampling(1, 0.5, 2), Resampling(1, 0.5, 3)]
    # The same bytes in the same order, cut elsewhere.
    values += [[b"a", b"bbytesc"], [b"abytesb", b"c"]]
    assert len({digest(value) for value in values}) == len(values)
