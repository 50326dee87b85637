"""Keys of artifacts: the digest of everything that decides an artifact's values, in canonical JSON.

The same settings have the same key on every machine and in every folder; files, payloads and provenance are no part of
it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias, cast

from universal_neurons.errors import UserError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

MAX_DEPTH = 32
MAX_STAGE_LENGTH = 48
_STAGE = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ABSOLUTE_PATH = re.compile(r"/|~|\\\\|[A-Za-z]:[\\/]|file:")
# Folders of the store itself, and names that Windows takes for devices in any folder.
_RESERVED = frozenset({"quarantine", "locks", "con", "prn", "aux", "nul"}) | {
    f"{device}{number}" for device in ("com", "lpt") for number in range(10)
}


class NotJSONError(UserError):
    """A value has no faithful JSON form: NaN, infinity, a set, an array, a mapping with a key that is no string."""


class InvalidKeyError(UserError):
    """A key that cannot name an artifact: unsafe stage, version below 1, input without digest, path of a machine."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """The name of one artifact: its stage, the stage's hand-bumped version, its settings, the digests of its inputs.

    ``parameters`` holds every setting that changes values, ``inputs`` the sha256 (64 lower-case hexadecimal digits) of
    each thing read: a label is refused, because the same label once meant other weights.  Both are copied and frozen.
    Two keys are equal if and only if their digests are; 1, 1.0 and true are different settings.

    Raises :class:`NotJSONError` for a parameter without a faithful JSON form and :class:`InvalidKeyError` for anything
    unsafe, an absolute path included: it would give every machine its own key.

    >>> key = Key("universality", 1, {"draws": 20}, {"corpus": "0" * 64})
    >>> str(key)
    'universality/eaeffac8bb89'
    """

    stage: str
    version: int
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    canonical: str = field(init=False, repr=False)
    digest: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        checked_stage(self.stage)
        if not isinstance(self.version, int) or isinstance(self.version, bool) or not 1 <= self.version < 2**31:
            raise InvalidKeyError(f"stage version {ascii(self.version)[:80]}: expected an integer from 1 on")
        parameters = _checked_parameters(self.parameters)
        inputs = _checked_inputs(self.inputs)
        canonical = canonical_json(
            {"stage": self.stage, "version": self.version, "parameters": parameters, "inputs": inputs}
        )
        object.__setattr__(self, "parameters", MappingProxyType({k: _frozen(v) for k, v in parameters.items()}))
        object.__setattr__(self, "inputs", MappingProxyType(inputs))
        object.__setattr__(self, "canonical", canonical)
        object.__setattr__(self, "digest", hashlib.sha256(canonical.encode()).hexdigest())

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Key) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        return f"{self.stage}/{self.digest[:12]}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keys travel to worker processes; the frozen mappings in them cannot.
        raw = self.as_dict()
        return (Key, (raw["stage"], raw["version"], raw["parameters"], raw["inputs"]))

    def as_dict(self) -> dict[str, JSON]:
        """The key material in builtin types, as a manifest holds it."""
        return cast("dict[str, JSON]", json.loads(self.canonical))

    @classmethod
    def from_dict(cls, raw: object) -> Key:
        """The inverse of :meth:`as_dict`; raises what the constructor raises."""
        fields = {"stage", "version", "parameters", "inputs"}
        if not isinstance(raw, Mapping) or raw.keys() != fields:
            raise InvalidKeyError(f"key: expected a mapping with exactly the fields {', '.join(sorted(fields))}")
        return cls(raw["stage"], raw["version"], raw["parameters"], raw["inputs"])

    def differences(self, other: Key) -> tuple[str, ...]:
        """The settings in which ``other`` differs, one phrase each, by name; empty if and only if the keys are equal.

        >>> Key("moments", 1, {"draws": 5}).differences(Key("moments", 1, {"draws": 20}))
        ('parameters.draws is 20 instead of 5',)
        """
        mine, theirs = _settings(self), _settings(other)
        return tuple(
            f"{name} is {theirs.get(name, 'absent')} instead of {mine.get(name, 'absent')}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        )


def canonical_json(value: JSON) -> str:
    """The canonical spelling of ``value``: sorted keys, no blanks, ASCII, shortest floats; no NaN, no infinity."""
    return json.dumps(plain_json(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain_json(value: object, where: str = "value") -> JSON:
    """``value`` in builtin JSON types, nothing changed on the way: mappings as dict, lists and tuples as list.

    ``where`` names the value in errors.  Raises :class:`NotJSONError` for what ``json.dumps`` would change silently (a
    key that is no string, NaN) or not take (arrays, sets, text that is not Unicode), and below ``MAX_DEPTH`` levels.
    """
    return _plain(value, where, 0)


def is_absolute_path(text: str) -> bool:
    """True for text that looks like a path of one machine.

    >>> [is_absolute_path(text) for text in ("/home/a", "~/a", "C:/a", "zoo/mini", "float32")]
    [True, True, True, False, False]
    """
    return _ABSOLUTE_PATH.match(text) is not None


def _plain(value: object, where: str, depth: int) -> JSON:
    if depth > MAX_DEPTH:
        raise NotJSONError(f"{where[:60]!a}...: nested deeper than {MAX_DEPTH} levels")
    match value:
        case None | bool():
            return value
        case int():
            # Beyond 128 bits no setting is meant, and Python refuses to spell integers of more than 4,300 digits.
            if value.bit_length() > 128:
                raise NotJSONError(f"{where!a}: an integer of {value.bit_length()} bits; expected at most 128")
            return int(value)
        case float():
            if not math.isfinite(value):
                raise NotJSONError(
                    f"{where!a}: {value} has no JSON form; expected a finite number (None stands for missing)"
                )
            return float(value)
        case str():
            return _text(value, where)
        case Mapping():
            return {_name(k, where): _plain(v, f"{where}.{k}", depth + 1) for k, v in value.items()}
        case list() | tuple():
            return [_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
        case _:
            raise NotJSONError(
                f"{where!a}: a {type(value).__name__} has no JSON form; expected builtin numbers or text"
            )


def _text(value: str, where: str) -> str:
    # A subclass (StrEnum) is stored as the text it is, and half a surrogate pair is no text.
    text = str.__str__(value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise NotJSONError(f"{where!a}: text that is not Unicode; expected no lone surrogates")
    return text


def _name(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise NotJSONError(f"{where!a}: the key {key!r} is a {type(key).__name__}; expected text")
    return _text(key, where)


def checked_stage(stage: object) -> str:
    """``stage``, a name that a folder of a store can have on any system; else raises :class:`InvalidKeyError`."""
    if isinstance(stage, str) and stage in _RESERVED:
        raise InvalidKeyError(f"stage {stage!r}: the name is reserved; choose another one")
    if not isinstance(stage, str) or not _STAGE.fullmatch(stage) or len(stage) > MAX_STAGE_LENGTH:
        raise InvalidKeyError(
            f"stage {ascii(stage)[:80]}: expected at most {MAX_STAGE_LENGTH} lower-case letters and digits in words "
            "joined by - or _"
        )
    return stage


def _checked_parameters(raw: object) -> dict[str, JSON]:
    parameters = plain_json(raw, "parameters")
    if not isinstance(parameters, dict):
        raise InvalidKeyError(f"parameters: expected a mapping, got a {type(raw).__name__}")
    for name, text in _flat("parameters", parameters).items():
        if isinstance(text, str) and is_absolute_path(text):
            raise InvalidKeyError(
                f"{name!a}: {ascii(text)[:80]} is a path of this machine; "
                "expected a relative name or the sha256 of what lies there"
            )
    return parameters


def _checked_inputs(raw: object) -> dict[str, str]:
    if not isinstance(raw, Mapping):
        raise InvalidKeyError(f"inputs: expected a mapping, got a {type(raw).__name__}")
    for name, digest in raw.items():
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise InvalidKeyError(
                f"input {ascii(name)[:80]}: {ascii(digest)[:80]} is no digest; expected 64 hexadecimal digits"
            )
    return {_name(name, "inputs"): _text(digest, "inputs") for name, digest in raw.items()}


def _frozen(value: JSON) -> JSON:
    match value:
        case dict():
            return MappingProxyType({key: _frozen(item) for key, item in value.items()})
        case list():
            return tuple(_frozen(item) for item in value)
        case _:
            return value


def _flat(prefix: str, value: JSON) -> dict[str, JSON]:
    """The leaves of ``value`` by dotted name; an empty mapping or list is a leaf."""
    match value:
        case dict() if value:
            children = [(f"{prefix}.{key}", item) for key, item in value.items()]
        case list() if value:
            children = [(f"{prefix}[{i}]", item) for i, item in enumerate(value)]
        case _:
            return {prefix: value}
    return {name: leaf for child, item in children for name, leaf in _flat(child, item).items()}


def _settings(key: Key) -> dict[str, str]:
    raw = key.as_dict()
    leaves = {"stage": raw["stage"], "version": raw["version"]}
    for group in ("parameters", "inputs"):
        leaves |= _flat(group, raw[group])
    return {ascii(name)[1:-1]: _abbreviated(leaf) for name, leaf in leaves.items()}


def _abbreviated(leaf: JSON) -> str:
    if isinstance(leaf, str) and _DIGEST.fullmatch(leaf):
        return leaf[:12]
    text = canonical_json(leaf)
    return text if len(text) <= 60 else f"{text[:57]}..."
