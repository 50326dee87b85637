from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universal_neurons.artifacts.codec import SUFFIXES, PayloadError, PayloadLimits, decode, encode

NUMBERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


def numbers(code: str, count: int, *, seed: int = 0) -> np.ndarray[Any, np.dtype[Any]]:
    """Any bit patterns of a kind of number, with its awkward values in front and no NaN but the usual one."""
    dtype = np.dtype(code)
    drawn = np.random.default_rng(seed).integers(0, 256, count * dtype.itemsize, dtype=np.uint8).view(dtype)
    if dtype.kind == "b":
        return np.asarray(drawn.view(np.uint8) % 2 == 1)
    if dtype.kind != "f":
        return drawn
    awkward = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1 / 3], dtype=dtype)[:count]
    drawn[np.isnan(drawn)] = 1
    drawn[: len(awkward)] = awkward
    return drawn


def same_bits(one: Any, other: Any) -> bool:
    a, b = np.asarray(one), np.asarray(other)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def table() -> pd.DataFrame:
    """Like a universality table: small integers, floats with NaN, names."""
    return pd.DataFrame(
        {
            "layer": np.array([0, 0, 1], dtype=np.int16),
            "correlation": np.array([0.5, np.nan, -0.0], dtype=np.float32),
            "excess": np.array([0.25, np.inf, 1e-310]),
            "domain": ["numpy", "\u202e<script>", ""],
            "universal": [True, False, True],
        }
    )


@pytest.mark.parametrize("count", [0, 1, 1000])
@pytest.mark.parametrize("code", NUMBERS)
def test_a_column_of_numbers_comes_back_bit_by_bit(code: str, count: int) -> None:
    values = numbers(code, count)
    suffix, data = encode(pd.DataFrame({"x": values, "y.z": values[::-1]}))
    back = decode(suffix, data)
    assert isinstance(back, pd.DataFrame)
    assert list(back.columns) == ["x", "y.z"]
    assert same_bits(back["x"], values)
    assert same_bits(back["y.z"], values[::-1])


def test_a_mixed_table_comes_back_as_it_was() -> None:
    suffix, data = encode(table())
    assert suffix == "parquet"
    pd.testing.assert_frame_equal(decode(suffix, data), table(), check_exact=True)  # type: ignore[arg-type]


def test_missing_text_stays_missing_and_empty_text_stays_empty() -> None:
    frame = pd.DataFrame({"text": pd.Series(["a", None, "", np.nan, pd.NA], dtype=object)})
    back = decode(*encode(frame))
    assert isinstance(back, pd.DataFrame)
    assert back["text"].isna().tolist() == [False, True, False, True, True]
    assert back["text"].tolist()[::2][:2] == ["a", ""]


def test_equal_tables_have_equal_bytes_however_they_lie_in_memory() -> None:
    plain = table()
    blown_up = pd.concat([plain, plain, plain]).iloc[3:6].reset_index(drop=True)
    strided = pd.DataFrame({name: np.repeat(plain[name].to_numpy(), 2)[::2] for name in plain.columns})
    piecewise = pd.DataFrame({"layer": plain["layer"]})
    for name in list(plain.columns)[1:]:
        piecewise.insert(len(piecewise.columns), name, plain[name].copy())
    objects = plain.assign(domain=plain["domain"].astype(object))
    swapped = plain.assign(excess=plain["excess"].to_numpy().astype(">f8"))
    other_nan = plain.copy()
    other_nan["correlation"] = np.array([0x3F000000, 0xFFC00001, 0x80000000], dtype=np.uint32).view(np.float32)
    for same in (blown_up, strided, piecewise, objects, swapped, other_nan, decode(*encode(plain))):
        assert encode(same) == encode(plain)


def test_the_bytes_of_a_table_do_not_name_the_versions_of_pandas_or_the_arrow_schema() -> None:
    metadata = pq.read_metadata(pa.BufferReader(encode(table())[1]))
    assert metadata.metadata is None
    assert pd.__version__.encode() not in encode(table())[1]


