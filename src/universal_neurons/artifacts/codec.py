"""Bytes of payloads: tables as parquet, arrays as safetensors, everything else as JSON.

Equal values give equal bytes in one environment.  No format can run code when it is read (there is no pickle), and none
takes much more memory than its bytes say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, assert_never, cast, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import safetensors.numpy
from safetensors import SafetensorError

from universal_neurons.artifacts.key import JSON, NotJSONError, plain_json
from universal_neurons.errors import UserError

NumericArray: TypeAlias = npt.NDArray[Any]
Payload: TypeAlias = pd.DataFrame | Mapping[str, NumericArray] | Mapping[str, JSON]
Suffix = Literal["parquet", "safetensors", "json"]
SUFFIXES: tuple[Suffix, ...] = get_args(Suffix)

ROW_GROUP = 1 << 20
_COLUMNS = "booleans, integers, floats or text"
MOST_COLUMNS = 1 << 12
# The numbers that parquet and safetensors both hold bit by bit: no long doubles, no complex numbers.
_NUMBERS = frozenset(np.dtype(code) for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))


@dataclass(frozen=True, slots=True)
class PayloadLimits:
    """The most that a payload may hold: cells of a table, and bytes when it is unfolded.

    A table of the largest models has some millions of cells; parquet can name billions in a few bytes.
    """

    cells: int = 1 << 27
    size: int = 1 << 30


LARGEST = PayloadLimits()


class PayloadError(UserError):
    """A value that no format holds faithfully, or bytes that are not what their suffix says."""


def encode(value: Payload) -> tuple[Suffix, bytes]:
    """Suffix and bytes of ``value``; equal values give equal bytes, however they lie in memory.

    - a data frame: parquet.  Columns of booleans, integers, floats (up to 64 bits) or text, unique text names, the
      default index; missing text stays missing.  ``attrs`` are not stored.
    - a non-empty mapping of names to arrays only: safetensors, any shape, the same kinds of numbers.
    - any other mapping: a JSON object.

    Every NaN becomes the same NaN: its sign and payload bits depend on the processor.  Raises :class:`PayloadError`
    for values that would come back changed, and for NaN in JSON.
    """
    if isinstance(value, pd.DataFrame):
        return "parquet", _parquet(value)
    if not isinstance(value, Mapping):
        raise PayloadError(
            f"payload: a {type(value).__name__}; expected a data frame or a mapping of arrays or JSON values"
        )
    if value and all(isinstance(item, np.ndarray) for item in value.values()):
        return "safetensors", _safetensors(cast("Mapping[str, NumericArray]", value))
    try:
        return "json", json_bytes(plain_json(value, "payload"))
    except NotJSONError as error:
        raise PayloadError(str(error)) from error


def decode(suffix: Suffix, data: bytes, limits: PayloadLimits = LARGEST) -> Payload:
    """The value that :func:`encode` turned into ``data``.

    Raises :class:`PayloadError` if it is damaged, and for a table that would be larger than ``limits``, before its rows
    are read.
    """
    try:
        match suffix:
            case "parquet":
                return _table(data, limits)
            case "safetensors":
                return dict(sorted(safetensors.numpy.load(data).items()))
            case "json":
                return _object(data)
            case _:
                assert_never(suffix)
    except (pa.ArrowException, OSError, SafetensorError, ValueError, LookupError, RecursionError) as error:
        raise PayloadError(f"payload: not readable as {suffix} ({type(error).__name__})") from error


def _table(data: bytes, limits: PayloadLimits) -> pd.DataFrame:
    metadata = pq.read_metadata(pa.BufferReader(data))
    _check_shape(metadata.num_rows, metadata.num_columns, limits)
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    sizes = (group.column(i).total_uncompressed_size for group in groups for i in range(group.num_columns))
    _check_bytes(sum(sizes), limits)
    schema = metadata.schema.to_arrow_schema()
    for field in schema:
        if not (_is_number(field.type) or pa.types.is_string(field.type)):
            raise PayloadError(f"table: column {field.name!a} is {field.type}; expected {_COLUMNS}")
    names = [field.name for field in schema if pa.types.is_string(field.type)]
    # Text stays in its dictionary until the sum of its lengths is known: a long text can stand in every row.
    table = pq.read_table(pa.BufferReader(data), use_threads=False, read_dictionary=names)
    _check_bytes(sum(_text_bytes(chunk) for name in names for chunk in table[name].chunks), limits)
    for name in names:
        text = pa.chunked_array([chunk.dictionary_decode() for chunk in table[name].chunks], type=pa.string())
        table = table.set_column(table.schema.get_field_index(name), name, text)
    return cast("pd.DataFrame", table.to_pandas())


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(dtype) or pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def _text_bytes(column: pa.DictionaryArray) -> int:
    lengths = pc.binary_length(column.dictionary).take(column.indices)
    return int(pc.sum(lengths).as_py() or 0)


def _check_shape(rows: int, columns: int, limits: PayloadLimits) -> None:
    if columns > MOST_COLUMNS or rows * columns > limits.cells:
        raise PayloadError(f"table: {rows} rows of {columns} columns; expected at most {limits.cells} cells")


def _check_bytes(size: int, limits: PayloadLimits) -> None:
    if size > limits.size:
        raise PayloadError(f"table: {size} bytes when unfolded; expected at most {limits.size}")


def _parquet(frame: pd.DataFrame) -> bytes:
    _check_labels(frame)
    _check_shape(*frame.shape, LARGEST)
    columns = {str(name): _column(str(name), frame[name]) for name in frame.columns}
    floats = [name for name, column in columns.items() if pa.types.is_floating(column.type)]
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    # Neither the arrow schema nor the pandas metadata is stored: both carry version numbers of the writer.
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP,
        compression="zstd",
        compression_level=9,
        use_dictionary=[name for name in columns if name not in floats],
        use_byte_stream_split=floats,
        store_schema=False,
    )
    return cast("bytes", sink.getvalue().to_pybytes())


def _check_labels(frame: pd.DataFrame) -> None:
    names = list(frame.columns)
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise PayloadError("table: expected at least one column, each with a text name of its own")
    index = frame.index
    if not (isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1 and index.name is None):
        raise PayloadError("table: expected the default index 0, 1, 2, ..., which is not stored; call reset_index()")


def _column(name: str, series: pd.Series[Any]) -> pa.Array:
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        # from_pandas would turn NaN into a null, and a null among integers into floats on the way back.
        return pa.array(_numbers(f"table: column {name!r}", series.to_numpy()), from_pandas=False)
    if isinstance(dtype, pd.StringDtype) or dtype == np.dtype(object):
        return pa.array([_cell(name, cell) for cell in series.tolist()], type=pa.string())
    raise PayloadError(f"table: column {name!r} is {dtype}; expected {_COLUMNS}")


def _cell(name: str, cell: object) -> str | None:
    if isinstance(cell, str):
        try:
            cell.encode()
        except UnicodeEncodeError:
            raise PayloadError(f"table: column {name!r} holds text that is not Unicode (a lone surrogate)") from None
        return str.__str__(cell)
    if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)):
        return None
    raise PayloadError(f"table: column {name!r} holds a {type(cell).__name__}; expected text only")


def _safetensors(arrays: Mapping[str, NumericArray]) -> bytes:
    if not all(isinstance(name, str) and name and name != "__metadata__" for name in arrays):
        raise PayloadError("arrays: expected names that are text, not empty and not __metadata__")
    plain = {name: _numbers(f"arrays: {name!r}", array) for name, array in sorted(arrays.items())}
    try:
        return safetensors.numpy.save(plain)
    except (SafetensorError, UnicodeEncodeError) as error:
        raise PayloadError(f"arrays: not writable as safetensors ({type(error).__name__})") from error


def _numbers(where: str, array: NumericArray) -> NumericArray:
    """``array`` in native byte order, contiguous in C order, with one spelling of NaN."""
    native = array.dtype.newbyteorder("=")
    if native not in _NUMBERS:
        raise PayloadError(f"{where} is {array.dtype}; expected booleans, integers or floats of at most 64 bits")
    # Not ascontiguousarray: it turns a scalar into an array of one element.
    plain: NumericArray = np.array(array, dtype=native, order="C", copy=True)
    if native.kind == "f":
        plain[np.isnan(plain)] = np.nan
    return plain


def json_bytes(value: JSON) -> bytes:
    """``value`` (builtin types) as a readable JSON file: sorted keys, two blanks, ASCII, one newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n").encode()


def _object(data: bytes) -> dict[str, JSON]:
    value = json.loads(data.decode("utf-8"))
    if not isinstance(value, dict) or json_bytes(value) != data:
        raise ValueError("not the canonical spelling of a JSON object")
    return value
