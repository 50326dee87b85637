"""Schemas of artifacts: kind, names, types, sizes and ranges of the values that one must have.

Digests say that bytes are the ones that somebody wrote, and nothing about what he wrote: a table without its columns,
with half of its rows or with a layer that no model has would be measured, or end a measurement in the middle.  A schema
is made of a value of the right form (:meth:`Schema.of`); how large it may be is known before anything is decoded.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pandas as pd

from universal_neurons.artifacts.codec import PayloadLimits
from universal_neurons.artifacts.key import plain_json
from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.artifacts.codec import NumericArray, Payload

# The lengths that each axis may have.
_Length: TypeAlias = "range | frozenset[int]"
_Axes: TypeAlias = "tuple[_Length, ...]"
# Bytes of a number and of a text in a table, and of a document of JSON: ours are far smaller.
LONGEST_NUMBER, LONGEST_TEXT, LARGEST_DOCUMENT = 8, 1 << 10, 1 << 20
# Bytes of headers, and what parquet may need beyond the numbers of a small table.
OVERHEAD = 1 << 16
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The number in a name such as partner_2_layer.
_RANK = re.compile(r"_\d+(?=_|$)")


class MalformedArtifact(UserError):
    """An artifact does not have the form that its stage gives it; the message names the field."""


@dataclass(frozen=True)
class Schema:
    """The form of an artifact.

    ``arrays`` maps the names of columns or arrays to their kind and shape; None for a ``document``, whose fields an
    artifact must have with values of the same types, and may have more of.  ``ranges`` maps the names of numbers (of
    ``correlation_2``: ``correlation``) to their least and greatest value.  ``neurons``: the layers and the width of a
    table with one row per neuron.  Infinity is never a value, NaN stands for undefined.
    """

    arrays: Mapping[str, tuple[str, _Axes]] | None
    document: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    neurons: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        example: Payload,
        lengths: Mapping[int, _Length],
        ranges: Mapping[str, tuple[float, float]],
        neurons: tuple[int, int] | None = None,
    ) -> Schema:
        """The schema of artifacts like ``example``, where axes of some length may have the others in ``lengths``."""
        arrays = _arrays(example)
        if arrays is None:
            return cls(None, document=cast("dict[str, Any]", plain_json(example)), ranges=ranges)
        shapes = {
            name: (_kind(array), tuple(lengths.get(length, frozenset({length})) for length in array.shape))
            for name, array in arrays.items()
        }
        return cls(shapes, ranges=ranges, neurons=neurons)

    @property
    def limits(self) -> PayloadLimits:
        """The most that a payload of this form takes."""
        if self.arrays is None:
            return PayloadLimits(cells=0, size=LARGEST_DOCUMENT)
        cells = [int(np.prod([max(axis) for axis in axes])) for _, axes in self.arrays.values()]
        widths = [LONGEST_TEXT if kind == "text" else LONGEST_NUMBER for kind, _ in self.arrays.values()]
        size = sum(count * width for count, width in zip(cells, widths, strict=True))
        # Parquet has a header for every column.
        return PayloadLimits(cells=sum(cells), size=size + OVERHEAD + len(cells) * LONGEST_TEXT)

    def check(self, value: Payload) -> None:
        """Raise :class:`MalformedArtifact` unless ``value`` has this form."""
        arrays = _arrays(value)
        if (arrays is None) != (self.arrays is None):
            raise MalformedArtifact(f"expected {_form(self.arrays)}, got {_form(arrays)}")
        if arrays is None or self.arrays is None:
            self._check_document("", self.document, value)
            return
        if absent := self.arrays.keys() - arrays.keys():
            raise MalformedArtifact(f"{min(absent)!a}: expected numbers or text, got no such column")
        if unknown := arrays.keys() - self.arrays.keys():
            raise MalformedArtifact(f"{min(unknown)!a}: expected no such column")
        lengths: dict[_Length, _Length] = {}
        for name, array in arrays.items():
            self._check_array(name, array, lengths)

    def _check_array(self, name: str, array: NumericArray, lengths: dict[_Length, _Length]) -> None:
        kind, axes = (self.arrays or {})[name]
        if _kind(array) != kind:
            raise MalformedArtifact(f"{name!a}: expected {kind}, got {_kind(array)}")
        # Axes of open length have the one that the first of them has.  Two known lengths are no open one: an axis of
        # blocks may be as long as the made-up neurons are many.
        axes = tuple(lengths.get(axis, axis) for axis in axes)
        if len(array.shape) != len(axes) or not all(map(operator.contains, axes, array.shape)):
            expected, got = " x ".join(map(_spelled, axes)), " x ".join(map(str, array.shape))
            raise MalformedArtifact(f"{name!a}: expected {expected} values, got {got}")
        open_axes = ((axis, length) for axis, length in zip(axes, array.shape, strict=True) if isinstance(axis, range))
        lengths |= {axis: frozenset({length}) for axis, length in open_axes}
        if kind == "numbers" and np.isinf(array).any():
            raise MalformedArtifact(f"{name!a}: expected finite numbers, got infinity")
        if self.neurons is not None and name in ("layer", "neuron"):
            layers, width = self.neurons
            numbers = np.divmod(np.arange(layers * width), width)[name == "neuron"]
            if wrong := np.flatnonzero(array != numbers).tolist():
                said = f"{numbers[wrong[0]]} in row {wrong[0]}, got {array[wrong[0]]}"
                raise MalformedArtifact(f"{name!a}: expected {said}")
        elif (plain := _RANK.sub("", name)) in self.ranges and array.size:
            if np.isnan(array).all():
                raise MalformedArtifact(f"{name!a}: expected numbers, got none that is defined")
            self._check_range(plain, float(np.nanmin(array)), float(np.nanmax(array)))

    def _check_range(self, name: str, *found: float) -> None:
        low, high = self.ranges[name]
        if outside := [number for number in found if not low <= number <= high]:
            raise MalformedArtifact(f"{name!a}: expected {low:g} to {high:g}, got {outside[0]:g}")

    def _check_document(self, name: str, example: Any, value: Any) -> None:
        if type(value) is not type(example):
            raise MalformedArtifact(f"{name!a}: expected {type(example).__name__}, got {type(value).__name__}")
        match example:
            case dict():
                for key, part in example.items():
                    if key not in value:
                        raise MalformedArtifact(f"{f'{name}.{key}'.lstrip('.')!a}: expected a value, got none")
                    self._check_document(f"{name}.{key}".lstrip("."), part, value[key])
            case list():
                for item in value:
                    self._check_document(name, example[0], item)
            case str() if _SHA256.fullmatch(example) and not _SHA256.fullmatch(value):
                raise MalformedArtifact(f"{name!a}: expected a sha256, got {value[:70]!a}")
            case int() | float() if name in self.ranges:
                self._check_range(name, value)


def _arrays(value: Payload) -> dict[str, NumericArray] | None:
    """The columns or arrays of a payload; None of a document."""
    if isinstance(value, pd.DataFrame):
        return {str(name): value[name].to_numpy() for name in value}
    arrays = {name: item for name, item in value.items() if isinstance(item, np.ndarray)}
    return arrays or None


def _form(arrays: Mapping[str, Any] | None) -> str:
    return "a record" if arrays is None else "columns or arrays"


def _kind(array: NumericArray) -> str:
    kinds = {"b": "true or false", "i": "integers", "u": "integers", "f": "numbers"}
    return kinds.get(array.dtype.kind, "text")


def _spelled(axis: _Length) -> str:
    return f"up to {max(axis)}" if isinstance(axis, range) else " or ".join(map(str, sorted(axis)))
