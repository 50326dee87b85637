"""Cache of what measures compute: by function, contents of its arguments, and code.

A function decorated with :func:`cached` is computed once for the same arguments inside :func:`caching`, and as always
outside it.  Arguments are compared by their contents, so another table or another resampling is another question, and
code by the text of this package and the versions of the libraries behind the numbers, so a changed formula is one too.
Numbers and tables also lie in a file, for the next command; arrays stay in memory, up to a bound.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import json
import sqlite3
import sys
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import numpy as np
import pandas as pd

from universal_neurons.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_P = ParamSpec("_P")
_T = TypeVar("_T")

# The arrays of some dozen tables of the mini suite, of some tables of GPT-2 Small.
_BYTES_IN_MEMORY = 256 * 2**20
_LIBRARIES = ("numpy", "scipy", "pandas")
_PACKAGE = Path(__file__).parent


class _Unknown(Exception):
    """A value of which no digest can be made, such as a function or a generator."""


def cached(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Decorate a function that depends on nothing but its arguments: its results are kept inside :func:`caching`.

    Arguments may be numbers, texts, arrays, tables and dataclasses of these; with any other the function is called.
    What it raises is not kept.
    """
    signature = inspect.signature(function)
    name = f"{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def remembered(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        results = _active[-1] if _active else None
        if results is None:
            return function(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            key = digest((name, _code(function), bound.arguments))
        except _Unknown:
            return function(*args, **kwargs)
        return cast("_T", results.result(key, lambda: function(*args, **kwargs)))

    return remembered


@contextmanager
def caching(file: Path | None = None) -> Iterator[None]:
    """Keep the results of cached functions while the body runs, and read and write those in ``file``.

    A file that cannot be used (read-only, damaged, on a file system without locks) is left alone: everything is then
    computed, and the results are the same.
    """
    results = _Results(file)
    _active.append(results)
    try:
        yield
    finally:
        _active.remove(results)
        results.close()


_active: list[_Results] = []


class _Results:
    """Results by key: texts in a file, and the latest arrays in memory."""

    def __init__(self, file: Path | None) -> None:
        self._texts: dict[str, str] = {}
        self._arrays: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._held = 0
        self._file = None if file is None else _opened(file)

    def result(self, key: str, compute: Callable[[], Any]) -> Any:
        """The result called ``key``, computed where it is not known."""
        if key in self._arrays:
            self._arrays.move_to_end(key)
            return self._arrays[key][0]
        text = self._texts.get(key) or self._read(key)
        if text is None:
            result = compute()
            text = _text(result)
            if text is None:
                return self._hold(key, result)
            self._write(key, text)
        self._texts[key] = text
        # Of the first computation too, so that no number depends on whether it was cached.
        return _value(text)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _hold(self, key: str, result: Any) -> Any:
        arrays = [part for part in (result if isinstance(result, tuple) else (result,)) if isinstance(part, np.ndarray)]
        for array in arrays:
            array.flags.writeable = False
        self._arrays[key] = result, sum(array.nbytes for array in arrays)
        self._held += self._arrays[key][1]
        while self._held > _BYTES_IN_MEMORY:
            self._held -= self._arrays.popitem(last=False)[1][1]
        return result

    def _read(self, key: str) -> str | None:
        if self._file is None:
            return None
        with suppress(sqlite3.Error):
            row = self._file.execute("select text, seal from results where key = ?", (key,)).fetchone()
            # A flipped bit of the file must not become a number of the report.
            if row is not None and row[1] == digest((key, row[0])):
                return str(row[0])
        return None

    def _write(self, key: str, text: str) -> None:
        if self._file is not None:
            with suppress(sqlite3.Error):
                row = (key, code_digest(), text, digest((key, text)))
                self._file.execute("insert or replace into results values (?, ?, ?, ?)", row)


def _opened(file: Path) -> sqlite3.Connection | None:
    """The file of results, without those of other code; None where it cannot be used."""
    with suppress(OSError, sqlite3.Error):
        file.parent.mkdir(parents=True, exist_ok=True)
        opened = sqlite3.connect(file, isolation_level=None)
        with suppress(sqlite3.OperationalError):
            # What a crash loses is computed again, and what it damages has another seal.
            opened.execute("pragma synchronous = off").execute("pragma journal_mode = memory")
        opened.execute("create table if not exists results (key text primary key, code text, text text, seal text)")
        opened.execute("delete from results where code <> ?", (code_digest(),))
        return opened
    return None


@functools.cache
def code_digest() -> str:
    """A digest of this package, of the measurements it returns, and of the versions of the libraries."""
    sources = sorted([*_PACKAGE.glob("*.py"), _PACKAGE.with_name("measurement.py")])
    libraries = [importlib.metadata.version(name) for name in _LIBRARIES]
    return digest((sys.version, libraries, [(path.name, path.read_bytes()) for path in sources]))


@functools.cache
def _code(function: Callable[..., Any]) -> str:
    """A digest of the code that ``function`` runs: this package and, where it lies elsewhere, its own file."""
    path = Path(function.__code__.co_filename)
    return code_digest() if path.parent == _PACKAGE else digest((code_digest(), path.read_bytes()))


# --- results as text -------------------------------------------------------------------------------------------------


def _text(result: Any) -> str | None:
    """A measurement or a table with a plain index as JSON; None for any other result."""
    try:
        if isinstance(result, Measurement):
            return json.dumps({"measurement": result.as_dict()})
        if isinstance(result, pd.DataFrame) and isinstance(result.index, pd.RangeIndex):
            columns = [[name, str(column.dtype), column.tolist()] for name, column in result.items()]
            text = json.dumps({"columns": columns})
            return text if _value(text).equals(result) else None
    except (TypeError, ValueError):
        pass
    return None


def _value(text: str) -> Any:
    raw = json.loads(text)
    if "measurement" in raw:
        return Measurement.from_dict(raw["measurement"])
    return pd.DataFrame({name: pd.Series(values, dtype=dtype) for name, dtype, values in raw["columns"]})


# --- digests of values -----------------------------------------------------------------------------------------------


def digest(value: object) -> str:
    """A digest of the contents of ``value``; the same only for values of the same types with the same contents."""
    hashed = sha256()
    for part in _parts(value):
        hashed.update(b"%d:" % len(part))
        hashed.update(part)
    return hashed.hexdigest()


# Tables are frozen and hashed once, by identity: thousands of measures are asked of each.
_tables: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


# Nearly all parts are of these types; a match of every case for each takes a twentieth of a run.
_PLAIN = frozenset({float, int, str, bool, type(None)})


def _parts(value: object) -> Iterator[bytes]:
    """The bytes of ``value`` with its type and its structure."""
    yield type(value).__qualname__.encode()
    if type(value) in _PLAIN:
        yield repr(value).encode()
        return
    match value:
        case Enum():
            yield str(value.value).encode()
        case None | bool() | int() | float() | str():
            yield repr(value).encode()
        case bytes():
            yield value
        case np.generic():
            yield from _parts(np.asarray(value))
        case np.ndarray() if value.dtype.hasobject:
            yield _words(value)
        case np.ndarray():
            yield f"{value.dtype.str} {value.shape}".encode()
            yield np.ascontiguousarray(value).tobytes()
        case pd.DataFrame():
            yield from _parts([str(name) for name in value.columns])
            yield from _parts(value.index.to_numpy())
            for name in value.columns:
                yield from _parts(value[name].to_numpy())
        case tuple() | list():
            yield str(len(value)).encode()
            for part in value:
                yield from _parts(part)
        case Mapping():
            yield from _parts(list(value.items()))
        case _ if is_dataclass(value) and not isinstance(value, type):
            yield _of_dataclass(value).encode()
        case _:
            raise _Unknown


def _words(value: np.ndarray[Any, Any]) -> bytes:
    try:
        return json.dumps(value.tolist()).encode()
    except TypeError:
        raise _Unknown from None


def _of_dataclass(value: Any) -> str:
    if value.__class__.__hash__ is not object.__hash__ or not hasattr(value, "__weakref__"):
        return digest([getattr(value, field.name) for field in fields(value)])
    if value not in _tables:
        _tables[value] = digest([getattr(value, field.name) for field in fields(value)])
    return _tables[value]