@pytest.mark.parametrize(
    "other",
    [
        lambda frame: frame.assign(layer=frame["layer"].astype(np.int32)),
        lambda frame: frame.assign(excess=np.nextafter(frame["excess"].to_numpy(), 1)),
        lambda frame: frame.assign(correlation=-frame["correlation"]),
        lambda frame: frame.rename(columns={"layer": "Layer"}),
        lambda frame: frame[list(frame.columns)[::-1]],
        lambda frame: frame.iloc[::-1].reset_index(drop=True),
        lambda frame: frame.iloc[:2],
        lambda frame: frame.assign(domain=[None, "", ""]),
    ],
)
def test_different_tables_have_different_bytes(other: Any) -> None:
    assert encode(other(table())) != encode(table())


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (pd.DataFrame(), "column"),
        (pd.DataFrame({0: [1]}), "column"),
        (pd.DataFrame({"": [1]}), "column"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "column"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "column"),
        (pd.DataFrame({"a": [1, 2]}, index=[1, 0]), "index"),
        (pd.DataFrame({"a": [1, 2]}, index=["x", "y"]), "index"),
        (pd.DataFrame({"a": [1, 2, 3]}).iloc[1:], "index"),
        (pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(2, name="n")), "index"),
        (pd.DataFrame({"a": [1j]}), "complex"),
        (pd.DataFrame({"a": pd.Categorical(["x"])}), "category"),
        (pd.DataFrame({"a": pd.Series([1, None], dtype="Int64")}), "Int64"),
        (pd.DataFrame({"a": pd.to_datetime(["2026-01-01"])}), "datetime"),
        (pd.DataFrame({"a": np.zeros(1, dtype=np.longdouble)}), "64 bits"),
        (pd.DataFrame({"a": pd.Series(["x", 1], dtype=object)}), "int"),
        (pd.DataFrame({"a": pd.Series([[1]], dtype=object)}), "list"),
        (pd.DataFrame({"a": pd.Series([b"x"], dtype=object)}), "bytes"),
        (pd.DataFrame({"a": pd.Series(["\ud800"], dtype=object)}), "Unicode"),
    ],
)
def test_a_table_that_would_come_back_changed_is_refused(frame: pd.DataFrame, complaint: str) -> None:
    with pytest.raises(PayloadError, match=complaint):
        encode(frame)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
@pytest.mark.parametrize("code", NUMBERS)
def test_arrays_come_back_bit_by_bit(code: str, shape: tuple[int, ...]) -> None:
    array = numbers(code, int(np.prod(shape))).reshape(shape)
    suffix, data = encode({"x": array, "a name with blanks": array.T})
    assert suffix == "safetensors"
    back = decode(suffix, data)
    assert isinstance(back, dict)
    assert same_bits(back["x"], array)
    assert same_bits(back["a name with blanks"], array.T)


def test_equal_arrays_have_equal_bytes_however_they_lie_in_memory() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    x[0, 0] = np.nan
    other_nan = x.copy()
    other_nan.view(np.uint32)[0, 0] = 0xFFC00001
    plain: dict[str, Any] = {"x": x, "y": np.arange(3)}
    others: list[Any] = [
        {"y": np.arange(3), "x": x},
        {"x": np.asfortranarray(x), "y": np.arange(6)[::2] // 2},
        {"x": np.repeat(x, 2, axis=1)[:, ::2], "y": np.arange(3)},
        {"x": x.astype(">f4"), "y": np.arange(3).astype(">i8")},
        {"x": other_nan, "y": np.arange(3)},
        decode(*encode(plain)),
    ]
    for same in others:
        assert encode(same) == encode(plain)
    assert np.isnan(x[0, 0])


def test_encoding_leaves_the_callers_arrays_alone() -> None:
    x = np.array([0xFFC00001], dtype=np.uint32).view(np.float32)
    x.flags.writeable = False
    encode({"x": x})
    encode(pd.DataFrame({"x": x}))
    assert x.view(np.uint32)[0] == 0xFFC00001


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"x": np.array(["text"])}, "expected booleans"),
        ({"x": np.array([object()])}, "expected booleans"),
        ({"x": np.zeros(1, dtype=np.complex128)}, "complex128"),
        ({"x": np.zeros(1, dtype=np.longdouble)}, "64 bits"),
        ({"x": np.zeros(1, dtype="M8[s]")}, "datetime64"),
        ({"x": np.zeros(1, dtype=[("a", "f4")])}, "expected booleans"),
        ({"": np.zeros(1)}, "names"),
        ({"__metadata__": np.zeros(1)}, "names"),
        ({1: np.zeros(1)}, "names"),
        ({"\ud800": np.zeros(1)}, "safetensors"),
    ],
)
def test_arrays_that_would_come_back_changed_are_refused(arrays: Any, complaint: str) -> None:
    with pytest.raises(PayloadError, match=complaint):
        encode(arrays)


