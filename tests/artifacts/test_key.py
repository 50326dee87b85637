from __future__ import annotations

import copy
import doctest
import hashlib
import json
import math
import pickle
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universal_neurons.artifacts import key as module
from universal_neurons.artifacts.key import InvalidKeyError, Key, NotJSONError, canonical_json, plain_json
from universal_neurons.errors import UserError

CORPUS, MODEL = "0" * 64, "ab" * 32


def universality(**parameters: Any) -> Key:
    return Key("universality", 1, parameters, {"corpus": CORPUS})


def test_the_digest_is_the_sha256_of_the_canonical_json() -> None:
    key = Key("cross-moments", 3, {"b": [1, 2.5], "a": "é"}, {"x": MODEL})
    spelled = (
        '{"inputs":{"x":"' + MODEL + '"},"parameters":{"a":"\\u00e9","b":[1,2.5]},"stage":"cross-moments","version":3}'
    )
    assert key.digest == hashlib.sha256(spelled.encode()).hexdigest()
    assert str(key) == f"cross-moments/{key.digest[:12]}"


def test_the_order_in_which_settings_are_given_does_not_matter() -> None:
    one = Key("stage", 1, {"a": {"x": 1, "y": 2}, "b": (1, 2)}, {"m": MODEL, "c": CORPUS})
    other = Key("stage", 1, {"b": [1, 2], "a": {"y": 2, "x": 1}}, {"c": CORPUS, "m": MODEL})
    assert one == other
    assert len({one, other}) == 1


def test_every_setting_matters_and_so_does_its_type() -> None:
    keys = [
        Key("moments", 1, {}, {}),
        Key("nulls", 1, {}, {}),
        Key("moments", 2, {}, {}),
        *(Key("moments", 1, {"a": value}) for value in (1, 1.0, True, "1", None, [], {}, [1], {"b": 1}, "", 0, False)),
        Key("moments", 1, {"b": 1}),
        Key("moments", 1, {}, {"x": CORPUS}),
        Key("moments", 1, {}, {"y": CORPUS}),
        Key("moments", 1, {}, {"x": MODEL}),
        Key("moments", 1, {"x": CORPUS}, {}),
    ]
    assert len({key.digest for key in keys}) == len(keys)
    assert len(set(keys)) == len(keys)
    assert keys[0] != keys[0].digest


def test_a_key_does_not_follow_later_changes_of_what_it_was_made_from() -> None:
    draws = [1, 2]
    parameters: dict[str, Any] = {"draws": draws}
    inputs = {"corpus": CORPUS}
    key = Key("stage", 1, parameters, inputs)
    digest, settings = key.digest, key.as_dict()
    draws.append(3)
    parameters["new"] = 1
    inputs["model"] = MODEL
    assert (key.digest, key.as_dict()) == (digest, settings)
    assert Key.from_dict(key.as_dict()).digest == digest
    with pytest.raises(TypeError):
        key.parameters["new"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        key.stage = "other"  # type: ignore[misc]


def test_a_key_survives_the_ways_in_which_it_travels() -> None:
    key = universality(draws=20, rotation={"kind": "gaussian", "seeds": [1, 2]})
    for travelled in (
        Key.from_dict(key.as_dict()),
        Key.from_dict(json.loads(json.dumps(key.as_dict()))),
        pickle.loads(pickle.dumps(key)),
        copy.deepcopy(key),
        Key(key.stage, key.version, key.parameters, key.inputs),
    ):
        assert travelled == key
        assert travelled.canonical == key.canonical


class Kind(StrEnum):
    GAUSSIAN = "gaussian"


class Level(IntEnum):
    FIRST = 1


def test_named_options_are_the_values_that_they_stand_for() -> None:
    assert universality(kind=Kind.GAUSSIAN, level=Level.FIRST, x=np.float64(0.1)) == universality(
        kind="gaussian", level=1, x=0.1
    )


NESTED: list[Any] = []
NESTED.append(NESTED)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        [1, {"a": [math.nan]}],
        {1: "a"},
        {"a": {None: 1}},
        {1, 2},
        b"bytes",
        1j,
        object(),
        np.float32(1.5),
        np.int64(1),
        np.bool_(True),
        np.arange(3),
        "\ud800",
        {"\udfff": 1},
        10**5000,
        -(1 << 129),
        NESTED,
        range(3),
        print,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_without_a_faithful_json_form_is_refused_in_one_line(value: object) -> None:
    with pytest.raises(NotJSONError) as refusal:
        universality(setting=value)
    assert "parameters.setting" in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 300


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**100), 2**100)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, database=None)
@given(JSON_VALUES)
def test_canonical_json_is_faithful_and_unique(value: Any) -> None:
    text = canonical_json(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    assert plain_json(value) == value


UNSAFE_STAGES = [
    *(
        "",
        " ",
        ".",
        "..",
        "...",
        "-",
        "_",
        "a-",
        "-a",
        "_a",
        "a_",
        "a--b",
        "a__b",
        "a-_b",
        "1a",
        "0",
        "A",
        "aB",
        "é",
        "ａ",
    ),
    *(
        "../x",
        "..\\x",
        "a/..",
        "a/../b",
        "a/b",
        "a\\b",
        "/a",
        "/",
        "//a",
        "\\\\host\\share",
        "c:",
        "c:\\x",
        "~",
        "~root",
    ),
    *(
        "a.b",
        "a.",
        ".a",
        ".git",
        ".staging-1",
        "a b",
        " a",
        "a ",
        "a\n",
        "\na",
        "a\r",
        "a\t",
        "a\0",
        "\0",
        "a\x7f",
        "a\x1b[0m",
    ),
    *("quarantine", "locks", "con", "prn", "aux", "nul", "com0", "com1", "com9", "lpt1", "lpt9", "CON", "nul.txt"),
    *("%2e%2e", "%2f", "..%2fx", "..;/x", "a:b", "a*", "a?", "a<", "a>", "a|", 'a"', "a'", "a`", "$(x)", "${x}", "a;b"),
    *("a&b", "a#b", "a!b", "a@b", "a=b", "a+b", "a,b", "a(b", "a[b", "a{b", "a^b", "a~b", "-rf", "--help", "a\u202eb"),
    *("a\u2028b", "a\u200bb", "\ufeffa", "\ud800", "a\u0301", "ﬁ", "ⅸ", "\u0661", "a" * 49, "a" * 5000, "file:///a"),
    *(
        "con.txt",
        "com1.",
        "a/",
        "./a",
        "a//b",
        "a\x85",
        "a\xa0b",
        "a\u2029b",
        "\u2024\u2024",
        "a\u3000",
        "K",
        "\U0001f600",
    ),
    *(None, 1, True, b"a", ["a"], ("a",), 1.5, {"a": 1}),
]


def test_there_are_enough_unsafe_names_to_try() -> None:
    assert len(UNSAFE_STAGES) >= 120


@pytest.mark.parametrize("stage", UNSAFE_STAGES, ids=lambda stage: ascii(stage)[:20])
def test_an_unsafe_stage_is_refused_in_one_line(stage: Any) -> None:
    with pytest.raises(InvalidKeyError) as refusal:
        Key(stage, 1)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize("stage", ["moments", "cross-moments", "a", "a1", "layer_2-b", "a" * 48])
def test_a_plain_stage_is_taken(stage: str) -> None:
    assert Key(stage, 1).stage == stage


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None, 2**31, [1]])
def test_a_version_that_is_no_counting_number_is_refused(version: Any) -> None:
    with pytest.raises(InvalidKeyError, match="version"):
        Key("stage", version)


