from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from tests.render.payloads import PAYLOADS
from universal_neurons.render.pages.explorer_data import PARTS, UNDEFINED, packed, scores, shard, token_ids


@pytest.mark.parametrize("text", [*PAYLOADS, "\ud800 lone", "\x00", "\u202e", "'); alert(1); ('"])
def test_a_text_cannot_leave_its_string(text: str) -> None:
    written = shard(text, {"said": [text]})
    assert written.isascii()
    assert "<" not in written
    call = re.fullmatch(r"universalNeurons\.take\((.*)\);\n", written, re.DOTALL)
    assert call is not None
    assert json.loads(f"[{call[1]}]") == [text, {"said": [text]}]


def test_an_array_is_read_back_in_row_major_order() -> None:
    array = np.arange(12, dtype=np.int16).reshape(3, 4).T
    code, _, text = packed(array).partition(":")
    assert code == "i2"
    assert np.frombuffer(base64.b64decode(text), dtype="<i2").tolist() == array.ravel().tolist()


def test_numbers_of_a_big_endian_machine_are_written_alike() -> None:
    array = np.array([1, 258], dtype=np.int32)
    assert packed(array.astype(">i4")) == packed(array)


def test_a_type_that_the_page_does_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="an array of float64; expected one of f4"):
        packed(np.zeros(2))


def test_a_number_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        shard("about", {"threshold": float("nan")})


def test_scores_are_kept_to_a_part_and_undefined_ones_apart() -> None:
    assert scores([0.5, -0.12345, np.nan, 99]).tolist() == [PARTS // 2, -1234, UNDEFINED, -UNDEFINED - 1]


@pytest.mark.parametrize(("vocabulary", "kind"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_no_token_has_a_number_of_its_own(vocabulary: int, kind: type) -> None:
    ids = token_ids([0, vocabulary - 1, -1], vocabulary)
    assert ids.dtype == kind
    assert ids.tolist() == [0, vocabulary - 1, vocabulary]