@settings(max_examples=50, deadline=None, database=None)
@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**64), 2**64)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=8,
        ),
    )
)
def test_a_json_object_comes_back_as_it_was(value: dict[str, Any]) -> None:
    suffix, data = encode(value)
    assert suffix == "json"
    assert decode(suffix, data) == value
    assert encode(dict(reversed(value.items()))) == (suffix, data)


def test_a_json_file_is_made_to_be_read() -> None:
    assert encode({"b": (1, 2.5), "a": "é"}) == ("json", b'{\n  "a": "\\u00e9",\n  "b": [\n    1,\n    2.5\n  ]\n}\n')


@pytest.mark.parametrize(
    "value",
    [
        {"a": float("nan")},
        {"a": [float("inf")]},
        {1: 2},
        {"a": {1: 2}},
        {"a": np.zeros(1), "b": 1},
        {"a": {1}},
        {"a": "\ud800"},
        [1],
        "text",
        None,
        1.5,
        np.zeros(3),
        pd.Series([1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_is_neither_table_nor_arrays_nor_json_object_is_refused(value: Any) -> None:
    with pytest.raises(PayloadError) as refusal:
        encode(value)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("value", [table(), {"x": np.arange(5)}, {"a": 1}], ids=SUFFIXES)
def test_bytes_of_another_kind_than_their_suffix_are_a_payload_error(value: Any) -> None:
    suffix, data = encode(value)
    for damaged in (b"", data[:-1], data[: len(data) // 2], data[1:], b"null", b"[1]\n", b"\xff\xfe", b"[" * 100_000):
        with pytest.raises(PayloadError, match=f"not readable as {suffix}"):
            decode(suffix, damaged)
    for other in set(SUFFIXES) - {suffix}:
        with pytest.raises(PayloadError):
            decode(other, data)


def test_json_with_a_repeated_name_is_not_read() -> None:
    with pytest.raises(PayloadError):
        decode("json", b'{\n  "a": 1,\n  "a": 2\n}\n')


def parquet(**columns: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd", store_schema=False)
    return bytes(sink.getvalue().to_pybytes())


TEXT = pa.array(["x" * 900, None] * 20)
BOMBS = {
    "rows": (parquet(a=pa.array(np.zeros(1001))), "1001 rows of 1 columns; expected at most 1000 cells"),
    "columns": (parquet(**{f"c{i}": pa.array([0]) for i in range(11)}), "1 rows of 11 columns; expected at most 1000 "),
    "bytes": (parquet(a=pa.array(["x" * 9000 + str(i) for i in range(3)])), r"27\d+ bytes when unfolded; expected at"),
    "nested": (parquet(a=pa.array([[0] * 900])), "column 'a' is list<element: int64>; expected booleans, integers,"),
    "time": (parquet(a=pa.array([0], pa.timestamp("us"))), r"column 'a' is timestamp\[us\]; expected booleans, "),
}


# Small limits, so that small tables are beyond them.
SMALL = PayloadLimits(cells=1000, size=10_000)


@pytest.mark.parametrize(("data", "complaint"), BOMBS.values(), ids=BOMBS)
def test_a_table_that_is_larger_or_other_than_any_of_ours_is_refused_before_its_rows_are_read(
    monkeypatch: pytest.MonkeyPatch, data: bytes, complaint: str
) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("no row may be read")

    monkeypatch.setattr(pq, "read_table", read)
    monkeypatch.setattr("universal_neurons.artifacts.codec.MOST_COLUMNS", 10)
    with pytest.raises(PayloadError, match=f"^table: {complaint}"):
        decode("parquet", data, SMALL)


def test_a_long_text_that_stands_in_many_rows_is_counted_before_it_is_copied() -> None:
    data = parquet(a=TEXT)
    assert len(data) < 5000
    with pytest.raises(PayloadError, match=r"^table: 18000 bytes when unfolded; expected at most 10000$"):
        decode("parquet", data, SMALL)
    few = decode("parquet", parquet(a=TEXT[:10]), SMALL)
    assert isinstance(few, pd.DataFrame)
    assert list(few["a"].dropna()) == ["x" * 900] * 5


def test_a_table_that_could_not_be_read_again_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("universal_neurons.artifacts.codec.LARGEST", PayloadLimits(cells=14))
    with pytest.raises(PayloadError, match="3 rows of 5 columns; expected at most 14 cells"):
        encode(table())