@pytest.mark.parametrize(
    "inputs",
    [
        {"model": "a@100"},
        {"model": ""},
        {"model": CORPUS[1:]},
        {"model": CORPUS + "0"},
        {"model": "AB" * 32},
        {"model": "../" + CORPUS[3:]},
        {"model": CORPUS + "\n"},
        {"model": None},
        {"model": 1},
        {1: CORPUS},
        [CORPUS],
        None,
    ],
)
def test_an_input_that_is_not_named_by_its_digest_is_refused(inputs: Any) -> None:
    with pytest.raises(UserError, match=r"input"):
        Key("stage", 1, {}, inputs)


@pytest.mark.parametrize("path", ["/root/zoo", "~/zoo", "C:\\zoo", "c:/zoo", "\\\\host\\zoo", "file:///zoo"])
def test_a_path_of_this_machine_is_no_setting(path: str) -> None:
    for parameters in ({"source": path}, {"sources": ["zoo/mini", path]}, {"a": {"b": path}}):
        with pytest.raises(InvalidKeyError, match="path of this machine"):
            Key("stage", 1, parameters)


@pytest.mark.parametrize("parameters", [None, [], "a", 1])
def test_parameters_are_a_mapping(parameters: Any) -> None:
    with pytest.raises(InvalidKeyError, match="expected a mapping"):
        Key("stage", 1, parameters)


@pytest.mark.parametrize("raw", [None, [], {}, {"stage": "a"}, {**universality().as_dict(), "more": 1}])
def test_key_material_has_exactly_its_fields(raw: Any) -> None:
    with pytest.raises(InvalidKeyError, match="exactly the fields"):
        Key.from_dict(raw)


def test_the_differences_name_every_setting_that_differs() -> None:
    mine = Key("stage", 2, {"draws": 5, "kind": "gaussian", "steps": [1, 2], "only": None}, {"x": CORPUS})
    theirs = Key("stage", 1, {"draws": 20, "kind": "gaussian", "steps": [1, 3]}, {"x": MODEL})
    assert mine.differences(theirs) == (
        "inputs.x is abababababab instead of 000000000000",
        "parameters.draws is 20 instead of 5",
        "parameters.only is absent instead of null",
        "parameters.steps[1] is 3 instead of 2",
        "version is 1 instead of 2",
    )
    assert mine.differences(mine) == ()


@settings(deadline=None, database=None)
@given(JSON_VALUES, JSON_VALUES)
def test_there_are_no_differences_exactly_between_equal_keys(one: Any, other: Any) -> None:
    def wrapped(value: Any) -> Key:
        # Any text may be a path by chance; inside a longer one it is not.
        return Key("stage", 1, {"a": json.loads(canonical_json([value])), "b": "-"})

    try:
        a, b = wrapped(one), wrapped(other)
    except InvalidKeyError:
        return
    assert (a == b) == (a.differences(b) == ())
    assert all(line.isprintable() for line in a.differences(b))


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
