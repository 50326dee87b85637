"""Data files of the neuron explorer: JavaScript files beside the page, loaded on demand.

A page opened from a disk cannot fetch files but can load scripts.  So a shard is one call,
``universalNeurons.take(name, values)``; its arrays are base64 of little-endian numbers after the name of their type,
which a browser reads in one piece.  Scores are stored as integers, in units of 1 / :data:`PARTS`.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTS = 10_000
# The score of a neuron that has none.
UNDEFINED = -(2**15)
_CODES = {"u1", "u2", "u4", "i2", "i4", "f4"}


def shard(name: str, values: Mapping[str, Any]) -> str:
    r"""The script that hands ``values`` to the page as ``name``: ASCII, and without a character that begins a tag.

    >>> shard("about", {"title": "</script>"})
    'universalNeurons.take("about",{"title":"\\u003c/script>"});\n'

    Raises ValueError for NaN, which JSON cannot say.
    """
    plain = {key: packed(value) if isinstance(value, np.ndarray) else value for key, value in values.items()}
    text = json.dumps(plain, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"universalNeurons.take({json.dumps(name)},{text});\n".replace("<", "\\u003c")


def packed(array: npt.NDArray[Any]) -> str:
    """``array`` in row-major order as its type and base64.

    >>> packed(np.array([[1, 2], [3, 258]], dtype=np.uint16))
    'u2:AQACAAMAAgE='

    Raises ValueError for a type that the page does not read.
    """
    code = f"{array.dtype.kind}{array.dtype.itemsize}"
    if code not in _CODES:
        raise ValueError(f"shard: an array of {array.dtype}; expected one of {', '.join(sorted(_CODES))}")
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return f"{code}:{base64.b64encode(little.tobytes()).decode('ascii')}"


def scores(values: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """Numbers between -3 and 3 in parts of :data:`PARTS`, undefined ones as :data:`UNDEFINED`.

    >>> scores([0.51234, -0.1, np.nan]).tolist()
    [5123, -1000, -32768]
    """
    parts = np.rint(np.asarray(values, dtype=np.float64) * PARTS)
    return np.where(np.isnan(parts), UNDEFINED, np.clip(parts, UNDEFINED + 1, -UNDEFINED - 1)).astype(np.int16)


def percentiles(values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Percentiles in half steps, undefined ones as 255.

    >>> percentiles([0.1, 50, 99.9, np.nan]).tolist()
    [0, 100, 200, 255]
    """
    halves = np.rint(np.asarray(values, dtype=np.float64) * 2)
    return np.where(np.isnan(halves), 255, np.clip(halves, 0, 200)).astype(np.uint8)


def token_ids(ids: npt.ArrayLike, vocabulary: int) -> npt.NDArray[np.uint16] | npt.NDArray[np.uint32]:
    """Token ids in the smallest type that also holds ``vocabulary`` itself, which stands for no token (negative ids).

    >>> token_ids([3, -1], 1023)
    array([   3, 1023], dtype=uint16)
    """
    given = np.asarray(ids)
    filled = np.where(given < 0, vocabulary, given)
    return filled.astype(np.uint16) if vocabulary < 2**16 else filled.astype(np.uint32)
